"""What prior systems did, bit by bit: their order, their words, their arithmetic.

For comparing with published results and for feeding checkpoints trained by those systems.
Their faults are kept on purpose; nothing else in celloquy builds on this module. It is
written from observed behaviour and published descriptions, not from their source.

Cell2Sentence (package 1.2.0, and the older ``transform.py``), CELLama, GenePT,
CellHermes.
"""

from __future__ import annotations

from celloquy.text.compat._cell2sentence import (
    Cell2SentenceOrder,
    cell2sentence_examples,
    cell2sentence_normalise,
    cell2sentence_rank,
    cell2sentence_sentences,
    cell2sentence_table,
    cell2sentence_vocabulary,
    concatenate_vocabularies,
)
from celloquy.text.compat._cellama import (
    cellama_list_sentence,
    cellama_niche_labels,
    cellama_sentences,
    cellama_tokens_cut,
)
from celloquy.text.compat._cellhermes import (
    cellhermes_explainer_prompt,
    cellhermes_predictor_prompt,
)
from celloquy.text.compat._genept import genept_sentences, genept_weighted
from celloquy.text.compat._generated import (
    NOT_A_GENE,
    cell2sentence_expression,
    cell2sentence_reconstruct,
    cell2sentence_repair,
)
from celloquy.text.compat._rank_line import RankLine, cell2sentence_fit

__all__ = [
    "NOT_A_GENE",
    "Cell2SentenceOrder",
    "RankLine",
    "cell2sentence_examples",
    "cell2sentence_expression",
    "cell2sentence_fit",
    "cell2sentence_normalise",
    "cell2sentence_rank",
    "cell2sentence_reconstruct",
    "cell2sentence_repair",
    "cell2sentence_sentences",
    "cell2sentence_table",
    "cell2sentence_vocabulary",
    "cellama_list_sentence",
    "cellama_niche_labels",
    "cellama_sentences",
    "cellama_tokens_cut",
    "cellhermes_explainer_prompt",
    "cellhermes_predictor_prompt",
    "concatenate_vocabularies",
    "genept_sentences",
    "genept_weighted",
]
