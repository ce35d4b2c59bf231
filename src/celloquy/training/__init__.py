"""What language models learn from, and how: corpora, recipes, adapters and checkpoints."""

from __future__ import annotations

__all__: list[str] = []
