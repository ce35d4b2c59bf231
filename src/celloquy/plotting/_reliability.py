"""Reliability curve: how often a prediction of a given confidence is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.plotting._figure import HUES, finish, new_axes

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def reliability(
    confidence: ArrayLike,
    is_right: Sequence[bool] | ArrayLike,
    *,
    n_bins: int = 10,
    title: str | None = None,
    ax: Axes | None = None,
    save: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Axes:
    """Draw accuracy against confidence, with the expected calibration error.

    Cells are put into `n_bins` equally wide bins of confidence. A bar shows a bin's
    accuracy with its 95 % Wilson interval; the diagonal is perfect calibration. The
    expected calibration error is the mean of |accuracy - confidence| over bins, weighted
    by cells (Naeini et al., AAAI 2015).

    Parameters
    ----------
    confidence
        Confidence of each prediction in [0, 1]; shape ``(n_obs,)``.
    is_right
        Whether each prediction was right; shape ``(n_obs,)``.
    n_bins
        Number of bins.
    title
        What stands above.
    ax
        Axes to draw on; `None` makes a figure.
    save
        File to write: ``.png``, ``.svg`` or ``.pdf``.
    overwrite
        Whether an existing file is replaced.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        If the two differ in length, are empty, or a confidence lies outside [0, 1].
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
    accuracy = np.bincount(bins, weights=right, minlength=n_bins)[used] / cells[used]
    mean_confidence = np.bincount(bins, weights=sure, minlength=n_bins)[used] / cells[used]
    error = float(np.abs(accuracy - mean_confidence) @ cells[used] / sure.size)

    ax = new_axes(ax, width=5, height=5)
    low, high = _wilson(accuracy, cells[used])
    ax.plot([0, 1], [0, 1], color="#888888", linestyle="--", linewidth=1, label="perfect")
    ax.errorbar(
        mean_confidence, accuracy, yerr=[accuracy - low, high - accuracy], color=HUES[0],
        marker="o", capsize=2, label="bins, 95 % interval",
    )  # fmt: skip
    for x, y, n in zip(mean_confidence, accuracy, cells[used], strict=True):
        ax.annotate(f"{n:,}", (x, y), textcoords="offset points", xytext=(6, -10), fontsize=7)
    ax.set(
        xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="share that is right",
        title=title or f"calibration error {error:.3f}, {sure.size:,} cells",
    )  # fmt: skip
    ax.legend(frameon=False, loc="upper left")
    return finish(ax, save=save, overwrite=overwrite)


def _wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % Wilson interval of a share out of `n`."""
    z = 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.minimum(middle - half, share), np.maximum(middle + half, share)
