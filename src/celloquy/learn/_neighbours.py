"""Exact nearest neighbours: blocked float32 products, then certified in float64."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from threadpoolctl import threadpool_limits

from celloquy.errors import InputError
from celloquy.learn._leading import FEWEST_QUERIES, LeadingDirections, rest_lengths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from celloquy.learn._kernels import Heap

Metric: TypeAlias = Literal["euclidean", "cosine"]

QUERY_ROWS = 512
REFERENCE_ROWS = 1_024
"""One block of scores is 2 MB, so that it is read again from the cache."""
SPARE = 17
"""Candidates kept beyond the asked number, so that float32 rounding is almost never seen."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest reference rows of each query, nearest first, ties by row number."""

    rows: NDArray[np.int64]
    """Row numbers in the reference; shape ``(n_queries, k)``."""
    distances: NDArray[np.float64]
    """Euclidean distance, or 1 - cosine; shape ``(n_queries, k)``."""


class NeighbourIndex:
    """The rows of a reference, ready to be searched exactly.

    Scores come from float32 matrix products, block by block, each folded at once into a
    small heap a query, so memory depends on the blocks; in a large reference, the leading
    directions of its variance rule out most rows. The candidates' distances are then
    computed in float64, and a bound on the rounding of the products proves that no row
    outside the candidates can belong to the answer; the few queries without that proof
    (ties, copies of one cell) are searched again in float64. So the answer is that of an
    exhaustive float64 search, whatever the other queries are.

    Parameters
    ----------
    reference
        Shape ``(n_rows, d)``, float32, finite; not changed.
    metric
        ``"euclidean"``, or ``"cosine"`` (1 - cosine; a zero vector is at distance 1 from
        everything).

    Raises
    ------
    InputError
        If there are no rows, a value is not finite, or the metric is unknown.
    """

    def __init__(self, reference: NDArray[np.float32], *, metric: Metric = "euclidean") -> None:
        if metric not in get_args(Metric):
            msg = f"`metric` is 'euclidean' or 'cosine', got {metric!r}."
            raise InputError(msg)
        self.reference = _finite(reference, "reference")
        if len(self.reference) == 0:
            msg = "The reference has no rows to search."
            raise InputError(msg)
        self.metric = metric
        self._centre = np.zeros(self.reference.shape[1], dtype=np.float32)
        if metric == "euclidean":  # close to the origin, less is lost to cancellation
            self._centre = self.reference.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._placed = self._place(self.reference)
        squares = np.einsum("ij,ij->i", self._placed, self._placed, dtype=np.float64)
        self._longest = float(np.sqrt(squares.max()))
        if metric == "cosine":  # lengths are 1, and a zero vector is as far as a right angle
            squares = np.ones(len(squares))
        self._halves = (squares / 2).astype(np.float32)
        self._leading: LeadingDirections | None = None
        self._n_asked = 0

    def _count(self, n_queries: int) -> None:
        """Look for leading directions as soon as so much is asked that they pay."""
        before, self._n_asked = self._n_asked, self._n_asked + n_queries
        if before < FEWEST_QUERIES <= self._n_asked:
            leading = LeadingDirections.find(self._placed)
            if leading is not None:
                self._group_rows(leading)

    def _group_rows(self, leading: LeadingDirections) -> None:
        """Turn the reference, and put its rows in the order of their groups."""
        turned = leading.apply(self._placed)
        groups = leading.groups(turned)
        self._order = np.argsort(groups, kind="stable")
        self._placed, self._halves = turned[self._order], self._halves[self._order]
        self._rests = rest_lengths(self._placed, leading.n)
        blocks = np.arange(len(self._placed)) // REFERENCE_ROWS
        self._holds = np.zeros((blocks[-1] + 1, len(leading.centres)), dtype=np.bool_)
        self._holds[blocks, groups[self._order]] = True
        self._leading = leading

    def search(self, queries: NDArray[np.float32], *, k: int) -> Neighbours:
        """Find the `k` nearest reference rows of each query.

        Parameters
        ----------
        queries
            Shape ``(n_queries, d)``.
        k
            How many; all rows where the reference has fewer.

        Raises
        ------
        InputError
            If `k` is below 1, a value is not finite, or the width is another.
        """
        if k < 1:
            msg = f"`k` must be at least 1, got {k}."
            raise InputError(msg)
        queries = _finite(queries, "queries")
        if queries.shape[1] != self.reference.shape[1]:
            msg = (
                f"The queries have {queries.shape[1]} dimensions, and the reference has "
                f"{self.reference.shape[1]}."
            )
            raise InputError(msg)
        self._count(len(queries))
        k = min(k, len(self.reference))
        rows = np.empty((len(queries), k), dtype=np.int64)
        distances = np.empty((len(queries), k), dtype=np.float64)
        placed, groups = self._place_queries(queries)
        order = np.argsort(groups, kind="stable")

        def answer(start: int) -> None:
            here = order[start : start + QUERY_ROWS]
            found = self._search_block(queries[here], placed[here], groups[here], k=k)
            rows[here], distances[here] = found

        # each thread takes whole blocks of queries, so none waits for another within a block
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(answer, range(0, len(queries), QUERY_ROWS)))
        if self.metric == "euclidean":
            np.sqrt(distances, out=distances)
        return Neighbours(rows, distances)

    def leave_one_out(self, *, k: int) -> Neighbours:
        """Find the `k` nearest *other* rows of each reference row."""
        k = min(k, len(self.reference) - 1)
        found = self.search(self.reference, k=k + 1)
        own = found.rows == np.arange(len(found.rows))[:, None]
        own[~own.any(axis=1), -1] = True  # more copies than neighbours: drop the last instead
        shape = (len(found.rows), k)
        return Neighbours(found.rows[~own].reshape(shape), found.distances[~own].reshape(shape))

    def _place(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Centre vectors, or bring them to length 1, for the float32 products."""
        if self.metric == "euclidean":
            return vectors - self._centre
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        lengths[lengths == 0] = 1
        return np.asarray(vectors / lengths[:, None], dtype=np.float32)

    def _place_queries(
        self, queries: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Place queries as the reference is placed, and give the group of each."""
        placed = self._place(queries)
        if self._leading is None:
            return placed, np.zeros(len(queries), dtype=np.int64)
        placed = self._leading.apply(placed)
        return placed, self._leading.groups(placed)

    def _search_block(
        self,
        queries: NDArray[np.float32],
        placed: NDArray[np.float32],
        groups: NDArray[np.int64],
        *,
        k: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        from celloquy.learn._kernels import exact_distances

        cosine = self.metric == "cosine"
        n_kept = min(k + SPARE, len(self.reference))
        scores, candidates = self._candidates(placed, groups, n_kept=n_kept)
        distances = exact_distances(queries, self.reference, candidates, cosine)
        rows, distances = _nearest(candidates, distances, k)
        if scores.shape[1] < len(self.reference):
            missed = ~self._is_proven(placed, scores[:, 0], distances[:, -1])
            for i in np.flatnonzero(missed):
                every = np.arange(len(self.reference))[None]
                whole = exact_distances(queries[i : i + 1], self.reference, every, cosine)
                rows[i : i + 1], distances[i : i + 1] = _nearest(every, whole, k)
        return rows, distances

    def _candidates(
        self, placed: NDArray[np.float32], groups: NDArray[np.int64], *, n_kept: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Give the lowest scores of each query, the highest of them first, and their rows."""
        from celloquy.learn._kernels import keep_lowest

        scores = np.full((len(placed), n_kept), np.inf, dtype=np.float32)
        rows = np.zeros((len(placed), n_kept), dtype=np.int64)
        everyone = np.arange(len(placed))
        room = np.empty((len(placed), REFERENCE_ROWS), dtype=np.float32)
        for start in self._starts(groups):
            block = self._placed[start : start + REFERENCE_ROWS]
            products = room if len(block) == REFERENCE_ROWS else room[:, : len(block)].copy()
            heap = (scores, rows, int(start))
            if self._leading is not None:
                self._fold_led(placed, block, products, heap)
            else:
                np.matmul(placed, block.T, out=products)
                keep_lowest(products, self._halves[start : start + REFERENCE_ROWS], heap, everyone)
        return scores, rows if self._leading is None else self._order[rows]

    def _starts(self, groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give where each block begins, those that hold groups of the queries first."""
        starts = np.arange(0, len(self._placed), REFERENCE_ROWS)
        if self._leading is None:
            return starts
        is_near = self._holds[:, np.unique(groups)].any(axis=1)
        return starts[np.argsort(~is_near, kind="stable")]

    def _fold_led(
        self,
        placed: NDArray[np.float32],
        block: NDArray[np.float32],
        products: NDArray[np.float32],
        heap: Heap,
    ) -> None:
        """Fold a block by its leading directions; by all of them where that is faster."""
        from celloquy.learn._kernels import keep_lowest, keep_lowest_of_led

        n = 0 if self._leading is None else self._leading.n
        here = slice(heap[2], heap[2] + len(block))
        np.matmul(placed[:, :n], block[:, :n].T, out=products)
        is_crowded = keep_lowest_of_led(
            (products, self._halves[here], self._rests[here]),
            heap,
            rest_lengths(placed, n),
            (placed, block, n),
        )
        crowded = np.flatnonzero(is_crowded)
        if len(crowded):
            whole = products[crowded] + placed[crowded, n:] @ block[:, n:].T
            keep_lowest(whole, self._halves[here], heap, crowded)

    def _is_proven(
        self,
        placed: NDArray[np.float32],
        worst_kept: NDArray[np.float32],
        furthest: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Say where no row outside the candidates can be as near as the furthest answer.

        A float32 product of length d is off by at most about ``d * 2**-24`` times the two
        lengths; the factor of 4 also covers placing the vectors and the halved squares.
        """
        squares = np.einsum("ij,ij->i", placed, placed, dtype=np.float64)
        widths = placed.shape[1] + 8
        slack = 4 * widths * 2.0**-24 * self._longest * (np.sqrt(squares) + self._longest)
        score = furthest - 0.5 if self.metric == "cosine" else (furthest - squares) / 2
        return np.asarray(score < worst_kept - slack)


def _nearest(
    rows: NDArray[np.int64], distances: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Keep each line's `k` nearest, nearest first, ties by row number."""
    order = np.lexsort((rows, distances), axis=1)[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _finite(vectors: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        msg = f"{len(bad)} rows of `{name}` hold infinite or missing values; the first is {bad[0]}."
        raise InputError(msg, hint="leave those cells out, or look at how they were embedded.")
    return vectors
