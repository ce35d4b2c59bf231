"""Row readers: a matrix on disk or in memory, given as CSR blocks of consecutive rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from celloquy.io._arrays import FlatArray
    from celloquy.io._types import Matrix

_LONGEST_RUN = 100
"""Most rows of a sample that are read at once."""
DENSE_BAND_BYTES = 64 * 2**20
"""Most bytes of dense values held at once, where the file's own chunks allow it."""


class RowBlock(NamedTuple):
    """The three arrays of a CSR block whose `indptr` starts at 0."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[Any]


class Scratch:
    """Named arrays that are used again, so that reading a chunk touches no new memory."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[int, str], NDArray[Any]] = {}

    def array(self, name: tuple[int, str], size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Give an array of shape ``(size,)`` whose content is left over from earlier use."""
        held = self._arrays.get(name)
        if held is None or held.dtype != dtype or len(held) < size:
            held = np.empty(size + size // 8, dtype)
            self._arrays[name] = held
        return held[:size]


class RowReader(ABC):
    """A cells-by-genes matrix that is read by rows.

    Blocks are canonical: columns rise within a row and none repeats. Entries that repeat in
    the source are summed, which is what a sparse matrix with repeated entries means.
    """

    shape: tuple[int, int]
    """Number of cells and of genes."""
    prefetch = True
    """Whether reading is slow enough to be done ahead, in a thread of its own."""

    @abstractmethod
    def read(self, start: int, stop: int, scratch: Scratch) -> RowBlock:
        """Read rows `start` to `stop` (excluded); arrays may lie in `scratch`."""

    def close(self) -> None:
        """Give back what reading needed; a closed reader reads nothing more."""
        return

    def take(self, rows: NDArray[np.int64], scratch: Scratch) -> RowBlock:
        """Read single rows, given in rising order; the arrays are the caller's own."""
        ends = np.flatnonzero(np.diff(rows) != 1) + 1  # rows that follow one another are one read
        runs = [
            run[start : start + _LONGEST_RUN]
            for run in np.split(rows, ends)
            for start in range(0, len(run), _LONGEST_RUN)
        ]
        return joined([_kept(self.read(int(run[0]), int(run[-1]) + 1, scratch)) for run in runs])


class CsrRows(RowReader):
    """Rows of a CSR matrix whose three arrays are read by range."""

    def __init__(
        self,
        indptr: FlatArray,
        indices: FlatArray,
        data: FlatArray,
        *,
        shape: tuple[int, int],
        where: str,
        dtype: np.dtype[Any] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.shape = shape
        self._on_close = on_close
        self._indptr, self._indices, self._data = indptr, indices, data
        self._where = where
        self._dtype = plain_dtype(dtype or data.dtype, where=where)
        self.prefetch = indices.is_slow or data.is_slow
        if indptr.size != shape[0] + 1 or indices.size != data.size:
            msg = (
                f"{where} is damaged: {indptr.size:,} row borders for {shape[0]:,} cells, "
                f"{indices.size:,} columns for {data.size:,} values."
            )
            raise InputError(msg, hint="copy the file again from where it came from.")

    def close(self) -> None:
        if self._on_close is not None:
            self._on_close()

    def read(self, start: int, stop: int, scratch: Scratch) -> RowBlock:
        borders = self._indptr.read(start, stop + 1, None).astype(np.int64)
        low, high = int(borders[0]), int(borders[-1])
        if low < 0 or high > self._data.size or (borders[1:] < borders[:-1]).any():
            msg = f"{self._where} is damaged: the borders of cells {start} to {stop} do not rise."
            raise InputError(msg, hint="copy the file again from where it came from.")
        borders -= low
        indices = _read_as(self._indices, (low, high), np.dtype(np.int32), scratch)
        data = _read_as(self._data, (low, high), self._dtype, scratch)
        return canonical(RowBlock(borders, indices, data), self.shape[1], self._where)


def _read_as(
    array: FlatArray, span: tuple[int, int], dtype: np.dtype[Any], scratch: Scratch
) -> NDArray[Any]:
    """Read a range into scratch, cast to `dtype` where the file holds another."""
    size = span[1] - span[0]
    raw = array.read(*span, lambda: scratch.array((id(array), "raw"), size, array.dtype))
    if raw.dtype == dtype:
        return raw
    cast = scratch.array((id(array), "cast"), size, dtype)
    np.copyto(cast, raw, casting="unsafe")
    return cast


class DenseRows(RowReader):
    """Rows of a dense matrix; zeros are dropped, missing values (NaN) are kept.

    Parameters
    ----------
    array
        Two-dimensional, read by slices: numpy, h5py or zarr.
    is_transposed
        Whether the array is genes by cells.
    where
        Name of the matrix for messages.
    """

    def __init__(self, array: Matrix, *, is_transposed: bool = False, where: str) -> None:
        self.shape = tuple(array.shape[::-1] if is_transposed else array.shape)
        self._array, self._is_transposed = array, is_transposed
        self._dtype = plain_dtype(array.dtype, where=where)
        self.prefetch = not isinstance(array, np.ndarray)
        self._band_rows = self._rows_per_band()
        self._band: tuple[int, NDArray[Any]] | None = None

    def _rows_per_band(self) -> int:
        """Rows to read at once so that no stored chunk is inflated twice; 0 for no bands."""
        stored = getattr(self._array, "chunks", None)
        if isinstance(self._array, np.ndarray) or stored is None:
            return 0
        rows = int(stored[int(self._is_transposed)])
        row_bytes = max(1, self.shape[1] * self._array.dtype.itemsize)
        if rows * row_bytes > 8 * DENSE_BAND_BYTES:
            return 0
        bands: int = rows * max(1, DENSE_BAND_BYTES // (rows * row_bytes))
        return bands

    def _slice(self, start: int, stop: int) -> NDArray[Any]:
        if self._is_transposed:
            return np.ascontiguousarray(np.asarray(self._array[:, start:stop]).T)
        return np.asarray(self._array[start:stop])

    def _dense(self, start: int, stop: int) -> NDArray[Any]:
        if not self._band_rows or start >= stop:
            return self._slice(start, stop)
        parts = []
        for number in range(start // self._band_rows, (stop - 1) // self._band_rows + 1):
            first = number * self._band_rows
            parts.append(self._band_of(number)[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _band_of(self, number: int) -> NDArray[Any]:
        held = self._band
        if held is None or held[0] != number:
            self._band = held = None  # the old band goes before the new one comes
            first = number * self._band_rows
            held = number, self._slice(first, min(first + self._band_rows, self.shape[0]))
            self._band = held
        return held[1]

    def read(self, start: int, stop: int, scratch: Scratch) -> RowBlock:
        dense = self._dense(start, stop)
        return dense_block(dense.astype(self._dtype, copy=False))


def dense_block(dense: NDArray[Any]) -> RowBlock:
    """Keep what is not zero of a dense block, row by row."""
    stored = np.ascontiguousarray(dense) != 0
    indptr = np.zeros(len(dense) + 1, np.int64)
    np.cumsum(np.count_nonzero(stored, axis=1), out=indptr[1:])
    places = np.flatnonzero(stored)
    columns = (places % max(1, dense.shape[1])).astype(np.int32)
    return RowBlock(indptr, columns, np.ascontiguousarray(dense).reshape(-1)[places])


class ColumnRows(RowReader):
    """Some columns of another reader, in their order."""

    def __init__(self, rows: RowReader, kept: NDArray[np.bool_]) -> None:
        self.shape = rows.shape[0], int(kept.sum())
        self.prefetch = rows.prefetch
        self._rows = rows
        self._kept = kept
        self._new_column = (np.cumsum(kept) - 1).astype(np.int32)

    def close(self) -> None:
        self._rows.close()

    def read(self, start: int, stop: int, scratch: Scratch) -> RowBlock:
        block = self._rows.read(start, stop, scratch)
        chosen = self._kept[block.indices]
        before = np.concatenate([[0], np.cumsum(chosen)])
        return RowBlock(
            before[block.indptr].astype(np.int64),
            self._new_column[block.indices[chosen]],
            block.data[chosen],
        )


def canonical(block: RowBlock, n_vars: int, where: str) -> RowBlock:
    """Check a CSR block and bring it into canonical form; a block that has it is not copied.

    Raises
    ------
    InputError
        If a column lies outside the matrix.
    """
    indptr, indices, _ = block
    if not len(indices):
        return block
    starts = np.unique(indptr[:-1])
    starts = starts[(starts > 0) & (starts < len(indices))]
    falls = np.count_nonzero(indices[1:] <= indices[:-1])
    if falls == np.count_nonzero(indices[starts] <= indices[starts - 1]):
        filled = indptr[1:] > indptr[:-1]
        low, high = indices[indptr[:-1][filled]].min(), indices[indptr[1:][filled] - 1].max()
    else:
        low, high = indices.min(), indices.max()
    if low < 0 or high >= n_vars:
        msg = f"{where} is damaged: it names column {high if low >= 0 else low} of {n_vars:,}."
        raise InputError(msg, hint="copy the file again from where it came from.")
    if falls == np.count_nonzero(indices[starts] <= indices[starts - 1]):
        return block
    return _summed(block, n_vars)


def _summed(block: RowBlock, n_vars: int) -> RowBlock:
    shape = len(block.indptr) - 1, n_vars
    matrix = sp.csr_matrix((block.data, block.indices, block.indptr), shape=shape, copy=True)
    matrix.sum_duplicates()
    return RowBlock(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)


def joined(blocks: Sequence[RowBlock]) -> RowBlock:
    """Put blocks under each other."""
    lengths = [np.diff(block.indptr) for block in blocks]
    indptr = np.concatenate([[0], *lengths]).cumsum().astype(np.int64)
    if not blocks:
        return RowBlock(indptr, np.empty(0, np.int32), np.empty(0, np.float32))
    indices = np.concatenate([block.indices for block in blocks])
    return RowBlock(indptr, indices, np.concatenate([block.data for block in blocks]))


def _kept(block: RowBlock) -> RowBlock:
    return RowBlock(block.indptr, block.indices.copy(), block.data.copy())


def is_sparse(matrix: Matrix) -> bool:
    """Say whether a matrix is one of scipy's, array or matrix."""
    return bool(sp.issparse(matrix))


def plain_dtype(dtype: np.dtype[Any], *, where: str) -> np.dtype[Any]:
    """Give the dtype that a chunk's values have: a native number of at most 8 bytes.

    Raises
    ------
    InputError
        If the values are no numbers.
    """
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize not in {4, 8}:
        return np.dtype(np.float32 if dtype.itemsize == 2 else np.float64)
    if dtype.kind in "iuf":
        return dtype.newbyteorder("=")
    msg = f"{where} holds values of type '{dtype}', which are no numbers."
    raise InputError(msg, hint="choose another slot, for example `layer='counts'`.")
