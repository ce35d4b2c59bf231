"""Genes as prompts: a gene alone, and a gene in a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.text._prompt import Names, Prompt, Text
from celloquy.text._styles import CELLHERMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celloquy.text._ranked import RankedCells
    from celloquy.text._vocabulary import Vocabulary


def gene_prompts(vocabulary: Vocabulary, *, genes: Sequence[str] | None = None) -> list[Prompt]:
    """Write each gene as ``Gene CD3E``.

    Parameters
    ----------
    vocabulary
        The genes.
    genes
        Names to write; `None` writes all.

    Raises
    ------
    InputError
        If the vocabulary lacks a name.

    Notes
    -----
    The form is that of CellHermes.
    """
    names = vocabulary.names if genes is None else genes
    return [(Text("Gene "), _gene(name, vocabulary)) for name in names]


def gene_in_cell_prompts(ranked: RankedCells, *, genes: Sequence[str]) -> list[Prompt]:
    """Write one gene in each cell: the cell's genes, then the gene that is meant.

    Parameters
    ----------
    ranked
        Cells, shape ``(n_obs,)``.
    genes
        The gene meant in each cell; shape ``(n_obs,)``.

    Raises
    ------
    InputError
        If there is not one name a cell, or the vocabulary lacks a name.

    Notes
    -----
    The form is that of CellHermes.
    """
    if len(genes) != ranked.n_obs:
        msg = f"There are {ranked.n_obs} cells and {len(genes)} genes."
        raise InputError(msg, hint="give one gene a cell; repeat the cell for several.")
    cells = CELLHERMES.prompts(ranked)
    return [
        (*cell, Text(". In this cell, Gene "), _gene(name, ranked.vocabulary))
        for cell, name in zip(cells, genes, strict=True)
    ]


def _gene(name: str, vocabulary: Vocabulary) -> Names:
    position = vocabulary.positions.get(name)
    if position is None:
        msg = f"The vocabulary has no gene {name!r}{closest(name, vocabulary.names)}."
        raise InputError(msg, hint="name genes as the source does.")
    return Names(np.array([position], dtype=np.int32), vocabulary, may_cut=False)
