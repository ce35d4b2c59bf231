"""The compiled part of varied cells: molecules left out by chance, and noise, before ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from celloquy.training._corpus_kernel import _A, ALL, _mix

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NOISE = np.uint64(0xD1B54A32D192ED03)
_STEP = 2.0**-53
_LOW = np.uint64(2**32 - 1)
_AT_ONCE = 500
"""Examples whose genes are held at once."""


@njit(cache=True, nogil=True, inline="always")
def _share(key: np.uint64) -> float:
    """Give the number from 0 to 1 (excluded) that a key stands for."""
    return np.float64(key >> np.uint64(11)) * _STEP


@njit(cache=True, nogil=True)
def thin(count: float, kept: float, key: np.uint64) -> float:
    """Draw how many of some molecules are kept, each with one chance.

    Parameters
    ----------
    count
        Molecules.
    kept
        Chance of each.
    key
        Key of the draw.
    """
    if kept >= 1.0:
        return count
    n = 0
    for _ in range(int(count + 0.5)):
        key += _A
        n += _share(_mix(key)) < kept
    return float(n)


@njit(cache=True, nogil=True)
def _normal(key: np.uint64) -> float:
    """Draw a standard normal number (Box and Muller, 1958)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - _share(_mix(key ^ _NOISE))))
    drawn: float = radius * np.cos(2.0 * np.pi * _share(_mix(key + _NOISE)))
    return drawn


@njit(cache=True, nogil=True)
def _weigh(  # noqa: PLR0917 (numba takes no keywords)
    cells: tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]],
    which: NDArray[np.int64],
    genes: tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.int32]],
    seen: tuple[tuple[NDArray[np.uint64], NDArray[np.uint64]], ...],
    varied: tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Give numbers that sort the genes of each example: falling value over median, then place."""
    flat, offsets, values = cells
    gene_keys, medians, place = genes
    (drop_keys, drop_below), (panel_keys, panel_below) = seen
    keys, kept, noise = varied
    n = len(which)
    most = np.int64(0)
    for i in range(n):
        most += offsets[which[i] + 1] - offsets[which[i]]
    out = np.empty(most, dtype=np.uint64)
    ends = np.zeros(n + 1, dtype=np.int64)
    score = np.empty(1, dtype=np.float32)
    bits = score.view(np.uint32)
    at = np.int64(0)
    for i in range(n):
        for j in range(offsets[which[i]], offsets[which[i] + 1]):
            gene = flat[j]
            key = gene_keys[gene]
            if panel_below[i] != ALL and _mix(panel_keys[i] ^ key) > panel_below[i]:
                continue
            if drop_below[i] != ALL and _mix(drop_keys[i] ^ key) > drop_below[i]:
                continue
            own = _mix(keys[i] ^ key)
            value = thin(values[j], kept[i], own)
            if value <= 0.0:
                continue
            value /= medians[gene]
            if noise[i] > 0.0:
                value *= np.exp(noise[i] * _normal(own))
            score[0] = value
            # Bits of positive floats rise with them; the low half puts equals in their order.
            falling = _LOW - np.uint64(bits[0])
            out[at] = (falling << np.uint64(32)) | np.uint64(place[gene])
            at += 1
        ends[i + 1] = at
    return out[:at], ends


def vary_genes(
    cells: tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]],
    which: NDArray[np.int64],
    *,
    limits: NDArray[np.int64],
    genes: tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.int32]],
    seen: tuple[tuple[NDArray[np.uint64], NDArray[np.uint64]], ...],
    varied: tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Rank the genes of varied cells, and give the first of each.

    What is ranked is value over median, in single precision; ties go by the gene's place.

    Parameters
    ----------
    cells
        Genes of all cells, where each cell begins, and the values of the genes.
    which
        The cell of each example; shape ``(n,)``.
    limits
        The most genes of each example; shape ``(n,)``.
    genes
        Key, median and place among equals of each gene; each of shape ``(n_genes,)``.
    seen
        Keys of the examples and the key under which genes are seen, once for dropout and once
        for panels; each of shape ``(n,)``.
    varied
        Key of each example, share of its molecules that is kept (1 for all), and standard
        deviation of its noise (0 for none); each of shape ``(n,)``.

    Returns
    -------
    Genes of all examples, and where each begins.
    """
    gene_at = np.empty(len(genes[2]), dtype=np.int32)
    gene_at[genes[2]] = np.arange(len(gene_at))
    first: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
    for start in range(0, len(which), _AT_ONCE):
        here = slice(start, start + _AT_ONCE)
        order, ends = _weigh(
            cells,
            which[here],
            genes,
            tuple((keys[here], below[here]) for keys, below in seen),
            (varied[0][here], varied[1][here], varied[2][here]),
        )
        # NumPy's own sort: compiled into the kernel, one took half a minute to compile.
        first += [
            np.sort(order[a:b])[:most].copy()
            for a, b, most in zip(ends[:-1], ends[1:], limits[here], strict=True)
        ]
    offsets = np.cumsum([len(one) for one in first]).astype(np.int64)
    return gene_at[(np.concatenate(first) & _LOW).astype(np.int64)], offsets
