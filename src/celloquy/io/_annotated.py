"""A copy of a file with results added: obs columns, arrays of obsm, a record in uns."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from celloquy._runtime import atomic_path
from celloquy.errors import InputError
from celloquy.io._chunks import CellStream
from celloquy.io._read import read
from celloquy.io._write import os_errors_of_hdf5, write_h5ad

if TYPE_CHECKING:
    import os
    from collections.abc import Container, Iterable, Mapping

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Results:
    """What a verb found, to be put beside the cells it was found for."""

    obs: Mapping[str, pd.Series[Any]] = field(default_factory=dict)
    """Columns by name; shape ``(n_obs,)`` each, in the order of the cells."""
    obsm: Mapping[str, Iterable[NDArray[np.float32]]] = field(default_factory=dict)
    """Arrays by name, as blocks of rows that add up to ``(n_obs, d)``; read once."""
    uns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Records by key: what was done, with which options and versions."""


def refuse_taken(
    target: AnnData | CellStream, results: Mapping[str, Iterable[str]], *, overwrite: bool
) -> None:
    """Refuse to write over columns, arrays and records that exist, unless that was asked for.

    Parameters
    ----------
    target
        Where results shall go, or an open file that a copy of shall have them. Of an open
        file the records of ``uns`` are not known; :func:`write_annotated` looks at them.
    results
        Names by slot: ``{"obs": [...], "obsm": [...], "uns": [...]}``.
    overwrite
        Whether existing ones are replaced.

    Raises
    ------
    InputError
        If a name is taken and `overwrite` is false, or a file cannot hold a name.
    """
    for slot, names in results.items():
        held = _held(target, slot)
        for name in names:
            if isinstance(target, CellStream) and "/" in name:
                msg = f"No file of cells can hold `{slot}` {name!r}: '/' parts groups there."
                raise InputError(msg, hint="pass another `key_added` (`--key-added`).")
            if name in held and not overwrite:
                _refuse(slot, name)


def _held(target: AnnData | CellStream, slot: str) -> Container[str]:
    if isinstance(target, CellStream):
        return {"obs": target.obs_columns, "obsm": target.obsm_keys}.get(slot, ())
    held: Container[str] = getattr(target, slot)
    return held


def _refuse(slot: str, name: str) -> None:
    msg = f"`{slot}` has {name!r} already, and nothing is overwritten unasked."
    raise InputError(msg, hint="pass `overwrite=True` (`--overwrite`) or another `key_added`.")


def add_results(adata: AnnData, results: Results) -> None:
    """Put results into an AnnData in place.

    Parameters
    ----------
    adata
        The cells; columns, arrays and records of the same name are replaced.
    results
        What is put beside them, in the order of the cells.
    """
    for name, column in results.obs.items():
        adata.obs[name] = column.array
    for name, blocks in results.obsm.items():
        adata.obsm[name] = np.concatenate(list(blocks))
    for key, record in results.uns.items():
        adata.uns[key] = dict(record)


def write_annotated(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    results: Results,
    overwrite: bool = False,
) -> None:
    """Write a copy of a file of cells with results added.

    An ``.h5ad`` becomes an ``.h5ad`` without being read: the file is copied and the results
    are appended block by block, so memory does not depend on the number of cells. Other
    formats are read whole first.

    Parameters
    ----------
    source
        File or folder of cells, in any format that :func:`read` takes; not changed.
    out
        File to write: ``.h5ad`` or ``.zarr``.
    results
        What is added.
    overwrite
        Whether `out`, and columns, arrays and records of the same name, are replaced.

    Raises
    ------
    InputError
        If `out` exists, or a column, array or record of that name, and `overwrite` is false;
        or if the disk is full.
    """
    source, out = Path(source), Path(out)
    if source.suffix == out.suffix == ".h5ad" and _is_extendable(source):
        with atomic_path(out, overwrite=overwrite) as temporary:
            shutil.copyfile(source, temporary)
            with os_errors_of_hdf5(), h5py.File(temporary, "r+") as file:
                _append(file, results, overwrite=overwrite)
        return
    adata = read(source)
    named = {"obs": results.obs, "obsm": results.obsm, "uns": results.uns}
    refuse_taken(adata, named, overwrite=overwrite)
    add_results(adata, results)
    write_h5ad(adata, out, overwrite=overwrite)


def _is_extendable(path: Path) -> bool:
    """Say whether obs is a group of columns, as AnnData writes it since 0.7."""
    with h5py.File(path, "r") as file:
        return "column-order" in getattr(file.get("obs"), "attrs", {})


def _append(file: h5py.File, results: Results, *, overwrite: bool) -> None:
    from anndata.io import write_elem

    order = [_as_text(name) for name in file["obs"].attrs["column-order"]]
    for name, column in results.obs.items():
        _make_room(file, f"obs/{name}", overwrite=overwrite)
        # a numpy array, or pandas' categories: anndata cannot write `.array`'s wrapper of numpy
        write_elem(file["obs"], name, column.values)
        order = [*(n for n in order if n != name), name]
    # anndata's own reader takes variable-length text here, even of length zero
    file["obs"].attrs.create("column-order", order, dtype=h5py.string_dtype())
    for name, blocks in results.obsm.items():
        _make_room(file, f"obsm/{name}", overwrite=overwrite)
        _append_array(file.require_group("obsm"), name, blocks)
    for key, record in results.uns.items():
        _make_room(file, f"uns/{key}", overwrite=overwrite)
        write_elem(file.require_group("uns"), key, dict(record))
    for group in ("obsm", "uns"):
        if group in file and "encoding-type" not in file[group].attrs:
            file[group].attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})


def _make_room(file: h5py.File, place: str, *, overwrite: bool) -> None:
    if place in file:
        if not overwrite:
            slot, _, name = place.partition("/")
            _refuse(slot, name)
        del file[place]


def _append_array(group: h5py.Group, name: str, blocks: Iterable[NDArray[np.float32]]) -> None:
    array: h5py.Dataset | None = None
    for block in blocks:
        if array is None:
            array = group.create_dataset(
                name, data=block, maxshape=(None, block.shape[1]),
                chunks=(max(1, min(4_096, len(block))), block.shape[1]),
            )  # fmt: skip
            continue
        filled = array.shape[0]
        array.resize(filled + len(block), axis=0)
        array[filled:] = block
    if array is not None:
        array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def _as_text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
