"""The compiled part of reading sentences: words found in a table, repeats put in their places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Starts = NDArray[np.int64]
    Words = NDArray[np.int32]
    Table = tuple[Bytes, Starts, Words]
    """Names as one row of bytes, where each begins, and the slot of each hash: a name or -1."""
    Cells = tuple[Words, Starts]
    """Words of all cells, a position or -1, and where each cell begins."""

_BASIS = np.uint64(14695981039346656037)
_PRIME = np.uint64(1099511628211)


@njit(nogil=True, cache=True)
def _hash(text: Bytes, start: int, stop: int) -> int:
    """Hash bytes (FNV-1a, its high bits folded in)."""
    found = _BASIS
    for i in range(start, stop):
        found = (found ^ np.uint64(text[i])) * _PRIME
    return int((found ^ (found >> np.uint64(29))) & np.uint64(0x7FFFFFFF))


@njit(nogil=True, cache=True)
def _slot(table: Table, text: Bytes, start: int, stop: int) -> int:
    """Find the slot of a word: that of its name, else the free one where it would be."""
    blob, starts, slots = table
    last = len(slots) - 1
    slot = _hash(text, start, stop) & last
    while slots[slot] >= 0:
        name = slots[slot]
        begin = starts[name]
        if starts[name + 1] - begin == stop - start:
            i = 0
            while i < stop - start and blob[begin + i] == text[start + i]:
                i += 1
            if i == stop - start:
                break
        slot = (slot + 1) & last
    return int(slot)


@njit(nogil=True, cache=True)
def fill_table(table: Table) -> None:
    """Put every name in its slot; of equal names the last stays."""
    blob, starts, slots = table
    for name in range(len(starts) - 1):
        slots[_slot(table, blob, starts[name], starts[name + 1])] = name


@njit(nogil=True, cache=True)
def _is_delimiter(text: Bytes, at: int, stop: int, delimiter: Bytes) -> bool:
    if at + len(delimiter) > stop:
        return False
    for i in range(len(delimiter)):  # noqa: SIM110 (a loop is what numba compiles)
        if text[at + i] != delimiter[i]:
            return False
    return True


@njit(nogil=True, cache=True)
def count_words(text: Bytes, starts: Starts, delimiter: Bytes) -> Starts:
    """Say where the words of each text begin among the words of all."""
    offsets = np.zeros(len(starts), dtype=np.int64)
    for cell in range(len(starts) - 1):
        at, stop, n = starts[cell], starts[cell + 1], 1
        while at < stop:
            if text[at] == delimiter[0] and _is_delimiter(text, at, stop, delimiter):
                n += 1
                at += len(delimiter)
            else:
                at += 1
        offsets[cell + 1] = offsets[cell] + n
    return offsets


@njit(nogil=True, cache=True)
def look_up(table: Table, text: Bytes, starts: Starts, delimiter: Bytes, words: Words) -> None:  # noqa: PLR0917 (numba takes no keywords)
    """Find the name of each word, -1 where the table lacks it."""
    slots, n = table[2], 0
    for cell in range(len(starts) - 1):
        at, stop = starts[cell], starts[cell + 1]
        begin = at
        while True:
            is_end = at >= stop
            if is_end or (text[at] == delimiter[0] and _is_delimiter(text, at, stop, delimiter)):
                words[n] = slots[_slot(table, text, begin, at)]
                n += 1
                at += len(delimiter)
                begin = at
                if is_end:
                    break
            else:
                at += 1


@njit(nogil=True, cache=True)
def place_words(
    cells: Cells,
    n_names: int,
    is_mean: bool,  # noqa: FBT001 (numba takes no keywords)
) -> tuple[Words, NDArray[np.float64], Starts]:
    """Give the names of each cell, each once, by rising place: its first one, or their mean.

    Returns
    -------
    Names and places of all cells, and where each cell begins.
    """
    words, offsets = cells
    names = np.empty(len(words), dtype=np.int32)
    places = np.empty(len(words), dtype=np.float64)
    ends = np.zeros(len(offsets), dtype=np.int64)
    held = np.full(n_names, -1, dtype=np.int64)  # where a name of this cell stands in `names`
    n_of = np.zeros(n_names, dtype=np.int64)
    n = 0
    for cell in range(len(offsets) - 1):
        first = n
        for at in range(offsets[cell], offsets[cell + 1]):
            name = words[at]
            if name < 0:
                continue
            if held[name] < 0:
                held[name] = n
                names[n] = name
                places[n] = at - offsets[cell]
                n += 1
            elif is_mean:
                places[held[name]] += at - offsets[cell]
            n_of[name] += 1
        for i in range(first, n):
            if is_mean:
                places[i] /= n_of[names[i]]
            held[names[i]], n_of[names[i]] = -1, 0
        if is_mean:
            order = np.argsort(places[first:n], kind="mergesort")
            names[first:n] = names[first:n][order]
            places[first:n] = places[first:n][order]
        ends[cell + 1] = n
    return names[:n], places[:n], ends


@njit(nogil=True, cache=True)
def repair_words(cells: Cells, n_names: int) -> Cells:
    """Move each name that repeats to the mean of its places, rounded down, one after the other."""
    words, offsets = cells
    repaired = np.empty(len(words), dtype=np.int32)
    ends = np.zeros(len(offsets), dtype=np.int64)
    n_of = np.zeros(n_names, dtype=np.int32)
    for cell in range(len(offsets) - 1):
        start, stop = offsets[cell], offsets[cell + 1]
        line = repaired[ends[cell] : ends[cell] + stop - start]
        line[:] = words[start:stop]
        n = stop - start
        for name in words[start:stop]:
            if name >= 0:
                n_of[name] += 1
        for name in words[start:stop]:
            if name >= 0 and n_of[name] > 1:
                n = _merge(line, n, name)
            if name >= 0:
                n_of[name] = 0
        ends[cell + 1] = ends[cell] + n
    return repaired[: ends[-1]], ends


@njit(nogil=True, cache=True)
def _merge(line: Words, n: int, name: int) -> int:
    """Leave one of a name's mentions, at the mean of their places; give the words that stay."""
    total, n_kept = 0, 0
    for at in range(n):
        if line[at] == name:
            total += at
        else:
            line[n_kept] = line[at]
            n_kept += 1
    place = min(total // (n - n_kept), n_kept)  # past the words that stay is their end
    for at in range(n_kept, place, -1):
        line[at] = line[at - 1]
    line[place] = name
    return n_kept + 1


@njit(nogil=True, cache=True)
def last_places(cells: Cells, n_names: int) -> tuple[Words, Words, Starts]:
    """Give the names of each cell, rising, with the last place of each."""
    words, offsets = cells
    names = np.empty(len(words), dtype=np.int32)
    places = np.empty(len(words), dtype=np.int32)
    ends = np.zeros(len(offsets), dtype=np.int64)
    last = np.full(n_names, -1, dtype=np.int32)
    n = 0
    for cell in range(len(offsets) - 1):
        first = n
        for at in range(offsets[cell], offsets[cell + 1]):
            name = words[at]
            if name >= 0:
                if last[name] < 0:
                    names[n] = name
                    n += 1
                last[name] = at - offsets[cell]
        names[first:n].sort()
        for i in range(first, n):
            places[i] = last[names[i]]
            last[names[i]] = -1
        ends[cell + 1] = n
    return names[:n], places[:n], ends
