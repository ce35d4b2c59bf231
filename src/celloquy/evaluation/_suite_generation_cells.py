"""Which cells a generator may learn from, and which real ones its cells are compared with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import rng_for
from celloquy.errors import InputError
from celloquy.evaluation._generated_cells import LabelledCells, over_genes, three_parts
from celloquy.evaluation._sides import shared_genes
from celloquy.evaluation._suite_cells import INDEPENDENT, Case

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from celloquy.evaluation._suite import CellSet, Suite
    from celloquy.evaluation._suite_cells import SetCells, SuiteCells

    Groups = NDArray[np.object_] | None
    Medians = Mapping[str, float] | None

BY_GROUP = "inside one study, halves by donor"
BY_CELL = "inside one study, halves by cell"
FEWEST = 3
"""Cells of a type on each side, at least; a type with fewer is left out."""


@dataclass(frozen=True, eq=False)
class Sides:
    """The cells of one case, over the genes that all sides measure, of the types that all have."""

    train: LabelledCells
    """Cells of the reference: baselines draw from them."""
    aside: LabelledCells
    """Held-out cells that the embedding is fitted on; nothing is judged by them."""
    truth: LabelledCells
    """Held-out cells that new cells are compared with."""
    held_out: LabelledCells
    """Held-out cells that stand for the best there is; their labels are asked of every method."""
    left_out: dict[str, int]
    """Cells of `truth` and `held_out` by type, of types that one of the sides has too few of."""

    def as_sentences(self, n_top_genes: int, *, median_of: Medians = None) -> Sides:
        """Keep the first genes of each cell, with the values of the packaged rank curve."""
        return Sides(
            self.train.as_sentences(n_top_genes, median_of=median_of),
            self.aside.as_sentences(n_top_genes, median_of=median_of),
            self.truth.as_sentences(n_top_genes, median_of=median_of),
            self.held_out.as_sentences(n_top_genes, median_of=median_of),
            self.left_out,
        )


def generation_cases(suite: Suite) -> list[Case]:
    """List the ordered pairs of independent studies, then each set in halves.

    Sets with a `group` (donors) are halved by it, and take no part in pairs.
    """
    return [case for seed in suite.seeds for case in (*_pairs(suite, seed), *_halves(suite, seed))]


def _pairs(suite: Suite, seed: int) -> Iterable[Case]:
    for one, other in combinations([each for each in suite.sets if each.group is None], 2):
        shared = one.name in other.shares_cells_with or other.name in one.shares_cells_with
        if one.study == other.study or shared:
            continue
        for a, b in ((one, other), (other, one)):
            unit = f"{a.study} to {b.study}"
            yield Case((a.name, b.name), a.name, b.name, INDEPENDENT, unit, seed)


def _halves(suite: Suite, seed: int) -> Iterable[Case]:
    for each in suite.sets:
        kind = BY_CELL if each.group is None else BY_GROUP
        halves = f"{each.name}, one half", f"{each.name}, other half"
        yield Case((each.name,), *halves, kind, "", seed)


def sides_of(cells: SuiteCells, case: Case) -> Sides:
    """Draw the cells of a case and part them.

    Raises
    ------
    InputError
        If no gene is shared, fewer than two types are left, or the groups cannot be halved.
    """
    known = [cells.sets[name] for name in case.pool]
    if len(known) == 2:
        train, held = (cells.draw(name, seed=case.seed) for name in case.pool)
    else:
        both = cells.draw(known[0].name, seed=case.seed, n_cells=2 * cells.suite.n_cells)
        train, held = (both.rows(rows) for rows in _in_halves(both, known[0], seed=case.seed))
    groups: Groups = held.groups if known[-1].group else None
    parts = three_parts(held.labels, groups=groups, seed=case.seed)
    names = shared_genes(train.block.vocabulary.names, held.block.vocabulary.names)
    sides = [LabelledCells(train.block, train.labels)]
    sides += [LabelledCells(held.block, held.labels).rows(rows) for rows in parts]
    return _of_shared_types([over_genes(side, names) for side in sides], case)


def _in_halves(
    cells: SetCells, known: CellSet, *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Halve a set: by whole groups where it has them, else by cell.

    Raises
    ------
    InputError
        If there are fewer than four groups: each side takes two.
    """
    rng = rng_for(seed, "generation", "halves", known.name)
    if known.group is None:
        order = rng.permutation(len(cells.labels))
        first, second = np.split(order, [len(order) // 2])
        return np.sort(first), np.sort(second)
    names = np.unique(cells.groups.astype(str))
    if len(names) < 4:
        msg = f"The cells of {known.name!r} are of {len(names)} {known.group}s; halves of halves "
        raise InputError(msg + "take four.", hint="leave `group` out: cells are then halved.")
    chosen = rng.permutation(names)[: len(names) // 2]
    is_first = np.isin(cells.groups.astype(str), chosen)
    return np.flatnonzero(is_first), np.flatnonzero(~is_first)


def _of_shared_types(sides: list[LabelledCells], case: Case) -> Sides:
    """Keep the types that each side has some cells of.

    Raises
    ------
    InputError
        If fewer than two are left.
    """
    judged = [Counter(map(str, side.labels)) for side in (sides[0], *sides[2:])]
    kept = sorted(name for name in judged[0] if all(counted[name] >= FEWEST for counted in judged))
    if len(kept) < 2:
        msg = f"{len(kept)} types have {FEWEST} cells on every side of {case.name!r}."
        raise InputError(msg, hint="draw more cells (`n_cells`), or map labels to common ones.")
    left_out = judged[1] + judged[2]
    for name in kept:
        del left_out[name]
    rows = [np.flatnonzero(np.isin(side.labels.astype(str), kept)) for side in sides]
    train, aside, truth, held = (side.rows(r) for side, r in zip(sides, rows, strict=True))
    return Sides(train, aside, truth, held, dict(sorted(left_out.items())))
