"""One door for every source: find out what it is, and open its stream."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.io._anndata_file import refuse_layer, refuse_raw
from celloquy.io._memory import stream_adata

if TYPE_CHECKING:
    from anndata import AnnData

    from celloquy.io._chunks import CellStream
    from celloquy.io._stream import MatrixStream

HDF5_ENDINGS = (".h5ad", ".h5", ".hdf5", ".loom")
TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
MTX_ENDINGS = (".mtx", ".mtx.gz")
READABLE = ".h5ad, .zarr, .h5 (10x), .loom, .csv, .tsv, .csv.gz, .tsv.gz or a 10x folder"
CONVERSIONS = {
    ".rds": "zellkonverter::writeH5AD(Seurat::as.SingleCellExperiment(readRDS({old})), {new})",
    ".rda": "load({old}) # then zellkonverter::writeH5AD(<the object it made>, {new})",
    ".rdata": "load({old}) # then zellkonverter::writeH5AD(<the object it made>, {new})",
    ".h5seurat": 'SeuratDisk::Convert({old}, dest = "h5ad")',
    ".h5mu": "python -c 'import mudata; mudata.read({old}).mod[\"rna\"].write({new})'",
}
"""The one line that turns a file of another kind into an h5ad."""


def open_stream(
    source: AnnData | str | os.PathLike[str],
    *,
    layer: str | None = None,
    use_raw: bool = False,
    transpose: bool = False,
) -> CellStream:
    """Open cells as a stream of row chunks, in memory bounded by the chunk.

    Nothing is guessed: the slot is X unless `layer` or `use_raw` says another. Sources that
    cannot be read by cell as they are stored (text, matrices stored by gene) are read once
    and kept as CSR, in memory while small and in a temporary file beyond 128 MiB.

    Parameters
    ----------
    source
        An AnnData (in memory, view or backed; not changed, not copied), or the path of an
        ``.h5ad``, ``.zarr``, 10x ``.h5``, ``.loom``, ``.csv`` or ``.tsv`` (``.gz``) file or of
        a 10x folder with ``matrix.mtx``. Text tables have cells in lines.
    layer
        Name of the layer to read; `None` reads X.
    use_raw
        Whether to read ``raw.X`` and name genes by ``raw.var``.
    transpose
        For text tables only: whether genes stand in lines and cells in columns.

    Returns
    -------
    The stream, a context manager. Values keep their dtype, except that booleans come as
    uint8, float16 as float32, and text tables as float32 where that is exact, else float64.

    Raises
    ------
    InputError
        If there is no such file or slot, or the file is empty, cut off, damaged, or of a
        kind that is not read.

    Examples
    --------
    >>> import anndata as ad
    >>> import numpy as np
    >>> with open_stream(ad.AnnData(np.array([[0.0, 2.0], [1.0, 0.0]]))) as stream:
    ...     [chunk.indices.tolist() for chunk in stream.chunks(1)]
    [[1], [0]]
    """
    if layer is not None and use_raw:
        msg = f"`layer={layer!r}` and `use_raw=True` name two slots, and one is read."
        raise InputError(msg, hint="leave one of them out.")
    if not isinstance(source, (str, os.PathLike)):
        if not hasattr(source, "obs_names"):
            msg = f"Cells come as an AnnData or a path; got {_article(type(source).__name__)}."
            raise InputError(msg, hint="make an AnnData: `anndata.AnnData(matrix, obs, var)`.")
        _refuse_transpose(AnnData=transpose)
        return stream_adata(source, layer=layer, use_raw=use_raw)
    path = Path(source)
    refuse_unreadable(path)
    ending = _ending(path)
    if ending in TABLE_ENDINGS:
        from celloquy.io._text_table import stream_table

        _refuse_slot(path, layer=layer, use_raw=use_raw)
        return stream_table(path, transpose=transpose)
    _refuse_transpose(**{path.name: transpose})
    return _stream_file(path, ending, layer=layer, use_raw=use_raw)


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiouAEIOU' else 'a'} {word}"


def _stream_file(path: Path, ending: str, *, layer: str | None, use_raw: bool) -> MatrixStream:
    if path.is_dir():
        return _stream_folder(path, layer=layer, use_raw=use_raw)
    if ending in MTX_ENDINGS:
        from celloquy.io._mtx import stream_mtx

        _refuse_slot(path, layer=layer, use_raw=use_raw)
        return stream_mtx(path)
    from celloquy.io._hdf5_file import stream_hdf5

    return stream_hdf5(path, layer=layer, use_raw=use_raw)


def _stream_folder(path: Path, *, layer: str | None, use_raw: bool) -> MatrixStream:
    from celloquy.io._mtx import matrix_file, stream_mtx
    from celloquy.io._zarr_file import is_zarr, stream_zarr

    if is_zarr(path):
        return stream_zarr(path, layer=layer, use_raw=use_raw)
    matrix = matrix_file(path)
    if matrix is None:
        names = sorted(found.name for found in path.iterdir())
        held = ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"
        msg = (
            f"The folder '{path.name}' is neither a zarr store nor a 10x folder; it holds: {held}."
        )
        inner = next((name for name in names if _holds_cells(path / name)), None)
        hint = f"pass '{path / inner}'." if inner else "pass a folder that holds a matrix.mtx(.gz)."
        raise InputError(msg, hint=hint)
    _refuse_slot(path, layer=layer, use_raw=use_raw)
    return stream_mtx(matrix)


def _holds_cells(path: Path) -> bool:
    from celloquy.io._mtx import matrix_file
    from celloquy.io._zarr_file import is_zarr

    if not path.is_dir():
        return path.name.endswith(HDF5_ENDINGS)
    return is_zarr(path) or matrix_file(path) is not None


def _ending(path: Path) -> str:
    """Give the ending in lower case, with the one before ``.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def refuse_unreadable(path: Path) -> None:
    """Refuse a path that holds nothing readable, before anything is opened.

    Raises
    ------
    InputError
        If it is missing, empty, of a kind that is not read, or may not be read.
    """
    if "://" in str(path) or str(path).startswith(("http:/", "https:/", "s3:/", "gs:/")):
        msg = f"'{path}' is an address, and files are read from this machine only."
        raise InputError(msg, hint="download the file first, then pass its path.")
    if not path.exists():
        _refuse_missing(path)
    ending = _ending(path)
    if ending in CONVERSIONS:
        line = CONVERSIONS[ending].format(old=f'"{path.name}"', new=f'"{path.stem}.h5ad"')
        msg = f"'{path.name}' is a file of another program ({ending}), which is not read here."
        raise InputError(msg, hint=f"convert it: {line}")
    if path.is_file() and ending not in {*HDF5_ENDINGS, *TABLE_ENDINGS, *MTX_ENDINGS}:
        msg = f"'{path.name}' ends in '{ending}', which is not read."
        raise InputError(msg, hint=f"pass {READABLE}.")
    if path.is_file() and path.stat().st_size == 0:
        msg = f"'{path.name}' is empty (0 bytes)."
        raise InputError(msg, hint="make or copy the file again; its writing was cut short.")
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        msg = f"'{path.name}' may not be read by this user."
        raise InputError(msg, hint=f"ask its owner, or: chmod u+r '{path}'")


def _refuse_missing(path: Path) -> NoReturn:
    """Say that a file is not there, with the closest name that is.

    Raises
    ------
    InputError
        Always.
    """
    folder = path.parent
    if not folder.is_dir():
        msg = f"There is no file '{path}': its folder does not exist."
        raise InputError(msg, hint="check the path.")
    near = closest(path.name, [found.name for found in folder.iterdir()])
    msg = f"There is no file '{path.name}' in '{folder}'{near}."
    raise InputError(msg, hint="check the name.")


def _refuse_slot(path: Path, *, layer: str | None, use_raw: bool) -> None:
    if use_raw:
        refuse_raw(path.name)
    if layer is not None:
        refuse_layer(layer, [], path.name)


def _refuse_transpose(**sources: bool) -> None:
    for name, transpose in sources.items():
        if transpose:
            msg = f"`transpose=True` is for text tables; '{name}' is none."
            raise InputError(msg, hint="leave it out, or pass `adata.T`.")
