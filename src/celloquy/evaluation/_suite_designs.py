"""Labels of some cells, learnt from others: what is learnt from what, and which cells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.evaluation._split_makers import cell_folds, leave_one_group_out
from celloquy.evaluation._suite_cells import INDEPENDENT, ONE_STUDY, Case, SetCells, SuiteCells
from celloquy.learn import CellBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from celloquy.evaluation._splits import Split

MIN_SHARED_GENES = 50


@dataclass(eq=False)
class Pool:
    """The cells of one case or several, over the genes that all of them share."""

    cells: SetCells
    """Cells of all sets, end to end."""
    n_first: int
    """Cells of the first set."""
    too_few: dict[str, int] = field(default_factory=dict)
    """Labels that were left out, as they have fewer cells than there are folds."""


class LabelDesign:
    """Splits the cells of a suite into what is learnt from and what is labelled.

    Parameters
    ----------
    cells
        The cells of the suite; the last pool that was made of them is kept.
    """

    def __init__(self, cells: SuiteCells) -> None:
        self.cells = cells
        self.suite = cells.suite
        self.last: tuple[tuple[Any, ...], Pool] | None = None

    def cases(self) -> list[Case]:
        """List what is learnt from what, the cases of one pool one after the other."""
        make = {"pairs": self._pairs, "leave-one-out": self._left_out, "folds": self._folds}
        return [c for seed in self.suite.seeds for c in make[self.suite.design or "pairs"](seed)]

    def pool(self, case: Case) -> Pool:
        """Draw the cells of a case, and cut them to the genes that its sets share."""
        key = (case.seed, *case.pool)
        if self.last is None or self.last[0] != key:
            drawn = [self._drawn(name, case.seed) for name in case.pool]
            cells = _together([cells for cells, _ in drawn], case.pool)
            first, too_few = drawn[0]
            self.last = (key, Pool(cells, len(first.labels), too_few))
        return self.last[1]

    def rows(self, case: Case, pool: Pool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the rows of the pool that are learnt from, and those that are labelled."""
        if self.suite.design == "pairs":
            first, second = np.arange(pool.n_first), np.arange(pool.n_first, len(pool.cells.labels))
            return (first, second) if case.reference == case.pool[0] else (second, first)
        split = self._splits(pool.cells, case)[case.fold]
        return split["train"], split["test"]

    def _splits(self, cells: SetCells, case: Case) -> list[Split]:
        if self.suite.design == "leave-one-out":
            by = self.cells.sets[case.pool[0]].group or ""
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
            self.cells.labelled(known.name)
            kind = known.name if len(self.suite.sets) > 1 else f"without one {known.group}"
            for fold, group in enumerate(self.cells.groups(known.name)):
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

    def _drawn(self, name: str, seed: int) -> tuple[SetCells, dict[str, int]]:
        """Draw cells of a set, of each group where groups are left out; and count what is lost."""
        self.cells.labelled(name)
        by_group = self.suite.design == "leave-one-out"
        cells = self.cells.draw(name, seed=seed, of_each="group" if by_group else "set")
        if self.suite.design != "folds":
            return cells, {}
        labels = cells.labels.astype(str)
        names, counts = np.unique(labels, return_counts=True)
        too_few = {str(label): int(n) for label, n in zip(names, counts, strict=True)
                   if n < self.suite.n_folds}  # fmt: skip
        return cells.rows(np.flatnonzero(~np.isin(labels, list(too_few)))), too_few


def _together(drawn: list[SetCells], names: tuple[str, ...]) -> SetCells:
    """Put sets end to end over the genes that they share.

    Raises
    ------
    InputError
        If they share too few genes, or hold values of two units.
    """
    if len(drawn) == 1:
        return drawn[0]
    blocks = [each.block for each in drawn]
    if len({block.kind for block in blocks}) > 1:
        said = " and ".join(f"{n!r} holds {b.kind}" for n, b in zip(names, blocks, strict=True))
        msg = f"The units differ: {said}."
        raise InputError(msg, hint="put counts into both files.")
    here = blocks[0].vocabulary.names
    shared = [gene for gene in here if all(gene in b.vocabulary.positions for b in blocks)]
    if len(shared) < min(MIN_SHARED_GENES, len(here)):
        msg = f"{names[0]!r} and {names[1]!r} share {len(shared)} genes."
        raise InputError(msg, hint="compare their gene names: symbols, or Ensembl ids?")
    blocks = [b.genes(b.vocabulary.find(shared).astype(np.int64)) for b in blocks]
    return SetCells(
        CellBlock.concatenate([replace(b, vocabulary=blocks[0].vocabulary) for b in blocks]),
        np.concatenate([each.labels for each in drawn]),
        np.concatenate([each.groups for each in drawn]),
        np.concatenate([each.batches for each in drawn]),
    )
