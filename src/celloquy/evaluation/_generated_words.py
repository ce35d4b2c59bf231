"""What generated cells name: real genes, each once, and how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.evaluation._measured import Meaning

if TYPE_CHECKING:
    import pandas as pd

    from celloquy.evaluation._generated_cells import LabelledCells

COUNTED = ("n_genes_named", "n_unknown", "n_repeated")
"""What :func:`celloquy.generate` counts of each answer."""
CHATCELL = "ChatCell (Fang et al., 2024)"
MEANINGS = {
    "validity": Meaning("share of words, or of expressed genes, that are real genes", CHATCELL),
    "uniqueness": Meaning("share of words that their sentence names for the first time", CHATCELL),
    "empty_cells": Meaning("share of cells without any gene", "count", best=0.0),
}
"""What each metric says; `length`, genes of a cell on average, is neither good nor bad."""


def measure_words(made: LabelledCells, obs: pd.DataFrame, *, known: set[str]) -> dict[str, float]:
    """Measure what was named, before anything is left out.

    Parameters
    ----------
    made
        Generated cells over their own genes.
    obs
        What was told of each; the counts of words that :func:`celloquy.generate` writes are
        used where they are there. Else a gene that is expressed counts as a word.
    known
        Names of the real genes.
    """
    lengths = np.diff(made.block.expression.indptr)
    found = {"length": float(lengths.mean()), "empty_cells": float((lengths == 0).mean())}
    if all(name in obs for name in COUNTED):
        named, unknown, repeated = (obs[name].to_numpy(dtype=float) for name in COUNTED)
        words = float((named + unknown + repeated).sum())
        if not words:
            return {"validity": float("nan"), "uniqueness": float("nan"), **found}
        valid = float((named + repeated).sum()) / words
        return {"validity": valid, "uniqueness": 1 - float(repeated.sum()) / words, **found}
    is_real = np.array([name in known for name in made.block.vocabulary.names])
    expressed = made.block.expression.indices
    valid = float(is_real[expressed].mean()) if len(expressed) else float("nan")
    return {"validity": valid, **found}
