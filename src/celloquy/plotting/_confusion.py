"""Confusion matrix: what each true label was taken for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.plotting._figure import as_categories, finish, new_axes

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from matplotlib.axes import Axes

WRITTEN_UP_TO = 16
"""Matrices with at most this many labels also write the share into each field."""


def confusion(
    truth: Sequence[str] | pd.Series,
    prediction: Sequence[str] | pd.Series,
    *,
    title: str | None = None,
    ax: Axes | None = None,
    save: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Axes:
    """Draw which share of each true label's cells got which prediction.

    Rows are true labels and sum to 100 %; the number of cells stands beside each. Labels
    that occur on one side only have their row or column, too.

    Parameters
    ----------
    truth
        The labels held to be true; shape ``(n_obs,)``.
    prediction
        The predicted labels in the same order; shape ``(n_obs,)``.
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
        If the two differ in length or are empty.
    """
    if len(truth) != len(prediction) or len(truth) == 0:
        msg = f"There are {len(truth)} true labels and {len(prediction)} predictions."
        raise InputError(msg, hint="pass the two columns of the same cells.")
    true, predicted = as_categories(pd.Series(truth)), as_categories(pd.Series(prediction))
    rows = list(true.categories)
    columns = [c for c in rows if c in set(predicted.categories)]
    columns += [c for c in predicted.categories if c not in set(rows)]
    counts = pd.crosstab(np.asarray(true), np.asarray(predicted)).reindex(
        index=rows, columns=columns, fill_value=0
    )
    share = counts.to_numpy() / np.maximum(counts.sum(axis=1).to_numpy()[:, None], 1)

    size = 0.32 * max(len(rows), len(columns), 6)
    ax = new_axes(ax, width=size + 3.5, height=0.32 * max(len(rows), 6) + 2)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(len(columns)), columns, rotation=90)
    ax.set_yticks(
        range(len(rows)), [f"{r} ({n:,})" for r, n in zip(rows, counts.sum(axis=1), strict=True)]
    )
    ax.tick_params(labelsize=8)
    ax.set(xlabel="prediction", ylabel="truth (cells)", title=title or "")
    if max(share.shape) <= WRITTEN_UP_TO:
        for row, column in np.argwhere(share > 0):
            part = share[row, column]
            text = f"{100 * part:.0f}" if part >= 0.005 else "<1"
            ax.text(column, row, text, ha="center", va="center", fontsize=7,
                    color="white" if part > 0.5 else "black")  # fmt: skip
    ax.figure.colorbar(image, ax=ax, shrink=0.6, label="share of the true label")
    return finish(ax, save=save, overwrite=overwrite)
