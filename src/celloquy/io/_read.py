"""Whole files into memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import scipy.sparse as sp

from celloquy.io._open import open_stream
from celloquy.io._rows import is_sparse

if TYPE_CHECKING:
    import os

    from anndata import AnnData

    from celloquy.io._chunks import CellStream


def read(
    path: str | os.PathLike[str],
    *,
    layer: str | None = None,
    use_raw: bool = False,
    transpose: bool = False,
) -> AnnData:
    """Read a file of cells into an AnnData whose X is the chosen slot.

    h5ad and zarr keep everything that they hold (layers, obsm, uns, raw, …); the other
    formats give the matrix with its cells and genes. A sparse X is CSR.

    Parameters
    ----------
    path
        Any source that `open_stream` takes as a path.
    layer
        Name of the layer that becomes X; `None` keeps X.
    use_raw
        Whether ``raw.X`` becomes X and the genes are those of ``raw.var``; what belongs to
        the genes of X alone (layers, varm) is then left out.
    transpose
        For text tables only: whether genes stand in lines and cells in columns.

    Raises
    ------
    InputError
        If there is no such file or slot, or the file is empty, cut off, damaged, or of a
        kind that is not read.
    """
    with open_stream(path, layer=layer, use_raw=use_raw, transpose=transpose) as stream:
        adata = _by_anndata(Path(path), stream)
        if adata is None:
            adata = _by_stream(stream)
        else:
            adata = _with_slot(adata, layer=layer, use_raw=use_raw)
    if is_sparse(adata.X) and adata.X.format != "csr":
        adata.X = adata.X.tocsr()
    return adata


def _by_anndata(path: Path, stream: CellStream) -> AnnData | None:
    """Read with anndata's own reader; None for what it does not read."""
    import anndata as ad
    from anndata._io.specs.registry import IORegistryError  # has no public name

    readers = {"h5ad": ad.read_h5ad, "zarr": ad.read_zarr}
    if stream.format not in readers:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old layouts, which are read all the same
            return readers[stream.format](path)
    except (IORegistryError, LookupError, TypeError, ValueError, OSError, AttributeError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        kept = "only the matrix, obs, var and obsm are read."
        msg = f"anndata cannot read all of '{stream.source}' ({what}): {kept}"
        warnings.warn(msg, stacklevel=3)
        return None


def _by_stream(stream: CellStream) -> AnnData:
    """Put a stream's chunks under each other."""
    import anndata as ad

    blocks = [chunk.to_csr().copy() for chunk in stream.chunks()]
    if not blocks:
        blocks = [stream.rows(0, 0).to_csr()]
    adata = ad.AnnData(
        sp.vstack(blocks, format="csr"),
        obs=stream.obs(stream.obs_columns),
        var=stream.var,
    )
    for key in stream.obsm_keys:
        adata.obsm[key] = stream.obsm(key)
    return adata


def _with_slot(adata: AnnData, *, layer: str | None, use_raw: bool) -> AnnData:
    """Make the chosen slot X."""
    if use_raw:
        return adata.raw.to_adata()
    if layer is not None:
        adata.X = adata.layers[layer]
    return adata
