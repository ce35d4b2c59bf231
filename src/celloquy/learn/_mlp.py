"""A small neural net: one hidden layer, softmax loss, stopped on held-out cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import rng_for
from celloquy.learn._head import Head, softmax, spread
from celloquy.learn._representation import dense
from celloquy.learn._state import State

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray
    from sklearn.neural_network import MLPClassifier

    from celloquy.learn._representation import Vectors

N_HIDDEN = 256
MAX_EPOCHS = 100
PATIENCE = 10
LEAST_GAIN = 0.01
"""Share of the held-out loss that an epoch must save to count as better."""
HELD_OUT = 0.1
LEARNING_RATE = 1e-3
BATCH_SIZE = 64


class NeuralNet(Head):
    """One hidden layer of rectified units, fitted by Adam with the softmax loss.

    CELLama's head (``d -> 256 -> labels``), corrected: the loss takes scores instead of
    probabilities that were already normalised, and fitting stops on the loss of held-out
    cells (a tenth of each label that has at least 10) instead of the training loss. Every
    epoch draws the labels equally often. Inputs are centred and brought to one scale by
    the reference.

    Parameters
    ----------
    n_hidden
        Hidden units.
    seed
        Seed of weights, held-out cells and draws.
    """

    name = "mlp"
    layers: dict[str, NDArray[np.float64]]
    """``centre``, ``scale``, ``weights0``, ``bias0``, ``weights1``, ``bias1``."""
    present: NDArray[np.int64]
    """Codes of the labels that have cells."""
    n_labels: int

    def __init__(self, *, n_hidden: int = N_HIDDEN, seed: int = 0) -> None:
        self.n_hidden = n_hidden
        self.seed = seed

    def fit(self, vectors: Vectors, codes: NDArray[np.int64], *, n_labels: int) -> Self:
        """Fit the layers; the best epoch on the held-out cells is kept."""
        self.n_labels = n_labels
        self.present, places = np.unique(codes, return_inverse=True)
        inputs = dense(vectors).astype(np.float64)
        centre = inputs.mean(axis=0)
        scale = np.sqrt(np.mean((inputs - centre) ** 2))
        self.layers = {"centre": centre, "scale": np.array([scale if scale > 0 else 1.0])}
        if len(self.present) > 1:
            self._train((inputs - centre) / self.layers["scale"], places)
        return self

    def _train(self, inputs: NDArray[np.float64], places: NDArray[np.int64]) -> None:
        from sklearn.neural_network import MLPClassifier as Net

        rng = rng_for(self.seed, "mlp")
        held_out = _held_out(places, rng)
        kept = np.flatnonzero(~held_out)
        judged = np.flatnonzero(held_out) if held_out.any() else kept
        share = 1 / np.bincount(places[kept])[places[kept]]
        net = Net(
            (self.n_hidden,),
            batch_size=min(BATCH_SIZE, len(kept)),
            learning_rate_init=LEARNING_RATE,
            random_state=int(rng.integers(2**31)),
        )
        labels = np.arange(len(self.present))
        lowest, since = np.inf, 0
        for _ in range(MAX_EPOCHS):
            drawn = rng.choice(kept, size=len(kept), p=share / share.sum())
            net.partial_fit(inputs[drawn], places[drawn], classes=labels)
            layers = _layers_of(net)
            loss = _balanced_loss(_scores(layers, inputs[judged]), places[judged])
            since += 1
            if loss < (1 - LEAST_GAIN) * lowest:
                lowest, since = loss, 0
                self.layers.update(layers)
            if since >= PATIENCE:
                return

    def probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """Give each label's probability; shape ``(n_obs, n_labels)``."""
        inputs = (dense(vectors) - self.layers["centre"]) / self.layers["scale"]
        if len(self.present) == 1:
            return spread(np.ones((len(inputs), 1)), self.present, self.n_labels)
        return spread(softmax(_scores(self.layers, inputs)), self.present, self.n_labels)

    def state(self) -> State:
        """Give settings and layers."""
        config = {
            "name": self.name,
            "n_hidden": self.n_hidden,
            "seed": self.seed,
            "n_labels": self.n_labels,
        }
        return State(config, {**self.layers, "present": self.present})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make it again."""
        made = cls(n_hidden=state.config["n_hidden"], seed=state.config["seed"])
        made.n_labels = state.config["n_labels"]
        made.present = state.arrays["present"]
        made.layers = {name: array for name, array in state.arrays.items() if name != "present"}
        return made


def _held_out(places: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose a tenth of the cells of each label that has at least 10."""
    held_out = np.zeros(len(places), dtype=bool)
    for label in np.unique(places):
        cells = np.flatnonzero(places == label)
        held_out[rng.permutation(cells)[: int(HELD_OUT * len(cells))]] = True
    return held_out


def _layers_of(net: MLPClassifier) -> dict[str, NDArray[np.float64]]:
    """Copy the weights of a scikit-learn net, with two rows of scores for two labels."""
    weights, biases = [w.copy() for w in net.coefs_], [b.copy() for b in net.intercepts_]
    if weights[1].shape[1] == 1:
        weights[1] = np.concatenate([-weights[1], weights[1]], axis=1) / 2
        biases[1] = np.concatenate([-biases[1], biases[1]]) / 2
    return {"weights0": weights[0], "bias0": biases[0], "weights1": weights[1], "bias1": biases[1]}


def _scores(
    layers: dict[str, NDArray[np.float64]], inputs: NDArray[np.float64]
) -> NDArray[np.float64]:
    hidden = np.maximum(inputs @ layers["weights0"] + layers["bias0"], 0)
    return np.asarray(hidden @ layers["weights1"] + layers["bias1"])


def _balanced_loss(scores: NDArray[np.float64], places: NDArray[np.int64]) -> float:
    """Mean over labels of the mean negative log probability of their cells, in nats."""
    losses = -np.log(np.maximum(softmax(scores)[np.arange(len(places)), places], 1e-300))
    cells = np.bincount(places)
    return float(np.mean((np.bincount(places, weights=losses) / np.maximum(cells, 1))[cells > 0]))
