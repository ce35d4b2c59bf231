"""Examples to learn from: a prompt, the answer held to be true, its task and its weight."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.tasks import read_alpaca, read_source_target

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from celloquy.text import Prompt

KEYS = ("prompt", "answer", "task", "weight")


@dataclass(frozen=True)
class TrainingExample:
    """One example."""

    prompt: Prompt | str
    """What is asked, as segments or as a plain text."""
    answer: str
    """The answer held to be true."""
    task: str = ""
    """The task's name; tasks of the registry bring their own metric."""
    weight: float = 1.0
    """How much each token of the answer counts."""


def read_training_examples(paths: Sequence[str | os.PathLike[str]]) -> Iterator[TrainingExample]:
    """Read examples from files, one after the other, without holding them all.

    JSON lines (``.jsonl``) have the keys ``prompt`` and ``answer``, and may have ``task`` and
    ``weight``. A ``.json`` file is a list in the alpaca form of CellHermes and LLaMA-Factory, or
    with ``source`` and ``target`` as ChatCell has them.

    Parameters
    ----------
    paths
        The files.

    Raises
    ------
    InputError
        If a file is missing, or an entry has no prompt or no answer.
    """
    for one in paths:
        path = Path(one)
        if not path.is_file():
            msg = f"There is no file of examples '{path}'."
            raise InputError(msg, hint="name it in `[data] train` or `valid`, from the recipe on.")
        yield from _json_lines(path) if path.suffix == ".jsonl" else _json_list(path)


def read_corpus_part(folder: str | os.PathLike[str], part: str) -> Iterator[TrainingExample]:
    """Read the examples of a part of a corpus, without holding them all.

    Parameters
    ----------
    folder
        What ``celloquy corpus`` wrote.
    part
        ``"train"``, ``"validation"`` or ``"test"``.
    """
    from celloquy.training._corpus_read import Corpus

    for example in Corpus(folder).examples(part):
        yield TrainingExample(example.prompt, example.answer, example.task)


def _json_list(path: Path) -> Iterator[TrainingExample]:
    """Read a list of the alpaca form, or of sources and targets.

    Raises
    ------
    InputError
        If an example has no answer.
    """
    with path.open(encoding="utf-8") as file:
        head = file.read(4_096)
    is_alpaca = '"instruction"' in head or '"source"' not in head
    found = read_alpaca(path) if is_alpaca else read_source_target(path)
    for number, example in enumerate(found, start=1):
        if not example.answer:
            msg = f"{path}, entry {number} has no answer."
            raise InputError(msg, hint="training needs an answer in every example.")
        yield TrainingExample(example.prompt, example.answer)


def _json_lines(path: Path) -> Iterator[TrainingExample]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _of_line(line, where=f"{path}, line {number}")


def _of_line(line: str, *, where: str) -> TrainingExample:
    """Read one line.

    Raises
    ------
    InputError
        If it is no JSON object, or lacks or holds a key that it should not.
    """
    try:
        entry: Any = json.loads(line)
    except ValueError as error:
        msg = f"{where} is not JSON: {error}."
        raise InputError(msg, hint="write one object a line.") from error
    if not isinstance(entry, dict):
        msg = f"{where} is no object but {line.strip()[:40]!r}."
        raise InputError(msg, hint='write {"prompt": …, "answer": …}.')
    for key in ("prompt", "answer"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            near = "" if key in entry else closest(key, entry)
            msg = f"{where} has no {key}{near}."
            raise InputError(msg, hint='write {"prompt": …, "answer": …}.')
    weight = entry.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e6:
        msg = f"{where} has the weight {weight!r}."
        raise InputError(msg, hint="a weight is a number of at least 0; leave it out for 1.")
    return TrainingExample(
        entry["prompt"], entry["answer"], str(entry.get("task", "")), float(weight)
    )
