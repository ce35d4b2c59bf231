"""What needs no model to predict a perturbation, and how far the noise lets anybody come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy._runtime import rng_for
from celloquy.evaluation._perturbation_cells import mean_of_cells
from celloquy.evaluation._perturbation_metrics import measure_effects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.evaluation._perturbation_cells import Context

    Floats = NDArray[np.float64]

NO_CHANGE = "no change"
MEAN = "perturbation mean"
MATCHING = "matching mean"
ADDITIVE = "additive"
ELSEWHERE = "same perturbation, other contexts"
FEWEST_HALVED = 4
"""Cells of a perturbation from which on its halves say something."""


def target_genes(
    perturbations: Sequence[str], genes: Sequence[str], *, separator: str
) -> NDArray[np.bool_]:
    """Say which genes a perturbation names; shape ``(n_perturbations, n_genes)``.

    Examples
    --------
    >>> target_genes(["FOS+JUN"], ["FOS", "CD3E"], separator="+").tolist()
    [[True, False]]
    """
    columns = pd.Index(genes)
    found = np.zeros((len(perturbations), len(columns)), dtype=bool)
    for row, name in enumerate(perturbations):
        places = columns.get_indexer(pd.Index(parts_of(name, separator)))
        found[row, places[places >= 0]] = True
    return found


def parts_of(name: str, separator: str) -> list[str]:
    """Give the single perturbations of a name.

    Examples
    --------
    >>> parts_of("FOS+JUN", "+"), parts_of("FOS", "+")
    (['FOS', 'JUN'], ['FOS'])
    """
    parts = name.split(separator) if separator else [name]
    return [part for part in parts if part]


def mean_of_others(means: Floats, asked: NDArray[np.int64], *, control: Floats) -> Floats:
    """Give the mean profile of other perturbations for each one asked for.

    Others are those that were not asked for, as a model may have been trained on them; where
    all were asked for, all but the one itself. With one perturbation only, it is the control.

    Returns
    -------
    The means; shape ``(n_asked, n_genes)``.
    """
    rest = np.setdiff1d(np.arange(len(means)), asked)
    if len(rest):
        return np.tile(means[rest].mean(axis=0), (len(asked), 1))
    n = len(means) - 1
    if n == 0:
        return control[None].copy()
    return np.asarray((means.sum(axis=0) - means[asked]) / n)


def baseline_predictions(
    context: Context,
    asked: NDArray[np.int64],
    *,
    separator: str,
    elsewhere: dict[str, Floats],
) -> dict[str, Floats]:
    """Predict without a model; a row of NaN where a baseline has nothing to say.

    Parameters
    ----------
    context
        The real perturbations of one context.
    asked
        Which of them are predicted; shape ``(n_asked,)``.
    separator
        What stands between the single perturbations of a combination.
    elsewhere
        Mean change of each perturbation in the other contexts; may be empty.

    Returns
    -------
    Predicted mean profiles by the name of the baseline, each ``(n_asked, n_genes)``.

    Notes
    -----
    Additive: Ahlmann-Eltze et al. (Nature Methods 2025). Matching mean: Systema (2025): the
    mean of a combination's single perturbations, with the mean of all in place of one that is
    not there.
    """
    means, control = context.means, context.control
    usual = mean_of_others(means, asked, control=control)
    found = {NO_CHANGE: np.tile(control, (len(asked), 1)), MEAN: usual}
    place = {name: i for i, name in enumerate(context.perturbations)}
    parts = [parts_of(context.perturbations[i], separator) for i in asked]
    if any(len(names) > 1 for names in parts):
        matching, additive = usual.copy(), np.full_like(usual, np.nan)
        for row, names in enumerate(parts):
            if len(names) < 2:
                continue
            known = [means[place[name]] if name in place else usual[row] for name in names]
            matching[row] = np.mean(known, axis=0)
            if all(name in place for name in names):
                additive[row] = control + sum(one - control for one in known)
        found |= {MATCHING: matching, ADDITIVE: additive}
    if elsewhere:
        nothing = np.full(len(control), np.nan)
        told = [elsewhere.get(context.perturbations[i], nothing) for i in asked]
        found[ELSEWHERE] = control + np.stack(told)
    return found


def mean_changes(contexts: Sequence[Context], *, without: str) -> dict[str, Floats]:
    """Give the mean change of every perturbation over all contexts but one."""
    changes: dict[str, list[Floats]] = {}
    for context in contexts:
        if context.name != without:
            for name, cells in zip(context.perturbations, context.cells, strict=True):
                changes.setdefault(name, []).append(mean_of_cells(cells) - context.control)
    return {name: np.mean(found, axis=0) for name, found in changes.items()}


def measure_halves(
    context: Context,
    asked: NDArray[np.int64],
    *,
    separator: str,
    n_splits: int,
    seed: int,
    among: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """Predict one half of the cells of each perturbation by the other half.

    The control is the same for both, as it is for every prediction. A half has half of the
    cells, so that this ceiling lies a little below what all cells allow.

    Parameters
    ----------
    context
        The real perturbations of one context.
    asked
        Which of them are predicted; shape ``(n_asked,)``.
    separator
        What stands between the single perturbations of a combination.
    n_splits
        How often cells are halved.
    seed
        Seed of the halves.
    among
        Perturbations that the right one is to be told from; `None` takes all.

    Returns
    -------
    One row a perturbation (those with at least four cells), the mean over the splits.
    """
    kept = np.array([i for i in asked if context.cells[i].shape[0] >= FEWEST_HALVED], dtype=int)
    if not len(kept):
        return pd.DataFrame()
    means = context.means
    targets = target_genes(
        [context.perturbations[i] for i in kept], context.genes, separator=separator
    )
    reference = mean_of_others(means, kept, control=context.control)
    tables = []
    for split in range(n_splits):
        real, told, changed = means.copy(), [], []
        for i in kept:
            cells = context.cells[i]
            rng = rng_for(seed, "halves", context.name, context.perturbations[i], split)
            order = rng.permutation(cells.shape[0])
            first, second = np.array_split(order, 2)
            real[i] = mean_of_cells(cells[first])
            told.append(mean_of_cells(cells[second]))
            changed.append(context.changed(cells[first]))
        tables.append(
            measure_effects(
                np.stack(told), real, asked=kept, control=context.control, reference=reference,
                changed=np.stack(changed), targets=targets, among=among,
            )
        )  # fmt: skip
    mean: pd.DataFrame = pd.concat(tables).groupby(level=0).mean()
    mean.index = pd.Index([context.perturbations[i] for i in kept])
    return mean
