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
    n_features: int

    def __init__(self, *, n_rounds: int = N_ROUNDS, seed: int = 0) -> None:
        self.n_rounds = n_rounds
        self.seed = seed

    def fit(self, vectors: Vectors, codes: NDArray[np.int64], *, n_labels: int) -> Self:
        """Grow the trees, and copy their nodes."""
        self.n_labels, self.n_features = n_labels, vectors.shape[1]
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
            "n_features": self.n_features,
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
        made.n_features = state.config["n_features"]
        made.nodes, made.numbers = state.arrays["nodes"], state.arrays["numbers"]
        _refuse_loose_nodes(made.nodes, made.numbers, made.n_features)
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


def _refuse_loose_nodes(
    nodes: NDArray[np.int64], numbers: NDArray[np.float64], n_features: int
) -> None:
    """Refuse nodes that would lead the compiled loop outside its arrays, or in a circle.

    Raises
    ------
    ValueError
        If there are such nodes; loading a reference turns it into a CheckpointError.
    """
    starts = np.flatnonzero(nodes[:, 3] >= 0)
    ends = np.append(starts[1:], len(nodes))
    tree = np.searchsorted(starts, np.arange(len(nodes)), side="right") - 1
    own = np.arange(len(nodes)) - starts[tree] if len(starts) else np.zeros(len(nodes))
    size = (ends - starts)[tree] if len(starts) else np.zeros(len(nodes))
    inner = nodes[:, 1] >= 0
    ahead = (nodes[:, 1:3] > own[:, None]).all(axis=1) & (nodes[:, 1:3] < size[:, None]).all(axis=1)
    known = (nodes[:, 0] >= 0) & (nodes[:, 0] < n_features)
    if numbers.shape != (len(nodes), 2) or not (ahead & known)[inner].all() or tree.min(initial=0):
        msg = "the trees' nodes point outside their tree"
        raise ValueError(msg)
