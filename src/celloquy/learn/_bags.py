"""The same genes that a cell sentence names, as a bag: by rank, or by TF-IDF."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.learn._representation import Representation
from celloquy.learn._state import State

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from celloquy.learn._block import CellBlock
    from celloquy.text import RankedCells

N_TOP_GENES = 200
"""Genes a bag holds at most unless asked otherwise; 200 beat 100 across PBMC studies."""


def rank_weights(n_top_genes: int) -> NDArray[np.float32]:
    """Weight of each rank: ``1 - log(1 + rank) / log(n_top_genes + 1)``.

    Examples
    --------
    >>> [round(float(weight), 3) for weight in rank_weights(3)]  # 1 - log(1..3) / log(4)
    [1.0, 0.5, 0.208]
    """
    ranks = np.arange(n_top_genes)
    return np.asarray(1 - np.log1p(ranks) / np.log(n_top_genes + 1), dtype=np.float32)


def bag_of(ranked: RankedCells, weights: NDArray[np.float32]) -> sp.csr_matrix:
    shape = (ranked.n_obs, len(ranked.vocabulary))
    bag = sp.csr_matrix((weights, ranked.genes, ranked.offsets), shape=shape, copy=False)
    bag.sort_indices()
    return bag


def unit_rows(bag: sp.csr_matrix) -> sp.csr_matrix:
    """Scale each row to length 1; an empty row stays empty."""
    rows = np.repeat(np.arange(bag.shape[0]), np.diff(bag.indptr))
    squares = np.bincount(rows, weights=bag.data.astype(np.float64) ** 2, minlength=bag.shape[0])
    lengths = np.sqrt(np.where(squares > 0, squares, 1.0))
    values = (bag.data / lengths[rows]).astype(np.float32)
    return sp.csr_matrix((values, bag.indices, bag.indptr), shape=bag.shape, copy=False)


def rank_bag(ranked: RankedCells, n_top_genes: int) -> sp.csr_matrix:
    """Weigh each cell's ranked genes by rank, at unit length; shape ``(n_obs, n_genes)``."""
    ranks = np.arange(len(ranked.genes)) - np.repeat(ranked.offsets[:-1], ranked.lengths)
    return unit_rows(bag_of(ranked, rank_weights(n_top_genes)[ranks]))


class TopGenes(Representation):
    """What all bags share: how many genes of a cell they hold, and how they are saved."""

    learned: ClassVar[tuple[str, ...]] = ()
    """Attributes, and saved arrays, that hold what was learned; shape ``(n_genes,)`` each."""

    def __init__(self, *, n_top_genes: int = N_TOP_GENES) -> None:
        if n_top_genes < 1:
            msg = f"`n_top_genes` must be at least 1, got {n_top_genes}."
            raise InputError(msg)
        self.n_top_genes = n_top_genes

    def state(self) -> State:
        """Give settings and what was learned."""
        settings = {"name": self.name, "n_top_genes": self.n_top_genes}
        return State(settings, {name: getattr(self, name) for name in self.learned})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make it again."""
        made = cls(n_top_genes=state.config["n_top_genes"])
        for name in cls.learned:
            setattr(made, name, state.arrays[name])
        return made


class RankBag(TopGenes):
    """A cell's top genes, each weighted by its rank, at unit length.

    The weight of rank ``r`` (0 first) among ``n`` is ``1 - log(1 + r) / log(n + 1)``.
    Nothing is learnt from the reference.

    Parameters
    ----------
    n_top_genes
        The most genes of a cell that count.

    Raises
    ------
    InputError
        If `n_top_genes` is below 1.
    """

    name = "bag"

    def fit(self, block: CellBlock, codes: NDArray[np.int64] | None = None) -> Self:
        """Learn nothing."""
        return self

    def transform(self, block: CellBlock) -> sp.csr_matrix:
        """Weigh each cell's top genes; shape ``(n_obs, n_genes)``."""
        return rank_bag(block.top(self.n_top_genes), self.n_top_genes)


class TfidfBag(TopGenes):
    """A cell's top genes as words of a document: TF-IDF at unit length.

    Each named gene counts once, times ``log((1 + n) / (1 + cells naming it)) + 1`` over
    the ``n`` cells of the reference: the smoothed form of scikit-learn.

    Parameters
    ----------
    n_top_genes
        The most genes of a cell that count.

    Raises
    ------
    InputError
        If `n_top_genes` is below 1.
    """

    name = "tfidf"
    learned = ("idf",)
    idf: NDArray[np.float32]
    """Weight of each gene; shape ``(n_genes,)``."""

    def fit(self, block: CellBlock, codes: NDArray[np.int64] | None = None) -> Self:
        """Count how many cells name each gene."""
        ranked = block.top(self.n_top_genes)
        cells = np.bincount(ranked.genes, minlength=len(block.vocabulary))
        self.idf = (np.log((1 + block.n_obs) / (1 + cells)) + 1).astype(np.float32)
        return self

    def transform(self, block: CellBlock) -> sp.csr_matrix:
        """Weigh each cell's top genes; shape ``(n_obs, n_genes)``."""
        ranked = block.top(self.n_top_genes)
        return unit_rows(bag_of(ranked, self.idf[ranked.genes]))
