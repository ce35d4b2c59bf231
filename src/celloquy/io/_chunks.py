"""The row chunk and the stream of them: what every reader gives and every verb takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

CHUNK_SIZE = 1_000
"""Cells a chunk holds unless asked otherwise."""


@dataclass(frozen=True, eq=False)
class RowChunk:
    """Consecutive cells of one source: a CSR block, their obs rows and their place.

    The arrays may be views of the source or of a buffer that the next chunk reuses: they
    are read, never written, and copied by who keeps them.
    """

    indptr: NDArray[np.int64]
    """Where each cell begins in `indices`; shape ``(n_obs + 1,)``, starts at 0."""
    indices: NDArray[np.int32]
    """Column of each stored value; shape ``(nnz,)``, rising within a cell, no repeats."""
    data: NDArray[Any]
    """Stored values in the dtype of the source; shape ``(nnz,)``. Zeros may be stored."""
    n_vars: int
    """Columns of the source."""
    start: int
    """Row number of the first cell in the source."""
    obs: pd.DataFrame
    """The cells' obs rows (asked-for columns only); shape ``(n_obs, columns)``."""

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.indptr) - 1

    @property
    def stop(self) -> int:
        """Row number after the last cell."""
        return self.start + self.n_obs

    def to_csr(self) -> sp.csr_matrix:
        """Give the block as a scipy matrix of shape ``(n_obs, n_vars)``, sharing memory."""
        return sp.csr_matrix(
            (self.data, self.indices, self.indptr), shape=(self.n_obs, self.n_vars), copy=False
        )


class CellStream(ABC):
    """Cells of one source, row chunk by row chunk, in memory bounded by the chunk.

    Use it as a context manager: leaving the block closes the file.
    """

    source: str
    """The source's name for messages and records: a file name without its folder."""
    slot: str
    """Where the values come from: ``"X"``, ``"layers['counts']"`` or ``"raw.X"``."""
    format: str
    """Kind of the source: memory, h5ad, zarr, 10x h5, 10x mtx, loom or table."""
    n_obs: int
    """Number of cells."""
    obs_columns: tuple[str, ...]
    """Columns of obs that can be asked for."""
    obsm_keys: tuple[str, ...]
    """Names of the arrays beside the matrix, such as ``"spatial"``."""

    notes: tuple[str, ...] = ()
    """What was left out or converted on the way, in sentences."""

    @property
    @abstractmethod
    def var(self) -> pd.DataFrame:
        """Genes of the slot (``raw.var`` for raw), indexed by gene name; ``(n_vars, columns)``."""

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return len(self.var)

    @abstractmethod
    def obs(self, columns: Sequence[str] = ()) -> pd.DataFrame:
        """Read obs columns of all cells, indexed by cell name; shape ``(n_obs, columns)``."""

    @abstractmethod
    def obsm(self, key: str) -> NDArray[Any]:
        """Read one array of obsm; shape ``(n_obs, d)``."""

    @abstractmethod
    def rows(self, start: int, stop: int, *, columns: Sequence[str] = ()) -> RowChunk:
        """Read cells ``start`` to ``stop`` (excluded) with the named obs columns."""

    @abstractmethod
    def chunks(
        self,
        chunk_size: int = CHUNK_SIZE,
        *,
        start: int = 0,
        stop: int | None = None,
        columns: Sequence[str] = (),
    ) -> Iterator[RowChunk]:
        """Give cells ``start`` to ``stop`` in order, ``chunk_size`` at a time.

        A chunk's arrays are valid until the next one is asked for.
        """

    @abstractmethod
    def sample(self, n_obs: int, *, seed: int = 0, columns: Sequence[str] = ()) -> RowChunk:
        """Read at most `n_obs` cells spread over the whole source, in row order.

        The chunk's `start` is 0 and says nothing; its obs index names the cells.
        """

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Say what makes this source this source: name, size, shape, slot, hash of var_names."""

    @abstractmethod
    def close(self) -> None:
        """Close the file; a closed stream reads nothing more."""

    def __enter__(self) -> CellStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
