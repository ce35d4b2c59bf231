"""Decoding settings of other projects, as their code has them."""

from __future__ import annotations

from celloquy.lm._protocol import Limits

CELLHERMES_PREDICTOR = Limits(max_new_tokens=100, temperature=0.1, top_p=0.7, top_k=50)
"""How CellHermes draws labels."""
CELLHERMES_EXPLAINER = Limits(max_new_tokens=512, temperature=0.95, top_p=0.7, top_k=50)
"""How CellHermes draws explanations."""
CHATCELL = Limits(max_new_tokens=512, top_k=50, top_p=0.95)
"""How ChatCell draws all answers, labels too. It also forbids a pair of tokens to come twice,
which is not repeated here."""
CELL2SENTENCE_CELLS = Limits(max_new_tokens=1024, top_k=50, top_p=0.95)
"""How Cell2Sentence's example of generation draws cells; the number of tokens is that of labels."""
CELL2SENTENCE_LABELS = Limits(max_new_tokens=1024, temperature=0)
"""How Cell2Sentence writes labels: the likeliest token at each step."""
