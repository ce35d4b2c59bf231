"""The cells of a suite: read once, drawn by seed, cut to shared genes, split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import closest, rng_for, sha256_of
from celloquy.errors import InputError
from celloquy.evaluation._blood import coarse_blood_types
from celloquy.evaluation._split_makers import cell_folds, leave_one_group_out
from celloquy.learn import CellBlock
from celloquy.roles import ReadOptions, read_block

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.evaluation._suite import CellSet, Suite

MIN_SHARED_GENES = 50
INDEPENDENT = "independent studies"
ONE_STUDY = "inside one study"


@dataclass(frozen=True)
class Case:
    """One column of the table: what is learnt from, and what is labelled."""

    pool: tuple[str, ...]
    """Sets whose cells take part."""
    reference: str
    """What is learnt from, in words."""
    query: str
    """What is labelled, in words."""
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
        return f"{self.reference} to {self.query}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labelled cells over one vocabulary."""

    block: CellBlock
    """The cells."""
    labels: NDArray[np.object_]
    """Their labels."""
    groups: NDArray[np.object_]
    """Their groups; all one where the set has none."""
    too_few: dict[str, int] = field(default_factory=dict)
    """Labels that were left out, as they have fewer cells than there are folds."""


@dataclass(eq=False)
class Pool:
    """The cells of one case or several, over the genes that all of them share."""

    cells: Labelled
    """Cells of all sets, end to end."""
    n_first: int
    """Cells of the first set."""
    too_few: dict[str, int] = field(default_factory=dict)
    """Labels that were left out, as they have fewer cells than there are folds."""
    text: dict[tuple[str, str], NDArray[np.float32]] = field(default_factory=dict)
    """Vectors of language models, by model and what was scrambled."""


