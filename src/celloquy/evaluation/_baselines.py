"""The cheap methods that every label stands beside: configurations of `celloquy.learn`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.preprocessing import StandardScaler

from celloquy.learn import CellBlock, LogisticRegression, LogValues
from celloquy.learn._model import Model

if TYPE_CHECKING:
    from typing import Protocol, Self

    from numpy.typing import NDArray

    class Annotator(Protocol):
        """What learns labels of cells."""

        def fit(self, cells: CellBlock, codes: NDArray[np.int64], *, n_labels: int) -> Self:
            """Learn from labelled cells; gives itself back."""

        def probabilities(self, block: CellBlock) -> NDArray[np.float64]:
            """Give each label's probability; shape ``(n_obs, n_labels)``."""


CLIP = 10.0
"""Most standard deviations of a gene that CellTypist lets count."""


class MajorityClass:
    """The reference's shares of labels, for every cell alike."""

    shares: NDArray[np.float64]

    def fit(self, cells: CellBlock, codes: NDArray[np.int64], *, n_labels: int) -> Self:
        """Count labels."""
        self.shares = np.bincount(codes, minlength=n_labels) / cells.n_obs
        return self

    def probabilities(self, block: CellBlock) -> NDArray[np.float64]:
        """Give the shares to every cell."""
        return np.tile(self.shares, (block.n_obs, 1))


class NearestCentroid:
    """The label whose mean cell is nearest by cosine, on log values.

    The probabilities are the cosines, clipped at 0 and scaled to sum to 1: they rank labels and
    are far from calibrated.
    """

    centroids: NDArray[np.float64]

    def fit(self, cells: CellBlock, codes: NDArray[np.int64], *, n_labels: int) -> Self:
        """Average the cells of each label; one without cells is never nearest."""
        values = cells.log_values
        sums = np.stack([np.asarray(values[codes == i].sum(axis=0)).ravel()
                         for i in range(n_labels)])  # fmt: skip
        self.centroids = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        return self

    def probabilities(self, block: CellBlock) -> NDArray[np.float64]:
        """Give the cosines, as shares."""
        near = np.maximum(np.asarray(block.log_values @ self.centroids.T, dtype=np.float64), 0)
        total = near.sum(axis=1, keepdims=True)
        alike = np.full(near.shape, 1 / near.shape[1])  # a cell that shares no gene with any
        return np.asarray(np.divide(near, total, out=alike, where=total > 0))


class StandardisedLogistic:
    """Logistic regression on log values of unit variance, as CellTypist's models are fitted.

    Notes
    -----
    Domínguez Conde et al., Science 2022: log1p of counts scaled to 10⁴, each gene centred and
    scaled, clipped at 10, then an L2-penalised logistic regression. CellTypist may choose genes
    in a first round; that is left out.
    """

    def fit(self, cells: CellBlock, codes: NDArray[np.int64], *, n_labels: int) -> Self:
        """Learn means, deviations and weights."""
        dense = cells.log_values.toarray()
        self.scaler = StandardScaler().fit(dense)
        self.head = LogisticRegression(inverse_penalty=1.0, balanced=False)
        self.head.fit(self._scaled(dense), codes, n_labels=n_labels)
        return self

    def probabilities(self, block: CellBlock) -> NDArray[np.float64]:
        """Give each label's probability."""
        return self.head.probabilities(self._scaled(block.log_values.toarray()))

    def _scaled(self, dense: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.minimum(self.scaler.transform(dense), CLIP), dtype=np.float32)


def plain_logistic() -> Annotator:
    """Make logistic regression on log values as it is usually run: labels are not balanced."""
    return Model([(LogValues(), LogisticRegression(inverse_penalty=0.1, balanced=False))])
