"""What is asked of cells: the only place where cells, tasks and models meet."""

from __future__ import annotations

from celloquy.roles._block import read_block
from celloquy.roles._cells import ReadOptions
from celloquy.roles._reference import load_or_fit
from celloquy.roles._text_vectors import TextSource
from celloquy.roles.encoder import (
    EncodeOptions,
    Encoding,
    encode,
    encode_genes,
    encode_together,
)
from celloquy.roles.predictor import AnnotateOptions, Annotation, annotate

__all__ = [
    "AnnotateOptions",
    "Annotation",
    "EncodeOptions",
    "Encoding",
    "ReadOptions",
    "TextSource",
    "annotate",
    "encode",
    "encode_genes",
    "encode_together",
    "load_or_fit",
    "read_block",
]
