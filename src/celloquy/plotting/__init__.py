"""Figures from result tables (public name ``cq.pl``); the only place that draws.

Every function draws on `ax` (or on a new figure), returns the axes, and saves what it drew
where `save` names a ``.png``, ``.svg`` or ``.pdf`` file. Nothing is shown on its own.
"""

from __future__ import annotations

from celloquy.plotting._composition import composition
from celloquy.plotting._confusion import confusion
from celloquy.plotting._expression import rank_expression, reconstruction, top_genes
from celloquy.plotting._learning import learning_curves
from celloquy.plotting._reliability import reliability
from celloquy.plotting._umap import umap

__all__ = [
    "composition",
    "confusion",
    "learning_curves",
    "rank_expression",
    "reconstruction",
    "reliability",
    "top_genes",
    "umap",
]
