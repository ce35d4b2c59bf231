"""The stream that every source becomes: a row reader beside the tables of cells and genes."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy._runtime import closest, rng_for
from celloquy.errors import InputError
from celloquy.io._chunks import CHUNK_SIZE, CellStream, RowChunk
from celloquy.io._prefetch import ahead
from celloquy.io._rows import RowBlock, RowReader, Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from celloquy.io._types import Column

N_SCRATCH = 3
"""Buffers of a stream: one is being read by the consumer, one waits, one is being filled."""


class Tables(ABC):
    """What stands beside a matrix: names and columns of cells and genes."""

    obs_columns: tuple[str, ...] = ()
    obsm_keys: tuple[str, ...] = ()

    @abstractmethod
    def obs_names(self) -> pd.Index:
        """Read the names of the cells."""

    @abstractmethod
    def var(self) -> pd.DataFrame:
        """Read the genes, all columns, indexed by name."""

    def obs_column(self, name: str) -> Column:
        """Read one column of obs, one of `obs_columns`."""
        raise NotImplementedError(name)

    def obsm(self, key: str) -> NDArray[Any]:
        """Read one array of obsm, one of `obsm_keys`."""
        raise NotImplementedError(key)


class MatrixStream(CellStream):
    """A stream over one row reader.

    Parameters
    ----------
    rows
        The matrix.
    tables
        The names and columns beside it.
    source
        Name for messages and records.
    format
        Kind of the source.
    slot
        Where the values come from.
    identity
        What makes the source this source, beside its shape and names.
    on_close
        Called once when the stream is closed.
    """

    def __init__(
        self,
        rows: RowReader,
        tables: Tables,
        *,
        source: str,
        format: str,
        slot: str = "X",
        identity: dict[str, Any] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._rows, self._tables = rows, tables
        self.source, self.format, self.slot = source, format, slot
        self.n_obs = rows.shape[0]
        self.obs_columns, self.obsm_keys = tables.obs_columns, tables.obsm_keys
        self._identity = identity or {}
        self._on_close = on_close
        self._columns: dict[str, Column] = {}
        self._is_closed = False

    @property
    def var(self) -> pd.DataFrame:
        return self._var

    @cached_property
    def _var(self) -> pd.DataFrame:
        self._open()
        var: pd.DataFrame = self._sized(self._tables.var(), self.n_vars, "genes", "var")
        return var

    @cached_property
    def _obs_names(self) -> pd.Index:
        names: pd.Index = self._sized(self._tables.obs_names(), self.n_obs, "cells", "obs")
        return names

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return self._rows.shape[1]

    def _sized(self, table: Column, size: int, things: str, name: str) -> Column:
        if len(table) != size:
            msg = (
                f"'{self.source}' is damaged: {self.slot} has {size:,} {things}, "
                f"but `{name}` has {len(table):,} rows."
            )
            raise InputError(msg, hint="write the file again from the program that made it.")
        return table

    def _open(self) -> None:
        if self._is_closed:
            msg = f"The stream of '{self.source}' is closed."
            raise InputError(msg, hint="read inside the `with open_stream(...)` block.")

    def obs(self, columns: Sequence[str] = ()) -> pd.DataFrame:
        self._open()
        for column in columns:
            if column not in self.obs_columns:
                near = closest(column, self.obs_columns)
                msg = f"`obs` of '{self.source}' has no column {column!r}{near}."
                raise InputError(msg, hint=_listed("its columns are", self.obs_columns))
            if column not in self._columns:
                values = self._tables.obs_column(column)
                self._columns[column] = self._sized(values, self.n_obs, "cells", f"obs['{column}']")
        held = {column: self._columns[column] for column in columns}
        return pd.DataFrame(held, index=self._obs_names, columns=list(columns))

    def obsm(self, key: str) -> NDArray[Any]:
        self._open()
        if key not in self.obsm_keys:
            near = closest(key, self.obsm_keys)
            msg = f"`obsm` of '{self.source}' has no array {key!r}{near}."
            raise InputError(msg, hint=_listed("its arrays are", self.obsm_keys))
        return np.asarray(
            self._sized(self._tables.obsm(key), self.n_obs, "cells", f"obsm['{key}']")
        )

    def rows(self, start: int, stop: int, *, columns: Sequence[str] = ()) -> RowChunk:
        self._span(start, stop)
        block = self._rows.read(start, stop, Scratch())
        return self._chunk(block, start, self.obs(columns))

    def _span(self, start: int, stop: int) -> None:
        self._open()
        if not 0 <= start <= stop <= self.n_obs:
            msg = f"Cells {start} to {stop} are not in '{self.source}', which has {self.n_obs:,}."
            raise InputError(msg, hint="ask for 0 <= start <= stop <= n_obs.")

    def _chunk(self, block: RowBlock, start: int, obs: pd.DataFrame) -> RowChunk:
        stop = start + len(block.indptr) - 1
        return RowChunk(
            indptr=block.indptr,
            indices=block.indices,
            data=block.data,
            n_vars=self.n_vars,
            start=start,
            obs=obs.iloc[start:stop],
        )

    def chunks(
        self,
        chunk_size: int = CHUNK_SIZE,
        *,
        start: int = 0,
        stop: int | None = None,
        columns: Sequence[str] = (),
    ) -> Iterator[RowChunk]:
        stop = self.n_obs if stop is None else stop
        self._span(start, stop)
        if chunk_size < 1:
            msg = f"`chunk_size` must be at least 1, got {chunk_size}."
            raise InputError(msg, hint="leave it out to read 1,000 cells at a time.")
        return self._chunks(chunk_size, start, stop, self.obs(columns))

    def _chunks(
        self, chunk_size: int, start: int, stop: int, obs: pd.DataFrame
    ) -> Iterator[RowChunk]:
        scratches = [Scratch() for _ in range(N_SCRATCH)]

        def read(number: int) -> RowChunk:
            first = start + number * chunk_size
            scratch = scratches[number % N_SCRATCH]
            block = self._rows.read(first, min(first + chunk_size, stop), scratch)
            return self._chunk(block, first, obs)

        n_chunks = -(-(stop - start) // chunk_size)
        if self._rows.prefetch and n_chunks > 1:
            return ahead(read, n_chunks)
        return map(read, range(n_chunks))

    def sample(self, n_obs: int, *, seed: int = 0, columns: Sequence[str] = ()) -> RowChunk:
        self._open()
        if n_obs < 0:
            msg = f"`n_obs` must not be negative, got {n_obs}."
            raise InputError(msg, hint="ask for as many cells as you want to look at.")
        rows = spread_rows(self.n_obs, n_obs, seed)
        block = self._rows.take(rows, Scratch())
        obs = self.obs(columns).iloc[rows]
        return self._chunk(block, 0, obs)

    def fingerprint(self) -> dict[str, Any]:
        self._open()
        names = "\x1f".join(map(str, self.var.index))
        return {
            "source": self.source,
            **self._identity,
            "slot": self.slot,
            "n_obs": self.n_obs,
            "n_vars": self.n_vars,
            "var_names_sha256": hashlib.sha256(names.encode()).hexdigest(),
        }

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._rows.close()
        if self._on_close is not None:
            self._on_close()


def spread_rows(n_total: int, n_obs: int, seed: int) -> NDArray[np.int64]:
    """Choose rows over the whole of a source: one at random from each of equal parts."""
    if n_obs >= n_total:
        return np.arange(n_total, dtype=np.int64)
    borders = np.linspace(0, n_total, n_obs + 1).astype(np.int64)
    return rng_for(seed, "sample", n_total, n_obs).integers(borders[:-1], borders[1:])


def _listed(what: str, names: Sequence[str], *, most: int = 12) -> str:
    if not names:
        return f"{what}: none."
    shown = ", ".join(names[:most])
    return f"{what}: {shown}{', …' if len(names) > most else '.'}"
