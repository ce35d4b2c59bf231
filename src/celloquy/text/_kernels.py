"""The compiled kernel: one row of integer keys to genes in rank order.

A key is a 32-bit integer that rises with expression: the count itself, or the bits of a
non-negative float32, which compare like the number. A gene's place is its position among
equals (:attr:`celloquy.text.Vocabulary.place`), so the order is key descending, then place.

Three facts make it fast. The n-th largest key is found by counting, not by sorting: a pass
over a row that lies in the first-level cache takes as long as a few dozen branches. Most
values of a cell are among its two or three smallest (counts of 1, 2, 3, or their
logarithms), and genes of one value need no sort: marking each at its place in a map and
reading the map front to back gives them in order. What is left, a tenth of the cell, is
read from the same map and radix-sorted by key, which keeps the order of places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from celloquy.text._bits import LANES, count_ones, mask_at_least, trailing_zeros

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int32]
    Words = NDArray[np.uint64]
    Cell = tuple[Integers, Integers]
    """Keys of a cell, and their columns."""

RANKED, BAD_VALUE, BAD_COLUMN = 0, 1, 2
"""What became of a row."""

_FEW = 64  # below this, comparing all with all is cheaper than a map
_MANY = 1024  # from here on, fewer and wider digits pay
_SPILL = 4  # places written at once, wanted or not
MARGIN = 2 * LANES + 1  # what a place that was written without being wanted may exceed `nowhere`
_LARGEST = np.int32(np.iinfo(np.int32).max)


class Cells(NamedTuple):
    """Rows of keys, in CSR."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    keys: NDArray[np.int32]


class Wanted(NamedTuple):
    """What is ranked."""

    place: NDArray[np.int32]
    """Place of each column, `nowhere` where it is left out; shape ``(n_vars + 1,)``, the last
    of them `nowhere`."""
    gene: NDArray[np.int32]
    """Position in the vocabulary of each place; shape ``(nowhere + margin,)``."""
    nowhere: int
    """A place after the last, rounded up to whole words."""
    stands: NDArray[np.uint64]
    """One bit for each column, 0 where it is left out; shape ``(n_vars / 64,)``, rounded up."""
    leaves_out: bool
    """Whether some column is left out."""
    floor: int
    """Keys must exceed it."""
    ceiling: int
    """Largest key that is a finite number."""
    n_top_genes: int
    """The most genes kept in a row."""


class Ranks(NamedTuple):
    """Where results are written."""

    genes: NDArray[np.int32]
    keys: NDArray[np.int32]
    first: NDArray[np.int64]
    """Where each row may begin; the room ends where the next begins."""
    kept: NDArray[np.int64]
    cut: NDArray[np.int32]
    status: NDArray[np.uint8]


class Job(NamedTuple):
    """Rows, what is ranked of them, and where it goes."""

    cells: Cells
    wanted: Wanted
    ranks: Ranks


class Scratch(NamedTuple):
    """What one thread works on."""

    wanted_keys: NDArray[np.int32]
    wanted_columns: NDArray[np.int32]
    keys: NDArray[np.int32]
    columns: NDArray[np.int32]
    ordered: NDArray[np.int32]
    ordered_keys: NDArray[np.int32]
    pairs: NDArray[np.uint64]
    map: NDArray[np.uint64]
    """One bit for each place and class; shape ``(words, 4)``; all 0 between rows."""
    key_at: NDArray[np.int32]
    digits: NDArray[np.int64]
    guess: NDArray[np.int32]
    """Threshold of the row before: where the search for the next one begins."""


