"""Corpora for other programs, and from their files: alpaca, chat lines, Cell2Sentence's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pyarrow as pa

from celloquy._runtime import atomic_path, closest, refuse_existing
from celloquy.errors import InputError
from celloquy.tasks import Example, read_alpaca, write_alpaca, write_dataset_info
from celloquy.text import plain_text
from celloquy.training._corpus_draw import keys_for, name_keys
from celloquy.training._corpus_files import COLUMNS, SCHEMA, write_shard
from celloquy.training._corpus_read import RECORD, TASKS, Corpus
from celloquy.training._exchange_sentences import STATE, read_arrow_folder
from celloquy.training._recipe_corpus import PARTS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

    from celloquy.training._corpus_read import CorpusExample

ExchangeForm = Literal["alpaca", "chat", "cell2sentence"]
FORMS: tuple[ExchangeForm, ...] = get_args(ExchangeForm)
FORMATTED = ("sample_type", "model_input", "response")
"""Columns of Cell2Sentence's formatted examples (AF-25)."""
_ROLES = ("user", "assistant")
_BATCH = 10_000
_WRITTEN = ("dataset_info.json", "dataset_dict.json", *(f"{part}.jsonl" for part in PARTS))
"""What a folder of some form holds."""


def export_corpus(
    corpus: Corpus | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    form: str,
    overwrite: bool = False,
) -> list[Path]:
    """Write a corpus as other programs read it, in its random order.

    Parameters
    ----------
    corpus
        The corpus, or its folder.
    out
        The folder to write.
    form
        ``"alpaca"``: a JSON list a part with a ``dataset_info.json``, as LLaMA-Factory has them
        (CH-8). ``"chat"``: JSON lines a part with ``messages``, as TRL and servers have them.
        ``"cell2sentence"``: an Arrow folder a part with ``sample_type``, ``model_input`` and
        ``response``, which `datasets.load_from_disk` opens.
    overwrite
        Whether an existing folder is replaced.

    Returns
    -------
    What was written.

    Raises
    ------
    InputError
        If there is no such form, no corpus, or `out` is taken.
    """
    chosen = _form(form)
    held = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
    out = Path(out)
    refuse_existing(out, overwrite=overwrite, holds=_WRITTEN)
    parts = [part for part in PARTS if held.n(part)]
    with atomic_path(out, overwrite=overwrite) as temporary:
        temporary.mkdir()
        if chosen == "alpaca":
            _write_alpaca(held, temporary, parts)
        elif chosen == "chat":
            for part in parts:
                _write_chat(held.examples(part), temporary / f"{part}.jsonl")
        else:
            for part in parts:
                _write_arrow(held, part, temporary / part)
            splits = json.dumps({"splits": parts})
            (temporary / "dataset_dict.json").write_text(splits, "utf-8")
    return sorted(path for path in out.rglob("*") if path.is_file())


def import_corpus(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    form: str,
    overwrite: bool = False,
) -> Corpus:
    """Make a corpus of files that another program wrote; its prompts stay texts.

    A folder has files named by part (``train``, ``validation``, ``test``); a single file is for
    training. Their order is drawn anew.

    Parameters
    ----------
    source
        A file, or a folder of them.
    out
        The folder to write.
    form
        See :func:`export_corpus`.
    overwrite
        Whether an existing corpus is replaced.

    Raises
    ------
    InputError
        If there is no such form or file, an entry cannot be read, or `out` is taken.
    """
    chosen, source, out = _form(form), Path(source), Path(out)
    if not source.exists():
        msg = f"There is nothing at '{source}'."
        raise InputError(msg, hint="name a file, or a folder with train.json and others.")
    refuse_existing(out, overwrite=overwrite, holds=(RECORD,))
    files = _files_of(source, chosen)
    counts: dict[str, dict[str, int]] = {}
    with atomic_path(out, overwrite=overwrite) as temporary:
        temporary.mkdir()
        (temporary / TASKS).mkdir()
        for part, path in files.items():
            rows = list(_read(path, chosen))
            if not rows:
                msg = f"'{path.name}' holds no example."
                raise InputError(msg, hint="leave it out.")
            (temporary / part).mkdir()
            write_shard(_table(rows, part, path.name), temporary / part / "part-00000.parquet")
            counts[part] = {"text": len(rows)}
        _write_record(temporary, source, chosen, counts)
    return Corpus(out)


