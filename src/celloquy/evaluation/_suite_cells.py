"""The cells of a suite: files found and hashed, read once, drawn by seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from celloquy._runtime import closest, rng_for, sha256_of
from celloquy.errors import InputError
from celloquy.evaluation._blood import coarse_blood_types
from celloquy.roles import ReadOptions, read_block

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.evaluation._suite import CellSet, Suite
    from celloquy.learn import CellBlock


INDEPENDENT = "independent studies"
ONE_STUDY = "inside one study"


@dataclass(frozen=True)
class Case:
    """One column of the table: what is learnt from, and what is labelled."""

    pool: tuple[str, ...]
    """Sets whose cells take part."""
    reference: str
    """What is learnt from, in words; empty where nothing is."""
    query: str
    """What is judged, in words."""
    kind: str
    """Cases of one kind are averaged."""
    unit: str
    """What is drawn again for intervals: study pair, donor, patient."""
    seed: int
    """Seed of the draw of cells."""
    fold: int = 0
    """Number of the group or fold that is the test."""

    @property
    def name(self) -> str:
        """Name in files."""
        learnt = f"{self.reference} to " if self.reference else ""
        return f"{learnt}{self.query}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class SetCells:
    """Cells over one vocabulary, with what is known of each."""

    block: CellBlock
    """The cells."""
    labels: NDArray[np.object_]
    """Their labels; all empty where the set has none."""
    groups: NDArray[np.object_]
    """Their groups; all empty where the set has none."""
    batches: NDArray[np.object_]
    """Their batches; all empty where the set has none."""

    def rows(self, rows: NDArray[np.int64]) -> SetCells:
        """Take some of the cells."""
        return replace(
            self, block=self.block.rows(rows), labels=self.labels[rows], groups=self.groups[rows],
            batches=self.batches[rows],
        )  # fmt: skip


class SuiteCells:
    """Reads and draws the cells of a suite; keeps files in memory.

    Parameters
    ----------
    suite
        The suite.
    folder
        The data folder.
    """

    def __init__(self, suite: Suite, folder: Path) -> None:
        self.suite = suite
        self.folder = folder
        self.sets = {each.name: each for each in suite.sets}
        self.read: dict[str, SetCells] = {}
        for each in suite.sets:
            self._path(each)

    def _path(self, known: CellSet) -> Path:
        """Find the file of a set.

        Raises
        ------
        InputError
            If it is not there; where it can be had is told.
        """
        path = self.folder / "cells" / known.file
        if not path.exists():
            msg = f"The cells of {known.name!r} are not there: '{path}'."
            hint = f"to be had from: {known.origin} (see benchmarks/data/README.md)."
            raise InputError(msg, hint=hint)
        return path

    def record(self) -> list[dict[str, Any]]:
        """Say of each set which file it is, with its hash."""
        return [
            {"name": each.name, "study": each.study, "file": each.file, "origin": each.origin,
             "sha256": sha256_of(self._path(each))}
            for each in self.suite.sets
        ]  # fmt: skip

    def cells(self, name: str) -> SetCells:
        """Read a set: the cells with a label and batch, of the part that is asked for.

        Raises
        ------
        InputError
            If a column or value is missing.
        """
        if name not in self.read:
            known = self.sets[name]
            block, obs = read_block(self._path(known), read=ReadOptions(collisions="sum"))
            nothing = np.full(len(obs), "", object)
            labels, keep = labels_of_set(known, obs, suite=self.suite)
            groups = _column(obs, known.group, known) if known.group else nothing
            batches = nothing
            if known.batch:
                batches = _column(obs, known.batch, known)
                keep &= _is_named(batches)
            self.read[name] = SetCells(block, labels, groups, batches).rows(np.flatnonzero(keep))
        return self.read[name]

    def labelled(self, name: str) -> SetCells:
        """Read a set whose labels are told apart.

        Raises
        ------
        InputError
            If a column or value is missing, or fewer than two labels are left.
        """
        cells = self.cells(name)
        n_labels = len(set(cells.labels))
        if n_labels < 2:
            msg = f"The cells of {name!r} have {n_labels} label, and there is nothing to tell "
            raise InputError(msg + "apart.", hint="name another `label`, or leave the set out.")
        return cells

    def draw(
        self,
        name: str,
        *,
        seed: int,
        n_cells: int | None = None,
        of_each: Literal["set", "group", "batch", "label"] = "set",
    ) -> SetCells:
        """Draw cells of a set at random, in the order of the file.

        Parameters
        ----------
        name
            Name of the set.
        seed
            Seed of the draw.
        n_cells
            Cells at most; `None` takes what the suite says.
        of_each
            What that many cells are drawn of; of groups, the first `n_groups` of the suite.
        """
        cells = self.cells(name)
        most = self.suite.n_cells if n_cells is None else n_cells
        order = rng_for(seed, "suite", name).permutation(len(cells.labels))
        if of_each == "set":
            return cells.rows(np.sort(order[:most]))
        held = {"group": cells.groups, "batch": cells.batches, "label": cells.labels}[of_each]
        told = held[order].astype(str)
        parts = self.groups(name) if of_each == "group" else np.unique(told)
        return cells.rows(np.sort(np.concatenate([order[told == part][:most] for part in parts])))

    def groups(self, name: str) -> NDArray[np.str_]:
        """Give the groups that take part: all that have cells, or as many as are asked for."""
        return np.unique(self.cells(name).groups.astype(str))[: self.suite.n_groups or None]


def set_records(suite: Suite, folder: Path) -> list[dict[str, Any]]:
    """Say of each set of a suite which file it is, from where, with its hash.

    Parameters
    ----------
    suite
        The suite.
    folder
        The data folder.
    """
    return SuiteCells(suite, folder).record()


def labels_of_set(
    known: CellSet, obs: pd.DataFrame, *, suite: Suite
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Give the label of each cell of a set, and which cells take part.

    Parameters
    ----------
    known
        The set.
    obs
        Its cells, all of them.
    suite
        Says whether labels become coarse types.

    Returns
    -------
    Labels, ``""`` where there is none, and which cells have one and are of the part that is asked
    for; shape ``(n_obs,)`` each.

    Raises
    ------
    InputError
        If a column or value is missing.
    """
    labels, keep = np.full(len(obs), "", object), np.ones(len(obs), bool)
    if known.label:
        labels = _column(obs, known.label, known)
        keep = _is_named(labels)
    if suite.labels == "coarse blood types":
        coarse = coarse_blood_types(labels)
        labels, keep = np.array([c or "" for c in coarse], object), _is_named(coarse)
    for column, value in known.where.items():
        found = _column(obs, column, known)
        if value not in set(found):
            msg = f"No cell of {known.name!r} has {column} {value!r}{closest(value, set(found))}."
            raise InputError(msg, hint="mend `where` in the suite.")
        keep &= found == value
    return labels, keep


def _column(obs: pd.DataFrame, column: str, known: CellSet) -> NDArray[np.object_]:
    """Take a column of obs as text; a gap is empty.

    Raises
    ------
    InputError
        If there is no such column.
    """
    if column not in obs:
        near = closest(column, obs.columns)
        msg = f"The cells of {known.name!r} have no column {column!r}{near}."
        raise InputError(msg, hint=f"'{known.file}' has: {', '.join(obs.columns)}.")
    told = obs[column]
    return np.where(told.isna(), "", told.astype(str)).astype(object)


def _is_named(labels: Iterable[str | None]) -> NDArray[np.bool_]:
    return np.array([bool(label) for label in labels])
