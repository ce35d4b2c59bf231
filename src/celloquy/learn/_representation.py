"""What every representation can do, and the table of them by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np
import scipy.sparse as sp

from celloquy._runtime import Registry

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from celloquy.learn._block import CellBlock
    from celloquy.learn._state import State

Vectors: TypeAlias = "sp.csr_matrix | NDArray[np.float32]"
"""One row a cell, shape ``(n_obs, d)``, float32: sparse or dense."""


class Representation(ABC):
    """Cells as vectors: fitted on a reference once, then only applied.

    A cell's vector depends on the cell and on what was fitted, never on the other cells
    that it is transformed with.
    """

    name: ClassVar[str]
    """Name in the registry."""

    @abstractmethod
    def fit(self, block: CellBlock, codes: NDArray[np.int64] | None = None) -> Self:
        """Learn what there is to learn from the reference's cells; gives itself back.

        Parameters
        ----------
        block
            The cells.
        codes
            Label of each cell, for those that learn which genes tell labels apart; shape
            ``(n_obs,)``.
        """

    @abstractmethod
    def transform(self, block: CellBlock) -> Vectors:
        """Turn cells into vectors; shape ``(n_obs, d)``."""

    @abstractmethod
    def state(self) -> State:
        """Give settings and fitted arrays, to be saved."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: State) -> Self:
        """Make the fitted representation again from what was saved."""


_CLASSES = Registry[type[Representation]](
    "representation",
    {
        "log": "celloquy.learn._values:LogValues",
        "bag": "celloquy.learn._bags:RankBag",
        "tfidf": "celloquy.learn._bags:TfidfBag",
        "specific-bag": "celloquy.learn._specific:SpecificBag",
        "text": "celloquy.learn._fusion:TextVectors",
        "compressed": "celloquy.learn._compressed:Compressed",
        "fusion": "celloquy.learn._fusion:Fusion",
    },
)


def representation_from_state(state: State) -> Representation:
    """Make any fitted representation again from what was saved."""
    return _CLASSES[state.name].from_state(state)


def dense(vectors: Vectors) -> NDArray[np.float32]:
    """Give vectors as a dense C-ordered float32 array; shape ``(n_obs, d)``."""
    array = vectors.toarray() if sp.issparse(vectors) else vectors
    return np.ascontiguousarray(array, dtype=np.float32)
