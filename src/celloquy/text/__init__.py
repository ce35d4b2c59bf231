"""Cells to language and back."""

from __future__ import annotations

from celloquy.text._prompt import Field, Names, Prompt, Segment, Text
from celloquy.text._rank import RankOptions, rank_cells
from celloquy.text._ranked import RankedCells
from celloquy.text._vocabulary import Vocabulary, tie_key

__all__ = [
    "Field",
    "Names",
    "Prompt",
    "RankOptions",
    "RankedCells",
    "Segment",
    "Text",
    "Vocabulary",
    "rank_cells",
    "tie_key",
]
