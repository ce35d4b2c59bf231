"""Tasks by name: those of the package, those that others add, and a user's own files."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import Registry, closest
from celloquy.errors import InputError
from celloquy.tasks._form import task_of

if TYPE_CHECKING:
    from celloquy.tasks._task import Task

_ENDINGS = (".yaml", ".yml")
ADDED = Registry[str | os.PathLike[str]]("task", {}, group="celloquy.tasks")
"""Tasks of other installed packages: entry points that stand for the path of a file."""


def list_tasks() -> list[str]:
    """List the names of the tasks: those of the package, then those that others add."""
    own = _own_files()
    return [*own, *(name for name in ADDED if name not in own)]


def load_task(name: str | os.PathLike[str]) -> Task:
    """Load a task by its name, or from a file.

    Parameters
    ----------
    name
        One of :func:`list_tasks`, or the path of a YAML file.

    Raises
    ------
    InputError
        If there is no such task or file, or the file is no task; line and column are told.

    Examples
    --------
    >>> load_task("cell_type").answer_text("B cell")
    'B cell'
    """
    if isinstance(name, str) and not name.endswith(_ENDINGS) and "/" not in name:
        return _packaged(name)
    path = Path(name)
    try:
        source = path.read_text("utf-8")
    except FileNotFoundError as error:
        msg = f"There is no file '{path}'."
        raise InputError(msg, hint="`celloquy tasks list` has the tasks of the package.") from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"'{path}' cannot be read as text: {error}."
        raise InputError(msg, hint="a task is a YAML file in UTF-8.") from error
    return task_of(source, file=str(path))


@lru_cache
def _packaged(name: str) -> Task:
    """Load a task by its name.

    Raises
    ------
    InputError
        If there is none of that name, or a file of another package is named otherwise.
    """
    own = _own_files()
    if name in own:
        return task_of(own[name].read_text("utf-8"), file=f"{name}.yaml")
    if name not in ADDED:
        known = list_tasks()
        msg = f"There is no task {name!r}{closest(name, known)}."
        hint = f"choose one of: {', '.join(known)}; a file is named with its ending, .yaml."
        raise InputError(msg, hint=hint)
    task = load_task(Path(ADDED[name]))
    if task.name != name:
        msg = f"{task.source} holds the task {task.name!r}; its package adds it as {name!r}."
        raise InputError(msg, hint="name the entry point as the file does.")
    return task


@lru_cache
def _own_files() -> dict[str, Any]:
    folder = resources.files("celloquy.tasks") / "files"
    found = sorted(folder.iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".yaml"): file for file in found if file.name.endswith(".yaml")}
