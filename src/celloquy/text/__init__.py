"""Cells to language and back."""

from __future__ import annotations

from celloquy.text._arrow import read_sentences, stream_sentences
from celloquy.text._budget import Packed, first_names, fit_cells, pack, pack_prompts
from celloquy.text._constraint import Constraint, JSONSchema, OneOf, Sequence
from celloquy.text._fidelity import Fidelity, fidelity
from celloquy.text._fields import field_text, one_line
from celloquy.text._gene_choice import GeneOptions, gene_names
from celloquy.text._gene_prompts import gene_in_cell_prompts, gene_prompts
from celloquy.text._multicell import DrawOptions, MultiCellSentences, multicell_sentences
from celloquy.text._prompt import Counted, Field, Names, Prompt, Segment, Text, plain_text
from celloquy.text._rank import RankBuffers, RankOptions, rank_cells
from celloquy.text._rank_curve import RankCurve, default_rank_curve
from celloquy.text._ranked import RankedCells
from celloquy.text._reconstruct import ReconstructOptions, reconstruct, with_rank_curve
from celloquy.text._render import render_text
from celloquy.text._sentences import CellSentences, sentences
from celloquy.text._spatial import (
    NeighbourLabels,
    Neighbours,
    SpatialOptions,
    find_neighbours,
    neighbour_labels,
    summarise_niches,
)
from celloquy.text._styles import STYLES, Style, get_style
from celloquy.text._tokens import GeneTokens, TokenIds
from celloquy.text._vocabulary import Vocabulary, tie_key
from celloquy.text._write import WriteOptions, WrittenSentences, write_sentences

__all__ = [
    "STYLES",
    "CellSentences",
    "Constraint",
    "Counted",
    "DrawOptions",
    "Fidelity",
    "Field",
    "GeneOptions",
    "GeneTokens",
    "JSONSchema",
    "MultiCellSentences",
    "Names",
    "NeighbourLabels",
    "Neighbours",
    "OneOf",
    "Packed",
    "Prompt",
    "RankBuffers",
    "RankCurve",
    "RankOptions",
    "RankedCells",
    "ReconstructOptions",
    "Segment",
    "Sequence",
    "SpatialOptions",
    "Style",
    "Text",
    "TokenIds",
    "Vocabulary",
    "WriteOptions",
    "WrittenSentences",
    "default_rank_curve",
    "fidelity",
    "field_text",
    "find_neighbours",
    "first_names",
    "fit_cells",
    "gene_in_cell_prompts",
    "gene_names",
    "gene_prompts",
    "get_style",
    "multicell_sentences",
    "neighbour_labels",
    "one_line",
    "pack",
    "pack_prompts",
    "plain_text",
    "rank_cells",
    "read_sentences",
    "reconstruct",
    "render_text",
    "sentences",
    "stream_sentences",
    "summarise_niches",
    "tie_key",
    "with_rank_curve",
    "write_sentences",
]
