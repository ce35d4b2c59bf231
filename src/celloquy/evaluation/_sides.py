"""What two sides of a comparison have: columns, genes, and values that something made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.io import read

if TYPE_CHECKING:
    import os
    from typing import Any, Literal

    from anndata import AnnData
    from numpy.typing import NDArray

HIGHEST_LOG = 20.0
"""No log1p value of a real cell lies above this: e^20 is half a billion molecules."""


def in_memory(source: AnnData | str | os.PathLike[str]) -> AnnData:
    """Give cells in memory, read from their file where that was given."""
    from anndata import AnnData

    return source if isinstance(source, AnnData) else read(source)


def made_values(adata: AnnData, *, what: str) -> tuple[sp.csr_matrix, Literal["counts", "log1p"]]:
    """Read X of cells that something made: whole numbers are counts, anything else log1p.

    Parameters
    ----------
    adata
        Predicted or generated cells.
    what
        What they are, for messages: ``"predicted"``.

    Raises
    ------
    InputError
        If a value is infinite or missing, or too large for a logarithm.
    """
    values = sp.csr_matrix(adata.X, dtype=np.float64)
    bad = ~np.isfinite(values.data)
    if bad.any():
        row = int(np.searchsorted(values.indptr, np.flatnonzero(bad)[0], side="right")) - 1
        msg = (
            f"{int(bad.sum()):,} {what} values are infinite or missing; the first is of "
            f"'{adata.obs_names[row]}'."
        )
        raise InputError(msg, hint="leave those rows out, or mend them.")
    stored = values.data
    if len(stored) and not (stored % 1).any() and stored.min() >= 0:
        return values, "counts"
    highest = float(stored.max()) if len(stored) else 0.0
    if highest > HIGHEST_LOG:
        msg = f"A {what} value is {highest:g}: too high for log1p, and not all are whole."
        raise InputError(msg, hint="write log1p of 10,000 molecules a cell, or whole counts.")
    return values, "log1p"


def column_of(obs: pd.DataFrame, key: str, *, what: str) -> NDArray[np.object_]:
    """Read a column of obs as text, or say which one there is.

    Raises
    ------
    InputError
        If there is no such column, or a cell has nothing in it.
    """
    if key not in obs:
        msg = f"`obs` of the {what} has no column {key!r}{closest(key, map(str, obs.columns))}."
        raise InputError(msg, hint=f"it has: {', '.join(map(str, obs.columns)) or 'no columns'}.")
    column: pd.Series[Any] = obs[key]
    gaps = column.isna()
    if gaps.any():
        msg = f"{int(gaps.sum()):,} of {len(column):,} {what} have no {key!r}."
        raise InputError(msg, hint="leave those cells out.")
    return column.astype(str).to_numpy(dtype=object)


def shared_genes(first: tuple[str, ...], second: tuple[str, ...]) -> list[str]:
    """Give the genes that both sides name, in the order of the second.

    Raises
    ------
    InputError
        If there are none, or a name repeats.
    """
    for names in (first, second):
        index = pd.Index(names)
        if not index.is_unique:
            repeated = index[index.duplicated()].unique()
            msg = f"Gene names must be unique; {len(repeated)} repeat, such as {repeated[0]!r}."
            raise InputError(msg, hint="run `adata.var_names_make_unique()` first.")
    known = set(first)
    shared = [name for name in second if name in known]
    if not shared:
        msg = f"No gene is shared: one side names {first[0]!r}, the other {second[0]!r}."
        raise InputError(msg, hint="bring both to symbols or both to Ensembl ids.")
    return shared
