"""The compiled part of attention over cached keys: each token looks at its own row only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Places = NDArray[np.int64]
    Bits = NDArray[np.int16]
    At = tuple[Places, Places]
    Rule = tuple[float, int]

_LOOSE = {"reassoc", "contract", "nsz", "arcp"}  # sums in any order; NaN stays NaN
_LOG2E = np.float32(1.4426950408889634)
_LEAST = np.float32(-87.0)
# 2^f on [-0.5, 0.5] as its Taylor series, which is right to one step of float32
_C1, _C2, _C3 = np.float32(0.69314718), np.float32(0.24022651), np.float32(0.055504109)
_C4, _C5, _C6 = np.float32(0.0096181291), np.float32(0.0013333558), np.float32(0.00015403530)
_ONE, _HALF = np.float32(1), np.float32(0.5)


@njit(nogil=True, cache=True, fastmath=_LOOSE)
def _widen(narrow: NDArray[np.int16], wide: NDArray[np.int32]) -> None:
    """Make float32 of bfloat16, both as bits."""
    for i in range(len(narrow)):
        wide[i] = np.int32(narrow[i]) << 16


@njit(nogil=True, cache=True, fastmath=_LOOSE)
def _weigh(scores: Floats, bits: NDArray[np.int32]) -> Any:  # noqa: ANN401 (float32)
    """Turn scores into exp(score - largest); give their sum. `bits` are the scores' own."""
    n = len(scores)
    largest = scores[0]
    for j in range(1, n):
        largest = max(largest, scores[j])
    powers = np.empty(n, dtype=np.int32)
    for j in range(n):
        y = max(scores[j] - largest, _LEAST) * _LOG2E
        whole = np.floor(y + _HALF)
        f = y - whole
        powers[j] = np.int32(whole) << 23
        scores[j] = _ONE + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    for j in range(n):
        bits[j] += powers[j]
    total = np.float32(0)
    for j in range(n):
        total += scores[j]
    return total


@njit(nogil=True, cache=True, fastmath=_LOOSE)
def _score(query: Floats, keys: Floats, scale: Any, scores: Floats) -> None:  # noqa: ANN401
    for j in range(len(scores)):
        score = np.float32(0)
        for d in range(len(query)):
            score += query[d] * keys[j, d]
        scores[j] = score * scale


@njit(nogil=True, cache=True, fastmath=_LOOSE)
def _mix(weights: Floats, values: Floats, total: Any, found: Floats) -> None:  # noqa: ANN401
    """Give the weighted mean of values, four at a time."""
    width, n = len(found), len(weights)
    mixed = np.zeros(width, dtype=np.float32)
    for j in range(0, n - 3, 4):
        a, b, c, e = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        for d in range(width):
            mixed[d] += (
                a * values[j, d] + b * values[j + 1, d] + c * values[j + 2, d]
                + e * values[j + 3, d]
            )  # fmt: skip
    for j in range(n - n % 4, n):
        for d in range(width):
            mixed[d] += weights[j] * values[j, d]
    for d in range(width):
        found[d] = mixed[d] / total


@njit(nogil=True, cache=True)
def _attend_group(  # noqa: PLR0917 (numba takes no keywords)
    queries: Floats, key: Floats, value: Floats, places: Places, rule: Rule, found: Floats
) -> None:
    """Let the tokens of one row, under one key head, look back; see :func:`attend`."""
    scale, window, scores = np.float32(rule[0]), rule[1], np.empty(len(key), dtype=np.float32)
    for token in range(len(places)):
        last = places[token] + 1
        first = max(0, last - window) if window else 0
        seen = scores[: last - first]
        for one in range(queries.shape[1]):
            _score(queries[token, one], key[first:last], scale, seen)
            total = _weigh(seen, seen.view(np.int32))
            _mix(seen, value[first:last], total, found[token, one])


@njit(nogil=True, cache=True)
def _end_of_row(rows: Places, start: int) -> int:
    stop = start + 1
    while stop < len(rows) and rows[stop] == rows[start]:
        stop += 1
    return stop


@njit(nogil=True, cache=True)
def attend(  # noqa: PLR0917 (numba takes no keywords)
    queries: Floats, keys: Floats, values: Floats, at: At, rule: Rule, found: Floats
) -> None:
    """Give each token the mean of its row's values, weighted by query and keys.

    Parameters
    ----------
    queries
        Shape ``(tokens, heads, width)``; the tokens of one row side by side.
    keys, values
        Shape ``(rows, key heads, columns, width)``.
    at
        Row of each token, and its place there, which is the last column that it sees.
    rule
        What scores are multiplied by, and how many columns are seen, 0 for all.
    found
        Filled; shape ``(tokens, heads, width)``.
    """
    rows, places = at
    group, start = queries.shape[1] // keys.shape[1], 0
    while start < len(rows):
        row, stop = rows[start], _end_of_row(rows, start)
        seen = places[stop - 1] + 1
        for head in range(keys.shape[1]):
            _attend_group(
                queries[start:stop, head * group : (head + 1) * group],
                keys[row, head, :seen],
                values[row, head, :seen],
                places[start:stop],
                rule,
                found[start:stop, head * group : (head + 1) * group],
            )
        start = stop


@njit(nogil=True, cache=True)
def attend_narrow(  # noqa: PLR0917 (numba takes no keywords)
    queries: Floats, keys: Bits, values: Bits, at: At, rule: Rule, found: Floats
) -> None:
    """Do the same where keys and values are bfloat16, given as bits."""
    rows, places = at
    group, start = queries.shape[1] // keys.shape[1], 0
    bits = np.empty((2, keys.shape[2], keys.shape[3]), dtype=np.int32)
    wide = bits.view(np.float32)
    while start < len(rows):
        row, stop = rows[start], _end_of_row(rows, start)
        seen = places[stop - 1] + 1
        for head in range(keys.shape[1]):
            for column in range(seen):
                _widen(keys[row, head, column], bits[0, column])
                _widen(values[row, head, column], bits[1, column])
            _attend_group(
                queries[start:stop, head * group : (head + 1) * group],
                wide[0, :seen],
                wide[1, :seen],
                places[start:stop],
                rule,
                found[start:stop, head * group : (head + 1) * group],
            )
        start = stop
