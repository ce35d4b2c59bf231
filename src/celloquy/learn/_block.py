"""Cells as learning takes them: expression and ranks over one vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.text import RankedCells, RankOptions, Vocabulary, rank_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

TARGET = 1e4
"""Molecules that each cell is scaled to before the logarithm."""

_LINEAR: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "counts": lambda values: values,
    "cpm": lambda values: values,
    "log1p": np.expm1,
    "log2": lambda values: np.exp2(values) - 1,
    "log10": lambda values: np.power(10.0, values) - 1,
}


@dataclass(frozen=True, eq=False)
class CellBlock:
    """Consecutive cells over the genes of one vocabulary.

    Raises
    ------
    InputError
        If shapes do not fit together.
    """

    expression: sp.csr_matrix
    """Expression; shape ``(n_obs, n_genes)``, columns in the order of `vocabulary`."""
    kind: str
    """Unit of the values: ``"counts"``, ``"cpm"``, ``"log1p"``, ``"log2"`` or ``"log10"``."""
    vocabulary: Vocabulary
    """The genes of the columns."""
    ranked: RankedCells | None = None
    """The same cells ranked over `vocabulary`; `None` ranks them when they are needed."""
    text: NDArray[np.float32] | None = None
    """Vectors of a language model, shape ``(n_obs, d)``; only the text parts need them."""

    def __post_init__(self) -> None:
        if self.expression.shape[1] != len(self.vocabulary):
            msg = (
                f"The block has {self.expression.shape[1]:,} columns and its vocabulary "
                f"{len(self.vocabulary):,} genes."
            )
            raise InputError(msg, hint="bring the columns into the vocabulary's order first.")
        for name, part in (("ranked", self.ranked), ("text", self.text)):
            if part is not None and len(part) != self.n_obs:
                msg = f"The block has {self.n_obs} cells and `{name}` has {len(part)}."
                raise InputError(msg)

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return int(self.expression.shape[0])

    @cached_property
    def log_values(self) -> sp.csr_matrix:
        """Natural log1p of expression scaled to 10,000 a cell; see :func:`log_normalise`."""
        return log_normalise(self.expression, self.kind)

    def top(self, n_top_genes: int) -> RankedCells:
        """Give each cell's `n_top_genes` most expressed genes."""
        if self.ranked is not None:
            return self.ranked.top(n_top_genes)
        options = RankOptions(n_top_genes=n_top_genes)
        return rank_cells(self.expression, self.vocabulary, options=options)

    def rows(self, cells: NDArray[np.int64]) -> CellBlock:
        """Keep some cells, in the given order."""
        text = None if self.text is None else self.text[cells]
        return replace(self, expression=self.expression[cells], ranked=None, text=text)

    def genes(self, positions: NDArray[np.int64]) -> CellBlock:
        """Keep some genes, in the given order, under a vocabulary of their own.

        Ranks and totals are then those among the kept genes.
        """
        names = tuple(self.vocabulary.names[i] for i in positions)
        return replace(
            self,
            expression=self.expression[:, positions],
            vocabulary=Vocabulary(names),
            ranked=None,
        )

    @staticmethod
    def concatenate(blocks: Sequence[CellBlock]) -> CellBlock:
        """Put cells of one vocabulary and one kind end to end (at least one block)."""
        first = blocks[0]
        parts = [block.text for block in blocks if block.text is not None]
        text = np.concatenate(parts) if len(parts) == len(blocks) else None
        expression = sp.csr_matrix(sp.vstack([block.expression for block in blocks], format="csr"))
        return CellBlock(expression, first.kind, first.vocabulary, text=text)


def log_normalise(expression: sp.csr_matrix, kind: str, *, target: float = TARGET) -> sp.csr_matrix:
    """Natural log1p of expression scaled to `target` a cell.

    Logarithms are undone first and the scaling is made anew over the columns that are
    given. So the same cell gives the same values from its counts and from its log1p
    values, and two data sets that were cut to the same genes are on one scale, whatever
    genes their files were normalised over.

    Parameters
    ----------
    expression
        Shape ``(n_obs, n_genes)``; not changed.
    kind
        Unit of its values: ``"counts"``, ``"cpm"``, ``"log1p"``, ``"log2"``, ``"log10"``.
    target
        What the linear values of each cell are scaled to.

    Returns
    -------
    float32, shape ``(n_obs, n_genes)``. A cell without expression stays zero.

    Raises
    ------
    InputError
        If `kind` has no zero to scale from, or a value is negative, infinite or NaN.

    Examples
    --------
    >>> counts = sp.csr_matrix([[1.0, 3.0], [0.0, 0.0]])
    >>> log_normalise(counts, "counts", target=4.0).expm1().toarray().round(3).tolist()
    [[1.0, 3.0], [0.0, 0.0]]
    """
    if kind not in _LINEAR:
        msg = f"Values of kind {kind!r} cannot be scaled to a total of {target:g} a cell."
        raise InputError(msg, hint=f"pass values of one of the kinds {', '.join(_LINEAR)}.")
    if not expression.has_canonical_format:  # scipy sorts in place, and columns are shared below
        expression = expression.copy()
        expression.sum_duplicates()
    stored = expression.data
    if not bool(((stored >= 0) & (stored < np.inf)).all()):
        msg = "Expression holds negative, infinite or missing values, which have no logarithm."
        raise InputError(msg, hint="pass counts or log1p values, for example `layer='counts'`.")
    linear = _LINEAR[kind](stored.astype(np.float64))
    rows = np.repeat(np.arange(expression.shape[0]), np.diff(expression.indptr))
    totals = np.bincount(rows, weights=linear, minlength=expression.shape[0])
    scale = np.divide(target, totals, out=np.zeros(len(totals)), where=totals > 0)
    values = np.log1p(linear * scale[rows]).astype(np.float32)
    return sp.csr_matrix(
        (values, expression.indices, expression.indptr), shape=expression.shape, copy=False
    )
