"""Arrays stored in compressed chunks: inflated by several threads, past the format's library."""

from __future__ import annotations

import os
import zlib
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import is_installed
from celloquy.io._arrays import FlatArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from celloquy.io._arrays import Buffer

MOST_THREADS = 4
"""More threads than this wait for memory, not for the inflater."""


class ChunkedArray(FlatArray):
    """Numbers stored in chunks of equal length, each inflated on its own.

    The last chunk of a range is kept, since the next range mostly begins in it.
    """

    chunk_size: int
    """Numbers in a chunk; the last one may be padded or shorter."""
    _kept: tuple[int, NDArray[Any]] | None = None

    @abstractmethod
    def chunk(self, number: int) -> NDArray[Any]:
        """Inflate one chunk; called from several threads at once."""

    def read(self, start: int, stop: int, buffer: Buffer) -> NDArray[Any]:
        out = np.empty(stop - start, self.dtype) if buffer is None else buffer()
        if stop <= start:
            return out
        first, last = start // self.chunk_size, (stop - 1) // self.chunk_size
        kept = self._kept

        def fill(number: int) -> NDArray[Any]:
            is_kept = kept is not None and kept[0] == number
            values = kept[1] if kept is not None and is_kept else self.chunk(number)
            begin = number * self.chunk_size
            low, high = max(start, begin), min(stop, begin + self.chunk_size)
            out[low - start : high - start] = values[low - begin : high - begin]
            return values

        def fill_run(run: range) -> NDArray[Any]:
            return [fill(number) for number in run][-1]

        runs = _runs(first, last + 1)
        done = [fill_run(runs[0])] if len(runs) == 1 else list(_pool().map(fill_run, runs))
        self._kept = last, done[-1]
        return out


def _runs(first: int, stop: int) -> list[range]:
    """Cut chunk numbers into a few runs a thread, so that threads end together."""
    pieces = min(stop - first, 4 * n_threads())
    borders = [first + (stop - first) * piece // pieces for piece in range(pieces + 1)]
    return [range(low, high) for low, high in pairwise(borders)]


def n_threads() -> int:
    """Threads that inflate at the same time."""
    return min(MOST_THREADS, os.cpu_count() or 1)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads(), thread_name_prefix="celloquy-inflate")


@cache
def zlib_inflater() -> tuple[
    Callable[[bytes | bytearray, int], bytes | bytearray], type[Exception]
]:
    """Choose what inflates zlib data of known size, and the error it raises for damage.

    libdeflate is about twice as fast as zlib and gives the same bytes; it is used where its
    package `deflate` is installed.
    """
    if is_installed("deflate"):
        deflate = import_module("deflate")
        return deflate.zlib_decompress, deflate.DeflateError
    return _zlib, zlib.error


def _zlib(raw: bytes | bytearray, size: int) -> bytes:
    return zlib.decompress(raw, bufsize=size)
