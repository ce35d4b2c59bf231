"""The compiled part of gene tables: token ids of ranked cells, put end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numba import njit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Cells = tuple[NDArray[np.int32], NDArray[np.int64]]
    """Genes of all cells, and where each cell begins."""
    Ids = tuple[NDArray[np.int32], NDArray[np.int64]]
    """Token ids of many texts end to end, and where each begins."""
    Genes = tuple[Ids, Ids, Ids, Ids]
    """Ids of each gene alone, first of several, between two others, and last of several."""
    Around = tuple[Ids, NDArray[np.int64], Ids, NDArray[np.int64]]
    """Ids of all heads, the head of each cell; the same of tails."""


@njit(nogil=True, cache=True)
def _size(table: Ids, row: int) -> int:
    size: int = table[1][row + 1] - table[1][row]
    return size


@njit(nogil=True, cache=True)
def measure_tokens(cells: Cells, genes: Genes, around: Around, lengths: NDArray[np.int64]) -> None:
    """Count each cell's tokens, heads and tails included."""
    ids, offsets = cells
    alone, first, middle, last = genes
    heads, head_of, tails, tail_of = around
    for cell in range(len(lengths)):
        start, stop = offsets[cell], offsets[cell + 1]
        total = _size(heads, head_of[cell]) + _size(tails, tail_of[cell])
        if stop - start == 1:
            total += _size(alone, ids[start])
        elif stop > start:
            total += _size(first, ids[start]) + _size(last, ids[stop - 1])
            for i in range(start + 1, stop - 1):
                total += _size(middle, ids[i])
        lengths[cell] = total


@njit(nogil=True, cache=True)
def _copy(out: NDArray[np.int32], at: int, table: Ids, row: int) -> int:
    for j in range(table[1][row], table[1][row + 1]):
        out[at] = table[0][j]
        at += 1
    return at


@njit(nogil=True, cache=True)
def write_tokens(cells: Cells, genes: Genes, around: Around, out: Ids) -> None:
    """Write each cell's tokens: head, genes, tail."""
    ids, offsets = cells
    alone, first, middle, last = genes
    heads, head_of, tails, tail_of = around
    for cell in range(len(offsets) - 1):
        start, stop = offsets[cell], offsets[cell + 1]
        at = _copy(out[0], out[1][cell], heads, head_of[cell])
        if stop - start == 1:
            at = _copy(out[0], at, alone, ids[start])
        elif stop > start:
            at = _copy(out[0], at, first, ids[start])
            for i in range(start + 1, stop - 1):
                at = _copy(out[0], at, middle, ids[i])
            at = _copy(out[0], at, last, ids[stop - 1])
        _copy(out[0], at, tails, tail_of[cell])


@njit(nogil=True, cache=True)
def count_fitting(cells: Cells, genes: Genes, around: Around, fit: NDArray[np.int64]) -> None:
    """Find the most genes of each cell that fit: `fit` comes in as the limit of tokens."""
    ids, offsets = cells
    alone, first, middle, last = genes
    heads, head_of, tails, tail_of = around
    for cell in range(len(fit)):
        start, stop = offsets[cell], offsets[cell + 1]
        room = fit[cell] - _size(heads, head_of[cell]) - _size(tails, tail_of[cell])
        kept = 0
        if stop > start and _size(alone, ids[start]) <= room:
            kept = 1
        if stop > start:
            room -= _size(first, ids[start])
        for i in range(start + 1, stop):
            if _size(last, ids[i]) <= room:
                kept = i - start + 1
            room -= _size(middle, ids[i])
            if room < 0:
                break
        fit[cell] = kept
