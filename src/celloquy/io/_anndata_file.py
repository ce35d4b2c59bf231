"""Streams over h5ad and zarr files: the two containers share anndata's layout."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NoReturn

import h5py
import numpy as np
import pandas as pd

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.io._by_gene import rows_of_columns
from celloquy.io._frames import Frame
from celloquy.io._hdf5 import hdf5_array
from celloquy.io._rows import CsrRows, DenseRows, RowReader
from celloquy.io._stream import MatrixStream, Tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from celloquy.io._arrays import FlatArray
    from celloquy.io._types import Column, Node


class FileTables(Tables):
    """obs, var and obsm of a group laid out as anndata does."""

    def __init__(self, root: Node, *, var: Node, source: str) -> None:
        self._root, self._source = root, source
        uns = root.get("uns")
        self._obs = Frame(_part(root, "obs", source), uns=uns, where=f"`obs` of '{source}'")
        self._var = Frame(var, uns=uns, where=f"`var` of '{source}'")
        self.obs_columns = self._obs.columns
        obsm = root.get("obsm", {})
        self._obsm = {key: obsm[key] for key in obsm} if hasattr(obsm, "keys") else {}
        self.obsm_keys = tuple(
            key for key, node in self._obsm.items() if getattr(node, "ndim", 0) == 2
        )

    def obs_names(self) -> pd.Index:
        index = self._obs.index()
        if index is not None:
            return index
        warnings.warn(
            f"The cells of '{self._source}' have no names; they are numbered.", stacklevel=2
        )
        size = len(self._obs.column(self.obs_columns[0])) if self.obs_columns else 0
        return pd.RangeIndex(size).astype(str)

    def var(self) -> pd.DataFrame:
        table = self._var.to_pandas()
        if self._var.index() is None and len(table.columns):
            msg = f"The genes of '{self._source}' have no names: `var` does not say its index."
            columns = ", ".join(map(str, table.columns))
            raise InputError(msg, hint=f"set one with anndata; the columns are: {columns}.")
        return table

    def obs_column(self, name: str) -> Column:
        return self._obs.column(name)

    def obsm(self, key: str) -> NDArray[Any]:
        return np.asarray(self._obsm[key][...])


def stream_group(
    root: Node,
    *,
    source: str,
    format: str,
    layer: str | None,
    use_raw: bool,
    identity: dict[str, Any],
    on_close: Callable[[], None] | None,
) -> MatrixStream:
    """Stream one slot of a file's root group."""
    node, var, slot = _slot(root, source=source, layer=layer, use_raw=use_raw)
    tables = FileTables(root, var=var, source=source)
    rows = matrix_rows(node, where=f"{slot} of '{source}'")
    return MatrixStream(
        rows, tables, source=source, format=format, slot=slot, identity=identity, on_close=on_close
    )


def _part(root: Node, name: str, source: str) -> Column:
    if name not in root:
        found = ", ".join(root) or "nothing"
        msg = f"'{source}' has no `{name}`, so it is no AnnData file; it holds: {found}."
        raise InputError(msg, hint="pass an h5ad or zarr file that anndata has written.")
    return root[name]


def _slot(
    root: Node,
    *,
    source: str,
    layer: str | None,
    use_raw: bool,
) -> tuple[Node, Node, str]:
    """Find the matrix, the genes and the name of the slot that was asked for.

    Raises
    ------
    InputError
        If there is no such slot.
    """
    if use_raw:
        return _raw_slot(root, source)
    var = _part(root, "var", source)
    layers = list(root["layers"]) if "layers" in root else []
    if layer is not None:
        if layer not in layers:
            refuse_layer(layer, layers, source)
        return root["layers"][layer], var, f"layers[{layer!r}]"
    if "X" not in root or _is_empty(root["X"]):
        msg = f"'{source}' has no X."
        others = [f"layer={name!r}" for name in layers] + ["use_raw=True"] * ("raw" in root)
        hint = f"choose another slot: {' or '.join(others)}." if others else "pass a file with X."
        raise InputError(msg, hint=hint)
    return root["X"], var, "X"


def _raw_slot(root: Node, source: str) -> tuple[Node, Node, str]:
    if "raw" in root and not _is_empty(root["raw"]):
        return _part(root["raw"], "X", source), _part(root["raw"], "var", source), "raw.X"
    if "raw.X" in root:  # anndata before 0.7
        return root["raw.X"], _part(root, "raw.var", source), "raw.X"
    return refuse_raw(source)


def refuse_raw(source: str) -> NoReturn:
    """Say that there is no `raw`.

    Raises
    ------
    InputError
        Always.
    """
    msg = f"'{source}' has no `raw`."
    raise InputError(msg, hint="leave `use_raw` (`--raw`) out to read X, or name a layer.")


def refuse_layer(layer: str, layers: list[str], source: str) -> NoReturn:
    """Say that there is no such layer, and which there are.

    Raises
    ------
    InputError
        Always.
    """
    msg = f"'{source}' has no layer {layer!r}{closest(layer, layers)}."
    known = f"its layers are: {', '.join(layers)}." if layers else "it has no layers; read X."
    raise InputError(msg, hint=known)


def _is_empty(node: Node) -> bool:
    return node.attrs.get("encoding-type") == "null" or getattr(node, "shape", ()) is None


def matrix_rows(node: Node, *, where: str) -> RowReader:
    """Make the row reader of a stored matrix: a 2-D dataset, or a CSR or CSC group.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if hasattr(node, "shape") and not hasattr(node, "keys"):
        if len(node.shape) != 2:
            msg = f"{where} is no matrix: its shape is {tuple(node.shape)}."
            raise InputError(msg, hint="choose another slot, for example `layer='counts'`.")
        return DenseRows(node, where=where)
    missing = [name for name in ("data", "indices", "indptr") if name not in node]
    if missing:
        msg = f"{where} is no matrix: it lacks {', '.join(missing)}."
        raise InputError(msg, hint="choose another slot, for example `layer='counts'`.")
    shape, by_row = _sparse_shape(node, where)
    arrays = [flat(node[name], where=where) for name in ("indptr", "indices", "data")]
    if by_row:
        return CsrRows(*arrays, shape=shape, where=where)
    return rows_of_columns(*arrays, shape=shape, where=where)


def flat(array: Node, *, where: str) -> FlatArray:
    """Choose the fastest reader of a stored one-dimensional array."""
    if isinstance(array, h5py.Dataset):
        return hdf5_array(array, where=where)
    from celloquy.io._zarr_arrays import zarr_array  # zarr takes long to import

    return zarr_array(array, where=where)


def _sparse_shape(node: Node, where: str) -> tuple[tuple[int, int], bool]:
    """Read shape and orientation from the attributes that anndata of any age writes.

    Raises
    ------
    InputError
        If there is no shape.
    """
    attrs = node.attrs
    shape = attrs.get("shape", attrs.get("h5sparse_shape"))
    form = str(attrs.get("encoding-type", attrs.get("h5sparse_format", "")))
    if isinstance(attrs.get("h5sparse_format"), bytes):
        form = attrs["h5sparse_format"].decode()
    if shape is None:
        msg = f"{where} does not say its shape."
        raise InputError(msg, hint="write the file again with anndata.")
    n_obs, n_vars = (int(side) for side in shape)
    if not form.startswith(("csr", "csc")):
        form = "csr" if node["indptr"].shape[0] == n_obs + 1 else "csc"
    return (n_obs, n_vars), form.startswith("csr")
