"""Figures of ranks and expression: the rank curve, the way back, and top genes by label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.plotting._figure import HUES, as_categories, finish, new_axes, obs_column

if TYPE_CHECKING:
    import os

    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


def rank_expression(
    points: pd.DataFrame,
    *,
    curves: pd.DataFrame | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    save: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Axes:
    """Draw expression against rank on a logarithmic axis, with fitted rank curves.

    Parameters
    ----------
    points
        Columns ``rank`` (0 = most expressed) and ``expression``; one row a gene of a cell.
        Drawn as a density, so any number of points is readable.
    curves
        Column ``rank`` and one column of expression for each fitted curve, or `None`.
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
        If a column is missing or there is no point.
    """
    _require_columns(points, "rank", "expression")
    ax = new_axes(ax, width=6.5, height=4.5)
    drawn = ax.hexbin(
        np.log10(1 + points["rank"].to_numpy(float)), points["expression"].to_numpy(float),
        gridsize=60, bins="log", mincnt=1, cmap="Greys", linewidths=0,
    )  # fmt: skip
    ax.figure.colorbar(drawn, ax=ax, shrink=0.6, label="genes (log scale)")
    if curves is not None:
        _require_columns(curves, "rank")
        for number, name in enumerate(c for c in curves.columns if c != "rank"):
            ax.plot(
                np.log10(1 + curves["rank"].to_numpy(float)), curves[name], label=str(name),
                color=HUES[(5, 0, 2)[number % 3]], linewidth=2,
                linestyle=("-", "--", ":")[number % 3],
            )  # fmt: skip
        ax.legend(frameon=False)
    ticks = np.arange(0, 5)
    ax.set_xticks(ticks, [f"{10 ** int(t) - 1:,}" if t else "0" for t in ticks])
    ax.set(xlabel="rank (0 = most expressed, log scale)", ylabel="expression", title=title or "")
    ax.set_xlim(0, np.log10(1 + points["rank"].max()) * 1.02)
    return finish(ax, save=save, overwrite=overwrite)


def reconstruction(
    points: pd.DataFrame,
    *,
    title: str | None = None,
    ax: Axes | None = None,
    save: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Axes:
    """Draw reconstructed against measured expression, with the diagonal of perfection.

    Parameters
    ----------
    points
        Columns ``measured`` and ``reconstructed``; one row a gene of a cell.
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
        If a column is missing or there is no point.
    """
    _require_columns(points, "measured", "reconstructed")
    ax = new_axes(ax, width=5.5, height=4.8)
    measured = points["measured"].to_numpy(float)
    back = points["reconstructed"].to_numpy(float)
    drawn = ax.hexbin(
        measured, back, gridsize=60, bins="log", mincnt=1, cmap="viridis", linewidths=0
    )
    ax.figure.colorbar(drawn, ax=ax, shrink=0.6, label="genes (log scale)")
    top = float(max(measured.max(), back.max()))
    ax.plot([0, top], [0, top], color=HUES[5], linestyle="--", linewidth=1.5)
    ax.set(xlabel="measured expression", ylabel="reconstructed expression", title=title or "")
    return finish(ax, save=save, overwrite=overwrite)


def top_genes(
    adata: AnnData,
    *,
    label_key: str,
    n_genes: int = 3,
    layer: str | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    save: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Axes:
    """Draw a heat map of the genes that mark each label, by mean expression.

    A label's genes are those whose mean lies furthest above the mean over the other
    labels. A field shows the label's mean over the gene's largest mean, so it compares
    labels, not genes. No test is made: it is a picture, not a result.

    Parameters
    ----------
    adata
        Cells with log-normalised expression; shape ``(n_obs, n_vars)``.
    label_key
        Column of the labels.
    n_genes
        Genes a label.
    layer
        Layer with the expression; `None` takes ``X``.
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
        If the column is missing or `n_genes` is not positive.
    """
    if n_genes < 1:
        msg = f"`n_genes` must be at least 1, got {n_genes}."
        raise InputError(msg, hint="pass 3 for a picture that is easy to read.")
    labels = as_categories(obs_column(adata, label_key))
    means = _means_by_label(adata.X if layer is None else adata.layers[layer], labels)
    chosen = _marking_genes(means, n_genes)
    shown = means[:, chosen] / np.maximum(means[:, chosen].max(axis=0), 1e-12)

    ax = new_axes(ax, width=0.2 * len(chosen) + 3, height=0.24 * len(means) + 1.8)
    image = ax.imshow(shown, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(len(chosen)), list(adata.var_names[chosen]), rotation=90, fontsize=7)
    ax.set_yticks(range(len(means)), [str(name) for name in labels.categories], fontsize=8)
    ax.set_title(title or f"top genes of {label_key}")
    ax.figure.colorbar(image, ax=ax, shrink=0.6, label="mean / largest mean")
    return finish(ax, save=save, overwrite=overwrite)


def _means_by_label(
    expression: sp.csr_matrix | NDArray[np.float64], labels: pd.Categorical[str]
) -> NDArray[np.float64]:
    """Mean expression of each label; shape ``(n_labels, n_vars)``."""
    rows = [
        np.asarray(expression[np.flatnonzero(labels.codes == code)].mean(axis=0)).ravel()
        for code in range(len(labels.categories))
    ]
    means: NDArray[np.float64] = np.nan_to_num(np.stack(rows))
    return means


def _marking_genes(means: NDArray[np.float64], n_genes: int) -> NDArray[np.intp]:
    """Columns whose mean lies furthest above the other labels' mean, label after label."""
    chosen: list[int] = []
    others = max(len(means) - 1, 1)
    for row in means:
        above = row - (means.sum(axis=0) - row) / others
        fresh = [int(g) for g in np.argsort(-above, kind="stable") if int(g) not in set(chosen)]
        chosen.extend(fresh[:n_genes])
    return np.array(chosen, dtype=np.intp)


def _require_columns(table: pd.DataFrame, *names: str) -> None:
    missing = [name for name in names if name not in table]
    if missing or table.empty:
        found = f"has no column {missing[0]!r}" if missing else "has no row"
        msg = f"The table to draw {found}."
        raise InputError(msg, hint=f"it needs the columns {', '.join(names)}.")
