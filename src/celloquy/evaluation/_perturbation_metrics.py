"""Predicted against real effects of perturbations, one number a perturbation and metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy.evaluation._measured import Meaning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

N_TOP_CHANGED = 50
CELL_EVAL = "cell-eval (Adduri et al., bioRxiv 2025)"
SYSTEMA = "Systema (Viñas Torné et al., Nature Biotechnology 2025)"
MEANINGS = {
    "pearson_delta": Meaning(
        "Pearson correlation over genes of predicted and real change from the control",
        CELL_EVAL, lowest=-1.0,
    ),
    "pearson_centred": Meaning(
        "the same, with the mean of the other perturbations in the place of the control, so "
        "that what all perturbations share counts for nothing",
        SYSTEMA, lowest=-1.0,
    ),
    "direction_match": Meaning(
        "share of the truly changed genes (Wilcoxon, 5 % false discovery) whose predicted change "
        "has the same sign",
        CELL_EVAL,
    ),
    "de_overlap": Meaning(
        "share of the most changed genes (at most 50 of the truly changed, by size of change) "
        "that are as high in the prediction",
        f"overlap_at_50 of {CELL_EVAL}, with predicted genes ordered by size of change alone",
    ),
    "discrimination": Meaning(
        "1 - share of real perturbations that lie nearer (L1, without the target gene) to the "
        "prediction than the right one; a guess has 0.5",
        f"discrimination_score_l1 of {CELL_EVAL}",
    ),
    "centroid_accuracy": Meaning(
        "share of the other real perturbations that lie further (Euclidean) from the prediction "
        "than the right one; a guess has 0.5",
        SYSTEMA,
    ),
    "mae_delta": Meaning(
        "mean absolute difference of predicted and real change, in log1p units",
        CELL_EVAL, best=0.0, highest=float("inf"),
    ),
}  # fmt: skip
"""What each metric says."""


def measure_effects(
    predicted: Floats,
    real: Floats,
    *,
    asked: NDArray[np.int64],
    control: Floats,
    reference: Floats,
    changed: NDArray[np.bool_],
    targets: NDArray[np.bool_],
    among: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """Compare predicted with real mean profiles of some perturbations of one context.

    Parameters
    ----------
    predicted
        Predicted mean log expression; shape ``(n_asked, n_genes)``.
    real
        Real mean log expression of all perturbations; shape ``(n_perturbations, n_genes)``.
    asked
        Which of them were predicted; shape ``(n_asked,)``.
    control
        Mean of the control cells; shape ``(n_genes,)``.
    reference
        What the centred metric subtracts; shape ``(n_asked, n_genes)``.
    changed
        Truly changed genes; shape ``(n_asked, n_genes)``.
    targets
        Genes that a perturbation targets itself; shape ``(n_asked, n_genes)``.
    among
        Perturbations that the right one is to be told from, itself among them; `None` takes all.

    Returns
    -------
    One row a perturbation asked for, one column a metric.
    """
    rows = []
    rivals = np.arange(len(real)) if among is None else among
    for i, place in enumerate(asked):
        right = int(np.flatnonzero(rivals == place)[0])
        told, true = predicted[i] - control, real[place] - control
        rows.append(
            {
                "pearson_delta": pearson(told, true),
                "pearson_centred": pearson(predicted[i] - reference[i], real[place] - reference[i]),
                "direction_match": direction_match(told, true, changed=changed[i]),
                "de_overlap": change_overlap(told, true, changed=changed[i]),
                "discrimination": discrimination(
                    predicted[i], real[rivals], right=right, left_out=targets[i]
                ),
                "centroid_accuracy": centroid_accuracy(predicted[i], real[rivals], right=right),
                "mae_delta": float(np.abs(told - true).mean()),
            }
        )
    return pd.DataFrame(rows, columns=list(MEANINGS))


def pearson(first: Floats, second: Floats) -> float:
    """Give Pearson's correlation; NaN where a side does not vary.

    Examples
    --------
    >>> round(pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 6)
    1.0
    """
    one, other = first - first.mean(), second - second.mean()
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    scale = max(float(np.abs(first).max(initial=0)), float(np.abs(second).max(initial=0)))
    if min(lengths) <= 1e-12 * max(scale, 1e-300):
        return float("nan")
    return float(np.clip(one @ other / (lengths[0] * lengths[1]), -1, 1))


def direction_match(told: Floats, true: Floats, *, changed: NDArray[np.bool_]) -> float:
    """Give the share of changed genes whose predicted change has the right sign.

    Examples
    --------
    One of two changed genes goes the right way; a predicted 0 goes neither way.

    >>> told, true = np.array([0.5, 0.0, 1.0]), np.array([0.2, -1.0, 9.0])
    >>> direction_match(told, true, changed=np.array([True, True, False]))
    0.5
    """
    if not changed.any():
        return float("nan")
    return float(np.mean(np.sign(told[changed]) == np.sign(true[changed])))


def change_overlap(
    told: Floats, true: Floats, *, changed: NDArray[np.bool_], n_top: int = N_TOP_CHANGED
) -> float:
    """Give the share of the most changed genes that are among as many predicted ones.

    Examples
    --------
    The changed genes are 0 and 2; the largest predicted changes are those of 2 and 1.

    >>> told, true = np.array([0.1, 0.5, -2.0]), np.array([1.0, 0.0, -1.5])
    >>> change_overlap(told, true, changed=np.array([True, False, True]))
    0.5
    """
    genes = np.flatnonzero(changed)
    if not len(genes):
        return float("nan")
    wanted = genes[np.argsort(-np.abs(true[genes]), kind="stable")][:n_top]
    named = np.argsort(-np.abs(told), kind="stable")[: len(wanted)]
    named = named[np.abs(told[named]) > 0]
    return float(np.isin(wanted, named).mean())


def discrimination(
    predicted: Floats, real: Floats, *, right: int, left_out: NDArray[np.bool_]
) -> float:
    """Give 1 less the share of real perturbations that are nearer than the right one.

    Ties count half, so that a prediction which cannot tell perturbations apart has no luck.

    Examples
    --------
    One of three real profiles is nearer (by L1) than the right one, the last.

    >>> real = np.array([[0.0, 0.0], [9.0, 9.0], [3.0, 0.0]])
    >>> score = discrimination(
    ...     np.array([1.0, 0.0]), real, right=2, left_out=np.array([False, False])
    ... )
    >>> round(score, 3)
    0.667
    """
    distances = np.abs(real - predicted)[:, ~left_out].sum(axis=1)
    own = distances[right]
    others = np.delete(distances, right)
    return float(1 - ((others < own).sum() + (others == own).sum() / 2) / len(distances))


def centroid_accuracy(predicted: Floats, real: Floats, *, right: int) -> float:
    """Give the share of other real perturbations further away than the right one.

    Examples
    --------
    >>> real = np.array([[0.0, 0.0], [9.0, 9.0], [3.0, 0.0]])
    >>> centroid_accuracy(np.array([1.0, 0.0]), real, right=2)
    0.5
    """
    if len(real) < 2:
        return float("nan")
    distances = np.linalg.norm(real - predicted, axis=1)
    others = np.delete(distances, right)
    own = distances[right]
    return float(((others > own).sum() + (others == own).sum() / 2) / len(others))
