"""How well labels were predicted, with "unknown" counted; splits by cell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedKFold

from celloquy.errors import InputError
from celloquy.evaluation._label_counts import count_labels, rates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from celloquy.evaluation._label_counts import LabelCounts


@dataclass(frozen=True)
class AnnotationMetrics:
    """Shares in [0, 1], kappa in [-1, 1]; more is better."""

    accuracy: float
    """Share of all cells with the true label; "unknown" is never the true label."""
    macro_f1: float
    """Mean F1 over the labels that occur in the truth, each label with the same say."""
    coverage: float
    """Share of cells with an answer other than "unknown"."""
    accuracy_answered: float
    """Share of the answered cells with the true label; NaN if none was answered."""
    n_obs: int
    """Number of cells."""
    balanced_accuracy: float
    """Mean over the true labels of the share of its cells that were found."""
    cohen_kappa: float
    """Agreement beyond chance; 0 where there is none, and where all labels are one."""

    def to_dict(self) -> dict[str, float]:
        """Give the metrics by name."""
        return asdict(self)


def measure_annotation(truth: ArrayLike, prediction: ArrayLike) -> AnnotationMetrics:
    """Compare predicted labels with the labels held to be true.

    Parameters
    ----------
    truth
        True labels; shape ``(n_obs,)``.
    prediction
        Predicted labels or ``"unknown"``, in the same order; shape ``(n_obs,)``.

    Returns
    -------
    The metrics.

    Raises
    ------
    InputError
        If there is no cell, the lengths differ, or a label is missing.

    Examples
    --------
    Two of three cells are right; F1 is 2/3 for B (precision 1/2, recall 1) and 2/3 for T
    (precision 1, recall 1/2).

    >>> metrics = measure_annotation(["B", "T", "T"], ["B", "T", "B"])
    >>> round(metrics.accuracy, 3), round(metrics.macro_f1, 3), metrics.coverage
    (0.667, 0.667, 1.0)

    Half of the T are found and all of the B. By chance 1/3 · 2/3 + 2/3 · 1/3 = 4/9 would
    agree, so kappa is (2/3 - 4/9) / (5/9).

    >>> metrics.balanced_accuracy, round(metrics.cohen_kappa, 3)
    (0.75, 0.4)
    """
    return metrics_of(count_labels(truth, prediction))


def metrics_of(counted: LabelCounts) -> AnnotationMetrics:
    """Give the metrics of cells that were counted."""
    found = {name: float(value[0]) for name, value in rates(counted.total[None], counted).items()}
    return AnnotationMetrics(n_obs=int(counted.total.sum()), **found)


def majority_of(counted: LabelCounts) -> tuple[str, AnnotationMetrics]:
    """Give the most frequent true label, and the metrics if every cell had it."""
    usual = int(counted.of_truth.argmax())
    counts = np.zeros_like(counted.total)
    counts[:, usual] = counted.of_truth
    found = {name: float(value[0]) for name, value in rates(counts[None], counted).items()}
    label = counted.labels[usual]
    return label, AnnotationMetrics(n_obs=int(counted.total.sum()), **found)


def stratified_splits(
    labels: Sequence[str], *, n_splits: int = 5, seed: int = 0
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Cut cells into parts with the same shares of labels; each part is the test once.

    Such a split is by cell: cells of one donor lie on both sides, so what it measures is
    optimistic for a new donor or study.

    Parameters
    ----------
    labels
        Label of each cell; shape ``(n_obs,)``.
    n_splits
        Number of parts.
    seed
        Seed of the cut.

    Yields
    ------
    Row numbers of the training cells and of the test cells.

    Raises
    ------
    InputError
        If a label has fewer cells than there are parts.
    """
    names, counts = np.unique(np.asarray(labels, dtype=str), return_counts=True)
    if counts.min() < n_splits:
        rare = int(counts.argmin())
        msg = f"Label {str(names[rare])!r} has {counts[rare]} cells, fewer than {n_splits} parts."
        raise InputError(msg, hint=f"leave the label out, or pass `n_splits={counts.min()}`.")
    cutter = StratifiedKFold(n_splits=n_splits, shuffle=True, random_state=seed)
    yield from cutter.split(np.zeros(len(labels)), np.asarray(labels, dtype=str))
