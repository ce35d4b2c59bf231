"""Refusals that are also the error a prior system ended with, and what all of compat checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import scipy.sparse as sp

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sized

    from numpy.typing import NDArray

    Expression = sp.csr_matrix[Any] | sp.csr_array[Any, tuple[int, int]]


class OutOfRangeError(InputError, IndexError):
    """Where the prior system ended with an `IndexError`."""


class UnusableTypeError(InputError, TypeError):
    """Where the prior system ended with a `TypeError`."""


def as_csr(expression: Expression) -> Expression:
    """Give the CSR matrix as it is stored: zeros, order and dtype included.

    Raises
    ------
    InputError
        If it is not a CSR matrix.
    """
    if not (sp.issparse(expression) and expression.format == "csr"):
        msg = f"The compat functions take a scipy CSR matrix, got {type(expression).__name__}."
        raise InputError(msg, hint="wrap it: `scipy.sparse.csr_matrix(adata.X)`.")
    return expression


def refuse_misnamed(expression: Expression | NDArray[Any], names: Sized) -> None:
    """Refuse names that do not fit the columns.

    Raises
    ------
    InputError
        If there is not one name a column.
    """
    if len(names) != expression.shape[1]:
        msg = f"The matrix has {expression.shape[1]} columns and {len(names)} gene names."
        raise InputError(msg, hint="pass `names=adata.var_names`.")
