"""HDF5 files by what is in them: h5ad, 10x and loom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.io._anndata_file import refuse_layer, refuse_raw, stream_group
from celloquy.io._features import kept_features
from celloquy.io._frames import values_of
from celloquy.io._hdf5 import hdf5_array
from celloquy.io._rows import ColumnRows, CsrRows, DenseRows
from celloquy.io._stream import MatrixStream
from celloquy.io._tables import FrameTables, identity_of

if TYPE_CHECKING:
    from pathlib import Path

    from celloquy.io._types import Node

GENE_ATTRIBUTES = ("Gene", "var_names", "gene_names", "GeneName", "gene", "Accession")
CELL_ATTRIBUTES = ("CellID", "obs_names", "cell_names", "CellId", "barcode")
"""Names that loom's writers give to the attribute that names genes and cells."""


def stream_hdf5(path: Path, *, layer: str | None, use_raw: bool) -> MatrixStream:
    """Stream an HDF5 file; its content, not its ending, says what it is.

    Raises
    ------
    InputError
        If it cannot be opened or is none of the known layouts.
    """
    file = open_hdf5(path)
    try:
        if _is_loom(file):
            return _stream_loom(file, path, layer=layer, use_raw=use_raw)
        if _tenx_groups(file):
            _one_matrix(path.name, layer=layer, use_raw=use_raw)
            return _stream_tenx(file, path)
        return stream_group(
            file,
            source=path.name,
            format="h5ad",
            layer=layer,
            use_raw=use_raw,
            identity=identity_of(path),
            on_close=file.close,
        )
    except BaseException:
        file.close()
        raise


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading, also where locks are not supported.

    Raises
    ------
    InputError
        If it is empty, cut off, or no HDF5 file.
    """
    try:
        return h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        size = path.stat().st_size
        if not h5py.is_hdf5(path):
            with path.open("rb") as file:
                begin = file.read(8)
            msg = f"'{path.name}' is no HDF5 file: its {size:,} bytes begin with {begin!r}."
            hint = "check what the file is (a failed download is often a web page)."
            raise InputError(msg, hint=hint) from error
        msg = f"'{path.name}' is cut off or damaged: {error}"
        raise InputError(msg, hint="copy the file again from where it came from.") from error


def _one_matrix(source: str, *, layer: str | None, use_raw: bool) -> None:
    if use_raw:
        refuse_raw(source)
    if layer is not None:
        refuse_layer(layer, [], source)


def _tenx_groups(file: Node) -> list[str]:
    """Name the groups laid out as Cell Ranger's: ``matrix``, or one a genome before version 3."""
    return [
        name
        for name in file
        if isinstance(file[name], h5py.Group)
        and {"barcodes", "data", "indices", "indptr", "shape"} <= set(file[name])
    ]


def _stream_tenx(file: Node, path: Path) -> MatrixStream:
    """Stream the matrix of Cell Ranger's file: genes by cells in CSC is cells by genes in CSR.

    Raises
    ------
    InputError
        If there are several genomes.
    """
    groups = _tenx_groups(file)
    if len(groups) > 1:
        msg = f"'{path.name}' holds {len(groups)} genomes: {', '.join(groups)}."
        hint = f"write one with scanpy: `sc.read_10x_h5(..., genome='{groups[0]}')` to an h5ad."
        raise InputError(msg, hint=hint)
    group = file[groups[0]]
    where = f"matrix of '{path.name}'"
    n_vars, n_obs = (int(side) for side in group["shape"][...])
    arrays = [hdf5_array(group[name], where=where) for name in ("indptr", "indices", "data")]
    rows = CsrRows(*arrays, shape=(n_obs, n_vars), where=where)
    var, kept, notes = kept_features(_tenx_var(group), source=path.name)
    obs = pd.DataFrame(index=pd.Index(values_of(group["barcodes"])))
    stream = MatrixStream(
        rows if kept.all() else ColumnRows(rows, kept),
        FrameTables(obs, var),
        source=path.name,
        format="10x h5",
        identity=identity_of(path),
        on_close=file.close,
    )
    stream.notes = notes
    return stream


def _tenx_var(group: Node) -> pd.DataFrame:
    if "features" in group:
        features = group["features"]
        columns = {"gene_ids": "id", "feature_types": "feature_type", "genome": "genome"}
        held = {new: values_of(features[old]) for new, old in columns.items() if old in features}
        return pd.DataFrame(held, index=pd.Index(values_of(features["name"])))
    ids, names = values_of(group["genes"]), values_of(group["gene_names"])
    return pd.DataFrame({"gene_ids": ids}, index=pd.Index(names))


def _is_loom(file: Node) -> bool:
    return isinstance(file.get("matrix"), h5py.Dataset) and "row_attrs" in file


def _stream_loom(file: Node, path: Path, *, layer: str | None, use_raw: bool) -> MatrixStream:
    if use_raw:
        refuse_raw(path.name)
    layers = list(file.get("layers", {}))
    if layer is not None and layer not in layers:
        refuse_layer(layer, layers, path.name)
    slot = "X" if layer is None else f"layers[{layer!r}]"
    matrix = file["matrix"] if layer is None else file["layers"][layer]
    rows = DenseRows(matrix, is_transposed=True, where=f"{slot} of '{path.name}'")
    obs = _attributes(file.get("col_attrs", {}), CELL_ATTRIBUTES, rows.shape[0], path.name)
    var = _attributes(file["row_attrs"], GENE_ATTRIBUTES, rows.shape[1], path.name)
    return MatrixStream(
        rows,
        FrameTables(obs, var),
        source=path.name,
        format="loom",
        slot=slot,
        identity=identity_of(path),
        on_close=file.close,
    )


def _attributes(group: Node, index_names: tuple[str, ...], size: int, source: str) -> pd.DataFrame:
    """Read the one-dimensional attributes of loom's cells or genes.

    Raises
    ------
    InputError
        If none names the genes.
    """
    columns = {name: values_of(group[name]) for name in group if np.ndim(group[name]) == 1}
    found = next((name for name in index_names if name in columns), None)
    if found is None and index_names is GENE_ATTRIBUTES:
        msg = f"The genes of '{source}' have no names; its row attributes are: {', '.join(group)}."
        raise InputError(msg, hint="add a row attribute 'Gene'.")
    index = None if found is None else pd.Index(columns.pop(found))
    frame = pd.DataFrame(columns, index=index)
    if found is None:
        frame = frame.reindex(pd.RangeIndex(size)).set_axis(pd.RangeIndex(size).astype(str))
    return frame
