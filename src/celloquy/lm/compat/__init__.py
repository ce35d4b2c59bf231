"""How other projects draw answers, to repeat their runs; labels are scored here, never drawn."""

from __future__ import annotations

from celloquy.lm.compat._presets import (
    CELL2SENTENCE_CELLS,
    CELL2SENTENCE_LABELS,
    CELLHERMES_EXPLAINER,
    CELLHERMES_PREDICTOR,
    CHATCELL,
)

__all__ = [
    "CELL2SENTENCE_CELLS",
    "CELL2SENTENCE_LABELS",
    "CELLHERMES_EXPLAINER",
    "CELLHERMES_PREDICTOR",
    "CHATCELL",
]
