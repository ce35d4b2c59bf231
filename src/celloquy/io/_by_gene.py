"""Matrices stored by gene (CSC): brought into row order once, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.io._rows import CsrRows, plain_dtype
from celloquy.io._spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from celloquy.io._arrays import FlatArray

SPAN = 2**20
"""Entries read at once."""


def rows_of_columns(
    indptr: FlatArray,
    indices: FlatArray,
    data: FlatArray,
    *,
    shape: tuple[int, int],
    where: str,
) -> CsrRows:
    """Give the rows of a CSC matrix of shape `shape` (cells, genes).

    Raises
    ------
    InputError
        If its three arrays do not fit together.
    """
    borders = indptr.read(0, indptr.size, None).astype(np.int64)
    is_whole = len(borders) == shape[1] + 1 and indices.size == data.size
    if not is_whole or borders[0] != 0 or borders[-1] != data.size or (np.diff(borders) < 0).any():
        msg = f"{where} is damaged: its {len(borders):,} borders do not fit {shape[1]:,} genes."
        raise InputError(msg, hint="copy the file again from where it came from.")
    spool = Spool(n_vars=shape[1], dtype=plain_dtype(data.dtype, where=where), where=where)
    spool.append_entries(_entries(borders, indices, data), n_obs=shape[0], n_entries=data.size)
    return spool.finish()


def _entries(
    borders: NDArray[np.int64], indices: FlatArray, data: FlatArray
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Give entries (cell, gene, value), a span at a time."""
    for start in range(0, data.size, SPAN):
        stop = min(start + SPAN, data.size)
        first = int(np.searchsorted(borders, start, side="right")) - 1
        last = int(np.searchsorted(borders, stop, side="left"))
        counts = np.diff(borders[first : last + 1].clip(start, stop))
        genes = np.repeat(np.arange(first, last, dtype=np.int32), counts)
        yield indices.read(start, stop, None), genes, data.read(start, stop, None)
