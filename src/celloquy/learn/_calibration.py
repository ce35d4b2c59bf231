"""Calibration of probabilities by one temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import rng_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_FOLDS = 5
LOWEST, HIGHEST = 0.05, 20.0
_FLOOR = 1e-12


def tempered(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Raise probabilities to ``1 / temperature`` and bring rows to sum 1 again.

    Examples
    --------
    >>> tempered(np.array([[0.8, 0.2]]), 2.0).round(3).tolist()  # sqrt(4) : 1
    [[0.667, 0.333]]
    """
    if temperature == 1:
        return probabilities
    logs = np.log(np.maximum(probabilities, _FLOOR)) / temperature
    raised = np.where(probabilities > 0, np.exp(logs - logs.max(axis=1, keepdims=True)), 0.0)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit_temperature(probabilities: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    """Find the temperature with the least negative log probability of the truth.

    After Guo et al. (ICML 2017). Fit it on cells that the probabilities' model has not
    seen.

    Parameters
    ----------
    probabilities
        Shape ``(n_obs, n_labels)``.
    codes
        True label of each cell; shape ``(n_obs,)``.
    """
    from scipy.optimize import minimize_scalar

    cells = np.arange(len(codes))

    def loss(log_temperature: float) -> float:
        scaled = tempered(probabilities, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(scaled[cells, codes], _FLOOR)).mean())

    bounds = (np.log(LOWEST), np.log(HIGHEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def folds(codes: NDArray[np.int64], *, seed: int = 0) -> NDArray[np.int64]:
    """Give each cell a fold, 0 to 4, every label spread evenly; shape ``(n_obs,)``."""
    fold = np.empty(len(codes), dtype=np.int64)
    for label in np.unique(codes):
        cells = np.flatnonzero(codes == label)
        shuffled = rng_for(seed, "folds", int(label)).permutation(cells)
        fold[shuffled] = (np.arange(len(cells)) + label) % N_FOLDS
    return fold
