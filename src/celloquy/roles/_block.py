"""All cells of a source as one block, for comparisons that fit and test many times."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from celloquy.learn import CellBlock
from celloquy.roles._cells import ReadOptions, open_cells

if TYPE_CHECKING:
    import pandas as pd

    from celloquy.roles._targets import Source
    from celloquy.roles._text_vectors import TextSource


def read_block(
    source: Source, *, read: ReadOptions | None = None, text: TextSource | None = None
) -> tuple[CellBlock, pd.DataFrame]:
    """Read all cells of a source as one block in memory.

    Parameters
    ----------
    source
        An AnnData, or a file of cells.
    read
        Where expression and gene names are read from.
    text
        The language model whose vectors the block gets; `None` leaves them out.

    Returns
    -------
    The block over the source's genes, and obs in the same order.
    """
    reader = None if text is None else text.reader()
    columns = () if reader is None else reader.columns
    with open_cells(source, verb="evaluate", read=read or ReadOptions()) as cells:
        parts = []
        for chunk, block in cells.blocks(cells.vocabulary, columns=columns):
            kept = replace(block, expression=block.expression.copy())  # a later chunk reuses it
            parts.append(kept if reader is None else reader.read(kept, obs=chunk.obs))
        return CellBlock.concatenate(parts), cells.stream.obs(cells.stream.obs_columns)
