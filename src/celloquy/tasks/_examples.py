"""Examples of other projects: prompts with the answers held to be true."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from celloquy._runtime import atomic_path
from celloquy.errors import InputError
from celloquy.tasks._json_files import entries_of, entry_text, read_json, refuse_unread

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

ExampleFormat = Literal["alpaca", "source-target"]


@dataclass(frozen=True)
class Example:
    """A prompt and the answer held to be true."""

    prompt: str
    """What is asked."""
    answer: str | None
    """What is answered; `None` where the file does not say."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """What the file says under each key that it has a name for."""


ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
"""The keys of the alpaca form, by what LLaMA-Factory calls them."""


def read_alpaca(
    path: str | os.PathLike[str], *, columns: Mapping[str, str] = ALPACA
) -> list[Example]:
    r"""Read examples in the alpaca form, as CellHermes has them.

    The prompt is the instruction, a line break and the input, or the instruction alone where
    the input is empty (CH-4). An example without an answer is allowed.

    Parameters
    ----------
    path
        A JSON list, or JSON lines, of objects.
    columns
        The file's own keys for ``prompt``, ``query`` and ``response``, as a ``dataset_info.json``
        says them.

    Raises
    ------
    InputError
        If an entry lacks its instruction, or holds keys that are not read; file, number of the
        entry and the closest key are told.
    """
    path, keys = Path(path), {**ALPACA, **columns}
    examples = []
    for number, entry in enumerate(entries_of(read_json(path), path), start=1):
        where = f"{path}, entry {number}"
        instruction = entry_text(entry, keys["prompt"], where=where) or ""
        query = entry_text(entry, keys["query"], where=where, optional=True) or ""
        response = entry_text(entry, keys["response"], where=where, optional=True)
        refuse_unread(entry, keys.values(), where=where)
        prompt = f"{instruction}\n{query}" if query else instruction
        examples.append(Example(prompt, response, {"instruction": instruction, "input": query}))
    return examples


def read_source_target(path: str | os.PathLike[str]) -> list[Example]:
    """Read examples with ``source`` and ``target``, as ChatCell has them.

    Other keys that hold text, such as ``cell_type`` and ``gene``, are kept as parts.

    Raises
    ------
    InputError
        If an entry lacks a key; file, number of the entry and the closest key are told.
    """
    path = Path(path)
    examples = []
    for number, entry in enumerate(entries_of(read_json(path), path), start=1):
        where = f"{path}, entry {number}"
        source = entry_text(entry, "source", where=where) or ""
        target = entry_text(entry, "target", where=where)
        others = {str(key): str(entry[key]) for key in entry if key not in {"source", "target"}}
        examples.append(Example(source, target, others))
    return examples


def write_examples(
    examples: Sequence[Example], path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write examples as JSON lines with ``prompt``, ``answer`` and what else they have.

    Parameters
    ----------
    examples
        What is asked, with the answers held to be true.
    path
        Where the file shall be.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If `path` exists and `overwrite` is false, or cannot be written.
    """
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        for example in examples:
            line = {"prompt": example.prompt, "answer": example.answer, **example.parts}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_alpaca(
    examples: Iterable[Example], path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write examples in the alpaca form: ``instruction``, ``input`` and ``output``.

    Parameters
    ----------
    examples
        What is asked, with the answers held to be true; they are written one after the other.
    path
        Where the file shall be.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If an example has no answer, `path` exists and `overwrite` is false, or it cannot be
        written.
    """
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        file.write("[")
        for number, example in enumerate(examples, start=1):
            if example.answer is None:
                msg = f"Example {number} has no answer."
                raise InputError(msg, hint="training needs an answer in every example.")
            instruction = example.parts.get("instruction", example.prompt)
            query = example.parts.get("input", "")
            entry = {"instruction": instruction, "input": query, "output": example.answer}
            file.write(",\n" if number > 1 else "\n")
            file.write(json.dumps(entry, ensure_ascii=False, indent=2))
        file.write("\n]\n")


def write_dataset_info(
    files: Mapping[str, str], path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write the ``dataset_info.json`` by which LLaMA-Factory finds alpaca files (CH-8).

    Parameters
    ----------
    files
        File name of each data set, by the data set's name.
    path
        Where it shall be.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If `path` exists and `overwrite` is false, or cannot be written.
    """
    info = {
        name: {"file_name": file, "formatting": "alpaca", "columns": ALPACA}
        for name, file in files.items()
    }
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(info, indent=2), "utf-8")


def read_dataset_info(path: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
    """Read the columns of each alpaca file that a ``dataset_info.json`` names, by file name.

    Raises
    ------
    InputError
        If it is no such file, or a data set has another form.
    """
    path = Path(path)
    found = read_json(path)
    if not isinstance(found, Mapping):
        msg = f"'{path}' is no mapping from data sets to files."
        raise InputError(msg, hint='it says {"name": {"file_name": "name.json"}}.')
    columns: dict[str, dict[str, str]] = {}
    for name, entry in found.items():
        where = f"{path}, data set {name!r}"
        if not isinstance(entry, Mapping):
            msg = f"{where} is no object but {json.dumps(entry)[:60]}."
            raise InputError(msg, hint='it says {"file_name": "name.json"}.')
        form = entry.get("formatting", "alpaca")
        if form != "alpaca":
            msg = f"{where} has the form {form!r}; only 'alpaca' is read."
            raise InputError(msg, hint="leave it out of the folder.")
        file = entry_text(entry, "file_name", where=where) or ""
        columns[file] = {**ALPACA, **_columns(entry.get("columns", {}), where)}
    return columns


def _columns(found: Any, where: str) -> dict[str, str]:  # noqa: ANN401 (whatever the file holds)
    """Read the columns of a data set.

    Raises
    ------
    InputError
        If one is not known.
    """
    columns = dict(found) if isinstance(found, Mapping) else {"columns": found}
    for key, value in columns.items():
        if key not in ALPACA or not isinstance(value, str):
            msg = f"{where}: the column {key!r} is not read."
            raise InputError(msg, hint=f"the columns are: {', '.join(ALPACA)}.")
    return columns
