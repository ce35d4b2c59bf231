"""The columns of obs beside sentences, as Arrow has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from celloquy.text._fields import field_text

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, eq=False)
class ObsColumns:
    """Cell names and obs columns of a source, converted once and read by range."""

    names: pa.Array
    """Names of the cells; shape ``(n_obs,)``."""
    columns: dict[str, Callable[[int, int], pa.Array]]
    """What gives rows `start` to `stop` (excluded) of each column."""

    @staticmethod
    def of(obs: pd.DataFrame, schema: pa.Schema) -> ObsColumns:
        """Convert obs; `schema` says the type of every column."""
        columns = {
            str(name): _reader(obs[name], schema.field(str(name)).type) for name in obs.columns
        }
        return ObsColumns(pa.array(obs.index.astype(str), pa.string()), columns)

    def rows(self, start: int, stop: int) -> dict[str, pa.Array]:
        """Give the columns of cells `start` to `stop` (excluded)."""
        columns = {name: read(start, stop) for name, read in self.columns.items()}
        return {"obs_name": self.names[start:stop], **columns}


def column_type(column: pd.Series[Any]) -> pa.DataType:
    """Give the type in which an obs column is written."""
    kind = getattr(column.dtype, "kind", "O")
    if kind in "biuf":
        numpy = getattr(column.dtype, "numpy_dtype", column.dtype)
        return pa.from_numpy_dtype(numpy)
    return pa.timestamp("ns") if kind == "M" else pa.string()


def _reader(column: pd.Series[Any], kind: pa.DataType) -> Callable[[int, int], pa.Array]:
    if kind != pa.string():
        values = pa.array(column, kind, from_pandas=True)
        return lambda start, stop: values[start:stop]
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    words = pa.array([field_text(value) for value in distinct], pa.string())
    places = pa.array(codes.astype(np.int32), mask=codes < 0)
    return lambda start, stop: words.take(places[start:stop])
