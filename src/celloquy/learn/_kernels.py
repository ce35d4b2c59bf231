"""Compiled loops of this package; imported only where they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def _sift_down(scores: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
    """Restore a heap, largest score first, after its first entry was replaced."""
    size = len(scores)
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            return
        if child + 1 < size and scores[child + 1] > scores[child]:
            child += 1
        if scores[place] >= scores[child]:
            return
        scores[place], scores[child] = scores[child], scores[place]
        rows[place], rows[child] = rows[child], rows[place]
        place = child


@numba.njit(cache=True, nogil=True)
def keep_lowest(
    products: NDArray[np.float32],
    halves: NDArray[np.float32],
    heap: tuple[NDArray[np.float32], NDArray[np.int64]],
    start: int,
) -> None:
    """Fold one block of scores into each query's heap of lowest scores.

    The score of reference row ``start + j`` for query ``i`` is ``halves[j] - products[i, j]``:
    half the squared distance, less what is the same for all rows.
    """
    scores, rows = heap
    for i in range(products.shape[0]):
        best, at, line = scores[i], rows[i], products[i]
        worst = best[0]
        for j in range(len(line)):
            score = halves[j] - line[j]
            if score < worst:
                best[0] = score
                at[0] = start + j
                _sift_down(best, at)
                worst = best[0]


@numba.njit(cache=True, nogil=True)
def exact_distances(
    queries: NDArray[np.float32],
    reference: NDArray[np.float32],
    rows: NDArray[np.int64],
    cosine: bool,  # noqa: FBT001
) -> NDArray[np.float64]:
    """Squared Euclidean, or cosine, distance in float64 of each query to its candidates.

    The order of summing depends on nothing but the two vectors.
    """
    distances = np.empty(rows.shape, dtype=np.float64)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            dot = left = right = square = 0.0
            for d in range(queries.shape[1]):
                a, b = np.float64(queries[i, d]), np.float64(reference[rows[i, j], d])
                square += (a - b) * (a - b)
                if cosine:
                    dot += a * b
                    left += a * a
                    right += b * b
            if not cosine:
                distances[i, j] = square
            elif left > 0 and right > 0:
                distances[i, j] = max(0.0, 1.0 - dot / np.sqrt(left * right))
            else:
                distances[i, j] = 1.0
    return distances


@numba.njit(cache=True, parallel=True)
def sum_trees(
    vectors: NDArray[np.float32],
    nodes: NDArray[np.int64],
    numbers: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> None:
    """Add the leaf that each cell reaches in each tree to the tree's column of `scores`.

    `nodes` holds a row ``feature, left, right, column`` a node, where ``left`` is -1 in a
    leaf and ``column`` is -1 in every node but the first of a tree; `numbers` holds its
    threshold and value.
    """
    starts = np.flatnonzero(nodes[:, 3] >= 0)
    for i in numba.prange(vectors.shape[0]):
        for start in starts:
            node = start
            while nodes[node, 1] >= 0:
                goes_left = np.float64(vectors[i, nodes[node, 0]]) <= numbers[node, 0]
                node = start + (nodes[node, 1] if goes_left else nodes[node, 2])
            scores[i, nodes[start, 3]] += numbers[node, 1]
