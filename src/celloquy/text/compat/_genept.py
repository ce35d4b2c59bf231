"""GenePT: a cell as a weighted mean of gene embeddings, or as a sentence to embed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from celloquy.errors import InputError
from celloquy.text.compat._refusals import OutOfRangeError, as_csr, refuse_misnamed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.text.compat._refusals import Expression

PREFIX = "A cell with genes ranked by expression: "


def genept_weighted(
    expression: Expression,
    gene_embeddings: NDArray[Any],
    *,
    divide_by: Literal["genes", "weights"] = "genes",
) -> NDArray[np.float64]:
    """Average gene embeddings, weighted by expression.

    Parameters
    ----------
    expression
        Normalised log values; cells by genes, shape ``(n_obs, n_vars)``.
    gene_embeddings
        One row a gene, zeros where there is none; shape ``(n_vars, d)``.
    divide_by
        ``"genes"``: by the number of columns (GenePT-w). ``"weights"``: by the sum of the
        cell's values (CellHermes-w); a cell without expression is then all zeros.

    Returns
    -------
    Embeddings, shape ``(n_obs, d)``.

    Raises
    ------
    InputError
        If the matrix is not CSR, shapes do not fit, or `divide_by` is neither.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> genes = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> genept_weighted(sp.csr_matrix([[1, 0, 3]]), genes, divide_by="weights").tolist()
    [[1.0, 0.75]]
    """
    matrix = as_csr(expression)
    if len(gene_embeddings) != matrix.shape[1]:
        msg = f"The matrix has {matrix.shape[1]} genes and {len(gene_embeddings)} embeddings."
        raise InputError(msg)
    summed: NDArray[np.float64] = np.asarray(matrix @ np.asarray(gene_embeddings, dtype=np.float64))
    if divide_by == "genes":
        return summed / np.float64(matrix.shape[1])
    if divide_by == "weights":
        weights = np.asarray(matrix.sum(axis=1), dtype=np.float64).reshape(-1, 1)
        averaged: NDArray[np.float64] = np.divide(
            summed, weights, out=np.zeros_like(summed), where=weights > 0
        )
        return averaged
    msg = f"`divide_by` is 'genes' or 'weights', got {divide_by!r}."
    raise InputError(msg)


def genept_sentences(
    expression: Expression, names: Sequence[str], *, n_top_genes: int = 1000
) -> list[str]:
    """Write every cell as the sentence of GenePT-s: its expressed genes, ties reversed.

    The order is NumPy's default sort of the dense row, read backwards. That sort promises
    no order within a tie: on rows longer than sixteen genes it depends on NumPy and the
    processor.

    Parameters
    ----------
    expression
        Cells by genes, shape ``(n_obs, n_vars)``.
    names
        Gene names, one a column.
    n_top_genes
        The most genes named; must be below the number of genes.

    Raises
    ------
    InputError
        If the matrix is not CSR, or names do not fit.
    OutOfRangeError
        If `n_top_genes` is not below the number of genes: an `InputError` that is also an
        `IndexError`.
    """
    matrix = as_csr(expression)
    refuse_misnamed(matrix, names)
    if n_top_genes >= matrix.shape[1]:
        msg = f"GenePT-s cuts at {n_top_genes} genes, and the matrix has {matrix.shape[1]}."
        raise OutOfRangeError(msg, hint=f"pass `n_top_genes={matrix.shape[1] - 1}` or less.")
    written = []
    for cell in range(matrix.shape[0]):
        row = matrix[[cell]].toarray()[0]
        falling = np.argsort(row)[::-1]
        named = falling[row[falling] != 0][:n_top_genes]
        written.append(PREFIX + " ".join(names[gene] for gene in named))
    return written
