"""How often answers of a given confidence are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Reliability:
    """Accuracy by confidence, in bins that hold cells."""

    confidence: NDArray[np.float64]
    """Mean confidence of each bin's cells; shape ``(n_used_bins,)``."""
    accuracy: NDArray[np.float64]
    """Share of each bin's cells that is right; shape ``(n_used_bins,)``."""
    n_cells: NDArray[np.int64]
    """Cells of each bin; shape ``(n_used_bins,)``."""

    @property
    def error(self) -> float:
        """Expected calibration error, in [0, 1]: mean |accuracy - confidence| over cells' bins."""
        gap = np.abs(self.accuracy - self.confidence)
        return float(gap @ self.n_cells / self.n_cells.sum())


def measure_reliability(
    confidence: ArrayLike, is_right: Sequence[bool] | ArrayLike, *, n_bins: int = 10
) -> Reliability:
    """Put cells into equally wide bins of confidence, and count what is right.

    The expected calibration error is the mean of |accuracy - confidence| over bins, weighted by
    cells (Naeini et al., AAAI 2015).

    Parameters
    ----------
    confidence
        Confidence of each prediction in [0, 1]; shape ``(n_obs,)``.
    is_right
        Whether each prediction was right; shape ``(n_obs,)``.
    n_bins
        Number of bins.

    Raises
    ------
    InputError
        If the two differ in length, are empty, or a confidence lies outside [0, 1].

    Examples
    --------
    >>> found = measure_reliability([0.9, 0.9, 0.6, 0.6], [True, True, True, False])
    >>> round(found.error, 3)  # (2 * 0.1 + 2 * 0.1) / 4
    0.1
    """
    sure = np.asarray(confidence, dtype=float)
    right = np.asarray(is_right, dtype=bool)
    if sure.shape != right.shape or sure.size == 0:
        msg = f"There are {sure.size} confidences and {right.size} outcomes."
        raise InputError(msg, hint="pass the two columns of the same cells.")
    if not ((sure >= 0) & (sure <= 1)).all():
        msg = "A confidence lies outside [0, 1] or is missing."
        raise InputError(msg, hint="pass a column `…_score`, without missing values.")
    bins = np.minimum((sure * n_bins).astype(int), n_bins - 1)
    cells = np.bincount(bins, minlength=n_bins)
    used = cells > 0
    return Reliability(
        np.bincount(bins, weights=sure, minlength=n_bins)[used] / cells[used],
        np.bincount(bins, weights=right, minlength=n_bins)[used] / cells[used],
        cells[used],
    )
