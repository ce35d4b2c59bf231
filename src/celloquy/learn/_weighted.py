"""Cell vectors as weighted sums of gene vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import scipy.sparse as sp

from celloquy._runtime import closest
from celloquy.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Normalisation = Literal["genes", "weights"]


def weighted_gene_vectors(
    expression: sp.spmatrix | sp.sparray | ArrayLike,
    gene_vectors: NDArray[np.float32],
    *,
    normalise_by: Normalisation,
    is_known: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Give every cell the sum of its genes' vectors, weighted by expression.

    Parameters
    ----------
    expression
        Weights, non-negative; shape ``(n_obs, n_vars)``, sparse or dense. Usually log1p of
        10⁴-scaled counts.
    gene_vectors
        One vector a gene; shape ``(n_vars, d)``.
    normalise_by
        ``"genes"`` divides by `n_vars`, all genes counted, whether expressed and known or not
        (GenePT-w: ``X E / n_genes``). ``"weights"`` divides by the cell's own weights of known
        genes (CellHermes-w: ``Σ w e / Σ w``), so that depth and the number of genes drop out.
    is_known
        Whether a gene has a vector; shape ``(n_vars,)``. The others add nothing, and their
        rows are not looked at. `None`: all have.

    Returns
    -------
    Shape ``(n_obs, d)``. A cell without expression of a known gene gets zeros.

    Raises
    ------
    InputError
        If shapes do not agree, a weight is negative or not finite, a vector is not finite, or
        the normalisation is not known.

    Notes
    -----
    After GenePT (Chen and Zou, 2024) and CellHermes (2025), which divide differently; hence
    neither is a default.

    Examples
    --------
    >>> vectors = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    >>> weighted_gene_vectors([[1, 0, 3]], vectors, normalise_by="genes").round(4).tolist()
    [[1.333299994468689, 1.0]]
    >>> weighted_gene_vectors([[1, 0, 3]], vectors, normalise_by="weights").tolist()
    [[1.0, 0.75]]
    """
    if normalise_by not in get_args(Normalisation):
        near = closest(normalise_by, get_args(Normalisation))
        msg = f"There is no normalisation {normalise_by!r}{near}."
        raise InputError(msg, hint=f"choose one of: {', '.join(get_args(Normalisation))}.")
    weights = _weights(expression)
    n_vars = weights.shape[1]
    known = np.ones(n_vars, dtype=bool) if is_known is None else np.asarray(is_known)
    if gene_vectors.ndim != 2 or len(gene_vectors) != n_vars or known.shape != (n_vars,):
        msg = f"Expression has {n_vars} genes; the vectors have shape {gene_vectors.shape}."
        raise InputError(msg, hint="give one vector a gene, in the order of the columns.")
    vectors = np.where(known[:, None], gene_vectors, 0).astype(np.float32, copy=False)
    if not np.isfinite(vectors).all():
        msg = "A gene vector is not finite."
        raise InputError(msg, hint="mark genes without a vector by `is_known`.")
    summed = _summed(weights, np.ascontiguousarray(vectors))
    if normalise_by == "genes":
        return summed / np.float32(max(1, n_vars))
    total = np.asarray(weights @ known.astype(np.float64)).ravel()
    return (summed / np.where(total > 0, total, 1.0)[:, None]).astype(np.float32)


def _weights(expression: sp.spmatrix | sp.sparray | ArrayLike) -> sp.csr_array:
    """Give expression as CSR.

    Raises
    ------
    InputError
        If a weight is negative or not finite.
    """
    weights = sp.csr_array(cast("Any", expression))
    if not (np.isfinite(weights.data) & (weights.data >= 0)).all():
        msg = "Expression holds negative, missing or infinite values, which weigh nothing."
        raise InputError(msg, hint="pass log1p values or counts, not z-scores.")
    return weights


def _summed(weights: sp.csr_array, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum the vectors of each cell's genes, in float32; shape ``(n_obs, d)``."""
    from celloquy.learn._weighted_kernel import sum_vectors

    summed = np.empty((weights.shape[0], vectors.shape[1]), dtype=np.float32)
    sum_vectors(
        (
            weights.indptr.astype(np.int64, copy=False),
            weights.indices.astype(np.int64, copy=False),
            weights.data.astype(np.float32, copy=False),
        ),
        vectors,
        summed,
    )
    return summed
