"""Streams over an AnnData: in memory without a copy, or backed by its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.io._anndata_file import matrix_rows, refuse_layer, refuse_raw
from celloquy.io._arrays import MemoryArray
from celloquy.io._rows import (
    CsrRows,
    DenseRows,
    RowBlock,
    RowReader,
    Scratch,
    canonical,
    dense_block,
    is_sparse,
    plain_dtype,
)
from celloquy.io._stream import MatrixStream, Tables

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.io._types import Column, Matrix

NAME = "AnnData"
"""What an object without a file is called in messages."""


class MemoryTables(Tables):
    """The tables of an AnnData."""

    def __init__(self, adata: AnnData, *, use_raw: bool) -> None:
        self._adata, self._use_raw = adata, use_raw
        self.obs_columns = tuple(map(str, adata.obs.columns))
        self.obsm_keys = tuple(map(str, adata.obsm.keys()))

    def obs_names(self) -> pd.Index:
        names: pd.Index = self._adata.obs_names
        return names

    def var(self) -> pd.DataFrame:
        var: pd.DataFrame = self._adata.raw.var if self._use_raw else self._adata.var
        return var

    def obs_column(self, name: str) -> Column:
        return self._adata.obs[name].array

    def obsm(self, key: str) -> NDArray[Any]:
        found: Matrix = self._adata.obsm[key]
        return np.asarray(found.toarray() if is_sparse(found) else found)


class ViewRows(RowReader):
    """Rows of a view in memory, taken piece by piece."""

    def __init__(self, adata: AnnData, *, layer: str | None, use_raw: bool, where: str) -> None:
        self._adata, self._layer, self._use_raw = adata, layer, use_raw
        self._where = where
        n_vars = adata.raw.n_vars if use_raw else adata.n_vars
        self.shape = adata.n_obs, n_vars
        self.prefetch = False

    def read(self, start: int, stop: int, scratch: Scratch) -> RowBlock:
        piece = self._adata[start:stop]
        matrix = _matrix(piece, layer=self._layer, use_raw=self._use_raw)
        dtype = plain_dtype(matrix.dtype, where=self._where)
        if not is_sparse(matrix):
            return dense_block(np.asarray(matrix).astype(dtype, copy=False))
        csr = matrix.tocsr()
        block = RowBlock(
            csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data.astype(dtype)
        )
        return canonical(block, self.shape[1], self._where)


def stream_adata(adata: AnnData, *, layer: str | None, use_raw: bool) -> MatrixStream:
    """Stream one slot of an AnnData; an in-memory CSR matrix is not copied.

    Raises
    ------
    InputError
        If it is a view of a backed object, which anndata cannot read piece by piece.
    """
    source = adata.filename.name if adata.isbacked and adata.filename else NAME
    slot = _checked_slot(adata, layer=layer, use_raw=use_raw, source=source)
    where = f"{slot} of '{source}'"
    if adata.is_view and adata.isbacked:
        msg = f"This is a view of '{source}', which is backed by its file."
        raise InputError(msg, hint="read it first: `adata.to_memory()`.")
    if adata.is_view:
        rows: RowReader = ViewRows(adata, layer=layer, use_raw=use_raw, where=where)
    else:
        rows = _rows(_matrix(adata, layer=layer, use_raw=use_raw), where=where)
    tables = MemoryTables(adata, use_raw=use_raw)
    return MatrixStream(rows, tables, source=source, format="memory", slot=slot)


def _checked_slot(adata: AnnData, *, layer: str | None, use_raw: bool, source: str) -> str:
    if use_raw:
        if adata.raw is None:
            refuse_raw(source)
        return "raw.X"
    if layer is not None:
        if layer not in adata.layers:
            refuse_layer(layer, list(adata.layers.keys()), source)
        return f"layers[{layer!r}]"
    if adata.X is None:
        layers = [f"layer={name!r}" for name in adata.layers]
        others = layers + ["use_raw=True"] * (adata.raw is not None)
        msg = f"'{source}' has no X."
        hint = f"choose another slot: {' or '.join(others)}." if others else "set `adata.X`."
        raise InputError(msg, hint=hint)
    return "X"


def _matrix(adata: AnnData, *, layer: str | None, use_raw: bool) -> Matrix:
    if use_raw:
        return adata.raw.X
    return adata.X if layer is None else adata.layers[layer]


def _rows(matrix: Matrix, *, where: str) -> RowReader:
    """Make the row reader of whatever AnnData holds a matrix in.

    Raises
    ------
    InputError
        If the matrix is lazy.
    """
    if hasattr(matrix, "group"):  # a sparse matrix in the file of a backed object
        return matrix_rows(matrix.group, where=where)
    if is_sparse(matrix):
        csr = matrix.tocsr()
        arrays = [MemoryArray(array) for array in (csr.indptr, csr.indices, csr.data)]
        return CsrRows(*arrays, shape=csr.shape, where=where)
    if hasattr(matrix, "compute"):
        msg = f"{where} is a lazy array ({type(matrix).__name__})."
        raise InputError(msg, hint="call `adata.to_memory()` first, or pass the file's path.")
    if hasattr(matrix, "chunks"):  # a dense dataset in the file of a backed object
        return DenseRows(matrix, where=where)
    return DenseRows(np.asarray(matrix), where=where)
