"""Columns of obs alone: the matrix beside them is not opened, and may be missing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy.io._anndata_file import FileTables
from celloquy.io._hdf5_file import open_hdf5
from celloquy.io._open import HDF5_ENDINGS, open_stream, refuse_unreadable
from celloquy.io._rows import DenseRows
from celloquy.io._stream import MatrixStream
from celloquy.io._tables import FrameTables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from celloquy.io._stream import Tables


def read_obs(
    source: AnnData | str | os.PathLike[str], columns: Sequence[str], *, only_known: bool = False
) -> pd.DataFrame:
    """Read columns of obs.

    Parameters
    ----------
    source
        An AnnData, or the path of a file of cells.
    columns
        Names of the columns.
    only_known
        Whether columns that are not there are left out instead of refused.

    Returns
    -------
    The columns, indexed by cell name; shape ``(n_obs, columns)``.

    Raises
    ------
    InputError
        If there is no such file or column.

    Examples
    --------
    >>> import anndata as ad
    >>> cells = ad.AnnData(obs=pd.DataFrame({"donor": ["a", "b"]}, index=["c1", "c2"]))
    >>> read_obs(cells, ["donor"])["donor"].tolist()
    ['a', 'b']
    """
    if not isinstance(source, (str, os.PathLike)):
        table = source.obs
        tables = FrameTables(table.set_axis(table.index.astype(str)), pd.DataFrame())
        return _columns(tables, columns, source="AnnData", only_known=only_known)
    path = Path(source)
    refuse_unreadable(path)
    if path.is_file() and path.name.lower().endswith(HDF5_ENDINGS):
        with open_hdf5(path) as file:
            if "obs" in file and "var" in file:
                held = FileTables(file, var=file["var"], source=path.name)
                return _columns(held, columns, source=path.name, only_known=only_known)
    with open_stream(path) as stream:
        known = [one for one in columns if not only_known or one in stream.obs_columns]
        return stream.obs(list(dict.fromkeys(known)))


def _columns(
    tables: Tables, columns: Sequence[str], *, source: str, only_known: bool
) -> pd.DataFrame:
    """Read columns through a stream of cells without genes, which says what is missing."""
    rows = DenseRows(np.empty((len(tables.obs_names()), 0), np.float32), where="obs")
    stream = MatrixStream(rows, tables, source=source, format="obs")
    known = [one for one in columns if not only_known or one in stream.obs_columns]
    return stream.obs(list(dict.fromkeys(known)))
