"""Truncated singular value decomposition that gives the same answer every time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import rng_for

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

OVERSAMPLING = 10
EXACT_UP_TO = 100
"""Rows or columns up to which all singular vectors are found, and so exactly."""
N_PASSES = 7
"""Passes over the matrix; scikit-learn takes as many where few components are asked for."""


def right_singular_vectors(
    matrix: sp.csr_matrix | NDArray[np.float32],
    n_components: int,
    *,
    centre: NDArray[np.float64],
    seed: int = 0,
) -> NDArray[np.float32]:
    """Leading right singular vectors of `matrix` less `centre` in each row.

    A randomised range finder with re-orthogonalised passes (Halko, Martinsson and Tropp,
    SIAM Review 2011), which never makes a sparse matrix dense. The sign of each vector
    makes its largest entry positive. Where cells or features are few, the decomposition
    is exact.

    Parameters
    ----------
    matrix
        Shape ``(n_obs, d)``.
    n_components
        How many vectors; fewer are given where the matrix has fewer rows or columns.
    centre
        What is taken from every row; shape ``(d,)``; zeros take nothing.
    seed
        Seed of the random start.

    Returns
    -------
    Orthonormal rows by falling singular value; shape ``(n_components, d)``.
    """
    n_components = min(n_components, *matrix.shape)
    used = used_columns(matrix, centre)
    if n_components <= len(used) < matrix.shape[1]:
        inner = right_singular_vectors(
            matrix[:, used], n_components, centre=centre[used], seed=seed
        )
        vectors = np.zeros((n_components, matrix.shape[1]), dtype=np.float32)
        vectors[:, used] = inner
        return vectors
    smallest = min(matrix.shape)
    width = smallest if smallest <= EXACT_UP_TO else min(n_components + OVERSAMPLING, smallest)
    start = rng_for(seed, "svd").standard_normal((matrix.shape[1], width))
    seen = _times(matrix, start, centre)
    for _ in range(N_PASSES):
        seen = _times(matrix, _balanced(_times_transposed(matrix, seen, centre)), centre)
        seen = _balanced(seen)
    _, _, vectors = np.linalg.svd(
        _times_transposed(matrix, _orthonormal(seen), centre).T, full_matrices=False
    )
    leading = vectors[:n_components]
    largest = leading[np.arange(len(leading)), np.abs(leading).argmax(axis=1)]
    signed: NDArray[np.float32] = (leading * np.sign(largest)[:, None]).astype(np.float32)
    return signed


def used_columns(
    matrix: sp.csr_matrix | NDArray[np.float32], centre: NDArray[np.float64] | float = 0.0
) -> NDArray[np.int64]:
    """Columns that are not all zero: most genes of a file are zero in a few thousand cells."""
    if isinstance(matrix, np.ndarray):
        return np.arange(matrix.shape[1])
    stored = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return np.flatnonzero((stored > 0) | (np.asarray(centre) != 0))


def _balanced(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give a basis of the same span that the next pass can take; LU costs a fifth of QR."""
    from scipy.linalg import lu

    basis: NDArray[np.float64] = lu(matrix, permute_l=True, check_finite=False)[0]
    return basis


def _orthonormal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    basis: NDArray[np.float64] = np.linalg.qr(matrix)[0]
    return basis


def _times(
    matrix: sp.csr_matrix | NDArray[np.float32],
    right: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> NDArray[np.float64]:
    return np.asarray(matrix @ right) - centre @ right


def _times_transposed(
    matrix: sp.csr_matrix | NDArray[np.float32],
    left: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> NDArray[np.float64]:
    return np.asarray(matrix.T @ left) - np.outer(centre, left.sum(axis=0))
