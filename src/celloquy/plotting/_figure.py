"""Colours, axes and files that all figures share."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from celloquy._runtime import atomic_path, closest, require
from celloquy.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

HUES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#882255")
"""Eight colours that readers with any common colour blindness can tell apart: those of Okabe and
Ito (2008), with wine of Tol (2021) for black, which has no darker shade."""
NEUTRAL = "#B8B8B8"
"""Colour of cells without a label, and of "unknown"."""
MISSING = "no label"
"""What is written for a missing value."""
WITHOUT_LABEL = ("unknown", MISSING, "unassigned")
FORMATS = (".png", ".svg", ".pdf")


def palette(categories: Sequence[str]) -> dict[str, str]:
    """Give each category a colour: eight safe hues, then the same hues lighter and darker.

    Past eight categories colour alone does not tell them apart, so figures also write the
    category (or its number in the legend) where its cells lie.
    """
    shades = (0.0, 0.45, -0.45, 0.7, -0.25)
    colours: dict[str, str] = {}
    named = [c for c in categories if c.lower() not in WITHOUT_LABEL]
    for number, category in enumerate(named):
        hue = HUES[number % len(HUES)]
        colours[category] = _shaded(hue, shades[number // len(HUES) % len(shades)])
    return {category: colours.get(category, NEUTRAL) for category in categories}


def _shaded(colour: str, amount: float) -> str:
    """Move a colour towards white (`amount` > 0) or black (`amount` < 0)."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    target = lightness + (1 - lightness) * amount if amount > 0 else lightness * (1 + amount)
    return "#" + "".join(
        f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, target, saturation)
    )


def new_axes(ax: Axes | None, *, width: float, height: float) -> Axes:
    """Give the axes to draw on: those given, or those of a new figure (inches)."""
    if ax is not None:
        return ax
    require("matplotlib", extra="plot", why="to draw figures")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def finish(ax: Axes, *, save: str | os.PathLike[str] | None, overwrite: bool) -> Axes:
    """Save the figure of `ax` where asked, and give `ax` back.

    Raises
    ------
    InputError
        If the file's ending is not one of `FORMATS`.
    """
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if save is not None:
        path = Path(save)
        if path.suffix.lower() not in FORMATS:
            msg = f"A figure cannot be saved as {path.suffix or 'a file without ending'!r}."
            raise InputError(msg, hint=f"end the name in one of {', '.join(FORMATS)}.")
        figure: Any = ax.get_figure()
        with atomic_path(path, overwrite=overwrite) as temporary:
            figure.savefig(temporary, dpi=200, bbox_inches="tight")
    return ax


def obs_column(adata: AnnData, key: str) -> pd.Series[Any]:
    """Take a column of obs, or name the closest one there is.

    Raises
    ------
    InputError
        If there is no such column.
    """
    if key not in adata.obs:
        near = closest(key, adata.obs.columns)
        msg = f"`adata.obs` has no column {key!r}{near}."
        raise InputError(msg, hint=f"its columns are: {', '.join(map(str, adata.obs.columns))}.")
    column: pd.Series[Any] = adata.obs[key]
    return column


def as_categories(column: pd.Series[Any]) -> pd.Categorical[str]:
    """Read a column as categories of text, in a stable order; missing ones get a name."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        order = [str(c) for c in column.cat.remove_unused_categories().cat.categories]
    else:
        order = sorted({str(value) for value in column.dropna()})
    text = [
        (MISSING if missing else str(value))
        for value, missing in zip(column, column.isna(), strict=True)
    ]
    if MISSING in text and MISSING not in order:
        order.append(MISSING)
    return pd.Categorical(text, categories=order)
