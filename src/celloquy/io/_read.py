"""Whole files into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import scipy.sparse as sp

from celloquy.io._open import open_stream

if TYPE_CHECKING:
    import os

    from anndata import AnnData


def read(
    path: str | os.PathLike[str], *, layer: str | None = None, use_raw: bool = False
) -> AnnData:
    """Read a file into an AnnData whose X is the chosen slot."""
    import anndata as ad

    with open_stream(path, layer=layer, use_raw=use_raw):
        adata = ad.read_h5ad(path)
    if use_raw:
        adata = adata.raw.to_adata()
    elif layer is not None:
        adata.X = adata.layers[layer]
    if sp.issparse(adata.X):
        adata.X = sp.csr_matrix(adata.X)
    return adata
