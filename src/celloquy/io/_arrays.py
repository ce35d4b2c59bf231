"""One-dimensional numbers read by range: in memory, or from a file's dataset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from celloquy.io._types import Node

    Buffer: TypeAlias = Callable[[], NDArray[Any]] | None
    """Makes the array to read into, once it is known that one is needed."""


class FlatArray(ABC):
    """Numbers in a row, read by range."""

    dtype: np.dtype[Any]
    """As stored."""
    size: int
    """How many there are."""
    is_slow = True
    """Whether reading costs more than a slice."""

    @abstractmethod
    def read(self, start: int, stop: int, buffer: Buffer) -> NDArray[Any]:
        """Give numbers `start` to `stop`: a view, or read into what `buffer` makes."""


class MemoryArray(FlatArray):
    """Numbers in memory."""

    is_slow = False

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values
        self.dtype, self.size = values.dtype, len(values)

    def read(self, start: int, stop: int, buffer: Buffer) -> NDArray[Any]:
        del buffer  # a slice needs none
        return self._values[start:stop]


class Hdf5Array(FlatArray):
    """Numbers of an HDF5 dataset, read by the HDF5 library."""

    def __init__(self, dataset: Node, *, where: str) -> None:
        self._dataset, self._where = dataset, where
        self.dtype, self.size = dataset.dtype, len(dataset)

    def read(self, start: int, stop: int, buffer: Buffer) -> NDArray[Any]:
        out = np.empty(stop - start, self.dtype) if buffer is None else buffer()
        if stop > start:
            try:
                self._dataset.read_direct(out, np.s_[start:stop])
            except OSError as error:
                msg = f"{self._where} is damaged: values {start:,} to {stop:,} cannot be read."
                raise InputError(
                    msg, hint="copy the file again from where it came from."
                ) from error
        return out


class SlicedArray(FlatArray):
    """Numbers of anything else that gives a numpy array for a slice, such as zarr."""

    def __init__(self, array: Node) -> None:
        self._array = array
        self.dtype, self.size = array.dtype, array.shape[0]

    def read(self, start: int, stop: int, buffer: Buffer) -> NDArray[Any]:
        del buffer  # the library makes its own array
        return np.asarray(self._array[start:stop])
