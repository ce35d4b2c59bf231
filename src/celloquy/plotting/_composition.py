"""Composition bars: which share of each group's cells has which label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy.plotting._figure import as_categories, finish, new_axes, obs_column, palette

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from matplotlib.axes import Axes


def composition(
    adata: AnnData,
    *,
    label_key: str,
    groupby: str,
    title: str | None = None,
    ax: Axes | None = None,
    save: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Axes:
    """Draw one bar a group (donor, batch, condition), cut by the shares of labels.

    Parameters
    ----------
    adata
        Cells with both columns in obs.
    label_key
        Column of the labels, such as ``"cell_type_celloquy"``.
    groupby
        Column of the groups, one bar each.
    title
        What stands above.
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
        If a column is missing or the file's ending is unknown.
    """
    labels = as_categories(obs_column(adata, label_key))
    groups = as_categories(obs_column(adata, groupby))
    counts = pd.crosstab(np.asarray(groups), np.asarray(labels)).reindex(
        index=list(groups.categories), columns=list(labels.categories), fill_value=0
    )
    share = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    colours = palette([str(name) for name in share.columns])

    ax = new_axes(ax, width=8, height=0.34 * len(share) + max(1.6, 0.09 * share.shape[1]))
    left = np.zeros(len(share))
    hatches = ("", "///", "...", "xxx", "\\\\\\")
    for number, name in enumerate(share.columns):
        width = share[name].to_numpy()
        ax.barh(
            range(len(share)), width, left=left, color=colours[str(name)], label=str(name),
            edgecolor="white", linewidth=0.5, hatch=hatches[number // 8 % len(hatches)],
        )  # fmt: skip
        left += width
    ax.set_yticks(
        range(len(share)),
        [f"{g} ({n:,})" for g, n in zip(share.index, counts.sum(axis=1), strict=True)],
    )
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="share of cells", ylabel=groupby, title=title or label_key)
    ax.legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8,
        ncols=1 if share.shape[1] <= 20 else 2,
    )  # fmt: skip
    return finish(ax, save=save, overwrite=overwrite)
