"""The features that tell each label from the others best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from celloquy.learn._representation import Vectors


def one_against_rest(vectors: Vectors, codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Variance between a label's cells and all others over that within, a feature.

    For two groups this is the F of a one-way analysis of variance but for its degrees of
    freedom, which are the same for all features of a label.

    Parameters
    ----------
    vectors
        Shape ``(n_obs, d)``.
    codes
        Label of each cell, 0 to ``n_labels - 1``, all of them used; shape ``(n_obs,)``.

    Returns
    -------
    Shape ``(n_labels, d)``, at least 0; a feature that never varies has 0.
    """
    n_obs = len(codes)
    cells = np.bincount(codes).astype(np.float64)
    member = sp.csr_matrix((np.ones(n_obs), (codes, np.arange(n_obs))))
    sums = member @ vectors
    sums = np.asarray(sums.toarray() if sp.issparse(sums) else sums, dtype=np.float64)
    squared = vectors.multiply(vectors) if sp.issparse(vectors) else np.square(vectors)
    squares = np.asarray(squared.sum(axis=0, dtype=np.float64)).ravel()
    total = sums.sum(axis=0)
    others = np.maximum(n_obs - cells, 1)
    gaps = sums / cells[:, None] - (total - sums) / others[:, None]
    between = (cells * others / n_obs)[:, None] * gaps**2
    all_of_it = squares - total**2 / n_obs
    within = np.maximum(all_of_it - between, 1e-9 * np.maximum(squares, 1e-300))
    return np.where(all_of_it > 1e-9 * squares, between / within, 0.0)


def marker_features(
    vectors: Vectors, codes: NDArray[np.int64], *, n_markers: int
) -> NDArray[np.int64]:
    """Give the `n_markers` best features of each label, together and rising.

    Features that tell no label apart are left out. Equal ones go to the lower position.
    """
    scores = one_against_rest(vectors, codes)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :n_markers]
    useful = np.take_along_axis(scores, best, axis=1) > 0
    return np.unique(best[useful])