class SuiteCells:
    """Reads and draws the cells of a suite; keeps files in memory, and the last pool.

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
        self.read: dict[str, Labelled] = {}
        self.last: tuple[tuple[Any, ...], Pool] | None = None
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

    def labelled(self, name: str) -> Labelled:
        """Read a set: the cells with a label, of the part that is asked for.

        Raises
        ------
        InputError
            If a column or value is missing, or fewer than two labels are left.
        """
        if name not in self.read:
            known = self.sets[name]
            block, obs = read_block(self._path(known), read=ReadOptions(collisions="sum"))
            labels = _column(obs, known.label, known)
            keep = _is_named(labels)
            if self.suite.labels == "coarse blood types":
                coarse = coarse_blood_types(labels)
                labels, keep = np.array([c or "" for c in coarse], object), _is_named(coarse)
            for column, value in known.where.items():
                found = _column(obs, column, known)
                if value not in set(found):
                    msg = f"No cell of {name!r} has {column} {value!r}{closest(value, set(found))}."
                    raise InputError(msg, hint="mend `where` in the suite.")
                keep &= found == value
            groups = np.full(len(labels), "", object)
            if known.group is not None:
                groups = _column(obs, known.group, known)
            rows = np.flatnonzero(keep)
            n_labels = len(set(labels[rows]))
            if n_labels < 2:
                msg = f"The cells of {name!r} have {n_labels} label, and there is nothing to tell "
                raise InputError(msg + "apart.", hint="name another `label`, or leave the set out.")
            self.read[name] = Labelled(block.rows(rows), labels[rows], groups[rows])
        return self.read[name]

    def cases(self) -> list[Case]:
        """List what is learnt from what, the cases of one pool one after the other."""
        make = {"pairs": self._pairs, "leave-one-out": self._left_out, "folds": self._folds}
        return [case for seed in self.suite.seeds for case in make[self.suite.design](seed)]

    def pool(self, case: Case) -> Pool:
        """Draw the cells of a case, and cut them to the genes that its sets share."""
        key = (case.seed, *case.pool)
        if self.last is None or self.last[0] != key:
            drawn = [self._drawn(name, case.seed) for name in case.pool]
            self.last = (key, _together(drawn, case.pool))
        return self.last[1]

    def rows(self, case: Case, pool: Pool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the rows of the pool that are learnt from, and those that are labelled."""
        if self.suite.design == "pairs":
            first, second = np.arange(pool.n_first), np.arange(pool.n_first, len(pool.cells.labels))
            return (first, second) if case.reference == case.pool[0] else (second, first)
        split = self._splits(pool.cells, case)[case.fold]
        return split["train"], split["test"]

    def _splits(self, cells: Labelled, case: Case) -> list[Any]:
        if self.suite.design == "leave-one-out":
            by = self.sets[case.pool[0]].group or ""
            return leave_one_group_out(cells.groups, by=by)
        return cell_folds(cells.labels, n_folds=self.suite.n_folds, seed=case.seed)

    def _pairs(self, seed: int) -> list[Case]:
        cases = []
        for one, other in combinations(self.suite.sets, 2):
            if one.name in other.shares_cells_with or other.name in one.shares_cells_with:
                continue
            kind = ONE_STUDY if one.study == other.study else INDEPENDENT
            cases += [
                Case((one.name, other.name), a.name, b.name, kind, f"{a.study} to {b.study}", seed)
                for a, b in ((one, other), (other, one))
            ]
        return cases

    def _left_out(self, seed: int) -> list[Case]:
        cases = []
        for known in self.suite.sets:
            kind = known.name if len(self.suite.sets) > 1 else f"without one {known.group}"
            for fold, group in enumerate(np.unique(self._groups_used(known.name).astype(str))):
                cases.append(Case((known.name,), f"{known.name} without {group}", str(group), kind,
                                  str(group), seed, fold))  # fmt: skip
        return cases

    def _folds(self, seed: int) -> list[Case]:
        return [
            Case((known.name,), known.name, f"fold {fold + 1}",
                 f"{known.name}, drawn by cell", "", seed, fold)
            for known in self.suite.sets
            for fold in range(self.suite.n_folds)
        ]  # fmt: skip

    def _groups_used(self, name: str) -> NDArray[np.object_]:
        """Give the groups that take part: all that have cells, or as many as are asked for."""
        return np.unique(self.labelled(name).groups.astype(str))[: self.suite.n_groups or None]

    def _drawn(self, name: str, seed: int) -> Labelled:
        """Draw cells of a set at random; of each group where groups are left out."""
        cells = self.labelled(name)
        order = rng_for(seed, "suite", name).permutation(len(cells.labels))
        if self.suite.design == "leave-one-out":
            groups = cells.groups[order].astype(str)
            rows = [order[groups == g][: self.suite.n_cells] for g in self._groups_used(name)]
            chosen = np.concatenate(rows)
        else:
            chosen = order[: self.suite.n_cells]
        too_few: dict[str, int] = {}
        if self.suite.design == "folds":
            names, counts = np.unique(cells.labels[chosen].astype(str), return_counts=True)
            too_few = {str(label): int(n) for label, n in zip(names, counts, strict=True)
                       if n < self.suite.n_folds}  # fmt: skip
            chosen = chosen[~np.isin(cells.labels[chosen].astype(str), list(too_few))]
        chosen = np.sort(chosen)
        block = cells.block.rows(chosen)
        return Labelled(block, cells.labels[chosen], cells.groups[chosen], too_few)


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


def _is_named(labels: Any) -> NDArray[np.bool_]:  # noqa: ANN401 (any sequence)
    return np.array([bool(label) for label in labels])


def _together(drawn: list[Labelled], names: tuple[str, ...]) -> Pool:
    """Put sets end to end over the genes that they share.

    Raises
    ------
    InputError
        If they share too few genes, or hold values of two units.
    """
    blocks = [each.block for each in drawn]
    if len({block.kind for block in blocks}) > 1:
        said = " and ".join(f"{n!r} holds {b.kind}" for n, b in zip(names, blocks, strict=True))
        msg = f"The units differ: {said}."
        raise InputError(msg, hint="put counts into both files.")
    if len(blocks) > 1:
        here = blocks[0].vocabulary.names
        shared = [gene for gene in here if all(gene in b.vocabulary.positions for b in blocks)]
        if len(shared) < min(MIN_SHARED_GENES, len(here)):
            msg = f"{names[0]!r} and {names[1]!r} share {len(shared)} genes."
            raise InputError(msg, hint="compare their gene names: symbols, or Ensembl ids?")
        blocks = [b.genes(b.vocabulary.find(shared).astype(np.int64)) for b in blocks]
        blocks = [replace(b, vocabulary=blocks[0].vocabulary) for b in blocks]
    cells = Labelled(
        CellBlock.concatenate(blocks) if len(blocks) > 1 else blocks[0],
        np.concatenate([each.labels for each in drawn]),
        np.concatenate([each.groups for each in drawn]),
    )
    return Pool(cells, len(drawn[0].labels), drawn[0].too_few)
