"""Boosted trees, kept as plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.learn._head import Head, softmax, spread
from celloquy.learn._representation import dense
from celloquy.learn._state import State

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from celloquy.learn._representation import Vectors

N_ROUNDS = 100


class BoostedTrees(Head):
    """Gradient boosting over binned features, by scikit-learn, each label weighing the same.

    Parameters
    ----------
    n_rounds
        Trees a label.
    seed
        Seed of scikit-learn's sampling of bin borders.
    """

    name = "trees"
    nodes: NDArray[np.int64]
    """Feature, left, right and column of scores of all nodes; shape ``(n_nodes, 4)``."""
    numbers: NDArray[np.float64]
    """Threshold and value of all nodes; shape ``(n_nodes, 2)``."""
    baseline: NDArray[np.float64]
    """Scores before the first tree; shape ``(n_present,)``, or 1 for two labels."""
    present: NDArray[np.int64]
    """Codes of the labels that have cells."""
    n_labels: int

    def __init__(self, *, n_rounds: int = N_ROUNDS, seed: int = 0) -> None:
        self.n_rounds = n_rounds
        self.seed = seed

    def fit(self, vectors: Vectors, codes: NDArray[np.int64], *, n_labels: int) -> Self:
        """Grow the trees, and copy their nodes."""
        self.n_labels = n_labels
        self.present = np.unique(codes)
        self.baseline = np.zeros(1)
        grown: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        if len(self.present) > 1:
            from sklearn.ensemble import HistGradientBoostingClassifier

            fitter = HistGradientBoostingClassifier(
                max_iter=self.n_rounds,
                early_stopping=False,
                class_weight="balanced",
                random_state=self.seed,
            ).fit(dense(vectors), codes)
            self.baseline = np.asarray(fitter._baseline_prediction, dtype=np.float64).ravel()
            grown = [
                _nodes_of(tree.nodes, column)
                for trees in fitter._predictors
                for column, tree in enumerate(trees)
            ]
        self.nodes = np.concatenate([np.empty((0, 4), np.int64), *(tree[0] for tree in grown)])
        self.numbers = np.concatenate([np.empty((0, 2)), *(tree[1] for tree in grown)])
        return self

    def probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """Give each label's probability; shape ``(n_obs, n_labels)``."""
        from celloquy.learn._kernels import sum_trees

        scores = np.tile(self.baseline, (vectors.shape[0], 1))
        sum_trees(dense(vectors), self.nodes, self.numbers, scores)
        if len(self.present) == 2:  # one tree a round: its score is that of the second label
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        return spread(softmax(scores), self.present, self.n_labels)

    def state(self) -> State:
        """Give settings and nodes."""
        config = {
            "name": self.name,
            "n_rounds": self.n_rounds,
            "seed": self.seed,
            "n_labels": self.n_labels,
        }
        arrays = {
            "nodes": self.nodes,
            "numbers": self.numbers,
            "baseline": self.baseline,
            "present": self.present,
        }
        return State(config, arrays)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make it again."""
        made = cls(n_rounds=state.config["n_rounds"], seed=state.config["seed"])
        made.n_labels = state.config["n_labels"]
        made.present = state.arrays["present"]
        made.nodes, made.numbers = state.arrays["nodes"], state.arrays["numbers"]
        made.baseline = state.arrays["baseline"]
        return made


def _nodes_of(
    nodes: NDArray[np.void], column: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bring scikit-learn's nodes of one tree into the form that is stored."""
    is_leaf = nodes["is_leaf"].astype(bool)
    links = np.full((len(nodes), 4), -1, dtype=np.int64)
    for place, name in enumerate(("feature_idx", "left", "right")):
        links[:, place] = np.where(is_leaf, -1, nodes[name].astype(np.int64))
    links[0, 3] = column
    return links, np.stack([nodes["num_threshold"], nodes["value"]], axis=1).astype(np.float64)
