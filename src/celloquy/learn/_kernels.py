"""Compiled loops of this package; imported only where they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Heap = tuple[NDArray[np.float32], NDArray[np.int64], int]
    """Lowest scores of each query, their rows, and the first row of the block at hand."""


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
    heap: Heap,
    queries: NDArray[np.int64],
) -> None:
    """Fold one block of scores into the heaps of lowest scores of some queries.

    The score of row `j` of the block for query ``queries[i]`` is ``halves[j] - products[i, j]``:
    half the squared distance, less what is the same for all rows.
    """
    scores, rows, start = heap
    for i in range(products.shape[0]):
        best, at, line = scores[queries[i]], rows[queries[i]], products[i]
        worst = best[0]
        for j in range(len(line)):
            score = halves[j] - line[j]
            if score < worst:
                best[0] = score
                at[0] = start + j
                _sift_down(best, at)
                worst = best[0]


_STEP = 64
"""Rows whose bounds are looked at together."""


@numba.njit(cache=True, nogil=True)
def _count_below(
    bounds: tuple[NDArray[np.float32], ...], rest: np.float32, worst: np.float32
) -> int:
    """Count rows whose bound is low enough; without a branch, so that it takes many at once."""
    products, halves, rests = bounds
    n = np.int32(0)
    for j in range(len(products)):
        n += np.int32(halves[j] - products[j] - rest * rests[j] < worst)
    return int(n)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _product(left: NDArray[np.float32], right: NDArray[np.float32]) -> np.float32:
    total = np.float32(0)
    for d in range(len(left)):
        total += left[d] * right[d]
    return total


@numba.njit(cache=True, nogil=True)
def keep_lowest_of_led(
    bounds: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    heap: Heap,
    query_rests: NDArray[np.float32],
    vectors: tuple[NDArray[np.float32], NDArray[np.float32], int],
) -> NDArray[np.bool_]:
    """Fold one block into each query's heap, from the leading part of the products.

    Only rows whose score can be among the lowest get the rest of their product. `bounds` are
    the leading products, the halves, and the lengths of what is left of the rows;
    `query_rests` those of the queries; `vectors` end with the number of leading directions.
    Says for which queries nothing was done, because so many rows were open that a matrix
    product is faster.
    """
    products, halves, rests = bounds
    scores, rows, start = heap
    queries, block, n_led = vectors
    n_rows = products.shape[1]
    is_crowded = np.zeros(products.shape[0], dtype=np.bool_)
    open_rows = np.empty(n_rows // 8 + _STEP, dtype=np.int64)
    for i in range(products.shape[0]):
        best, at, line, rest = scores[i], rows[i], products[i], query_rests[i]
        worst = best[0]
        n_open = 0
        for begin in range(0, n_rows, _STEP):
            end = min(begin + _STEP, n_rows)
            here = (line[begin:end], halves[begin:end], rests[begin:end])
            if _count_below(here, rest, worst):
                for j in range(begin, end):
                    open_rows[n_open] = j
                    n_open += int(halves[j] - line[j] - rest * rests[j] < worst)
                if n_open > n_rows // 8:
                    is_crowded[i] = True
                    break
        if is_crowded[i]:
            continue
        for j in open_rows[:n_open]:
            score = halves[j] - line[j] - _product(queries[i, n_led:], block[j, n_led:])
            if score < worst:
                best[0] = score
                at[0] = start + j
                _sift_down(best, at)
                worst = best[0]
    return is_crowded


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
