"""Genes that tell a cell apart, as a bag: ranked by expression over their level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.learn._bags import TopGenes, rank_bag
from celloquy.text import RankOptions, rank_cells

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from celloquy.learn._block import CellBlock

FLOOR = 5.0
"""What is added to a gene's mean, in molecules of 10,000: genes met by chance do not come first."""


def gene_levels(
    values: sp.csr_matrix, codes: NDArray[np.int64], *, floor: float = FLOOR
) -> NDArray[np.float64]:
    """Give each gene's level: what its expression is divided by before genes are ranked.

    Parameters
    ----------
    values
        Linear expression scaled to one total a cell, 10,000; shape ``(n_obs, n_genes)``.
    codes
        Label of each cell; shape ``(n_obs,)``.
    floor
        Added to the mean, in the unit of `values`.

    Returns
    -------
    ``(mean + floor) / spread²``, shape ``(n_genes,)``. The mean is that of the labels' means,
    so that no label weighs more by its cells; the spread is the standard deviation over labels of
    the logarithm of 1 + the label's mean. A gene that does not differ between labels has NaN.

    Examples
    --------
    >>> cells = sp.csr_matrix([[1.0, 3.0, 4.0], [1.0, 0.0, 4.0]])
    >>> gene_levels(cells, np.array([0, 1]), floor=0.0).round(3).tolist()  # 1.5 / (log(4) / 2)²
    [nan, 3.122, nan]
    """
    _, places, cells = np.unique(codes, return_inverse=True, return_counts=True)
    weights = 1 / cells[places].astype(np.float64)
    member = sp.csr_matrix((weights, (places, np.arange(len(codes)))))
    means = np.asarray((member @ values).todense(), dtype=np.float64)
    spread = np.log1p(means).std(axis=0)
    with np.errstate(divide="ignore"):
        level = (means.mean(axis=0) + floor) / spread**2
    return np.where(np.isfinite(level), level, np.nan)


class SpecificBag(TopGenes):
    """A cell's most specific genes, each weighted by its rank, at unit length.

    Genes are ranked by expression over their level in the reference (:func:`gene_levels`), which
    is low for genes that differ between labels: those come first, rather than ribosomal proteins
    that every cell has much of. A gene that does not differ between labels is left out.

    Parameters
    ----------
    n_top_genes
        The most genes of a cell that count.

    Raises
    ------
    InputError
        If `n_top_genes` is below 1.

    Notes
    -----
    How it compares with other orders of genes: docs/benchmarks/pbmc-transfer.md, docs/log.md.
    """

    name = "specific-bag"
    learned = ("levels",)
    levels: NDArray[np.float64]
    """What the expression of each gene is divided by; NaN leaves it out; shape ``(n_genes,)``."""

    def fit(self, block: CellBlock, codes: NDArray[np.int64] | None = None) -> Self:
        """Learn each gene's level.

        Raises
        ------
        InputError
            If `codes` is `None`.
        """
        if codes is None:
            msg = f"The representation {self.name!r} learns from labels, and none were given."
            raise InputError(msg, hint="pass the label of each cell as `codes`.")
        self.levels = gene_levels(sp.csr_matrix(block.log_values.expm1()), codes)
        return self

    def transform(self, block: CellBlock) -> sp.csr_matrix:
        """Weigh each cell's most specific genes; shape ``(n_obs, n_genes)``."""
        options = RankOptions(
            n_top_genes=self.n_top_genes,
            rank_by="specificity",
            medians=self.levels,
            kind=block.kind,  # type: ignore[arg-type]
        )
        ranked = rank_cells(block.expression, block.vocabulary, options=options)
        return rank_bag(ranked, self.n_top_genes)
