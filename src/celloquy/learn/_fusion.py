"""Text vectors, and the fusion of several representations into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.learn._representation import Representation, dense, representation_from_state
from celloquy.learn._state import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from celloquy.learn._block import CellBlock


class TextVectors(Representation):
    """Vectors that a language model made of the cells, given with the block.

    Raises
    ------
    InputError
        If a block comes without text vectors.
    """

    name = "text"

    def fit(self, block: CellBlock, codes: NDArray[np.int64] | None = None) -> Self:
        """Learn nothing."""
        return self

    def transform(self, block: CellBlock) -> NDArray[np.float32]:
        """Give the block's text vectors; shape ``(n_obs, d)``.

        Raises
        ------
        InputError
            If the block has none.
        """
        if block.text is None:
            msg = "This representation needs the cells' text vectors, and the block has none."
            raise InputError(msg, hint="embed the cells first and pass the vectors as `text=`.")
        return np.ascontiguousarray(block.text, dtype=np.float32)

    def state(self) -> State:
        """Give the name, all there is."""
        return State({"name": self.name})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make it again."""
        return cls()


class Fusion(Representation):
    """Several representations side by side, each with the same say.

    Each part is centred on the reference's mean and divided by its root mean squared
    length over the reference, so that no part decides distances by its scale alone.

    Parameters
    ----------
    parts
        What is joined, at least one; they are fitted with it.

    Raises
    ------
    InputError
        If `parts` is empty.
    """

    name = "fusion"
    means: list[NDArray[np.float32]]
    """Mean vector of each part."""
    scales: NDArray[np.float32]
    """What each part is multiplied with; shape ``(n_parts,)``."""

    def __init__(self, parts: Sequence[Representation]) -> None:
        if not parts:
            msg = "A fusion needs at least one part, got none."
            raise InputError(msg)
        self.parts = list(parts)

    def fit(self, block: CellBlock, codes: NDArray[np.int64] | None = None) -> Self:
        """Fit the parts, then their means and scales."""
        self.means, scales = [], []
        for part in self.parts:
            vectors = dense(part.fit(block, codes).transform(block))
            mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
            length = np.sqrt(np.mean(np.sum((vectors - mean) ** 2, axis=1, dtype=np.float64)))
            self.means.append(mean)
            scales.append(1 / length if length > 0 else 1.0)
        self.scales = np.array(scales, dtype=np.float32)
        return self

    def transform(self, block: CellBlock) -> NDArray[np.float32]:
        """Put the scaled parts side by side; shape ``(n_obs, sum of widths)``."""
        scaled = [
            (dense(part.transform(block)) - mean) * scale
            for part, mean, scale in zip(self.parts, self.means, self.scales, strict=True)
        ]
        return np.concatenate(scaled, axis=1)

    def state(self) -> State:
        """Give the parts' states, means and scales."""
        parts = {f"part{i}": part.state() for i, part in enumerate(self.parts)}
        joined = State.join({"name": self.name, "n_parts": len(parts)}, parts)
        joined.arrays["scales"] = self.scales
        joined.arrays.update({f"mean{i}": mean for i, mean in enumerate(self.means)})
        return joined

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make it again."""
        keys = range(state.config["n_parts"])
        made = cls([representation_from_state(state.part(f"part{i}")) for i in keys])
        made.means = [state.arrays[f"mean{i}"] for i in keys]
        made.scales = state.arrays["scales"]
        return made
