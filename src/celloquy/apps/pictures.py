"""Pictures of annotated cells, for the command line and the demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import celloquy.plotting as pl
from celloquy._runtime import rng_for
from celloquy.io import read
from celloquy.learn import Compressed, LogValues
from celloquy.roles import read_block

if TYPE_CHECKING:
    from anndata import AnnData

MOST_CELLS = 20_000
"""A picture of more cells shows no more."""
PCA_KEY = "X_pca_celloquy"


def draw_annotation(
    source: AnnData | Path,
    key: str,
    *,
    folder: Path,
    groupby: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Draw annotated cells: UMAP by label and score, top genes, composition by group.

    Parameters
    ----------
    source
        Annotated cells, or their file; at most 20,000 of them are drawn, chosen by a seed.
    key
        Name of the column of labels.
    folder
        Where pictures go; made if it is missing.
    groupby
        Column of obs for the composition; `None` leaves that picture out.
    overwrite
        Whether pictures that exist are replaced.

    Returns
    -------
    The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    adata = _some(read(source) if isinstance(source, Path) else source)
    rep = "X_celloquy" if "X_celloquy" in adata.obsm else PCA_KEY
    block, _ = read_block(adata)
    if rep == PCA_KEY:
        adata.obsm[PCA_KEY] = np.asarray(
            Compressed(LogValues(), n_components=30, centred=True).fit(block).transform(block)
        )
    drawn = []

    def path(name: str) -> Path:
        drawn.append(folder / f"{name}.png")
        return drawn[-1]

    for column in (key, f"{key}_score"):
        pl.umap(adata, color=column, use_rep=rep, save=path(f"umap_{column}"), overwrite=overwrite)
    if len(block.vocabulary) == adata.n_vars:
        adata.layers["log_values"] = block.log_values
        pl.top_genes(
            adata, label_key=key, layer="log_values", save=path("top_genes"), overwrite=overwrite
        )
    if groupby is not None:
        pl.composition(
            adata, label_key=key, groupby=groupby, save=path("composition"), overwrite=overwrite
        )
    return drawn


def _some(adata: AnnData) -> AnnData:
    """Take a copy of at most `MOST_CELLS` cells, so that nothing is written into the original."""
    if adata.n_obs <= MOST_CELLS:
        return adata.copy()
    rows = rng_for(0, "pictures").choice(adata.n_obs, MOST_CELLS, replace=False)
    return adata[np.sort(rows)].copy()
