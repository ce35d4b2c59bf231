"""Omics files to AnnData, or to a stream of row chunks; results to files."""

from __future__ import annotations

from celloquy.io._annotated import Results, add_results, refuse_taken, write_annotated
from celloquy.io._chunks import CHUNK_SIZE, CellStream, RowChunk
from celloquy.io._obs import read_obs
from celloquy.io._open import open_stream
from celloquy.io._read import read
from celloquy.io._write import refuse_ending, write_h5ad

__all__ = [
    "CHUNK_SIZE",
    "CellStream",
    "Results",
    "RowChunk",
    "add_results",
    "open_stream",
    "read",
    "read_obs",
    "refuse_ending",
    "refuse_taken",
    "write_annotated",
    "write_h5ad",
]
