"""Numbers of HDF5 datasets, read from the file's bytes where their layout is plain.

HDF5 reads one dataset at a time behind one lock and copies through its chunk cache. Where a
dataset is stored whole, in chunks without a filter, or in gzip chunks (with or without the
shuffle filter), its bytes are read from the file instead: twice as fast unfiltered, and
inflated by several threads. Every other layout is read by HDF5.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from celloquy.errors import InputError
from celloquy.io._arrays import FlatArray, Hdf5Array
from celloquy.io._inflate import ChunkedArray, zlib_inflater

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from celloquy.io._arrays import Buffer
    from celloquy.io._types import Node

SHUFFLE, DEFLATE = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE


def hdf5_array(dataset: Node, *, where: str) -> FlatArray:
    """Choose the fastest reader of a one-dimensional dataset that is exact.

    Parameters
    ----------
    dataset
        Dataset of h5py with numbers, shape ``(size,)``.
    where
        Name of the matrix for messages.
    """
    filters = _filters(dataset)
    if filters is None or not _is_plain(dataset):
        return Hdf5Array(dataset, where=where)
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        if offset is None:
            return Hdf5Array(dataset, where=where)
        borders, offsets = np.array([0, len(dataset)]), np.array([offset])
        return RawArray(dataset, borders=borders, offsets=offsets, where=where)
    stored = _stored_chunks(dataset)
    if stored is None:
        return Hdf5Array(dataset, where=where)
    if filters:
        return DeflatedArray(dataset, stored=stored, is_shuffled=SHUFFLE in filters, where=where)
    borders = np.append(np.arange(len(stored)) * dataset.chunks[0], len(dataset))
    return RawArray(dataset, borders=borders, offsets=stored[:, 0], where=where)


def _is_plain(dataset: Node) -> bool:
    """Say whether the file's bytes are the numbers, at addresses that HDF5 tells."""
    return bool(
        hasattr(os, "preadv")
        and dataset.file.driver == "sec2"
        and dataset.file.userblock_size == 0
        and dataset.dtype.isnative
        and dataset.dtype.kind in "iuf"
        and len(dataset)
        and not dataset.is_virtual
        and not dataset.external
    )


def _filters(dataset: Node) -> tuple[int, ...] | None:
    """List a dataset's filters; None if they are not the ones that are inflated here."""
    made = dataset.id.get_create_plist()
    filters = tuple(made.get_filter(number)[0] for number in range(made.get_nfilters()))
    return filters if filters in {(), (DEFLATE,), (SHUFFLE, DEFLATE)} else None


def _stored_chunks(dataset: Node) -> NDArray[np.int64] | None:
    """Address and length of every chunk, shape ``(n_chunks, 2)``; None if one is special.

    A chunk that was never written, or that left out a filter, is HDF5's to read.
    """
    length = dataset.chunks[0]
    stored = np.full((-(-len(dataset) // length), 2), -1, np.int64)
    plain = True

    def note(chunk: Node) -> None:
        nonlocal plain
        plain &= chunk.filter_mask == 0
        number = chunk.chunk_offset[0] // length
        if number < len(stored):
            stored[number] = chunk.byte_offset, chunk.size

    dataset.id.chunk_iter(note)
    return stored if plain and (stored >= 0).all() else None


class RawArray(FlatArray):
    """Numbers that lie in the file as they are, in one piece or in pieces.

    Parameters
    ----------
    dataset
        The dataset of h5py; it must stay open.
    borders
        First number of every piece, and the size at the end; shape ``(pieces + 1,)``.
    offsets
        Byte of the file where each piece begins, shape ``(pieces,)``.
    where
        Name for messages.
    """

    def __init__(
        self,
        dataset: Node,
        *,
        borders: NDArray[np.int64],
        offsets: NDArray[np.int64],
        where: str,
    ) -> None:
        self.dtype, self.size = dataset.dtype, len(dataset)
        self._file = dataset.file.id.get_vfd_handle()
        self._where = where
        follows = offsets[1:] == offsets[:-1] + np.diff(borders[:-1]) * self.dtype.itemsize
        first = np.append([True], ~follows)  # pieces that lie end to end are read as one
        self._offsets = offsets[first]
        self._borders = np.append(borders[:-1][first], borders[-1])

    def read(self, start: int, stop: int, buffer: Buffer) -> NDArray[Any]:
        out = np.empty(stop - start, self.dtype) if buffer is None else buffer()
        target = out.data.cast("B")
        width = self.dtype.itemsize
        piece = int(np.searchsorted(self._borders, start, side="right")) - 1
        done = start
        while done < stop:
            begin, end = int(self._borders[piece]), int(self._borders[piece + 1])
            high = min(stop, end)
            part = target[(done - start) * width : (high - start) * width]
            read_bytes(
                self._file, int(self._offsets[piece]) + (done - begin) * width, part, self._where
            )
            done, piece = high, piece + 1
        return out


class DeflatedArray(ChunkedArray):
    """Numbers in gzip chunks, with or without the shuffle filter.

    Parameters
    ----------
    dataset
        The dataset of h5py; it must stay open.
    stored
        Address and length of every chunk, shape ``(n_chunks, 2)``.
    is_shuffled
        Whether bytes were regrouped by their place in the number.
    where
        Name for messages.
    """

    def __init__(
        self, dataset: Node, *, stored: NDArray[np.int64], is_shuffled: bool, where: str
    ) -> None:
        self.dtype, self.size = dataset.dtype, len(dataset)
        self.chunk_size = dataset.chunks[0]
        self._file = dataset.file.id.get_vfd_handle()
        self._stored, self._is_shuffled, self._where = stored, is_shuffled, where
        self._inflate, self._damage = zlib_inflater()

    def chunk(self, number: int) -> NDArray[Any]:
        offset, length = (int(part) for part in self._stored[number])
        raw = bytearray(length)
        read_bytes(self._file, offset, memoryview(raw), self._where)
        size = self.chunk_size * self.dtype.itemsize
        try:
            values = self._inflate(raw, size)
        except self._damage as error:
            raise damaged_chunk(self._where, number) from error
        if len(values) != size:
            raise damaged_chunk(self._where, number)
        if self._is_shuffled:
            grouped = np.frombuffer(values, np.uint8).reshape(self.dtype.itemsize, -1)
            return np.ascontiguousarray(grouped.T).reshape(-1).view(self.dtype)
        return np.frombuffer(values, self.dtype)


def damaged_chunk(where: str, number: int) -> InputError:
    """Say that a stored chunk cannot be inflated."""
    msg = f"{where} is damaged: its stored chunk {number:,} cannot be inflated."
    return InputError(msg, hint="copy the file again from where it came from.")


def read_bytes(file: int, offset: int, target: memoryview, where: str) -> None:
    """Fill `target` with the bytes of an open file from `offset` on.

    Raises
    ------
    InputError
        If the file ends before.
    """
    done = 0
    while done < len(target):
        count = os.preadv(file, [target[done:]], offset + done)
        if not count:
            msg = f"{where} is cut off: the file ends at byte {offset + done:,}."
            raise InputError(msg, hint="copy the file again from where it came from.")
        done += count
