"""Cell2Sentence's own measure of itself: one straight line of log rank, judged where fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.text.compat._cell2sentence import Cell2SentenceOrder
from celloquy.text.compat._refusals import as_csr

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from celloquy.text.compat._refusals import Expression


@dataclass(frozen=True)
class RankLine:
    """A line ``expression = intercept + slope * log10(1 + rank)``, rank 0 first."""

    slope: float
    """Expression per tenfold of rank, in the unit of the values it was fitted on."""
    intercept: float
    """Expression of the first gene."""
    r_squared: float
    """Share of variance explained, on the cells it was fitted on."""
    pearson: float
    """Correlation of predicted and given values, on the same cells."""
    spearman: float
    """Rank correlation of predicted and given values, on the same cells."""

    def predict(self, ranks: ArrayLike) -> NDArray[np.float64]:
        """Give the expression at ranks (0 first); negative far down, as nothing is clipped."""
        return self.intercept + self.slope * np.log10(1.0 + np.asarray(ranks, dtype=np.float64))


def cell2sentence_fit(
    expression: Expression, *, max_obs: int = 1024, threshold: float = 3.0, seed: int = 0
) -> RankLine:
    """Fit Cell2Sentence's line and measure it as Cell2Sentence does.

    At most `max_obs` cells are drawn. Their non-zero values are ranked, ties at random; the
    line is fitted where ``log10(1 + rank)`` is below `threshold`, and measured on every
    point of the same cells.

    Parameters
    ----------
    expression
        Log-normalised values; cells by genes, shape ``(n_obs, n_vars)``.
    max_obs
        The most cells drawn.
    threshold
        The log10 rank from which on points are measured but not fitted.
    seed
        Seed of the draw and of the ties (the package takes none).

    Raises
    ------
    InputError
        If the matrix is not CSR, or fewer than two ranks are below the threshold.
    """
    from scipy import stats

    matrix = as_csr(expression)
    if matrix.shape[0] > max_obs:
        rows = np.random.default_rng(seed).choice(matrix.shape[0], max_obs, replace=False)
        matrix = matrix[np.sort(rows)]
    matrix = matrix.copy()
    matrix.eliminate_zeros()
    _, values = Cell2SentenceOrder(seed=seed, compiled=False).order(matrix)
    ranks = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], np.diff(matrix.indptr))
    log_ranks = np.log10(1.0 + ranks)
    fitted = log_ranks < threshold
    if np.unique(log_ranks[fitted]).size < 2:
        msg = f"A line needs two ranks below log10 {threshold}, and the cells give fewer."
        raise InputError(msg, hint="give cells with at least two expressed genes.")
    slope, intercept = np.polyfit(log_ranks[fitted], values[fitted].astype(np.float64), 1)
    predicted = intercept + slope * log_ranks
    residual = np.sum((values - predicted) ** 2) / np.sum((values - values.mean()) ** 2)
    return RankLine(
        float(slope),
        float(intercept),
        float(1.0 - residual),
        float(stats.pearsonr(predicted, values).statistic),
        float(stats.spearmanr(predicted, values).statistic),
    )