def _form(form: str) -> ExchangeForm:
    """Give the name of a form back.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    for known in FORMS:
        if form == known:
            return known
    msg = f"There is no form {form!r}{closest(form, FORMS)}."
    raise InputError(msg, hint=f"choose one of: {', '.join(FORMS)}.")


def _write_alpaca(corpus: Corpus, folder: Path, parts: list[str]) -> None:
    for part in parts:
        examples = (Example(plain_text(e.prompt), e.answer) for e in corpus.examples(part))
        write_alpaca(examples, folder / f"{part}.json")
    write_dataset_info({part: f"{part}.json" for part in parts}, folder / "dataset_info.json")


def _write_chat(examples: Iterable[CorpusExample], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            turns = zip(_ROLES, (plain_text(example.prompt), example.answer), strict=True)
            messages = [{"role": role, "content": text} for role, text in turns]
            file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")


def _write_arrow(corpus: Corpus, part: str, folder: Path) -> None:
    """Write a part as `datasets` saves it: a stream of Arrow, its features and its state."""
    folder.mkdir()
    name = "data-00000-of-00001.arrow"
    schema = pa.schema([pa.field(column, pa.string()) for column in FORMATTED])
    with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        batch: list[tuple[str, str, str]] = []
        for example in corpus.examples(part):
            batch.append((example.task, plain_text(example.prompt), example.answer))
            if len(batch) == _BATCH:
                writer.write_batch(_batch(batch, schema))
                batch = []
        writer.write_batch(_batch(batch, schema))
    features = {column: {"dtype": "string", "_type": "Value"} for column in FORMATTED}
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    state: dict[str, Any] = {
        "_data_files": [{"filename": name}],
        "_fingerprint": corpus.record.get("recipe_sha256", "")[:16] or "0" * 16,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": part,
    }
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2), "utf-8")
    (folder / STATE).write_text(json.dumps(state, indent=2), "utf-8")


def _batch(rows: list[tuple[str, str, str]], schema: pa.Schema) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(FORMATTED)
    return pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=schema)


def _files_of(source: Path, form: ExchangeForm) -> dict[str, Path]:
    """Find the file or folder of each part.

    Raises
    ------
    InputError
        If a folder has none.
    """
    if source.is_file() or (source / STATE).is_file():
        return {PARTS[0]: source}
    ending = {"alpaca": ".json", "chat": ".jsonl", "cell2sentence": ""}[form]
    found = {part: source / f"{part}{ending}" for part in PARTS}
    found = {part: path for part, path in found.items() if path.exists()}
    if not found:
        names = ", ".join(f"{part}{ending}" for part in PARTS)
        msg = f"The folder '{source}' holds none of: {names}."
        raise InputError(msg, hint="name its files by the parts, or name one file.")
    return found


def _read(path: Path, form: ExchangeForm) -> Iterator[tuple[str, str]]:
    """Read prompts and answers.

    Raises
    ------
    InputError
        If an entry has no answer.
    """
    if form == "alpaca":
        for number, example in enumerate(read_alpaca(path), start=1):
            if not example.answer:
                msg = f"{path.name}, entry {number}, has no answer."
                raise InputError(msg, hint="training needs an answer in every example.")
            yield example.prompt, example.answer
    elif form == "chat":
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _turns(line, where=f"{path.name}, line {number}")
    else:
        yield from _formatted(path)


def _turns(line: str, *, where: str) -> tuple[str, str]:
    """Read a line of a chat: one question and one answer.

    Raises
    ------
    InputError
        If it is something else.
    """
    try:
        entry: Any = json.loads(line)
        messages = entry["messages"]
        roles = tuple(message["role"] for message in messages)
        texts = [message["content"] for message in messages]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{where}, is no chat: {error!r}."
        raise InputError(msg, hint='a line says {"messages": [{"role": …, "content": …}]}.') from (
            error
        )
    if roles != _ROLES or not all(isinstance(text, str) and text for text in texts):
        msg = f"{where}, has the turns {', '.join(map(str, roles)) or 'none'}."
        raise InputError(msg, hint="one turn of user and one of assistant are read.")
    return texts[0], texts[1]


def _formatted(path: Path) -> Iterator[tuple[str, str]]:
    """Read Cell2Sentence's formatted examples.

    Raises
    ------
    InputError
        If a column is missing.
    """
    table = read_arrow_folder(path)
    for column in FORMATTED[1:]:
        if column not in table.column_names:
            msg = f"'{path.name}' has no column {column!r}{closest(column, table.column_names)}."
            hint = "a folder of cell sentences is a [[corpus.source]] of a recipe."
            raise InputError(msg, hint=hint)
    for batch in table.select(list(FORMATTED[1:])).to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _table(rows: list[tuple[str, str]], part: str, source: str) -> pa.Table:
    """Give texts as rows of a corpus, in an order that is drawn."""
    n = len(rows)
    order = np.argsort(keys_for(name_keys([f"{a}\t{b}" for a, b in rows], "text"), "order"))
    columns: dict[str, Any] = {field.name: pa.nulls(n, field.type) for field in COLUMNS}
    columns |= {
        "task": _word("text", n),
        "template": pa.array(np.zeros(n, np.int16)),
        "prompt": pa.array([rows[i][0] for i in order], pa.string()),
        "answer": pa.array([rows[i][1] for i in order], pa.string()),
        "part": _word(part, n),
        "source": _word(source, n),
        "row": pa.array(order.astype(np.int64)),
    }
    return pa.Table.from_arrays([columns[name] for name in COLUMNS.names], schema=COLUMNS)


def _word(text: str, n: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int16)), pa.array([text]))


def _write_record(
    folder: Path, source: Path, form: str, counts: Mapping[str, Mapping[str, int]]
) -> None:
    from importlib.metadata import version  # slow to import

    record = {
        "schema": SCHEMA,
        "kind": "corpus",
        "imported": {"form": form, "source": source.name},
        "counts": counts,
        "tasks": {},
        "vocabulary": [],
        "versions": {"celloquy": version("celloquy")},
    }
    (folder / RECORD).write_text(json.dumps(record) + "\n", "utf-8")