def new_scratch(longest: int, nowhere: int) -> Scratch:
    """Make room for rows of at most `longest` stored values and `nowhere` places."""
    room = longest + LANES
    return Scratch(
        wanted_keys=np.empty(room, np.int32),
        wanted_columns=np.empty(room, np.int32),
        keys=np.empty(room, np.int32),
        columns=np.empty(room, np.int32),
        ordered=np.zeros(room, np.int32),
        ordered_keys=np.empty(room, np.int32),
        pairs=np.empty((2, room), np.uint64),
        map=np.zeros((nowhere // LANES + 1, 4), np.uint64),
        key_at=np.zeros(nowhere + MARGIN, np.int32),
        digits=np.empty(2048, np.int64),
        guess=np.zeros(1, np.int32),
    )


@njit(cache=True, nogil=True)
def rank_rows(job: Job, scratch: Scratch, start: int, stop: int) -> None:
    """Rank rows `start` to `stop` (excluded)."""
    cells, wanted, ranks = job
    for row in range(start, stop):
        begin, end = cells.indptr[row], cells.indptr[row + 1]
        status, n_expressed = _order_row(
            cells.keys[begin:end], cells.indices[begin:end], wanted, scratch
        )
        n_kept = min(n_expressed, wanted.n_top_genes)
        ranks.status[row] = status
        ranks.kept[row] = n_kept
        ranks.cut[row] = n_expressed - n_kept
        genes = ranks.genes[ranks.first[row] :]
        kept_keys = ranks.keys[ranks.first[row] :]
        for i in range(n_kept):
            genes[i] = wanted.gene[scratch.ordered[i]]
            kept_keys[i] = scratch.ordered_keys[i]


@njit(cache=True, nogil=True)
def _order_row(
    keys: Integers, columns: Integers, wanted: Wanted, scratch: Scratch
) -> tuple[int, int]:
    """Fill `scratch.ordered`; give the status and the number of expressed genes."""
    least, largest = _extremes(keys)
    if least < 0 or largest > wanted.ceiling:
        return BAD_VALUE, 0
    if wanted.leaves_out:
        if not _all_exist(columns, wanted):
            return BAD_COLUMN, 0
        n = _leave_out(keys, columns, wanted, scratch)
        keys, columns = scratch.wanted_keys[:n], scratch.wanted_columns[:n]
    floor = np.int32(wanted.floor)
    n_expressed = keys.size
    if least <= floor:
        n_expressed = _count_above(keys, floor)
    if n_expressed == 0:
        return RANKED, 0
    n_kept = min(n_expressed, wanted.n_top_genes)
    if n_kept < keys.size:
        least = np.int32(floor + 1)
        if n_kept < n_expressed:
            least = _threshold(keys, n_kept, (least, largest), scratch.guess)
        n = _choose((keys, columns), least, scratch)
        keys, columns = scratch.keys[:n], scratch.columns[:n]
    if keys.size <= _FEW:
        known = _order_few((keys, columns), wanted, scratch)
    else:
        known = _order_many((keys, columns), n_kept, wanted, scratch)
    if not known:
        return BAD_COLUMN, 0
    return RANKED, n_expressed


@njit(cache=True, nogil=True)
def _extremes(keys: Integers) -> tuple[np.int32, np.int32]:
    least, largest = _LARGEST, np.int32(0)
    for i in range(keys.size):
        least = min(least, keys[i])
        largest = max(largest, keys[i])
    return least, largest


@njit(cache=True, nogil=True)
def _count_above(keys: Integers, bound: np.int32) -> int:
    n = np.int32(0)
    for i in range(keys.size):
        n += np.int32(keys[i] > bound)
    return int(n)


@njit(cache=True, nogil=True)
def _around(keys: Integers, key: np.int32) -> tuple[int, int, np.int32, np.int32]:
    """Count keys above and at `key`; give the next key above and below."""
    n_above, n_at, above, below = np.int32(0), np.int32(0), _LARGEST, np.int32(0)
    for i in range(keys.size):
        n_above += np.int32(keys[i] > key)
        n_at += np.int32(keys[i] == key)
        above = min(above, keys[i] if keys[i] > key else _LARGEST)
        below = max(below, keys[i] if keys[i] < key else np.int32(0))
    return int(n_above), int(n_at), above, below


@njit(cache=True, nogil=True)
def _all_exist(columns: Integers, wanted: Wanted) -> bool:
    furthest = np.uint32(0)
    for i in range(columns.size):
        furthest = max(furthest, np.uint32(columns[i]))
    return bool(furthest < np.uint32(wanted.place.size - 1))


@njit(cache=True, nogil=True)
def _leave_out(keys: Integers, columns: Integers, wanted: Wanted, scratch: Scratch) -> int:
    """Copy what stands in columns that are wanted; give how many."""
    n = 0
    for i in range(keys.size):
        column = np.uint64(columns[i])
        scratch.wanted_keys[n] = keys[i]
        scratch.wanted_columns[n] = columns[i]
        n += int((wanted.stands[column >> np.uint64(6)] >> (column & np.uint64(63))) & np.uint64(1))
    return n


@njit(cache=True, nogil=True)
def _threshold(
    keys: Integers, n_kept: int, bounds: tuple[np.int32, np.int32], guess: Integers
) -> np.int32:
    """Find a key that at least `n_kept` keys reach, and few more unless they are equal."""
    low, high = bounds
    enough = n_kept + max(32, n_kept // 4)
    key = min(max(guess[0], low), high)
    n_tries = 0
    while True:
        n_above, n_at, above, below = _around(keys, key)
        if n_above >= n_kept:
            low = above
            if n_above <= enough:
                break
        elif n_above + n_at >= n_kept:
            low = key
            break
        else:
            high = below
        n_tries += 1
        if n_tries < 3:  # cells of one source have thresholds close to each other
            key = low if n_above >= n_kept else high
        else:
            key = np.int32(low + (high - low) // 2)
    guess[0] = low
    return low


@njit(cache=True, nogil=True)
def _choose(cell: Cell, least: np.int32, scratch: Scratch) -> int:
    """Copy the keys that reach `least`, and their columns."""
    keys, columns = cell
    n = 0
    whole = keys.size - keys.size % LANES
    for start in range(0, whole, LANES):
        word = mask_at_least(keys, start, least)
        while word:
            i = start + trailing_zeros(word)
            scratch.keys[n] = keys[i]
            scratch.columns[n] = columns[i]
            n += 1
            word &= word - np.uint64(1)
    for i in range(whole, keys.size):
        scratch.keys[n] = keys[i]
        scratch.columns[n] = columns[i]
        n += int(keys[i] >= least)
    return n


@njit(cache=True, nogil=True)
def _order_few(cell: Cell, wanted: Wanted, scratch: Scratch) -> bool:
    """Order by comparing each with all; say whether all columns exist."""
    keys, columns = cell
    last = np.uint32(wanted.place.size - 1)
    pairs = scratch.pairs[0]
    for i in range(keys.size):
        column = np.uint32(columns[i])
        if column >= last:
            return False
        pairs[i] = _pair(keys[i], wanted.place[column])
    for i in range(keys.size):
        rank = 0
        for j in range(keys.size):
            rank += int(pairs[j] < pairs[i])
        scratch.ordered[rank] = np.int32(pairs[i] & np.uint64(0xFFFFFFFF))
        scratch.ordered_keys[rank] = keys[i]
    return True


@njit(cache=True, nogil=True)
def _pair(key: np.int32, place: np.int32) -> np.uint64:
    """Give one integer that rises as the key falls, then as the place rises."""
    return (np.uint64(~np.uint32(key)) << np.uint64(32)) | np.uint64(place)


@njit(cache=True, nogil=True)
def _order_many(cell: Cell, n_kept: int, wanted: Wanted, scratch: Scratch) -> bool:
    """Order by the map of places: frequent low keys are read off, the rest is sorted by key.

    Says whether all columns exist and none repeats.
    """
    first, n_first, second, n_second, third, n_third = _levels(cell[0])
    known = _mark(cell, (first, second, third), wanted, scratch)
    n_done = cell[0].size - n_first - n_second - n_third
    n_read = _read_places(scratch.map, 0, scratch.ordered, n_done)
    _sort_by_key(scratch, n_read)
    if n_third:
        n_read += _read_places(scratch.map, 1, scratch.ordered[n_done:], n_third)
        scratch.ordered_keys[n_done : n_done + n_third] = third
        n_done += n_third
    if n_second:
        n_read += _read_places(scratch.map, 2, scratch.ordered[n_done:], n_second)
        scratch.ordered_keys[n_done : n_done + n_second] = second
        n_done += n_second
    if n_first:
        n_read += _read_places(scratch.map, 3, scratch.ordered[n_done:], n_kept - n_done)
        scratch.ordered_keys[n_done:n_kept] = first
        n_done = n_kept
    scratch.map[:] = 0
    return known and n_read == n_done


@njit(cache=True, nogil=True)
def _levels(keys: Integers) -> tuple[np.int32, int, np.int32, int, np.int32, int]:
    """Find up to three lowest keys that each hold a good share of the row, with their counts.

    One that does not is given as the one before, or -1, and a count of 0.
    """
    none = np.int32(-1)
    few = max(keys.size // 16, _FEW)
    _, _, first, _ = _around(keys, none)
    _, n_first, second, _ = _around(keys, first)
    if n_first < few:
        return none, 0, none, 0, none, 0
    _, n_second, third, _ = _around(keys, second)
    if n_second < few:
        return first, n_first, first, 0, first, 0
    _, n_third, _, _ = _around(keys, third)
    if n_third < few:
        return first, n_first, second, n_second, second, 0
    return first, n_first, second, n_second, third, n_third


@njit(cache=True, nogil=True)
def _mark(
    cell: Cell, levels: tuple[np.int32, np.int32, np.int32], wanted: Wanted, scratch: Scratch
) -> bool:
    """Mark each gene at its place in the map of its class, and keep keys that need sorting."""
    keys, columns = cell
    first, second, third = levels
    if not _all_exist(columns, wanted):
        return False
    for i in range(keys.size):
        key = keys[i]
        place = np.uint64(wanted.place[columns[i]])
        level = int(key <= third) + int(key <= second) + int(key <= first)
        scratch.map[place >> np.uint64(6), level] |= np.uint64(1) << (place & np.uint64(63))
        if key > third:
            scratch.key_at[place] = key
    return True


@njit(cache=True, nogil=True)
def _read_places(words: Words, level: int, places: Integers, n: int) -> int:
    """List the first `n` places of a class in order, and give how many there are, up to `n`.

    Writes up to ``_SPILL`` places too many.
    """
    if 2 * n > words.shape[0]:
        return min(n, _read_dense(words, level, places, n))
    return min(n, _read_sparse(words, level, places, n))


@njit(cache=True, nogil=True)
def _read_dense(words: Words, level: int, places: Integers, n: int) -> int:
    end = 0
    for i in range(words.shape[0]):
        word = words[i, level]
        base = i * LANES
        at = end
        end += count_ones(word)
        for j in range(_SPILL):
            places[at + j] = base + trailing_zeros(word)
            word &= word - np.uint64(1)
        while word:
            places[at + _SPILL] = base + trailing_zeros(word)
            word &= word - np.uint64(1)
            at += 1
        if end >= n:
            break
    return end


@njit(cache=True, nogil=True)
def _read_sparse(words: Words, level: int, places: Integers, n: int) -> int:
    end = 0
    for i in range(words.shape[0]):
        word = words[i, level]
        base = i * LANES
        places[end] = base + trailing_zeros(word)
        at = end + 1
        end += count_ones(word)
        word &= word - np.uint64(1)
        while word:
            places[at] = base + trailing_zeros(word)
            word &= word - np.uint64(1)
            at += 1
        if end >= n:
            break
    return end


@njit(cache=True, nogil=True)
def _sort_by_key(scratch: Scratch, n: int) -> None:
    """Sort the first `n` of `scratch.ordered` by falling key, keeping the order of equals."""
    if n == 0:
        return
    source, target = 0, 1
    varying = np.uint64(0)
    pairs = scratch.pairs
    for i in range(n):
        place = scratch.ordered[i]
        pairs[source, i] = _pair(scratch.key_at[place], place)
        varying |= pairs[source, i] ^ pairs[source, 0]
    varying >>= np.uint64(32)
    width = 11 if n >= _MANY else 8
    while varying:
        shift = trailing_zeros(varying)
        _sort_digit(pairs[source, :n], pairs[target], shift + 32, scratch.digits[: 1 << width])
        varying = (varying >> np.uint64(shift)) >> np.uint64(width) << np.uint64(shift + width)
        source, target = target, source
    for i in range(n):
        pair = pairs[source, i]
        scratch.ordered[i] = np.int32(pair & np.uint64(0xFFFFFFFF))
        scratch.ordered_keys[i] = np.int32(~np.uint32(pair >> np.uint64(32)))


@njit(cache=True, nogil=True)
def _sort_digit(source: Words, target: Words, shift: int, ends: NDArray[np.int64]) -> None:
    """Sort pairs by one digit, stably (one pass of a radix sort)."""
    last = np.uint64(ends.size - 1)
    ends[:] = 0
    for i in range(source.size):
        ends[(source[i] >> np.uint64(shift)) & last] += 1
    total = 0
    for digit in range(ends.size):
        total, ends[digit] = total + ends[digit], total
    for i in range(source.size):
        digit = int((source[i] >> np.uint64(shift)) & last)
        target[ends[digit]] = source[i]
        ends[digit] += 1


@njit(cache=True, nogil=True)
def close_gaps(ranks: Ranks, offsets: NDArray[np.int64]) -> None:
    """Move each row's results down to where `offsets` says, which is never after `first`."""
    for row in range(ranks.kept.size):
        source, target = ranks.first[row], offsets[row]
        if source != target:
            for i in range(ranks.kept[row]):
                ranks.genes[target + i] = ranks.genes[source + i]
                ranks.keys[target + i] = ranks.keys[source + i]


@njit(cache=True, nogil=True)
def take_keys(cells: Cells, wanted: Wanted, ranks: Ranks, key_at: Integers) -> None:
    """Replace the keys of ranked genes by those of `cells`, the same rows with other keys."""
    for row in range(ranks.kept.size):
        for i in range(cells.indptr[row], cells.indptr[row + 1]):
            place = wanted.place[cells.indices[i]]
            if place != wanted.nowhere:
                key_at[wanted.gene[place]] = cells.keys[i]
        for i in range(ranks.first[row], ranks.first[row] + ranks.kept[row]):
            ranks.keys[i] = key_at[ranks.genes[i]]
