"""Rows written once to a temporary place, for sources that cannot be read by row.

Text has to be parsed from its beginning, and a matrix stored by gene names its cells last.
Such a source is read once, in bounded memory; its rows are kept as CSR, in memory while they
are few and in an unnamed temporary file beyond, which vanishes with the stream.
"""

from __future__ import annotations

import tempfile
import threading
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from celloquy._runtime import is_full
from celloquy.errors import InputError
from celloquy.io._arrays import FlatArray, MemoryArray
from celloquy.io._rows import CsrRows, RowBlock, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedRandom

    from numpy.typing import NDArray

    from celloquy.io._arrays import Buffer

MEMORY_BYTES = 128 * 2**20
"""Most bytes of rows kept in memory; beyond, they go to a temporary file."""
BAND_BYTES = 64 * 2**20
"""About the bytes of entries that are brought into row order at once."""


class Growing:
    """Numbers that are appended, then read by range.

    Parameters
    ----------
    dtype
        Of the numbers.
    most_bytes
        Bytes kept in memory before they move to a temporary file.
    """

    def __init__(self, dtype: np.dtype[Any], *, most_bytes: int) -> None:
        self._dtype, self._most_bytes = dtype, most_bytes
        self._parts: list[NDArray[Any]] = []
        self._file: BufferedRandom | None = None
        self.size = 0

    @property
    def is_on_disk(self) -> bool:
        """Whether the numbers have left memory."""
        return self._file is not None

    def append(self, values: NDArray[Any]) -> None:
        """Add numbers at the end; they are copied."""
        values = np.array(values, self._dtype)
        self.size += len(values)
        if self._file is None and self.size * self._dtype.itemsize > self._most_bytes:
            self._file = open_temporary()
            parts, self._parts = self._parts, []
            for part in parts:
                self._write(part)
        if self._file is None:
            self._parts.append(values)
        else:
            self._write(values)

    def _write(self, values: NDArray[Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(values.tobytes())
        except OSError as error:
            if not is_full(error):
                raise
            msg = f"The temporary folder '{tempfile.gettempdir()}' is full; rows are kept there."
            hint = "set TMPDIR to a folder on a larger disk."
            raise InputError(msg, hint=hint) from error

    def finish(self) -> FlatArray:
        """Give what was appended as an array; nothing can be appended any more."""
        if self._file is not None:
            self._file.flush()
            return FileArray(self._file, self._dtype, self.size)
        parts = self._parts or [np.empty(0, self._dtype)]
        return MemoryArray(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def close(self) -> None:
        """Drop the numbers."""
        self._parts.clear()
        if self._file is not None:
            self._file.close()


def open_temporary() -> BufferedRandom:
    """Open an unnamed file in the temporary folder (``TMPDIR``)."""
    return tempfile.TemporaryFile(prefix="celloquy-")


class FileArray(FlatArray):
    """Numbers of an open file, as they are."""

    def __init__(self, file: BufferedRandom, dtype: np.dtype[Any], size: int) -> None:
        self._file, self.dtype, self.size = file, dtype, size
        self._lock = threading.Lock()

    def read(self, start: int, stop: int, buffer: Buffer) -> NDArray[Any]:
        out = np.empty(stop - start, self.dtype) if buffer is None else buffer()
        with self._lock:
            self._file.seek(start * self.dtype.itemsize)
            self._file.readinto(out.data.cast("B"))
        return out


class Spool:
    """Collects rows in order, or entries in any order, and becomes a row reader.

    Parameters
    ----------
    n_vars
        Number of genes.
    dtype
        Of the values.
    where
        Name of the matrix for messages.
    narrow
        Whether values that float32 holds exactly come as float32.
    """

    def __init__(
        self, *, n_vars: int, dtype: np.dtype[Any], where: str, narrow: bool = False
    ) -> None:
        self._n_vars, self._dtype, self._where = n_vars, dtype, where
        self._lengths: list[NDArray[np.int64]] = []
        half = MEMORY_BYTES // 2
        self._indices = Growing(np.dtype(np.int32), most_bytes=half)
        self._data = Growing(dtype, most_bytes=half)
        self._is_single = narrow

    def append(self, block: RowBlock) -> None:
        """Add rows at the end."""
        block = canonical(block, self._n_vars, self._where)
        self._lengths.append(np.diff(block.indptr))
        self._indices.append(block.indices)
        self._data.append(block.data)
        if self._is_single:
            single = block.data.astype(np.float32)
            self._is_single = bool(((single == block.data) | np.isnan(block.data)).all())

    def finish(self) -> CsrRows:
        """Give the reader of all rows."""
        indptr = np.concatenate([[0], *self._lengths]).cumsum().astype(np.int64)
        if self._data.is_on_disk:
            size = (self._indices.size * 4 + self._data.size * self._dtype.itemsize) / 2**30
            msg = (
                f"{self._where} cannot be read by cell as it is stored; its rows were written "
                f"once to a temporary file of {size:.1f} GiB. An h5ad with CSR needs none."
            )
            warnings.warn(msg, stacklevel=2)
        return CsrRows(
            MemoryArray(indptr),
            self._indices.finish(),
            self._data.finish(),
            shape=(len(indptr) - 1, self._n_vars),
            where=self._where,
            dtype=np.dtype(np.float32) if self._is_single else None,
            on_close=self.close,
        )

    def close(self) -> None:
        """Remove what was kept."""
        self._indices.close()
        self._data.close()

    def append_entries(
        self,
        entries: Iterable[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]],
        *,
        n_obs: int,
        n_entries: int,
    ) -> None:
        """Add all rows from entries (row, column, value) that come in any order.

        Entries are sorted into bands of consecutive rows first, so that one band at a time
        is brought into order.

        Raises
        ------
        InputError
            If an entry lies outside the matrix.
        """
        record = np.dtype([("row", np.int32), ("column", np.int32), ("value", self._dtype)])
        n_bands = max(1, -(-n_entries * record.itemsize // BAND_BYTES))
        band_rows = max(1, -(-n_obs // n_bands))
        starts = range(0, n_obs, band_rows)
        most = MEMORY_BYTES // max(1, len(starts))
        bands = [Growing(record, most_bytes=most) for _ in starts]
        for rows, columns, values in entries:
            self._check_entries(rows, columns, n_obs)
            packed = np.empty(len(rows), record)
            packed["row"], packed["column"], packed["value"] = rows, columns, values
            band = packed["row"] // band_rows
            order = np.argsort(band, kind="stable")
            borders = np.searchsorted(band[order], np.arange(len(bands) + 1))
            for number in np.unique(band):
                bands[number].append(packed[order[borders[number] : borders[number + 1]]])
        for start, kept in zip(starts, bands, strict=True):
            self._append_band(kept, start, min(band_rows, n_obs - start))

    def _append_band(self, kept: Growing, start: int, n_rows: int) -> None:
        entries = kept.finish().read(0, kept.size, None)
        kept.close()
        place = entries["row"] - start, entries["column"]
        csr = sp.coo_matrix((entries["value"], place), shape=(n_rows, self._n_vars)).tocsr()
        self.append(RowBlock(csr.indptr.astype(np.int64), csr.indices, csr.data))

    def _check_entries(self, rows: NDArray[Any], columns: NDArray[Any], n_obs: int) -> None:
        if not len(rows):
            return
        outside = (rows < 0) | (rows >= n_obs) | (columns < 0) | (columns >= self._n_vars)
        if outside.any():
            row, column = int(rows[outside][0]) + 1, int(columns[outside][0]) + 1
            msg = (
                f"{self._where} is damaged: an entry stands at cell {row:,}, gene {column:,} of "
                f"{n_obs:,} cells and {self._n_vars:,} genes."
            )
            raise InputError(msg, hint="copy the file again from where it came from.")
