"""Files of other projects that a user has, as tasks and examples of celloquy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from celloquy._runtime import atomic_path, closest, refuse_existing
from celloquy.errors import InputError
from celloquy.tasks._cell2sentence import as_yaml, import_cell2sentence
from celloquy.tasks._examples import (
    read_alpaca,
    read_dataset_info,
    read_source_target,
    write_examples,
)
from celloquy.tasks._form import content_of
from celloquy.tasks._json_files import read_json

if TYPE_CHECKING:
    import os

    from celloquy.tasks._examples import Example
    from celloquy.tasks._task import Task

_INFO = "dataset_info.json"


@dataclass(frozen=True)
class Imported:
    """A file that was imported."""

    source: Path
    """The file that was read."""
    target: Path
    """The file that was written."""
    form: Literal["cell2sentence", "alpaca", "source-target"]
    """What the file was."""
    n: int
    """Templates of a task, or examples."""


def write_task(task: Task, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a task as a YAML file.

    Parameters
    ----------
    task
        What is written.
    path
        Where the file shall be.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If `path` exists and `overwrite` is false, or cannot be written.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(as_yaml(content_of(task)), "utf-8")


def import_tasks(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    compat: bool = False,
    overwrite: bool = False,
) -> list[Imported]:
    """Import the JSON files of another project: prompt files as tasks, examples as JSON lines.

    Read are Cell2Sentence's prompt files, CellHermes' alpaca files (with the columns that a
    ``dataset_info.json`` beside them says) and ChatCell's files of source and target. All is
    read before anything is written.

    Parameters
    ----------
    source
        A JSON or JSON lines file, or a folder of them.
    out
        The folder to write to; it must exist.
    compat
        Whether Cell2Sentence's templates are kept to the letter; see
        :func:`import_cell2sentence`.
    overwrite
        Whether existing files are replaced.

    Raises
    ------
    InputError
        If there is no such file, one of them is of another form, two would get the same name,
        or a file that would be written exists.
    """
    source, out = Path(source), Path(out)
    read: list[tuple[Imported, Task | list[Example]]] = []
    info = (source if source.is_dir() else source.parent) / _INFO
    columns = read_dataset_info(info) if info.exists() else {}
    for path in _files(source):
        form = _form_of(path, columns)
        if form == "cell2sentence":
            task = import_cell2sentence(path, compat=compat)
            done = Imported(path, out / f"{task.name}.yaml", form, len(task.templates))
            read.append((done, task))
            continue
        known = columns.get(path.name, {})
        examples = (
            read_alpaca(path, columns=known) if form == "alpaca" else read_source_target(path)
        )
        target = out / f"{path.stem}.examples.jsonl"
        read.append((Imported(path, target, form, len(examples)), examples))
    _refuse_alike([done for done, _ in read])
    for done, _ in read:
        refuse_existing(done.target, overwrite=overwrite)
    for done, found in read:
        if isinstance(found, list):
            write_examples(found, done.target, overwrite=overwrite)
        else:
            write_task(found, done.target, overwrite=overwrite)
    return [done for done, _ in read]


def _refuse_alike(found: list[Imported]) -> None:
    """Refuse two files that would be written under one name.

    Raises
    ------
    InputError
        If there are two.
    """
    first: dict[Path, Path] = {}
    for one in found:
        other = first.setdefault(one.target, one.source)
        if other != one.source:
            msg = f"'{other.name}' and '{one.source.name}' would both become '{one.target.name}'."
            raise InputError(msg, hint="rename one of them.")


def _files(source: Path) -> list[Path]:
    """List the files to import.

    Raises
    ------
    InputError
        If there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        msg = f"There is no file or folder '{source}'."
        raise InputError(msg, hint="name the folder that holds the JSON files.")
    found = [path for path in sorted(source.iterdir()) if path.suffix in {".json", ".jsonl"}]
    found = [path for path in found if path.name != _INFO]
    if not found:
        msg = f"The folder '{source}' holds no JSON file."
        raise InputError(msg, hint="prompt files and examples end in .json or .jsonl.")
    return found


def _form_of(
    path: Path, columns: Mapping[str, Mapping[str, str]]
) -> Literal["cell2sentence", "alpaca", "source-target"]:
    """Tell the forms apart by their keys.

    Raises
    ------
    InputError
        If it is none of them.
    """
    found = read_json(path)
    first = found[0] if isinstance(found, list) and found else found
    keys = [str(key) for key in first] if isinstance(first, Mapping) else []
    if isinstance(found, Mapping) and {"model_input", "response"} & set(keys):
        return "cell2sentence"
    if isinstance(found, list) and (path.name in columns or "instruction" in keys):
        return "alpaca"
    if isinstance(found, list) and {"source", "target"} & set(keys):
        return "source-target"
    known = ("model_input", "response", "instruction", "source", "target")
    near = next((closest(key, known) for key in keys if closest(key, known)), "")
    said = f"its keys are {', '.join(map(repr, keys[:8]))}" if keys else "it has no keys"
    msg = f"'{path}' is no prompt file and holds no examples: {said}{near}."
    hint = "prompt files have model_input and response; examples instruction, or source and target."
    raise InputError(msg, hint=hint)
