"""How well labels were predicted: accuracy, macro-F1 and coverage, with "unknown" counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from celloquy.errors import InputError
from celloquy.learn import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class AnnotationMetrics:
    """Shares in [0, 1]; more is better."""

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
        If there is no cell or the lengths differ.

    Examples
    --------
    Two of three cells are right; F1 is 2/3 for B (precision 1/2, recall 1) and 2/3 for T
    (precision 1, recall 1/2).

    >>> metrics = measure_annotation(["B", "T", "T"], ["B", "T", "B"])
    >>> round(metrics.accuracy, 3), round(metrics.macro_f1, 3), metrics.coverage
    (0.667, 0.667, 1.0)
    """
    true, answer = np.asarray(truth, dtype=object), np.asarray(prediction, dtype=object)
    if len(true) != len(answer) or len(true) == 0:
        msg = f"There are {len(true)} true labels and {len(answer)} predictions."
        raise InputError(msg, hint="pass the two columns of the same cells.")
    right = true == answer
    answered = answer != UNKNOWN
    return AnnotationMetrics(
        accuracy=float(right.mean()),
        macro_f1=float(
            f1_score(
                true.astype(str), answer.astype(str), labels=sorted({str(t) for t in true}),
                average="macro", zero_division=0.0,
            )
        ),
        coverage=float(answered.mean()),
        accuracy_answered=float(right[answered].mean()) if answered.any() else float("nan"),
        n_obs=len(true),
    )  # fmt: skip


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
