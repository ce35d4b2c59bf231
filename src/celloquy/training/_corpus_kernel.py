"""The compiled part of corpora: which genes of which cells stand in an example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_A, _B, _C = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
ALL = np.uint64(2**64 - 1)
"""The share of genes under which every gene is seen."""


@njit(cache=True, nogil=True, inline="always")
def _mix(key: np.uint64) -> np.uint64:
    """Scramble a key, as :func:`celloquy.training._corpus_draw.mix` does."""
    key += _A
    key = (key ^ (key >> np.uint64(30))) * _B
    key = (key ^ (key >> np.uint64(27))) * _C
    return key ^ (key >> np.uint64(31))


@njit(cache=True, nogil=True)
def see_genes(  # noqa: PLR0917 (numba takes no keywords)
    cells: tuple[NDArray[np.int32], NDArray[np.int64]],
    which: NDArray[np.int64],
    limits: NDArray[np.int64],
    gene_keys: NDArray[np.uint64],
    dropout: tuple[NDArray[np.uint64], NDArray[np.uint64]],
    panels: tuple[NDArray[np.uint64], NDArray[np.uint64]],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Give the first genes of some cells that are seen.

    Parameters
    ----------
    cells
        Genes of all cells, most expressed first, and where each cell begins.
    which
        The cell of each example; shape ``(n,)``.
    limits
        The most genes of each example; shape ``(n,)``.
    gene_keys
        Key of each gene; shape ``(n_genes,)``.
    dropout, panels
        Key of each example, and the key under which its genes are seen; each of shape ``(n,)``.
        Of one panel, all examples have one key.

    Returns
    -------
    Genes of all examples, and where each begins.
    """
    genes, offsets = cells
    drop_keys, drop_below = dropout
    panel_keys, panel_below = panels
    n = len(which)
    most = np.int64(0)
    for i in range(n):
        most += min(limits[i], offsets[which[i] + 1] - offsets[which[i]])
    out = np.empty(most, dtype=np.int32)
    ends = np.zeros(n + 1, dtype=np.int64)
    at = np.int64(0)
    for i in range(n):
        stop = at + limits[i]
        sees_all = drop_below[i] == ALL
        has_all = panel_below[i] == ALL
        for j in range(offsets[which[i]], offsets[which[i] + 1]):
            if at == stop:
                break
            gene = genes[j]
            key = gene_keys[gene]
            if not has_all and _mix(panel_keys[i] ^ key) > panel_below[i]:
                continue
            if not sees_all and _mix(drop_keys[i] ^ key) > drop_below[i]:
                continue
            out[at] = gene
            at += 1
        ends[i + 1] = at
    return out[:at].copy(), ends
