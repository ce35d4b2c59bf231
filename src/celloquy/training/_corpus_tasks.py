"""How each task gets its examples: from one cell, from several, from a table or a network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

from celloquy.errors import InputError
from celloquy.tasks import load_task
from celloquy.training._corpus_draw import word_key

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np

    from celloquy.tasks import Input, Task
    from celloquy.training._recipe_corpus import TaskPart

Way = Literal["name", "write", "hidden", "next", "pair", "group", "node", "link", "table"]
WAYS: tuple[Way, ...] = get_args(Way)
ONE_CELL_WAYS: tuple[Way, ...] = ("name", "write", "hidden", "next", "pair")
"""Ways whose examples are drawn cell by cell."""
CELL_WAYS: tuple[Way, ...] = (*ONE_CELL_WAYS, "group")
"""Ways that take cells."""
GRAPH_WAYS: tuple[Way, ...] = ("node", "link")
"""Ways that take edges."""
_BY_NAME: dict[str, Way] = {
    "masked_genes": "hidden",
    "next_genes": "next",
    "masked_node": "node",
    "masked_link": "link",
}
GENE_KINDS = ("cell", "cells", "gene", "genes")
"""Kinds of inputs that are filled with genes."""


@dataclass(frozen=True, eq=False)
class CorpusTask:
    """A task of a corpus."""

    part: TaskPart
    """What the recipe says of it."""
    task: Task
    """What is asked."""
    way: Way
    """Where its examples come from: ``name`` a cell by a label, ``write`` a cell for some words,
    ``hidden`` and ``next`` genes of a cell, a ``pair`` of cells, a ``group`` of cells, a ``node``
    or ``link`` of a network, or the rows of a ``table``."""

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @cached_property
    def key(self) -> np.uint64:
        """The key of its name."""
        return word_key("task", self.name)

    @property
    def fields(self) -> tuple[Input, ...]:
        """Inputs that are filled with words."""
        return tuple(given for given in self.task.asked_for if given.kind == "field")

    @property
    def numbers(self) -> tuple[Input, ...]:
        """Inputs that are filled with numbers."""
        return tuple(given for given in self.task.asked_for if given.kind == "number")

    @property
    def choice(self) -> Input | None:
        """The input that is filled with labels, if there is one."""
        return next((given for given in self.task.asked_for if given.kind == "labels"), None)

    @property
    def label(self) -> str | None:
        """The word that it is answered with, or that its labels are of; `None` without one."""
        answer = self.task.answer
        if answer.kind in {"label", "text"}:
            return answer.gap
        return self.part.label if self.choice is not None else None

    def needs(self) -> tuple[str, ...]:
        """Name the words without which a cell is no example."""
        required = [given.name for given in self.fields if given.default is None]
        return tuple(dict.fromkeys([*required, *([self.label] if self.label else [])]))

    def speaks(self, known: Collection[str]) -> tuple[str, ...]:
        """Name the words of a source that stand in its prompts."""
        return tuple(given.name for given in self.fields if given.name in known)


def make_task(part: TaskPart, *, tabled: Collection[str] = ()) -> CorpusTask:
    """Find out how a task gets its examples.

    Parameters
    ----------
    part
        What the recipe says of it.
    tabled
        Tasks whose examples are the rows of a table.

    Raises
    ------
    InputError
        If there is no such task, or it asks about what no source has.
    """
    task = load_task(part.name)
    return CorpusTask(part, task, "table" if task.name in tabled else _way(task))


def _way(task: Task) -> Way:
    """Find out where a task's examples come from.

    Raises
    ------
    InputError
        If no source has what it asks about.
    """
    kinds = [given.kind for given in task.asked_for]
    answer = task.answer.kind
    if task.name in _BY_NAME:
        return _BY_NAME[task.name]
    if "cells" in kinds or answer == "cells":
        return "group"
    if kinds.count("gene") == 2 and "cell" not in kinds:
        return "link"
    if {"gene", "genes"} & set(kinds) and "cell" not in kinds:
        return "table"
    if kinds.count("cell") == 1 and not {"gene", "genes"} & set(kinds):
        by_answer: dict[str, Way] = {"label": "name", "text": "name", "genes": "pair"}
        if answer in by_answer:
            return by_answer[answer]
    if "cell" not in kinds and answer == "genes":
        return "write"
    if "cell" not in kinds:
        return "table"
    msg = f"The task {task.name!r} asks about {', '.join(kinds)} and is answered by {answer}; "
    msg += "no source has such examples."
    hint = "ask about one cell, several cells, genes of a table, or a network."
    raise InputError(msg, hint=hint)
