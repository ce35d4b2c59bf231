"""What every head can do, and the table of them by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from celloquy._runtime import Registry

if TYPE_CHECKING:
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from celloquy.learn._representation import Vectors
    from celloquy.learn._state import State


class Head(ABC):
    """Vectors to label probabilities: fitted on a reference once, then only applied."""

    name: ClassVar[str]
    """Name in the registry."""

    @abstractmethod
    def fit(self, vectors: Vectors, codes: NDArray[np.int64], *, n_labels: int) -> Self:
        """Learn labels from vectors; gives itself back.

        Parameters
        ----------
        vectors
            Shape ``(n_obs, d)``.
        codes
            Label of each cell, 0 to ``n_labels - 1``; shape ``(n_obs,)``.
        n_labels
            How many labels there are; one without a cell gets probability 0.
        """

    @abstractmethod
    def probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """Give each label's probability; rows sum to 1; shape ``(n_obs, n_labels)``."""

    @abstractmethod
    def state(self) -> State:
        """Give settings and fitted arrays, to be saved."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: State) -> Self:
        """Make the fitted head again from what was saved."""


_CLASSES = Registry[type[Head]](
    "head",
    {
        "knn": "celloquy.learn._knn:NearestNeighbours",
        "logistic": "celloquy.learn._logistic:LogisticRegression",
        "trees": "celloquy.learn._trees:BoostedTrees",
        "mlp": "celloquy.learn._mlp:NeuralNet",
    },
)


def head_from_state(state: State) -> Head:
    """Make any fitted head again from what was saved."""
    return _CLASSES[state.name].from_state(state)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn scores into probabilities, row by row; shape ``(n_obs, n_labels)``."""
    from scipy.special import softmax as scipy_softmax

    made: NDArray[np.float64] = scipy_softmax(scores, axis=1)
    return made


def spread(
    some: NDArray[np.float64], present: NDArray[np.int64], n_labels: int
) -> NDArray[np.float64]:
    """Put the columns of labels that have cells among all labels; others are 0."""
    import numpy as np

    every = np.zeros((len(some), n_labels))
    every[:, present] = some
    return every
