"""Expression values themselves as the representation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celloquy.learn._representation import Representation
from celloquy.learn._state import State

if TYPE_CHECKING:
    from typing import Self

    import numpy as np
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from celloquy.learn._block import CellBlock


class LogValues(Representation):
    """Natural log1p of expression scaled to 10,000 a cell, over the vocabulary's genes.

    Nothing is learnt from the reference.
    """

    name = "log"

    def fit(self, block: CellBlock, codes: NDArray[np.int64] | None = None) -> Self:
        """Learn nothing."""
        return self

    def transform(self, block: CellBlock) -> sp.csr_matrix:
        """Give the log values; shape ``(n_obs, n_genes)``."""
        return block.log_values

    def state(self) -> State:
        """Give the name, all there is."""
        return State({"name": self.name})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make it again."""
        return cls()
