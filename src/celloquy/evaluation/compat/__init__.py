"""How prior systems measure, to the letter: in characters, cells voting for themselves.

Their faults are kept on purpose; nothing else in celloquy builds on this module. What they count
in words and labels is in :mod:`celloquy.tasks.compat`; the fit of Cell2Sentence's line in
:mod:`celloquy.text.compat`.
"""

from __future__ import annotations

from celloquy.evaluation.compat._cell2sentence import cell2sentence_neighbours
from celloquy.evaluation.compat._chatcell import (
    Neighbourhoods,
    character_distance,
    chatcell_labels,
    chatcell_neighbours,
)

__all__ = [
    "Neighbourhoods",
    "cell2sentence_neighbours",
    "character_distance",
    "chatcell_labels",
    "chatcell_neighbours",
]
