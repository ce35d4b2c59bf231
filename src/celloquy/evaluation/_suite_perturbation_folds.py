"""Perturbations held out: every one once a seed, in all contexts of its set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy._runtime import rng_for
from celloquy.evaluation._perturbation_baselines import mean_changes, mean_of_others, parts_of
from celloquy.evaluation._perturbation_cells import Cells, Context, contexts_of
from celloquy.evaluation._split_makers import group_folds
from celloquy.evaluation._suite_cells import Case

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from celloquy.evaluation._suite_cells import SetCells, SuiteCells
    from celloquy.learn import CellBlock

    Floats = NDArray[np.float64]

SEPARATOR = "+"
"""What stands between the genes of a combination."""
SINGLE, SEEN_PAIR, UNSEEN_PAIR = "an unseen gene", "a pair of seen genes", "a pair with unseen ones"
N_UNPERTURBED = 1_500
"""Cells of a set without perturbations at most."""
FOLD_OF_PAIRS = {SEEN_PAIR: -1, UNSEEN_PAIR: -2}
"""Folds that hold out combinations, all of a kind together."""


@dataclass(frozen=True, eq=False)
class Fold:
    """Perturbations of one context: some are held out, and from the others is learnt."""

    context: Context
    """Single perturbations that are learnt from, and what is held out; nothing else."""
    held: NDArray[np.int64]
    """Which perturbations are held out."""
    elsewhere: dict[str, Floats]
    """Mean change of each perturbation in the other contexts of the set."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """What was measured, by method."""

    @cached_property
    def means(self) -> Floats:
        """Mean log expression of all; shape ``(n_perturbations, n_genes)``."""
        return self.context.means

    @cached_property
    def reference(self) -> Floats:
        """Mean of what is learnt from, once a held-out one; shape ``(n_held, n_genes)``."""
        return mean_of_others(self.means, self.held, control=self.context.control)

    @cached_property
    def changed(self) -> NDArray[np.bool_]:
        """Truly changed genes of each held-out one; shape ``(n_held, n_genes)``."""
        return np.stack([self.context.changed(self.context.cells[i]) for i in self.held])

    @cached_property
    def names(self) -> list[str]:
        """Names of the held-out ones."""
        return [self.context.perturbations[i] for i in self.held]

    @cached_property
    def learnt(self) -> NDArray[np.int64]:
        """Which perturbations are learnt from: all that are not held out."""
        return np.setdiff1d(np.arange(len(self.context.perturbations)), self.held)


class HeldOut:
    """What a suite holds out, and what is left to learn from.

    A gene is held out in every context of its set at once. Combinations are held out all at
    once, with all single perturbations to learn from; where single ones are held out,
    combinations are neither learnt from nor judged. What a prediction is told from was held out
    with it and is of its kind, so that one prediction for all has a centroid accuracy of 0.5.

    Parameters
    ----------
    cells
        The cells of the suite; sets that name a control are perturbed.
    """

    def __init__(self, cells: SuiteCells) -> None:
        self.cells = cells
        self.suite = cells.suite
        self.read: dict[str, list[Context]] = {}
        self.folds: dict[tuple[str, str, int, int], Fold] = {}

    @cached_property
    def asked(self) -> dict[Case, tuple[str, str]]:
        """Context and perturbation of every case."""
        found: dict[Case, tuple[str, str]] = {}
        for seed in self.suite.seeds:
            for known in self.suite.sets:
                if known.control is not None:
                    found |= self._of_set(known.name, seed)
        return found

    def contexts(self, name: str) -> list[Context]:
        """Read the perturbed cells of a set, at most `n_cells` of each in each context."""
        if name not in self.read:
            control = str(self.cells.sets[name].control)
            cells = _drawn(self.cells.cells(name), self.suite.n_cells, name)
            names = tuple(cells.block.vocabulary.names)
            real = Cells(cells.block.log_values, names, cells.labels, cells.groups)
            self.read[name] = contexts_of(real, control=control)
        return self.read[name]

    def unperturbed(self) -> list[CellBlock]:
        """Give the cells of the sets without a control, of which genes are described."""
        return [
            self.cells.draw(each.name, seed=0, n_cells=N_UNPERTURBED).block
            for each in self.suite.sets
            if each.control is None
        ]

    def genes(self, name: str) -> list[str]:
        """List every gene that is perturbed in a set, alone or with others, sorted."""
        told = [each for context in self.contexts(name) for each in context.perturbations]
        return sorted({part for each in told for part in parts_of(each, SEPARATOR)})

    def fold(self, case: Case) -> Fold:
        """Take what a case holds out, beside the single perturbations that it does not."""
        name, (place, _) = case.pool[0], self.asked[case]
        key = (name, place, case.seed, case.fold)
        if key not in self.folds:
            context = next(each for each in self.contexts(name) if each.name == place)
            held = {
                perturbation
                for other, (where, perturbation) in self.asked.items()
                if (other.pool[0], where, other.seed, other.fold) == key
            }
            kept = [
                i for i, each in enumerate(context.perturbations)
                if each in held or len(parts_of(each, SEPARATOR)) == 1
            ]  # fmt: skip
            part = replace(
                context,
                perturbations=tuple(context.perturbations[i] for i in kept),
                cells=tuple(context.cells[i] for i in kept),
            )
            rows = np.array([i for i, each in enumerate(part.perturbations) if each in held])
            elsewhere = mean_changes(self.contexts(name), without=place)
            self.folds[key] = Fold(part, rows, elsewhere)
        return self.folds[key]

    def _of_set(self, name: str, seed: int) -> dict[Case, tuple[str, str]]:
        contexts = self.contexts(name)
        told = {each for context in contexts for each in context.perturbations}
        singles = sorted(each for each in told if len(parts_of(each, SEPARATOR)) == 1)
        splits = group_folds(
            singles, by="perturbation", n_folds=self.suite.n_folds, seed=seed, names=singles
        )
        fold_of = {singles[row]: i for i, split in enumerate(splits) for row in split["test"]}
        found = {}
        for context in contexts:
            for each in context.perturbations:
                parts = parts_of(each, SEPARATOR)
                seen = all(part in context.perturbations for part in parts)
                kind = SINGLE if len(parts) == 1 else SEEN_PAIR if seen else UNSEEN_PAIR
                said = f"{each} in {context.name}" if context.name else each
                case = Case(
                    (name,), f"{name} without it", said, f"{name}, {kind}", each, seed,
                    fold_of[each] if len(parts) == 1 else FOLD_OF_PAIRS[kind],
                )  # fmt: skip
                found[case] = (context.name, each)
        return found


def _drawn(cells: SetCells, most: int, name: str) -> SetCells:
    """Draw at most so many cells of each perturbation in each context."""
    keys = pd.Series([f"{label}\x1f{group}" for label, group in zip(cells.labels, cells.groups,
                                                                   strict=True)])  # fmt: skip
    order = rng_for(0, "perturbed cells", name).permutation(len(keys))
    nth = keys.iloc[order].groupby(keys.iloc[order]).cumcount().to_numpy()
    return cells.rows(np.sort(order[nth < most]))
