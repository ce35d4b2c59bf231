"""Multinomial logistic regression."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.learn._head import Head, softmax, spread
from celloquy.learn._markers import marker_features
from celloquy.learn._state import State
from celloquy.learn._svd import used_columns

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from celloquy.learn._representation import Vectors

PENALTY = 0.1
MAX_STEPS = 300
TOLERANCE = 1e-5  # of the gradient: at 1e-4 the order of genes showed in the second digit


class LogisticRegression(Head):
    """Multinomial logistic regression with an L2 penalty, by scikit-learn's L-BFGS.

    Parameters
    ----------
    inverse_penalty
        scikit-learn's ``C``: larger trusts the reference more. With `balanced`, the
        weights of the cells sum to their number, so it reads the same.
    balanced
        Whether each label weighs the same, however many cells it has. The shares of
        types differ between studies, so a reference's own shares are a poor prior:
        across blood studies this gained 2.4 points of macro-F1 (docs/benchmarks/pbmc-transfer.md).

    n_markers
        Fit on so many features a label, those that tell it from the others best; `None`
        fits on all.

    Raises
    ------
    InputError
        If `inverse_penalty` is not above 0, or `n_markers` is below 1.
    """

    name = "logistic"
    weights: NDArray[np.float64]
    """One row a label that has cells; shape ``(n_present, n_features)``."""
    features: NDArray[np.int64]
    """Positions of the features it reads; shape ``(n_features,)``."""
    intercepts: NDArray[np.float64]
    """Shape ``(n_present,)``."""
    present: NDArray[np.int64]
    """Codes of the labels that have cells; shape ``(n_present,)``."""
    n_labels: int

    def __init__(
        self,
        *,
        inverse_penalty: float = PENALTY,
        balanced: bool = True,
        n_markers: int | None = None,
    ) -> None:
        if not inverse_penalty > 0:
            msg = f"`inverse_penalty` must be above 0, got {inverse_penalty}."
            raise InputError(msg)
        self.inverse_penalty = inverse_penalty
        if n_markers is not None and n_markers < 1:
            msg = f"`n_markers` must be at least 1, got {n_markers}."
            raise InputError(msg, hint="pass `n_markers=None` to fit on all features.")
        self.balanced = balanced
        self.n_markers = n_markers

    def fit(self, vectors: Vectors, codes: NDArray[np.int64], *, n_labels: int) -> Self:
        """Fit weights and intercepts; a reference of one label needs none."""
        self.n_labels = n_labels
        self.present, places, cells = np.unique(codes, return_inverse=True, return_counts=True)
        self.features = np.arange(vectors.shape[1])
        if len(self.present) == 1:
            self.weights = np.zeros((1, vectors.shape[1]))
            self.intercepts = np.zeros(1)
            return self
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression as Fitter

        fitter = Fitter(C=self.inverse_penalty, max_iter=MAX_STEPS, tol=TOLERANCE)
        weight = (len(codes) / (len(cells) * cells))[places]
        if self.n_markers is not None:
            self.features = marker_features(vectors, places, n_markers=self.n_markers)
        else:  # a feature that no cell has gets weight zero anyway
            self.features = used_columns(vectors)
        if not len(self.features):  # nothing tells labels apart: their shares alone are learnt
            self.features = np.arange(1)
        if len(self.features) < vectors.shape[1]:
            vectors = vectors[:, self.features]
        with warnings.catch_warnings():  # the last step is close enough: an option of its own
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitter.fit(vectors, codes, sample_weight=weight if self.balanced else None)
        weights, intercepts = fitter.coef_.astype(np.float64), fitter.intercept_
        if len(self.present) == 2:  # scikit-learn keeps one row for two labels
            weights = np.concatenate([-weights, weights]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        self.weights, self.intercepts = weights, intercepts.astype(np.float64)
        return self

    def probabilities(self, vectors: Vectors) -> NDArray[np.float64]:
        """Give each label's probability; shape ``(n_obs, n_labels)``."""
        if len(self.features) < vectors.shape[1]:
            vectors = vectors[:, self.features]
        scores = np.asarray(vectors @ self.weights.T, dtype=np.float64) + self.intercepts
        return spread(softmax(scores), self.present, self.n_labels)

    def state(self) -> State:
        """Give settings, weights and intercepts."""
        config = {
            "name": self.name,
            "inverse_penalty": self.inverse_penalty,
            "balanced": self.balanced,
            "n_markers": self.n_markers,
            "n_labels": self.n_labels,
        }
        arrays = {
            "weights": self.weights,
            "intercepts": self.intercepts,
            "present": self.present,
            "features": self.features,
        }
        return State(config, arrays)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Make it again."""
        config = state.config
        made = cls(
            inverse_penalty=config["inverse_penalty"],
            balanced=config["balanced"],
            n_markers=config["n_markers"],
        )
        made.n_labels = config["n_labels"]
        made.features = state.arrays["features"]
        made.weights = state.arrays["weights"]
        made.intercepts = state.arrays["intercepts"]
        made.present = state.arrays["present"]
        return made
