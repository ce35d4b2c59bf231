"""Calibration of probabilities by one temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import rng_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

N_FOLDS = 5
LOWEST, HIGHEST = 0.05, 20.0
LOWEST_OF_LOGS, HIGHEST_OF_LOGS = 0.01, 100.0
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
    cells = np.arange(len(codes))

    def loss(temperature: float) -> float:
        scaled = tempered(probabilities, temperature)
        return float(-np.log(np.maximum(scaled[cells, codes], _FLOOR)).mean())

    return _least(loss, LOWEST, HIGHEST)


def fit_temperature_of_logs(logs: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    """Find the temperature of scores that stand for log-probabilities, however far apart.

    As :func:`fit_temperature`, without a floor: a language model may find answers e^50 times
    less likely than others.

    Parameters
    ----------
    logs
        One number an answer, ``-inf`` where there is none; shape ``(n_obs, n_answers)``.
    codes
        True answer of each cell; shape ``(n_obs,)``.
    """
    from scipy.special import logsumexp

    cells = np.arange(len(codes))
    beside = logs - logs[cells, codes][:, None]  # the truth is at 0

    def loss(temperature: float) -> float:
        return float(logsumexp(beside / temperature, axis=1).mean())

    return _least(loss, LOWEST_OF_LOGS, HIGHEST_OF_LOGS)


def _least(loss: Callable[[float], float], low: float, high: float) -> float:
    """Find the temperature with the least loss."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log: loss(float(np.exp(log))), bounds=(np.log(low), np.log(high)), method="bounded"
    )
    return float(np.exp(found.x))


def folds(codes: NDArray[np.int64], *, seed: int = 0) -> NDArray[np.int64]:
    """Give each cell a fold, 0 to 4, every label spread evenly; shape ``(n_obs,)``."""
    fold = np.empty(len(codes), dtype=np.int64)
    for label in np.unique(codes):
        cells = np.flatnonzero(codes == label)
        shuffled = rng_for(seed, "folds", int(label)).permutation(cells)
        fold[shuffled] = (np.arange(len(cells)) + label) % N_FOLDS
    return fold
