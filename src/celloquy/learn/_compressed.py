"""Any representation, compressed by SVD or PCA that was fitted on the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.learn._representation import Representation, representation_from_state
from celloquy.learn._state import State
from celloquy.learn._svd import right_singular_vectors

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from celloquy.learn._block import CellBlock

N_COMPONENTS = 50


class Compressed(Representation):
    """The leading components of another representation.

    Parameters
    ----------
    base
        What is compressed; it is fitted with it.
    n_components
        Components kept; fewer where the reference has fewer cells or features.
    centred
        Whether the reference's mean is taken off first: PCA; else SVD.
    seed
        Seed of the decomposition.

    Raises
    ------
    InputError
        If `n_components` is below 1.
    """

    name = "compressed"
    mean: NDArray[np.float32]
    """What is taken off; shape ``(d,)``; zeros unless `centred`."""
    components: NDArray[np.float32]
    """Orthonormal rows; shape ``(n_components, d)``."""

    def __init__(
        self,
        base: Representation,
        *,
        n_components: int = N_COMPONENTS,
        centred: bool = False,
        seed: int = 0,
    ) -> None:
        if n_components < 1:
            msg = f"`n_components` must be at least 1, got {n_components}."
            raise InputError(msg)
        self.base = base
        self.n_components = n_components
        self.centred = centred
        self.seed = seed

    def fit(self, block: CellBlock, codes: NDArray[np.int64] | None = None) -> Self:
        """Fit the base, then its components."""
        vectors = self.base.fit(block, codes).transform(block)
        width = vectors.shape[1]
        mean = np.asarray(vectors.mean(axis=0, dtype=np.float64)).ravel()
        mean = mean if self.centred else np.zeros(width)
        self.components = right_singular_vectors(
            vectors, self.n_components, centre=mean, seed=self.seed
        )
        self.mean = mean.astype(np.float32)
        return self

    def transform(self, block: CellBlock) -> NDArray[np.float32]:
        """Project cells onto the components; shape ``(n_obs, n_components)``."""
        projected = np.asarray(self.base.transform(block) @ self.components.T)
        return np.asarray(projected - self.mean @ self.components.T, dtype=np.float32)

    def state(self) -> State:
        """Give settings, mean and components."""
        config = {
            "name": self.name,
            "n_components": self.n_components,
            "centred": self.centred,
            "seed": self.seed,
        }
        joined = State.join(config, {"base": self.base.state()})
        joined.arrays.update(mean=self.mean, components=self.components)
        return joined

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make it again."""
        made = cls(
            representation_from_state(state.part("base")),
            n_components=state.config["n_components"],
            centred=state.config["centred"],
            seed=state.config["seed"],
        )
        made.mean, made.components = state.arrays["mean"], state.arrays["components"]
        return made
