"""The compiled sum of gene vectors; imported only where it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@numba.njit(cache=True, parallel=True)
def sum_vectors(
    weights: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]],
    vectors: NDArray[np.float32],
    summed: NDArray[np.float32],
) -> None:
    """Write into `summed` each cell's sum of weighted gene vectors, a core per run of cells.

    The weights are a CSR matrix: where each cell begins, the genes, and their values.
    """
    indptr, indices, data = weights
    for cell in numba.prange(len(indptr) - 1):
        line = np.zeros(vectors.shape[1], dtype=np.float32)
        for place in range(indptr[cell], indptr[cell + 1]):
            weight = data[place]
            vector = vectors[indices[place]]
            for i in range(len(line)):
                line[i] += weight * vector[i]
        summed[cell] = line
