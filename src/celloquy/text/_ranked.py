"""Ranked cells: the central type, integers from which all text is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from celloquy.text._vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class RankedCells:
    """The expressed genes of each cell, most expressed first, all cells end to end."""

    genes: NDArray[np.int32]
    """Positions in the vocabulary; shape ``(n_kept,)``."""
    offsets: NDArray[np.int64]
    """Where each cell begins in `genes`; shape ``(n_obs + 1,)``, starts at 0."""
    values: NDArray[np.float32]
    """Expression of each kept gene, in the unit of the slot; shape ``(n_kept,)``."""
    cut: NDArray[np.int32]
    """Expressed genes of each cell that were not kept; shape ``(n_obs,)``."""
    vocabulary: Vocabulary
    """The genes that `genes` points into."""

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.offsets) - 1

    def __len__(self) -> int:
        return self.n_obs

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Genes kept in each cell; shape ``(n_obs,)``."""
        return np.diff(self.offsets)

    def names(self, cell: int) -> list[str]:
        """Names of one cell's genes, most expressed first."""
        here = self.genes[self.offsets[cell] : self.offsets[cell + 1]]
        return [self.vocabulary.names[gene] for gene in here]

    def __iter__(self) -> Iterator[list[str]]:
        return (self.names(cell) for cell in range(self.n_obs))

    def top(self, n_top_genes: int | NDArray[np.int64]) -> RankedCells:
        """Keep at most the first `n_top_genes` of each cell, and count what is cut.

        Parameters
        ----------
        n_top_genes
            One number for all cells, or one a cell; shape ``(n_obs,)``.
        """
        kept = np.minimum(self.lengths, n_top_genes)
        offsets = np.concatenate([[0], np.cumsum(kept)])
        take = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1] - offsets[:-1], kept)
        cut = self.cut + (self.lengths - kept).astype(np.int32)
        return RankedCells(self.genes[take], offsets, self.values[take], cut, self.vocabulary)

    @staticmethod
    def concatenate(parts: Sequence[RankedCells]) -> RankedCells:
        """Put cells of one vocabulary end to end (at least one part)."""
        ends = np.cumsum([0, *(part.offsets[-1] for part in parts)])
        starts = [part.offsets[:-1] + end for part, end in zip(parts, ends, strict=False)]
        return RankedCells(
            np.concatenate([part.genes for part in parts]),
            np.concatenate([*starts, ends[-1:]]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.cut for part in parts]),
            parts[0].vocabulary,
        )
