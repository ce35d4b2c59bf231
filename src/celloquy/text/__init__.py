"""Cells to language and back."""

from __future__ import annotations

from celloquy.text._prompt import Counted, Field, Names, Prompt, Segment, Text, plain_text
from celloquy.text._rank import RankBuffers, RankOptions, rank_cells
from celloquy.text._ranked import RankedCells
from celloquy.text._render import render_text
from celloquy.text._styles import STYLES, Style, get_style
from celloquy.text._vocabulary import Vocabulary, tie_key

__all__ = [
    "STYLES",
    "Counted",
    "Field",
    "Names",
    "Prompt",
    "RankBuffers",
    "RankOptions",
    "RankedCells",
    "Segment",
    "Style",
    "Text",
    "Vocabulary",
    "get_style",
    "plain_text",
    "rank_cells",
    "render_text",
    "tie_key",
]
