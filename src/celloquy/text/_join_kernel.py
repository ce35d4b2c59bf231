"""The compiled part of rendering: names copied end to end as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba import njit
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Cells = tuple[NDArray[np.int32], NDArray[np.int64]]
    """Genes of all cells, and where each cell begins."""
    Blob = tuple[NDArray[np.uint8], NDArray[np.int64]]
    """Texts as one row of bytes, and where each begins."""
    Names = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]
    """Names, each with the delimiter before it; the same in slots; where each begins."""
    Around = tuple[
        NDArray[np.uint8],
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.uint8],
        NDArray[np.int64],
        NDArray[np.int64],
    ]
    """Heads as bytes, where each begins, and which one each cell takes; the same of tails."""
    Lowering = tuple[Any, Callable[..., Any]]

STRIDE = 16
"""Bytes copied at once: two machine words, more than most names with their delimiter.

A name's slot is as long. Its last byte holds the name's length, so that one load from one
cache line tells all; 0 stands for a name that does not fit.
"""
_types: Any = numba.types
_WORDS = _types.UniTuple(_types.uint64, STRIDE // 8)

# A loop over 16 bytes is not made one machine instruction, since the arrays might overlap;
# so a load and a store of `STRIDE` bytes, wherever they lie, are spelled out.


def _load_words(typing: object, array: Any, at: Any) -> Lowering:  # noqa: ANN401 (numba's own types)
    del typing

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 (llvmlite has no types)
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        words = context.get_value_type(_WORDS).as_pointer()
        loaded = builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), words))
        loaded.align = 1
        return loaded

    return _WORDS(array, at), generate


def _store_words(typing: object, array: Any, at: Any, value: Any) -> Lowering:  # noqa: ANN401 (numba's own types)
    del typing

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 (llvmlite has no types)
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        words = context.get_value_type(_WORDS).as_pointer()
        place = builder.bitcast(builder.gep(data, [arguments[1]]), words)
        builder.store(arguments[2], place).align = 1
        return context.get_dummy_value()

    return _types.none(array, at, value), generate


_load: Any = intrinsic(_load_words)
_store: Any = intrinsic(_store_words)


@njit(nogil=True, cache=True)
def measure_cells(
    cells: Cells, sizes: NDArray[np.int32], marks: tuple[int, int], lengths: NDArray[np.int64]
) -> None:
    """Count the bytes of each cell's joined names.

    `sizes` holds the length of each name with its delimiter, `marks` the lengths of the
    delimiter and of the last one.
    """
    genes, offsets = cells
    delimiter, last = marks
    for cell in range(len(lengths)):
        start, stop = offsets[cell], offsets[cell + 1]
        total = np.int64(0)
        for i in range(start, stop):
            total += sizes[np.uint32(genes[i])]  # unsigned: a sign would be looked at
        if stop > start:
            total -= delimiter
        if stop > start + 1:
            total += last - delimiter
        lengths[cell] = total


@njit(nogil=True, cache=True)
def _copy(
    text: NDArray[np.uint8], at: int, source: NDArray[np.uint8], part: tuple[int, int]
) -> int:
    for j in range(part[0], part[1]):
        text[at] = source[j]
        at += 1
    return at


@njit(nogil=True, cache=True)
def write_cells(
    cells: Cells,
    names: tuple[Names, tuple[int, NDArray[np.uint8]]],
    around: Around,
    out: Blob,
) -> None:
    """Write each cell: its words before, its names joined, its words after.

    A slot is copied whole as long as the cell's own bytes reach that far; what follows
    writes over what is not the name. So no cell writes outside its own bytes, and cells
    may be written by several threads at once.
    """
    genes, offsets = cells
    (blob, slots, ends), (delimiter, last) = names
    heads, head_ends, head_of, tails, tail_ends, tail_of = around
    text, text_ends = out
    for cell in range(len(offsets) - 1):
        end = text_ends[cell + 1]
        head, tail = head_of[cell], tail_of[cell]
        at = _copy(text, text_ends[cell], heads, (head_ends[head], head_ends[head + 1]))
        start, stop = offsets[cell], offsets[cell + 1]
        if stop > start:
            gene = genes[start]
            at = _copy(text, at, blob, (ends[gene] + delimiter, ends[gene + 1]))
        for i in range(start + 1, stop - 1):
            gene = genes[i]
            slot = _load(slots, np.int64(gene) * STRIDE)
            length = np.int64(slot[STRIDE // 8 - 1] >> np.uint64(56))
            if length and at + STRIDE <= end:
                _store(text, at, slot)
                at += int(length)
            else:
                at = _copy(text, at, blob, (ends[gene], ends[gene + 1]))
        if stop > start + 1:
            gene = genes[stop - 1]
            at = _copy(text, at, last, (0, len(last)))
            at = _copy(text, at, blob, (ends[gene] + delimiter, ends[gene + 1]))
        _copy(text, at, tails, (tail_ends[tail], tail_ends[tail + 1]))
