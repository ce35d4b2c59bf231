"""Reliability curve: how often a prediction of a given confidence is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.learn import measure_reliability
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
    curve = measure_reliability(confidence, is_right, n_bins=n_bins)
    accuracy, mean_confidence, n_cells = curve.accuracy, curve.confidence, curve.n_cells
    ax = new_axes(ax, width=5, height=5)
    low, high = _wilson(accuracy, n_cells)
    ax.plot([0, 1], [0, 1], color="#888888", linestyle="--", linewidth=1, label="perfect")
    ax.errorbar(
        mean_confidence, accuracy, yerr=[accuracy - low, high - accuracy], color=HUES[0],
        marker="o", capsize=2, label="bins, 95 % interval",
    )  # fmt: skip
    for x, y, n in zip(mean_confidence, accuracy, n_cells, strict=True):
        ax.annotate(f"{n:,}", (x, y), textcoords="offset points", xytext=(6, -10), fontsize=7)
    ax.set(
        xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="share that is right",
        title=title or f"calibration error {curve.error:.3f}, {n_cells.sum():,} cells",
    )  # fmt: skip
    ax.legend(frameon=False, loc="upper left")
    return finish(ax, save=save, overwrite=overwrite)


def _wilson(share: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % Wilson interval of a share out of `n`."""
    z = 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.minimum(middle - half, share), np.maximum(middle + half, share)
