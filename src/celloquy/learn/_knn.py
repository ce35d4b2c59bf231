"""The vote of the nearest reference cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.learn._head import Head
from celloquy.learn._neighbours import Metric, NeighbourIndex, Neighbours
from celloquy.learn._representation import dense
from celloquy.learn._state import State

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from celloquy.learn._representation import Vectors

N_NEIGHBOURS = 15


class NearestNeighbours(Head):
    """Share of the nearest reference cells that carry each label.

    Parameters
    ----------
    n_neighbours
        Cells that vote; 1 with ``metric="cosine"`` is what CELLama does.
    metric
        Distance.
    weighted
        Whether a vote counts 1 / distance (cells at distance 0, if any, then vote alone).

    Raises
    ------
    InputError
        If `n_neighbours` is below 1.
    """

    name = "knn"
    codes: NDArray[np.int64]
    """Label of each reference cell; shape ``(n_reference,)``."""
    n_labels: int
    index: NeighbourIndex

    def __init__(
        self,
        *,
        n_neighbours: int = N_NEIGHBOURS,
        metric: Metric = "euclidean",
        weighted: bool = False,
    ) -> None:
        if n_neighbours < 1:
            msg = f"`n_neighbours` must be at least 1, got {n_neighbours}."
            raise InputError(msg)
        self.n_neighbours = n_neighbours
        self.metric = metric
        self.weighted = weighted

    def fit(self, vectors: Vectors, codes: NDArray[np.int64], *, n_labels: int) -> Self:
        """Keep the reference's vectors and labels."""
        self.index = NeighbourIndex(dense(vectors), metric=self.metric)
        self.codes, self.n_labels = codes, n_labels
        return self

    def probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """Give each label's share of the vote; shape ``(n_obs, n_labels)``."""
        return self.vote(self.index.search(dense(vectors), k=self.n_neighbours))

    def vote(self, found: Neighbours) -> NDArray[np.float64]:
        """Count the votes of neighbours that were already found."""
        weights = np.ones(found.rows.shape)
        if self.weighted:
            same = found.distances == 0
            with np.errstate(divide="ignore"):
                weights = np.where(same.any(axis=1, keepdims=True), same, 1 / found.distances)
        votes = np.zeros((len(found.rows), self.n_labels))
        cells = np.repeat(np.arange(len(votes)), found.rows.shape[1])
        np.add.at(votes, (cells, self.codes[found.rows].ravel()), weights.ravel())
        return np.asarray(votes / votes.sum(axis=1, keepdims=True))

    def state(self) -> State:
        """Give settings, vectors and labels of the reference."""
        config = {
            "name": self.name,
            "n_neighbours": self.n_neighbours,
            "metric": self.metric,
            "weighted": self.weighted,
            "n_labels": self.n_labels,
        }
        return State(config, {"vectors": self.index.reference, "codes": self.codes})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make it again."""
        settings = {k: v for k, v in state.config.items() if k not in {"name", "n_labels"}}
        n_labels = state.config["n_labels"]
        arrays = state.arrays
        return cls(**settings).fit(arrays["vectors"], arrays["codes"], n_labels=n_labels)
