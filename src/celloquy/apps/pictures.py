"""Pictures of annotated cells, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData

import celloquy.plotting as pl
from celloquy._runtime import refuse_existing
from celloquy.errors import InputError
from celloquy.io import open_stream
from celloquy.learn import Compressed, LogValues
from celloquy.roles import ReadOptions, read_block

if TYPE_CHECKING:
    from pathlib import Path

MOST_CELLS = 20_000
"""A picture of more cells shows no more."""
REP = "X_pca"
LABELS, SCORES = "umap_labels.png", "umap_scores.png"
TOP_GENES, COMPOSITION = "top_genes.png", "composition.png"


def refuse_pictures(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds pictures of the same names, before anything is computed.

    Raises
    ------
    InputError
        If a picture exists and `overwrite` is false, or `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        msg = f"'{folder}' is a file, and pictures go into a folder."
        raise InputError(msg, hint="name a folder; it is made if it is missing.")
    if folder.is_dir():
        for name in (LABELS, SCORES, TOP_GENES, COMPOSITION):
            refuse_existing(folder / name, overwrite=overwrite)


def draw_annotation(
    source: Path,
    key: str,
    *,
    folder: Path,
    read: ReadOptions | None = None,
    groupby: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Draw annotated cells: UMAP by label and score, top genes, composition by group.

    Parameters
    ----------
    source
        File of annotated cells; at most 20,000 of them are read, spread over the file.
    key
        Name of the column of labels.
    folder
        Where pictures go; made if it is missing.
    read
        Where expression and gene names are read from.
    groupby
        Column of obs for the composition; `None` leaves that picture out.
    overwrite
        Whether pictures that exist are replaced.

    Returns
    -------
    The files written. Fewer than three cells have no UMAP.
    """
    folder.mkdir(parents=True, exist_ok=True)
    adata = _some(source, [key, f"{key}_score", *([] if groupby is None else [groupby])], read)
    drawn = []

    def path(name: str) -> Path:
        drawn.append(folder / name)
        return drawn[-1]

    if adata.n_obs >= 3:
        for column, name in ((key, LABELS), (f"{key}_score", SCORES)):
            pl.umap(adata, color=column, use_rep=REP, save=path(name), overwrite=overwrite)
    pl.top_genes(adata, label_key=key, save=path(TOP_GENES), overwrite=overwrite)
    if groupby is not None:
        pl.composition(
            adata, label_key=key, groupby=groupby, save=path(COMPOSITION), overwrite=overwrite
        )
    return drawn


def _some(source: Path, columns: list[str], read: ReadOptions | None) -> AnnData:
    """Read some cells as log values of their genes, with their principal components."""
    read = read or ReadOptions()
    with open_stream(source, layer=read.layer, use_raw=read.use_raw) as stream:
        chunk = stream.sample(MOST_CELLS, columns=list(dict.fromkeys(columns)))
        cells = AnnData(chunk.to_csr().copy(), obs=chunk.obs, var=stream.var)
    named = ReadOptions(gene_column=read.gene_column, collisions=read.collisions)
    block, _ = read_block(cells, read=named)
    pca = Compressed(LogValues(), n_components=30, centred=True).fit(block)
    adata = AnnData(
        block.log_values, obs=cells.obs, var=pd.DataFrame(index=list(block.vocabulary.names))
    )
    adata.obsm[REP] = np.asarray(pca.transform(block))
    return adata
