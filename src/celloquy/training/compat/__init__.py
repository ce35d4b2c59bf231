"""How prior systems split and mixed their examples, to the letter: by cell, and by one seed.

They let cells of one donor learn and judge; nothing else in celloquy builds on this module.
"""

from __future__ import annotations

from celloquy.training.compat._splits import cell2sentence_split, chatcell_split, chatcell_tasks

__all__ = ["cell2sentence_split", "chatcell_split", "chatcell_tasks"]
