"""Metrics of one group of cells for many truths at once: the real one, or shuffled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from numpy.typing import NDArray

NONE = -1
"""Code of a prediction that is none of the classes."""
_AT_ONCE = 20_000_000
"""Labels that are shuffled at once; 20 MB."""


def group_metrics(
    truth: NDArray[np.int8],
    told: NDArray[np.int8],
    *,
    n_classes: int,
    score: NDArray[np.float64] | None,
    positive: int,
) -> dict[str, NDArray[np.float64]]:
    """Measure one prediction against many truths.

    scikit-learn has each metric for one truth; a baseline of shuffled labels needs hundreds.

    Parameters
    ----------
    truth
        Classes of the cells, by number; shape ``(n_truths, n_obs)``.
    told
        Predicted classes, -1 for none; shape ``(n_obs,)``.
    n_classes
        Number of classes.
    score
        Probability of the positive class; `None` measures no ranking.
    positive
        Number of the positive class.

    Returns
    -------
    Metrics by name, each of shape ``(n_truths,)``; NaN where a class is missing.
    """
    right = truth == told
    recalls = np.full((n_classes, len(truth)), np.nan)
    for one in range(n_classes):
        inside = truth == one
        n = inside.sum(axis=1)
        np.divide((right & inside).sum(axis=1), n, out=recalls[one], where=n > 0)
    has = np.isfinite(recalls)
    found = {
        "accuracy": right.mean(axis=1),
        "balanced_accuracy": np.where(has, recalls, 0).sum(axis=0) / has.sum(axis=0),
    }
    if score is not None:
        is_positive = truth == positive
        found["auroc"] = _auroc(is_positive, score)
        found["auprc"] = _auprc(is_positive, score)
    return found


def shuffled_metrics(
    truth: NDArray[np.int8],
    told: NDArray[np.int8],
    *,
    n_classes: int,
    score: NDArray[np.float64] | None,
    positive: int,
    n_shuffles: int,
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float64]]:
    """Measure one prediction against the same labels in random orders; ``(n_shuffles,)``."""
    step = max(1, _AT_ONCE // len(truth))
    parts = []
    for start in range(0, n_shuffles, step):
        n = min(step, n_shuffles - start)
        shuffled = rng.permuted(np.tile(truth, (n, 1)), axis=1)
        parts.append(
            group_metrics(shuffled, told, n_classes=n_classes, score=score, positive=positive)
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _auroc(is_positive: NDArray[np.bool_], score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area under the ROC curve, from ranks (Mann and Whitney, 1947); ties count half."""
    n_positive = is_positive.sum(axis=1).astype(float)
    n_negative = is_positive.shape[1] - n_positive
    above = is_positive @ rankdata(score) - n_positive * (n_positive + 1) / 2
    pairs = n_positive * n_negative
    area = np.full(len(pairs), np.nan)
    np.divide(above, pairs, out=area, where=pairs > 0)
    return area


def _auprc(is_positive: NDArray[np.bool_], score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average precision: precision at each score, weighted by the recall that it adds."""
    falling = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[falling]) != 0, True))
    hits = np.cumsum(is_positive[:, falling], axis=1)[:, last].astype(float)
    added = np.diff(hits, axis=1, prepend=0.0)
    n_positive = hits[:, -1]
    area = (hits / (last + 1) * added).sum(axis=1)
    missing = (n_positive == 0) | (n_positive == is_positive.shape[1])
    return np.where(missing, np.nan, area / np.maximum(n_positive, 1))
