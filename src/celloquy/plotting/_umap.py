"""UMAP of an embedding, coloured by a column of obs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy._runtime import closest, require
from celloquy.errors import InputError
from celloquy.plotting._figure import as_categories, finish, new_axes, obs_column, palette

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

FEW = 8
"""Up to this many categories colour alone tells them apart."""


def umap(
    adata: AnnData,
    *,
    color: str,
    use_rep: str = "X_celloquy",
    title: str | None = None,
    seed: int = 0,
    ax: Axes | None = None,
    save: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Axes:
    """Draw cells as points, near where their embeddings are alike.

    The layout is computed once by umap-learn from ``obsm[use_rep]`` and kept in
    ``obsm[use_rep + "_umap"]``; a layout that is there is used. Distances between far
    groups in a UMAP mean little.

    Parameters
    ----------
    adata
        Cells with an embedding in ``obsm[use_rep]``, shape ``(n_obs, d)``.
    color
        Column of obs: text and categories give one colour each, numbers a scale.
    use_rep
        Name of the embedding.
    title
        What stands above; `None` writes the column's name.
    seed
        Seed of the layout.
    ax
        Axes to draw on; `None` makes a figure.
    save
        File to write: ``.png``, ``.svg`` or ``.pdf``.
    overwrite
        Whether an existing file is replaced.

    Returns
    -------
    The axes.

    Raises
    ------
    InputError
        If the embedding or the column is missing, there are fewer than 3 cells, or the
        file's ending is unknown.

    Notes
    -----
    McInnes, Healy & Melville, 2018 (arXiv 1802.03426).
    """
    column = obs_column(adata, color)
    layout = umap_layout(adata, use_rep=use_rep, seed=seed)
    ax = new_axes(ax, width=7.5, height=5.5)
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if is_number:
        _draw_numbers(ax, layout, column)
    else:
        _draw_categories(ax, layout, as_categories(column))
    ax.set(title=color if title is None else title, xticks=[], yticks=[])
    ax.set_xlabel("UMAP 1", loc="left")
    ax.set_ylabel("UMAP 2", loc="bottom")
    return finish(ax, save=save, overwrite=overwrite)


def umap_layout(adata: AnnData, *, use_rep: str, seed: int) -> NDArray[np.float32]:
    """Take the kept layout of an embedding, or compute and keep it; shape ``(n_obs, 2)``.

    Raises
    ------
    InputError
        If the embedding is missing or there are fewer than 3 cells.
    """
    if use_rep not in adata.obsm:
        msg = f"`adata.obsm` has no embedding {use_rep!r}{closest(use_rep, adata.obsm.keys())}."
        raise InputError(msg, hint="make one first: `cq.encode(adata)`.")
    key = f"{use_rep}_umap"
    if key not in adata.obsm:
        if adata.n_obs < 3:
            msg = f"A UMAP needs at least 3 cells; there are {adata.n_obs}."
            raise InputError(msg, hint="draw a table of so few cells instead.")
        embedding = np.asarray(adata.obsm[use_rep], dtype=np.float32)
        with warnings.catch_warnings():
            # umap-learn warns that it lacks Tensorflow and that a seed makes it use one thread
            warnings.simplefilter("ignore")
            learner = require("umap", extra="plot", why="to lay out a UMAP")
            model = learner.UMAP(
                n_neighbors=min(15, adata.n_obs - 1),
                metric="cosine",
                random_state=seed,
                n_jobs=1,
                init="spectral" if adata.n_obs > 10 else "random",
            )
            adata.obsm[key] = np.asarray(model.fit_transform(embedding), dtype=np.float32)
    layout: NDArray[np.float32] = np.asarray(adata.obsm[key], dtype=np.float32)
    return layout


def _point_size(n_obs: int) -> float:
    return float(np.clip(12_000 / max(n_obs, 1), 0.5, 24))


def _draw_numbers(ax: Axes, layout: NDArray[np.float32], column: pd.Series[Any]) -> None:
    values = column.to_numpy(dtype=float)
    order = np.argsort(np.nan_to_num(values, nan=-np.inf), kind="stable")
    x, y = layout[order].T
    points = ax.scatter(
        x, y, c=values[order], s=_point_size(len(values)), cmap="viridis",
        linewidths=0, rasterized=True, plotnonfinite=True,
    )  # fmt: skip
    ax.figure.colorbar(points, ax=ax, shrink=0.6, label=str(column.name))


def _draw_categories(ax: Axes, layout: NDArray[np.float32], labels: pd.Categorical[str]) -> None:
    names = [str(name) for name in labels.categories]
    colours = palette(names)
    order = np.random.default_rng(0).permutation(len(labels))  # no label hides another
    x, y = layout[order].T
    ax.scatter(
        x, y, c=[colours[names[code]] for code in labels.codes[order]],
        s=_point_size(len(labels)), linewidths=0, rasterized=True,
    )  # fmt: skip
    numbered = len(names) > FEW
    for number, name in enumerate(names, start=1):
        here = layout[labels.codes == number - 1]
        entry = f"{number}  {name}" if numbered else name
        ax.scatter([], [], color=colours[name], s=30, label=f"{entry} ({len(here):,})")
        if numbered and len(here):
            _write_number(ax, np.median(here, axis=0), number)
    ax.legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8,
        ncols=1 if len(names) <= 24 else 2, handletextpad=0.2, labelspacing=0.3,
    )  # fmt: skip


def _write_number(ax: Axes, where: NDArray[np.float32], number: int) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground="white")]
    ax.annotate(
        str(number), (float(where[0]), float(where[1])), ha="center", va="center", fontsize=8,
        fontweight="bold", path_effects=halo,
    )  # fmt: skip
