"""Leading directions of a reference: a part of each product rules out most of its rows.

Turning all vectors changes no distance. Turned so that the first directions hold most of the
reference's variance, a few of them bound every score from below: what the other directions
could add to a product is at most the product of the lengths that are left in them
(Cauchy–Schwarz). Rows whose bound is above the scores kept so far need no more work. Rows are
kept in groups, and a query meets its own group first, so that its scores are low soon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from celloquy._runtime import rng_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_ROWS = 16_384
FEWEST_QUERIES = 4_096
"""Below these, looking for directions takes longer than it saves."""
MOST_DIMENSIONS = 1_024
"""Above this, finding them takes too long."""
_SAMPLE = 16_384
_PROBED = 16_384
_PROBES = 32
_NEAREST = 33
"""Neighbours that a probe, which is one of them, is asked to find."""
_CHECK = 5.0
"""Checking one row that is not ruled out, in whole products of a row."""
_BLOCK = 8_192


_GROUPS = 256
_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class LeadingDirections:
    """How vectors are turned, in how many directions products begin, and how rows group."""

    turn: NDArray[np.float64]
    """Orthonormal directions as columns, by falling variance; shape ``(d, d)``."""
    n: int
    """Directions of the first part of a product."""
    centres: NDArray[np.float32]
    """Centres of groups of rows, in the leading directions; shape ``(n_groups, n)``."""

    @classmethod
    def find(cls, placed: NDArray[np.float32]) -> LeadingDirections | None:
        """Find them, and how many save the most; `None` where they save too little.

        Parameters
        ----------
        placed
            The reference, centred or at length 1; shape ``(n_rows, d)``.
        """
        n_rows, d = placed.shape
        if n_rows < FEWEST_ROWS or not 64 <= d <= MOST_DIMENSIONS:
            return None
        some = placed[:: max(1, n_rows // _SAMPLE)].astype(np.float64)
        with threadpool_limits(1, user_api="blas"):  # too small to be shared
            _, vectors = np.linalg.eigh(some.T @ some)
        turn = np.ascontiguousarray(vectors[:, ::-1])
        rows = placed[:: max(1, n_rows // _PROBED)] @ turn.astype(np.float32)
        probes = rows[:: len(rows) // _PROBES][:_PROBES]
        halves = np.einsum("ij,ij->i", rows, rows) / 2
        worst = np.partition(halves - probes @ rows.T, _NEAREST - 1)[:, _NEAREST - 1]
        costs = {}
        for n in range(d // 8 // 16 * 16 or 16, d // 2 + 1, max(16, d // 16 // 16 * 16)):
            rest = np.outer(rest_lengths(probes, n), rest_lengths(rows, n))
            bound = halves - probes[:, :n] @ rows[:, :n].T - rest
            costs[n] = n / d + _CHECK * float((bound < worst[:, None]).mean())
        best = min(costs, key=lambda n: costs[n])
        if costs[best] >= 0.8:
            return None
        return cls(turn, best, _centres_of(np.ascontiguousarray(rows[:, :best])))

    def groups(self, turned: NDArray[np.float32]) -> NDArray[np.int64]:
        """Give the group of each turned vector; shape ``(n,)``."""
        return _nearest_centre(turned[:, : self.n], self.centres)

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn vectors, in float64, so that nothing but the last rounding is lost."""
        turned = np.empty_like(vectors)
        for start in range(0, len(vectors), _BLOCK):
            here = slice(start, start + _BLOCK)
            turned[here] = vectors[here].astype(np.float64) @ self.turn
        return turned


def rest_lengths(turned: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Give the length of each vector beyond its first `n` directions; shape ``(n_rows,)``."""
    rest = turned[:, n:]
    lengths: NDArray[np.float32] = np.sqrt(
        np.einsum("ij,ij->i", rest, rest, dtype=np.float64)
    ).astype(np.float32)
    return lengths


def _centres_of(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Group rows by a few rounds of Lloyd's k-means; any grouping gives the same neighbours."""
    some = rows[:: max(1, len(rows) // _SAMPLE)]
    centres = rng_for(0, "leading directions").permutation(some)[:_GROUPS]
    for _ in range(_ROUNDS):
        group = _nearest_centre(some, centres)
        sizes = np.bincount(group, minlength=len(centres))
        members = (np.ones(len(some), dtype=np.float32), (group, np.arange(len(some))))
        sums = sp.csr_array(members, shape=(len(centres), len(some))) @ some
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
    return centres.astype(np.float32)


def _nearest_centre(
    vectors: NDArray[np.float32], centres: NDArray[np.float32]
) -> NDArray[np.int64]:
    halves = np.einsum("ij,ij->i", centres, centres) / 2
    nearest = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        here = slice(start, start + _BLOCK)
        nearest[here] = (halves - vectors[here] @ centres.T).argmin(axis=1)
    return nearest
