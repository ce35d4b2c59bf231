"""Draw the picture of the README: one real cell, its sentence, its label.

The cell is the first of the set that the scanpy package carries, and its label comes from the
others. The study is one, so the picture shows what happens to a cell, not how well labels carry
to another study.

    python docs/make_figure.py
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import celloquy as cq
from celloquy.apps.demo import packaged_cells
from celloquy.evaluation import coarse_blood_types
from celloquy.learn import fit_reference
from celloquy.roles import read_block

if TYPE_CHECKING:
    import anndata as ad

FIGURE = Path(__file__).with_name("figure.png")
N_BARS = 12
N_WORDS = 60
BLUE, GREY, INK = "#0072B2", "#B0B0B0", "#222222"
"""Okabe and Ito's blue beside a grey: told apart in every kind of colour vision and in print."""


def labelled_cells() -> ad.AnnData:
    """Read the packaged cells as log1p values, with six coarse types."""
    packaged = cq.read(packaged_cells())
    cells = packaged.raw.to_adata()
    cells.obs["cell_type"] = pd.Categorical(coarse_blood_types(packaged.obs["bulk_labels"]))
    return cells[cells.obs["cell_type"].notna().to_numpy()].copy()


def one_cell() -> tuple[pd.Series, str, pd.Series]:
    """Give the expression of the first cell, its sentence, and the score of every label."""
    cells = labelled_cells()
    cell, reference = cells[:1].copy(), cells[1:].copy()
    fitted = fit_reference(
        read_block(reference)[0], reference.obs["cell_type"].astype(str).tolist()
    )
    found = fitted.annotate(read_block(cell)[0])
    scores = pd.Series(found.probabilities[0], index=list(found.labels))
    values = pd.Series(np.asarray(cell.X.todense()).ravel(), index=cell.var_names)
    return values, cq.sentences(cell).text.iloc[0], scores


def draw(values: pd.Series, sentence: str, scores: pd.Series) -> plt.Figure:
    """Draw cell, sentence and label from left to right."""
    names = sentence.split()
    plt.rcParams.update({"font.size": 10, "text.color": INK, "axes.labelcolor": INK})
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(9, 3.1), width_ratios=[2.2, 3.4, 2.2], layout="constrained"
    )
    left.barh(names[:N_BARS], values[names[:N_BARS]], color=BLUE)
    left.invert_yaxis()
    left.set(title="a cell", xlabel="expression (log1p)")
    middle.axis("off")
    middle.set_title("its sentence")
    words = textwrap.wrap(" ".join(names[:N_WORDS]) + " …", width=34, break_on_hyphens=False)
    middle.text(
        0.5, 0.98, "\n".join(words), ha="center", va="top", family="monospace", fontsize=8.5,
        linespacing=1.45, transform=middle.transAxes,
    )  # fmt: skip
    middle.annotate(
        f"{len(names)} of {int((values > 0).sum())} expressed genes, most expressed first",
        (0.5, -0.02), xycoords="axes fraction", ha="center", va="top", fontsize=8, color="#555555",
    )  # fmt: skip
    ordered = scores.sort_values(ascending=False)
    colours = [BLUE, *[GREY] * (len(ordered) - 1)]
    bars = right.barh(list(ordered.index), ordered, color=colours)
    right.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
    right.invert_yaxis()
    right.set(title="its label", xlabel="score", xlim=(0, 1.2), xticks=[0, 0.5, 1])
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(length=0, labelsize=9)
    for axes in (left, middle):
        axes.annotate(
            "→", (1.0, 0.5), xytext=(12, 0), xycoords="axes fraction", fontsize=18,
            textcoords="offset points", ha="center", va="center", color="#555555",
        )  # fmt: skip
    return figure


if __name__ == "__main__":
    draw(*one_cell()).savefig(
        FIGURE, dpi=200, pil_kwargs={"optimize": True}, metadata={"Software": "celloquy"}
    )
