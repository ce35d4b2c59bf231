"""Expression to ranked cells: most expressed genes first, ties by the gene's name alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from celloquy.errors import InputError
from celloquy.io import RowChunk
from celloquy.text._ranked import RankedCells

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from celloquy.text._vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class RankOptions:
    """What is ranked, and how far down.

    Raises
    ------
    InputError
        If a value is out of its range, or `medians` and `rank_by` do not fit together.
    """

    n_top_genes: int | None = None
    """The most genes kept in a cell, at least 1; `None` keeps all that are expressed."""
    rank_by: Literal["value", "specificity"] = "value"
    """Rank by expression, or by expression over the gene's median in a corpus."""
    minimum: float = 0.0
    """Expression must exceed this, in the unit of the slot; else a gene is not expressed."""
    medians: NDArray[np.float64] | None = None
    """Median over a corpus of each gene of the vocabulary, in any one unit, NaN where it is
    unknown; shape ``(n_genes,)``. Only for ``rank_by="specificity"``."""

    def __post_init__(self) -> None:
        if self.n_top_genes is not None and self.n_top_genes < 1:
            msg = f"`n_top_genes` must be at least 1, got {self.n_top_genes}."
            raise InputError(msg, hint="pass `n_top_genes=None` to keep every expressed gene.")
        if self.rank_by not in {"value", "specificity"}:
            msg = f"`rank_by` is 'value' or 'specificity', got {self.rank_by!r}."
            raise InputError(msg)
        if not 0 <= self.minimum < np.inf:
            msg = f"`minimum` must be a number of at least 0, got {self.minimum}."
            raise InputError(msg, hint="pass `minimum=0` to keep every expressed gene.")
        if (self.medians is None) != (self.rank_by == "value"):
            msg = f"`rank_by={self.rank_by!r}` goes {_with(self.medians)} `medians`."
            raise InputError(msg, hint="pass `rank_by='specificity'` and `medians=` together.")


def _with(medians: NDArray[np.float64] | None) -> str:
    return "without" if medians is not None else "with"


BY_VALUE = RankOptions()
"""Every expressed gene, by value."""


def rank_cells(
    cells: RowChunk | sp.csr_matrix | sp.csr_array,
    vocabulary: Vocabulary,
    *,
    columns: NDArray[np.int32] | None = None,
    options: RankOptions = BY_VALUE,
) -> RankedCells:
    """Rank the expressed genes of each cell: value descending, then the gene's name alone.

    Parameters
    ----------
    cells
        Expression (counts, or any other non-negative values), shape ``(n_obs, n_vars)``.
    vocabulary
        The genes that the result points into.
    columns
        Position in `vocabulary` of each source column, -1 where it is left out; shape
        ``(n_vars,)``. `None` takes the columns as the vocabulary, in its order.
    options
        What is ranked, and how far down.

    Raises
    ------
    InputError
        If a value is negative, infinite or NaN, or shapes do not fit together.
    """
    matrix = cells.to_csr() if isinstance(cells, RowChunk) else cells
    start = cells.start if isinstance(cells, RowChunk) else 0
    if columns is None:
        columns = np.arange(matrix.shape[1], dtype=np.int32)
    _refuse_unrankable(matrix, start, columns, vocabulary)
    parts = [_rank_cell(row, vocabulary, columns, options) for row in _rows(matrix)]
    offsets = np.concatenate([[0], np.cumsum([len(genes) for genes, _, _ in parts])])
    return RankedCells(
        np.concatenate([np.empty(0, np.int32), *(genes for genes, _, _ in parts)]),
        offsets.astype(np.int64),
        np.concatenate([np.empty(0, np.float32), *(values for _, values, _ in parts)]),
        np.array([cut for _, _, cut in parts], dtype=np.int32),
        vocabulary,
    )


def _rows(matrix: sp.csr_matrix | sp.csr_array) -> list[tuple[NDArray[np.int32], NDArray[Any]]]:
    cells = range(matrix.shape[0])
    ends = matrix.indptr
    return [
        (matrix.indices[ends[i] : ends[i + 1]], matrix.data[ends[i] : ends[i + 1]]) for i in cells
    ]


def _rank_cell(
    row: tuple[NDArray[np.int32], NDArray[Any]],
    vocabulary: Vocabulary,
    columns: NDArray[np.int32],
    options: RankOptions,
) -> tuple[NDArray[np.int32], NDArray[np.float32], int]:
    genes = columns[row[0]]
    summed = np.zeros(len(vocabulary), dtype=np.result_type(row[1], np.uint8))
    np.add.at(summed, genes[genes >= 0], row[1][genes >= 0])
    expressed = np.flatnonzero(summed > options.minimum).astype(np.int32)
    n_expressed = len(expressed)
    values = summed[expressed]
    if options.medians is not None:
        known = options.medians[expressed] > 0
        expressed, values = expressed[known], values[known]
        by = values / options.medians[expressed]
    else:
        by = values
    order = np.lexsort((vocabulary.place[expressed], by))
    falling = np.lexsort((vocabulary.place[expressed], len(by) - np.searchsorted(by[order], by)))
    falling = falling[: options.n_top_genes]
    kept = expressed[falling]
    return kept, values[falling].astype(np.float32), n_expressed - len(kept)


def _refuse_unrankable(
    matrix: sp.csr_matrix | sp.csr_array,
    start: int,
    columns: NDArray[np.int32],
    vocabulary: Vocabulary,
) -> None:
    bad = np.flatnonzero(~((matrix.data >= 0) & (matrix.data < np.inf)))
    if not len(bad):
        return
    first = bad[0]
    cell = start + int(np.searchsorted(matrix.indptr, first, side="right")) - 1
    column = int(matrix.indices[first])
    gene = columns[column]
    name = repr(vocabulary.names[gene]) if gene >= 0 else f"of column {column}"
    msg = f"Cell {cell} holds {matrix.data[first]} for gene {name}; it has no rank."
    raise InputError(msg, hint="pass counts or log1p values, for example `layer='counts'`.")
