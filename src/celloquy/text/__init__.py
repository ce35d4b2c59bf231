"""Cells to language and back."""

from __future__ import annotations

from celloquy.text._prompt import Field, Names, Prompt, Segment, Text
from celloquy.text._ranked import RankedCells
from celloquy.text._vocabulary import Vocabulary, tie_key

__all__ = ["Field", "Names", "Prompt", "RankedCells", "Segment", "Text", "Vocabulary", "tie_key"]
