"""Drawing tokens: each answer has random numbers of its own, whoever shares its batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from celloquy.errors import BackendError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from celloquy.lm._protocol import Limits

    Logits = NDArray[np.float32]
    Kept = NDArray[np.int64]
    Chance = tuple[NDArray[np.int32], NDArray[np.uint64], NDArray[np.int64]]
    """Token ids, and the seed and place of each row."""
    Rule = tuple[float, int, float]
    """Temperature, `top_k` (0 for all) and `top_p` (1 for all)."""
    Found = tuple[NDArray[np.int64], NDArray[np.float64]]
    """Where column and log-probability of each row are written."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MANY = 400_000
"""Logits from which on rows are shared among threads."""


def draw(
    logits: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    *,
    tokens: NDArray[np.int32],
    seeds: NDArray[np.uint64],
    places: NDArray[np.int64],
    limits: Limits,
    n_threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw one token a row.

    Every allowed token gets a random number that depends on the seed of its row, its place in the
    answer and its own id, and the token that wins the race of likelihood against chance is
    taken (the Gumbel trick). So nothing depends on the other rows, on how many tokens are
    allowed or on what was drawn before, and a rounding error of the logits changes a draw
    only where two tokens run neck and neck.

    Parameters
    ----------
    logits
        Of the tokens `tokens`; shape ``(n, v)``.
    allowed
        Which of them may be drawn, at least one a row; `None` allows all. Shape ``(n, v)``.
    tokens
        Token ids, rising; shape ``(v,)``.
    seeds
        Seed of each row; shape ``(n,)``.
    places
        Place in the answer that the token is drawn for, from 0; shape ``(n,)``.
    limits
        Temperature (0 takes the likeliest, the first of equals), `top_k` and `top_p`.
    n_threads
        Threads that may share the rows.

    Returns
    -------
    Column of each drawn token, and its log-probability among the allowed ones at temperature
    1, before `top_k` and `top_p`; shapes ``(n,)``.

    Raises
    ------
    BackendError
        If a row has no finite logit.
    """
    n, width = logits.shape
    columns = np.empty(n, dtype=np.int64)
    logp = np.empty(n, dtype=np.float64)
    free = np.empty((0, 0), dtype=np.bool_) if allowed is None else allowed
    rule = (float(limits.temperature), int(limits.top_k or 0), float(limits.top_p or 1.0))

    def fill(rows: slice) -> None:
        some = free if allowed is None else free[rows]
        found = (columns[rows], logp[rows])
        _draw_rows(logits[rows], some, (tokens, seeds[rows], places[rows]), rule, found)

    if n_threads == 1 or n * width < _MANY:
        fill(slice(0, n))
    else:
        borders = np.linspace(0, n, min(n, n_threads) + 1).astype(int)
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(fill, [slice(*pair) for pair in pairwise(borders)]))
    if (columns < 0).any():
        row = int(np.flatnonzero(columns < 0)[0])
        msg = f"The model gave answer {row} no finite logit at token {places[row]}."
        hint = "the weights or the number format may be broken; try `precision='fp32'`."
        raise BackendError(msg, hint=hint)
    return columns, logp


@njit(nogil=True, cache=True)
def _mix(z: np.uint64) -> np.uint64:
    """Scramble 64 bits (the finaliser of SplitMix64)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True)
def uniform(key: np.uint64, token: np.uint64) -> float:
    """Give the random number of a token, above 0 and below 1."""
    bits = _mix(key + (token + np.uint64(1)) * _GOLDEN)
    return (float(bits >> np.uint64(11)) + 0.5) * 2.0**-53


@njit(nogil=True, cache=True)
def key_of(seed: np.uint64, place: np.uint64) -> np.uint64:
    """Give the key of the random numbers at a place of an answer."""
    return _mix(_mix(seed + _GOLDEN) ^ (place * np.uint64(0xD1342543DE82EF95)))


@njit(nogil=True, cache=True)
def _draw_rows(  # noqa: PLR0917 (numba takes no keywords)
    logits: Logits, free: NDArray[np.bool_], chance: Chance, rule: Rule, found: Found
) -> None:
    temperature, top_k, top_p = rule
    tokens, seeds, places = chance
    n, width = logits.shape
    candidates = np.empty(width, dtype=np.int64)
    for row in range(n):
        n_candidates, largest, best = 0, -np.inf, -1
        for column in range(width):
            if free.size == 0 or free[row, column]:
                candidates[n_candidates] = column
                n_candidates += 1
                if logits[row, column] > largest:
                    largest, best = logits[row, column], column
        found[0][row] = -1
        if best < 0 or not np.isfinite(largest):
            continue
        total = 0.0
        for i in range(n_candidates):
            total += np.exp(np.float64(logits[row, candidates[i]]) - largest)
        if temperature > 0.0 and n_candidates > 1:
            kept = candidates[:n_candidates]
            if 0 < top_k < n_candidates or top_p < 1.0:
                kept = _truncated(logits[row], kept, largest, rule)
            key = key_of(seeds[row], np.uint64(places[row]))
            best = _race(logits[row], kept, (tokens, key), (largest, temperature))
        found[0][row] = best
        found[1][row] = np.float64(logits[row, best]) - largest - np.log(total)


@njit(nogil=True, cache=True)
def _race(
    logits: Logits,
    kept: Kept,
    chance: tuple[NDArray[np.int32], np.uint64],
    rule: tuple[float, float],
) -> int:
    """Let every token run: -log(u) / weight; the smallest time wins."""
    tokens, key = chance
    largest, temperature = rule
    best, shortest = -1, np.inf
    for i in range(len(kept)):
        weight = np.exp((np.float64(logits[kept[i]]) - largest) / temperature)
        u = uniform(key, np.uint64(tokens[kept[i]]))
        if 1.0 - u >= shortest * weight:  # -log(u) is at least 1 - u: it cannot win
            continue
        if weight > 0.0 and -np.log(u) / weight < shortest:
            best, shortest = kept[i], -np.log(u) / weight
    return best


@njit(nogil=True, cache=True)
def _truncated(logits: Logits, kept: Kept, largest: float, rule: Rule) -> Kept:
    """Keep the `top_k` likeliest tokens (and equals), then the fewest that hold `top_p`."""
    temperature, top_k, top_p = rule
    order = kept[np.argsort(-logits[kept], kind="mergesort")]
    n = len(order)
    if 0 < top_k < n:
        n = top_k
        while n < len(order) and logits[order[n]] == logits[order[top_k - 1]]:
            n += 1
    if top_p < 1.0:
        weights = np.exp((logits[order[:n]].astype(np.float64) - largest) / temperature)
        wanted = top_p * weights.sum()
        held, n_held = 0.0, 0
        while n_held < n and held < wanted:
            held += weights[n_held]
            n_held += 1
        n = max(n_held, 1)
    return order[:n]
