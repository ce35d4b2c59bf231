"""One or several pairs of representation and head, whose probabilities are joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.learn._head import head_from_state
from celloquy.learn._representation import representation_from_state
from celloquy.learn._state import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from celloquy.learn._block import CellBlock
    from celloquy.learn._head import Head
    from celloquy.learn._representation import Representation

_FLOOR = 1e-9


class Model:
    """Representations with a head each; the label probabilities are their geometric mean.

    Parameters
    ----------
    members
        Pairs of a representation and the head that reads it, at least one.
    """

    def __init__(self, members: Sequence[tuple[Representation, Head]]) -> None:
        self.members = list(members)

    def fit(self, cells: CellBlock, codes: NDArray[np.int64], *, n_labels: int) -> Self:
        """Fit every member on the same cells; gives itself back."""
        for representation, head in self.members:
            vectors = representation.fit(cells, codes).transform(cells)
            head.fit(vectors, codes, n_labels=n_labels)
        return self

    def probabilities(self, block: CellBlock) -> NDArray[np.float64]:
        """Give each label's probability; rows sum to 1; shape ``(n_obs, n_labels)``."""
        told = [head.probabilities(part.transform(block)) for part, head in self.members]
        if len(told) == 1:
            return told[0]
        mean = np.exp(np.mean([np.log(np.maximum(each, _FLOOR)) for each in told], axis=0))
        mean = np.where(np.min(told, axis=0) > 0, mean, 0.0)
        lost = mean.sum(axis=1) == 0  # no label that every member holds possible
        mean[lost] = np.mean(told, axis=0)[lost]
        return np.asarray(mean / mean.sum(axis=1, keepdims=True))

    def state(self) -> State:
        """Give the members' states."""
        parts = {}
        for i, (representation, head) in enumerate(self.members):
            parts[f"representation{i}"] = representation.state()
            parts[f"head{i}"] = head.state()
        return State.join({"name": "model", "n_members": len(self.members)}, parts)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make it again."""
        return cls(
            [
                (
                    representation_from_state(state.part(f"representation{i}")),
                    head_from_state(state.part(f"head{i}")),
                )
                for i in range(state.config["n_members"])
            ]
        )
