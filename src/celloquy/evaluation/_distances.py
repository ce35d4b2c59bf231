"""How far two clouds of cells lie apart: MMD, energy, Wasserstein, Gromov–Wasserstein, Fréchet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import require
from celloquy.errors import InputError
from celloquy.evaluation._measured import Meaning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32] | NDArray[np.float64]
    Floats = NDArray[np.float64]

ANY = float("inf")
MEANINGS = {
    "mmd": Meaning(
        "squared maximum mean discrepancy, unbiased; kernel exp(-d² / median d² of real cells)",
        "Gretton et al., JMLR 2012", best=0.0, lowest=0.0, highest=ANY,
    ),
    "energy_distance": Meaning(
        "twice the mean distance between the sides less the mean distances within each",
        "Székely and Rizzo, 2013; for cells: scPerturb (Peidli et al., Nature Methods 2024)",
        best=0.0, lowest=0.0, highest=ANY,
    ),
    "wasserstein": Meaning(
        "mean distance that cells must be moved by (exact transport)",
        "1-Wasserstein, by POT", best=0.0, highest=ANY,
    ),
    "gromov_wasserstein": Meaning(
        "mean squared difference of distances within the sides under the best match found, in "
        "units of the mean distance of real cells",
        "Mémoli, 2011; used by Cell2Sentence (Levine et al., ICML 2024); by POT",
        best=0.0, highest=ANY,
    ),
    "frechet": Meaning(
        "Fréchet distance of two normal distributions with the means and covariances of the sides",
        "Heusel et al., NeurIPS 2017; scFID of C2S-Scale", best=0.0, highest=ANY,
    ),
}  # fmt: skip
"""What each distance says."""


def mmd(first: Vectors, second: Vectors) -> float:
    """Give the unbiased squared maximum mean discrepancy; it can lie a little below 0.

    Parameters
    ----------
    first
        Shape ``(n, d)``.
    second
        The real cells, shape ``(m, d)``: the median of their squared distances is the kernel's
        width.

    Examples
    --------
    The median squared distance of the real cells is 1, so that within each side the kernel is
    exp(-1), and between them it is exp(-1), exp(-4), 1 and exp(-1).

    >>> first, second = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])
    >>> between = (2 * np.exp(-1) + np.exp(-4) + 1) / 4
    >>> bool(np.isclose(mmd(first, second), 2 * np.exp(-1) - 2 * between))
    True
    """
    _refuse_few(first, second)
    one, other, between = (
        squared_distances(first, first),
        squared_distances(second, second),
        squared_distances(first, second),
    )
    width = float(np.median(other[~np.eye(len(other), dtype=bool)])) or 1.0
    return (
        _mean_of_pairs(np.exp(-one / width))
        + _mean_of_pairs(np.exp(-other / width))
        - 2 * float(np.exp(-between / width).mean())
    )


def energy_distance(first: Vectors, second: Vectors) -> float:
    """Give the energy distance, unbiased; it can lie a little below 0.

    Examples
    --------
    Between the sides the mean distance is (1 + 0 + 2 + 1) / 4; within each it is 1.

    >>> energy_distance(np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]]))
    0.0
    """
    _refuse_few(first, second)
    within = _mean_of_pairs(np.sqrt(squared_distances(first, first)))
    within += _mean_of_pairs(np.sqrt(squared_distances(second, second)))
    return float(2 * np.sqrt(squared_distances(first, second)).mean() - within)


def wasserstein(first: Vectors, second: Vectors) -> float:
    """Give the mean distance by which the best transport moves cells.

    Examples
    --------
    The cell at 0 goes to 3 and the one at 1 to 1 or the other way: 1.5 on average.

    >>> wasserstein(np.array([[0.0], [1.0]]), np.array([[1.0], [3.0]]))
    1.5
    """
    pot = _transport()
    _refuse_few(first, second)
    cost = np.sqrt(squared_distances(first, second))
    found = pot.emd2(_even(first), _even(second), cost, numItermax=1_000_000)
    return float(found)


def gromov_wasserstein(first: Vectors, second: Vectors) -> float:
    """Give how far the distances within two sides differ under the best match that is found.

    Distances are in units of the mean distance within `second`, the real cells. The search
    is a descent: what it finds is an upper bound, the same each time.

    Examples
    --------
    A shifted copy has the same distances within.

    >>> cells = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    >>> round(gromov_wasserstein(cells + 5, cells), 6)
    0.0
    """
    pot = _transport()
    _refuse_few(first, second)
    one, other = (np.sqrt(squared_distances(side, side)) for side in (first, second))
    unit = _mean_of_pairs(other) or 1.0
    found = pot.gromov.gromov_wasserstein2(
        one / unit, other / unit, _even(first), _even(second), loss_fun="square_loss"
    )
    return float(max(found, 0.0))


def frechet(first: Vectors, second: Vectors) -> float:
    """Give the Fréchet distance of two normal distributions fitted to the sides.

    Below some hundred cells it is biased upwards: compare it only at equal numbers of cells.

    Examples
    --------
    Means 1 apart; variances 2 and 8, so that (√8 - √2)² = 2 is added.

    >>> round(frechet(np.array([[0.0], [2.0]]), np.array([[0.0], [4.0]])), 6)
    3.0
    """
    _refuse_few(first, second)
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    gap = one.mean(axis=0) - other.mean(axis=0)
    spread, root = _covariance(one), _root(_covariance(other))
    both = np.linalg.eigvalsh(root @ spread @ root)
    crossed = float(np.sqrt(np.maximum(both, 0)).sum())
    traces = float(np.trace(spread) + np.trace(_covariance(other)))
    return max(float(gap @ gap) + traces - 2 * crossed, 0.0)


def _transport() -> Any:  # noqa: ANN401 (untyped package)
    """Import POT without the tensor libraries that it looks for: they take seconds to load."""
    off = {f"POT_BACKEND_DISABLE_{name}": "1" for name in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW")}
    added = {name: value for name, value in off.items() if name not in os.environ}
    os.environ.update(added)
    try:
        return require("ot", extra="evaluate", why="to move cells")  # codespell:ignore ot
    finally:
        for name in added:
            del os.environ[name]


def squared_distances(first: Vectors, second: Vectors) -> Floats:
    """Give all squared Euclidean distances; shape ``(n, m)``."""
    from scipy.spatial.distance import cdist

    found: Floats = cdist(first, second, metric="sqeuclidean")
    return found


def _mean_of_pairs(values: Floats) -> float:
    """Give the mean over pairs of different cells."""
    n = len(values)
    return float((values.sum() - np.trace(values)) / (n * (n - 1)))


def _even(side: Vectors) -> Floats:
    return np.full(len(side), 1 / len(side))


def _covariance(cells: Floats) -> Floats:
    return np.atleast_2d(np.cov(cells, rowvar=False))


def _root(matrix: Floats) -> Floats:
    """Give the symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def _refuse_few(first: Vectors, second: Vectors) -> None:
    """Refuse sides that have no distance within.

    Raises
    ------
    InputError
        If a side has fewer than two cells, or the widths differ.
    """
    if min(len(first), len(second)) < 2:
        counts = f"{len(first)} and {len(second)}"
        msg = f"A distance between clouds takes two cells a side; there are {counts}."
        raise InputError(msg, hint="compare more cells.")
    if first.shape[1] != second.shape[1]:
        msg = f"One side has {first.shape[1]} dimensions and the other {second.shape[1]}."
        raise InputError(msg, hint="embed both in the same way.")
