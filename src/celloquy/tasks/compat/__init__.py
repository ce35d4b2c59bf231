"""What prior systems say and read, to the letter: articles, rewards, draws of templates.

Their faults are kept on purpose; nothing else in celloquy builds on this module.
"""

from __future__ import annotations

from celloquy.tasks.compat._cell2sentence import cell2sentence_template_draws
from celloquy.tasks.compat._cellhermes import cellhermes_reward
from celloquy.tasks.compat._chatcell import (
    GeneratedCounts,
    chatcell_generated,
    chatcell_type,
)

__all__ = [
    "GeneratedCounts",
    "cell2sentence_template_draws",
    "cellhermes_reward",
    "chatcell_generated",
    "chatcell_type",
]
