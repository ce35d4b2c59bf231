"""What a confidence is worth: calibration error, Brier score, accuracy by how much is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.evaluation._intervals import N_RESAMPLES, Interval, drawn_groups, interval_of
from celloquy.evaluation._label_counts import count_labels
from celloquy.evaluation._measured import Meaning, Measured
from celloquy.learn import UNKNOWN, Reliability, measure_reliability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

N_BINS = 10
CURVE_ROWS = 200
"""The most rows of a curve that is kept; a million cells may have a million confidences."""


MEANINGS = {
    "calibration_error": Meaning(
        "mean |accuracy - confidence| over ten bins, weighted by cells",
        "Naeini et al., AAAI 2015", best=0.0,
    ),
    "brier_score": Meaning(
        "mean squared distance of confidence from right (1) or wrong (0)",
        "Brier, 1950, of the event that the prediction is right", best=0.0,
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class ConfidenceReport(Measured):
    """How far a confidence can be trusted, over the cells that got an answer."""

    meanings: ClassVar[Mapping[str, Meaning]] = MEANINGS
    title: ClassVar[str] = "confidence"

    curve: pd.DataFrame
    """Accuracy by coverage, at most 200 rows; see :func:`coverage_curve`."""
    reliability: Reliability
    """Accuracy by confidence, in bins."""

    def to_dict(self) -> dict[str, Any]:
        """Give everything for machines."""
        bins = self.reliability
        return super().to_dict() | {
            "coverage_curve": self.curve.to_dict("list"),
            "reliability": {
                "confidence": bins.confidence.tolist(),
                "accuracy": bins.accuracy.tolist(),
                "n_obs": bins.n_cells.tolist(),
            },
        }


def coverage_curve(
    truth: ArrayLike, prediction: ArrayLike, *, confidence: ArrayLike
) -> pd.DataFrame:
    """Give the accuracy at every coverage, where the surest cells are answered first.

    Cells of equal confidence are answered together, so the curve has one row a distinct
    confidence and does not depend on the order of cells. Cells that are "unknown" are never
    answered, so the curve ends at the coverage of the predictions.

    Parameters
    ----------
    truth
        True labels; shape ``(n_obs,)``.
    prediction
        The predicted labels or ``"unknown"``, in the same order; shape ``(n_obs,)``.
    confidence
        Confidence of each prediction in [0, 1]; shape ``(n_obs,)``.

    Returns
    -------
    Columns `threshold`, `coverage` (of all cells), `accuracy` (of the answered cells) and
    `n_answered`.

    Raises
    ------
    InputError
        If the lengths differ, something is missing, or a confidence lies outside [0, 1].

    Examples
    --------
    >>> coverage_curve(["B", "T", "T"], ["B", "T", "B"], confidence=[0.9, 0.6, 0.6])
       threshold  coverage  accuracy  n_answered
    0        0.9  0.333333  1.000000           1
    1        0.6  1.000000  0.666667           3
    """
    sure, right, _ = _answered(truth, prediction, confidence)
    falling = np.argsort(-sure, kind="stable")
    found, n_right = sure[falling], np.cumsum(right[falling])
    rows = np.flatnonzero(np.append(np.diff(found) != 0, True)[: len(found)])
    return pd.DataFrame(
        {
            "threshold": found[rows],
            "coverage": (rows + 1) / len(np.asarray(truth)),
            "accuracy": n_right[rows] / (rows + 1),
            "n_answered": rows + 1,
        }
    )


def brier_score(truth: ArrayLike, prediction: ArrayLike, *, confidence: ArrayLike) -> float:
    """Mean squared distance of confidence from what came true: 1 if right, 0 if wrong.

    Of the prediction's own confidence alone (Brier, 1950, for the event "the prediction is
    right"), over the answered cells. In [0, 1], 0 is best; always saying 1/2 gives 1/4.

    Parameters
    ----------
    truth
        True labels; shape ``(n_obs,)``.
    prediction
        The predicted labels or ``"unknown"``, in the same order; shape ``(n_obs,)``.
    confidence
        Confidence of each prediction in [0, 1]; shape ``(n_obs,)``.

    Returns
    -------
    The score; NaN if no cell was answered.

    Raises
    ------
    InputError
        If the lengths differ, something is missing, or a confidence lies outside [0, 1].

    Examples
    --------
    >>> round(brier_score(["B", "T"], ["B", "B"], confidence=[0.9, 0.6]), 3)  # (0.01 + 0.36) / 2
    0.185
    """
    sure, right, _ = _answered(truth, prediction, confidence)
    return float(np.mean((sure - right) ** 2)) if len(sure) else float("nan")


def evaluate_confidence(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    confidence: ArrayLike,
    groups: ArrayLike | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> ConfidenceReport:
    """Judge the confidence of predicted labels, over the cells that got an answer.

    Parameters
    ----------
    truth
        True labels; shape ``(n_obs,)``.
    prediction
        The predicted labels or ``"unknown"``, in the same order; shape ``(n_obs,)``.
    confidence
        Confidence of each prediction in [0, 1]; shape ``(n_obs,)``.
    groups
        Group of each cell, for intervals.
    n_resamples
        How often groups are drawn.
    seed
        Seed of the draws.

    Raises
    ------
    InputError
        If no cell was answered, the lengths differ, something is missing, or a confidence lies
        outside [0, 1].
    """
    sure, right, answered = _answered(truth, prediction, confidence)
    if not len(sure):
        msg = f"None of {len(answered)} cells got an answer, so there is no confidence to judge."
        raise InputError(msg, hint="leave the confidence out.")
    bins = measure_reliability(sure, right, n_bins=N_BINS)
    accuracy = float(right.mean())
    brier = float(np.mean((sure - right) ** 2))
    places = None if groups is None else np.asarray(groups, object)[answered].astype(str)
    curve = coverage_curve(truth, prediction, confidence=confidence)
    kept = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), CURVE_ROWS)).astype(int))
    notes = []
    if len(curve) == 1:
        notes.append(f"Every answered cell has the same confidence, {sure[0]:.3g}.")
    return ConfidenceReport(
        metrics={"calibration_error": bins.error, "brier_score": brier},
        intervals=_intervals(sure, right, places, n_resamples=n_resamples, seed=seed),
        baselines={"always the accuracy": {"brier_score": accuracy * (1 - accuracy)}},
        n={"answered cells": len(sure)},
        notes=tuple(notes),
        curve=curve.iloc[kept].reset_index(drop=True),
        reliability=bins,
    )


def _intervals(
    sure: NDArray[np.float64],
    right: NDArray[np.bool_],
    groups: NDArray[np.str_] | None,
    *,
    n_resamples: int,
    seed: int,
) -> dict[str, Interval]:
    """Draw groups again, from sums by group and bin."""
    if groups is None:
        return {}
    place, names = pd.factorize(groups, sort=True)
    if len(names) < 2:
        return {}
    weights = drawn_groups(len(names), n_resamples=n_resamples, seed=seed)
    n_obs = weights @ np.bincount(place)
    bins = np.minimum((sure * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(place * N_BINS + bins, weights=right - sure, minlength=len(names) * N_BINS)
    squares = np.bincount(place, weights=(sure - right) ** 2)
    error = np.abs(weights @ gaps.reshape(-1, N_BINS)).sum(axis=1) / n_obs
    found = {"calibration_error": error, "brier_score": weights @ squares / n_obs}
    made = {name: interval_of(value, n_groups=len(names)) for name, value in found.items()}
    return {name: one for name, one in made.items() if one is not None}


def _answered(
    truth: ArrayLike, prediction: ArrayLike, confidence: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Give confidence and correctness of the answered cells, and which cells those are.

    Raises
    ------
    InputError
        If the lengths differ, something is missing, or a confidence lies outside [0, 1].
    """
    count_labels(truth, prediction)
    true, told = np.asarray(truth, object).astype(str), np.asarray(prediction, object).astype(str)
    try:
        sure = np.asarray(confidence, dtype=float)
    except (TypeError, ValueError) as error:
        msg = f"Confidences are numbers in [0, 1]: {error}."
        raise InputError(msg, hint="pass the column `…_score`.") from error
    if sure.shape != true.shape:
        msg = f"There are {len(true)} predictions and {sure.size} confidences."
        raise InputError(msg, hint="pass the column `…_score` of the same cells.")
    answered = told != UNKNOWN
    outside = answered & ~((sure >= 0) & (sure <= 1))
    if outside.any():
        first = sure[outside.argmax()]
        told_n = f"{int(outside.sum())} of {int(answered.sum())}"
        msg = f"{told_n} confidences of answered cells are not in [0, 1]; the first is {first}."
        raise InputError(msg, hint="pass a column `…_score`; an unanswered cell is 'unknown'.")
    return sure[answered], (true == told)[answered], answered
