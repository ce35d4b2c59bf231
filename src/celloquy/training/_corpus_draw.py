"""Chance that a cell keeps: keys from a seed and names alone, and who is drawn by them.

A key is 64 bits that depend on the seed, the study and the cell's name: not on the place of a
cell in its file, nor on the other cells and files. What is drawn by keys is the same in any
order, and no row comes first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Keys = NDArray[np.uint64]
T = TypeVar("T")

_BINS = 16
"""Bits of a key by which keys are counted before those at the border are looked at."""
_FEW = 2**20
"""Keys at the border that are put into order; of more, further bits are counted."""


class Again(Generic[T]):
    """Items that are made anew each time they are passed over, so that they are never held.

    Parameters
    ----------
    make
        Begins a pass.
    """

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[T]:
        return self._make()


def word_key(*words: str | int) -> np.uint64:
    """Make a key of words."""
    text = "\x1f".join(map(str, words))
    return np.uint64(
        int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    )


def mix(keys: Keys) -> Keys:
    """Scramble keys, one to one.

    Notes
    -----
    The finaliser of SplitMix64 (Steele et al., OOPSLA 2014).
    """
    found = keys + np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Keys = found ^ (found >> np.uint64(31))
    return mixed


def keys_for(keys: Keys, *words: str | int) -> Keys:
    """Give keys for one purpose, which say nothing about those for another."""
    return mix(keys ^ word_key(*words))


def name_keys(names: Sequence[object] | NDArray[np.object_] | pd.Index, *words: str | int) -> Keys:
    """Make keys of names, such as those of cells."""
    texts = np.array([str(name) for name in names], dtype=object)
    hashed: Keys = pd.util.hash_array(texts, categorize=False).astype(np.uint64)
    return keys_for(hashed, *words)


def whole(keys: Keys, n: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw whole numbers from 0 to `n` (excluded)."""
    drawn: NDArray[np.int64] = (share(keys) * n).astype(np.int64)
    return drawn


def share(keys: Keys) -> NDArray[np.float64]:
    """Draw numbers from 0 to 1 (excluded)."""
    drawn: NDArray[np.float64] = (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return drawn


def below(wanted: float) -> np.uint64:
    """Give the key under which a share of all keys lies."""
    return np.uint64(min(int(wanted * 2.0**64), 2**64 - 1))


@dataclass(frozen=True)
class Quota:
    """How often cells are drawn: all some times, and those with the lowest keys once more."""

    times: int
    """Draws of every cell."""
    highest: int | None
    """The highest key that is drawn once more; `None` draws none."""
    n: int
    """Draws of all cells together."""

    def draws(self, keys: Keys) -> NDArray[np.int64]:
        """Say how often each cell is drawn."""
        more = 0 if self.highest is None else (keys <= np.uint64(self.highest)).astype(np.int64)
        return np.full(len(keys), self.times, dtype=np.int64) + more


def quota(wanted: int, parts: Iterable[Keys], *, repeats: bool) -> Quota:
    """Find who is drawn so that there are `wanted` draws.

    Parameters
    ----------
    wanted
        How many draws there shall be.
    parts
        Keys of all that can be drawn, in parts; they are passed over several times, and never
        joined.
    repeats
        Whether a cell is drawn again where there are fewer cells than draws.
    """
    n = sum(len(keys) for keys in parts)
    if not n or wanted < 1:
        return Quota(0, None, 0)
    if not repeats:
        wanted = min(wanted, n)
    times, rest = divmod(wanted, n)
    return Quota(times, _lowest(parts, rest) if rest else None, wanted)


@dataclass(frozen=True)
class BalancedQuota:
    """How often cells of unequal weight are drawn."""

    scale: float
    """Draws of a cell of weight 1, on average."""
    last: float
    """Place in the queue up to which a cell is drawn once more."""
    n: int
    """Draws of all cells together."""

    def draws(self, keys: Keys, weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """Say how often each cell is drawn."""
        often = np.floor(weights * self.scale)
        more = _places(keys, weights * self.scale - often) <= self.last
        return often.astype(np.int64) + more


def balanced_quota(
    wanted: int, parts: Iterable[Keys], weights: Iterable[NDArray[np.float64]]
) -> BalancedQuota:
    """Find who is drawn so that there are `wanted` draws, each cell as often as its weight says.

    Parameters
    ----------
    wanted
        How many draws there shall be.
    parts
        Keys of all that can be drawn, in parts; they are passed over several times, and never
        joined.
    weights
        Weight of each of them, above 0.

    Notes
    -----
    A cell is drawn as often as the whole part of its expectation says; the rest is drawn by
    sequential Poisson sampling (Ohlsson, Journal of Official Statistics 1998): of a fixed size,
    with chances in proportion to what is left of the expectations.
    """
    total = sum(float(one.sum()) for one in weights)
    if not total or wanted < 1:
        return BalancedQuota(0.0, -1.0, 0)
    scale = wanted / total
    rest = wanted - int(sum(np.floor(one * scale).sum() for one in weights))
    if rest < 1:
        return BalancedQuota(scale, -1.0, wanted)

    def queue() -> Iterator[Keys]:
        for keys, one in zip(parts, weights, strict=True):
            places = _places(keys, one * scale - np.floor(one * scale))
            yield places.view(np.uint64)  # numbers above 0 are in the order of their bits

    last = np.array(_lowest(Again(queue), rest), dtype=np.uint64).view(np.float64)
    return BalancedQuota(scale, float(last), wanted)


def _places(keys: Keys, chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give each cell its place in a queue; those of high chance stand in front."""
    with np.errstate(divide="ignore"):
        return np.where(chances > 0, (share(keys) + 2.0**-54) / chances, np.inf)


def _lowest(parts: Iterable[Keys], n: int) -> int:
    """Find the n-th lowest key without holding all."""
    begins, shift = 0, 64
    while True:
        shift -= _BINS
        counts = np.zeros(2**_BINS, dtype=np.int64)
        for keys in parts:
            bins = _beginning(keys, begins, shift + _BINS) >> np.uint64(shift)
            low = (bins & np.uint64(2**_BINS - 1)).astype(np.int64)
            counts += np.bincount(low, minlength=2**_BINS)
        ends = np.cumsum(counts)
        at = int(np.searchsorted(ends, n))
        n -= int(ends[at - 1]) if at else 0
        begins = begins << _BINS | at
        if not shift:
            return begins
        if counts[at] <= _FEW:
            here = np.concatenate([_beginning(keys, begins, shift) for keys in parts])
            return int(np.partition(here, n - 1)[n - 1])


def _beginning(keys: Keys, bits: int, shift: int) -> Keys:
    """Give the keys that begin with some bits, all but the last `shift` of them."""
    return keys if shift > 63 else keys[(keys >> np.uint64(shift)) == np.uint64(bits)]


def proportional(total: int, weights: Sequence[float]) -> list[int]:
    """Cut a number in proportion to weights, by largest remainder.

    Examples
    --------
    >>> proportional(10, [1, 1, 1])
    [4, 3, 3]
    """
    exact = np.array(weights, dtype=np.float64) / sum(weights) * total
    cut = np.floor(exact).astype(np.int64)
    more = np.argsort(cut - exact, kind="stable")[: total - int(cut.sum())]
    cut[more] += 1
    return [int(one) for one in cut]
