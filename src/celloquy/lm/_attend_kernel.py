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
    At = tuple[Places, Places, int]
    Group = tuple[Places, int, int, int, int]
    Rule = tuple[float, int]

_LOOSE = {"reassoc", "contract", "nsz", "arcp"}  # sums in any order; NaN stays NaN
_LOG2E = np.float32(1.4426950408889634)
_LEAST = np.float32(-87.0)
# 2^f on [-0.5, 0.5] as its Taylor series, which is right to one step of float32
_C1, _C2, _C3 = np.float32(0.69314718), np.float32(0.24022651), np.float32(0.055504109)
_C4, _C5, _C6 = np.float32(0.0096181291), np.float32(0.0013333558), np.float32(0.00015403530)
_ONE, _HALF = np.float32(1), np.float32(0.5)


@njit(nogil=True, cache=True)
def _widen(narrow: Bits, n: int, wide: NDArray[np.int32]) -> None:
    """Make float32 of the first rows of bfloat16, both as bits."""
    for row in range(n):
        for d in range(wide.shape[1]):
            wide[row, d] = np.int32(narrow[row, d]) << 16


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
def _score(query: Floats, keys: Floats, first: int, scores: Floats) -> None:
    for j in range(len(scores)):
        score = np.float32(0)
        for d in range(len(query)):
            score += query[d] * keys[first + j, d]
        scores[j] = score


@njit(nogil=True, cache=True, fastmath=_LOOSE)
def _mix(weights: Floats, values: Floats, first: int, mixed: Floats) -> None:
    """Add up values by their weights, four at a time."""
    n = len(weights)
    mixed[:] = 0
    for j in range(0, n - 3, 4):
        a, b, c, e = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        at = first + j
        for d in range(len(mixed)):
            mixed[d] += (
                a * values[at, d] + b * values[at + 1, d] + c * values[at + 2, d]
                + e * values[at + 3, d]
            )  # fmt: skip
    for j in range(n - n % 4, n):
        for d in range(len(mixed)):
            mixed[d] += weights[j] * values[first + j, d]


@njit(nogil=True, cache=True, fastmath=_LOOSE)
def _look_back(  # noqa: PLR0917 (numba takes no keywords)
    queries: Floats, key: Floats, value: Floats, at: Group, rule: Rule, found: Floats
) -> None:
    """Let the tokens of one row, under one key head, look back; see :func:`attend`.

    `at` is places, first and last token, and first and last head.
    """
    # numbers that lie side by side, as the compiler can see: else it makes no wide instructions
    query, mixed = np.empty(key.shape[1], np.float32), np.empty(key.shape[1], np.float32)
    scores, scale = np.empty(len(key), dtype=np.float32), np.float32(rule[0])
    places, start, stop, head, last_head = at
    for token in range(start, stop):
        last = places[token] + 1
        first = max(0, last - rule[1]) if rule[1] else 0
        seen = scores[: last - first]
        for one in range(head, last_head):
            for d in range(len(query)):
                query[d] = queries[token, one, d] * scale
            _score(query, key, first, seen)
            total = _weigh(seen, seen.view(np.int32))
            _mix(seen, value, first, mixed)
            for d in range(len(query)):
                found[token, one, d] = mixed[d] / total


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
        Key heads of all rows, shape ``(rows * key heads, columns, width)``.
    at
        Row of each token, its place there, which is the last column that it sees, and how many
        key heads there are.
    rule
        What scores are multiplied by, and how many columns are seen, 0 for all.
    found
        Filled; shape ``(tokens, heads, width)``.
    """
    rows, places, n_heads = at
    group, start = queries.shape[1] // n_heads, 0
    while start < len(rows):
        stop = _end_of_row(rows, start)
        for head in range(n_heads):
            line = rows[start] * n_heads + head
            heads = (places, start, stop, head * group, (head + 1) * group)
            _look_back(queries, keys[line], values[line], heads, rule, found)
        start = stop


@njit(nogil=True, cache=True)
def attend_narrow(  # noqa: PLR0917 (numba takes no keywords)
    queries: Floats, keys: Bits, values: Bits, at: At, rule: Rule, found: Floats
) -> None:
    """Do the same where keys and values are bfloat16, given as bits."""
    rows, places, n_heads = at
    group, start = queries.shape[1] // n_heads, 0
    key_bits = np.empty(keys.shape[1:], dtype=np.int32)
    value_bits = np.empty(keys.shape[1:], dtype=np.int32)
    key, value = key_bits.view(np.float32), value_bits.view(np.float32)
    while start < len(rows):
        stop = _end_of_row(rows, start)
        for head in range(n_heads):
            line = rows[start] * n_heads + head
            _widen(keys[line], places[stop - 1] + 1, key_bits)
            _widen(values[line], places[stop - 1] + 1, value_bits)
            heads = (places, start, stop, head * group, (head + 1) * group)
            _look_back(queries, key, value, heads, rule, found)
        start = stop
