"""Expression values of any dtype as 32-bit integers in the same order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST_INTEGER = 2**31 - 1
_LARGEST_FLOAT = 0x7F7FFFFF  # bits of the largest finite float32


@dataclass(frozen=True, eq=False)
class Keys:
    """Integers that compare like the values they stand for; 0 stands for 0."""

    keys: NDArray[np.int32]
    """Shape ``(nnz,)``. Of a negative or infinite value or NaN: negative, or over `ceiling`."""
    ceiling: int
    """Largest key of a value that can be ranked."""
    table: NDArray[Any] | None = None
    """Value of each key, where keys are neither the values nor their bits."""

    def values(self, keys: NDArray[np.int32]) -> NDArray[np.float32]:
        """Give the values of some keys; may share memory with them."""
        if self.table is not None:
            return self.table[keys].astype(np.float32)
        if self.ceiling == _LARGEST_FLOAT:
            return keys.view(np.float32)
        return keys.astype(np.float32)

    def floor(self, minimum: float) -> int:
        """Give the largest key whose value is at most `minimum`."""
        if self.table is not None:
            return int(np.searchsorted(self.table, minimum, side="right")) - 1
        if self.ceiling == _LARGEST_FLOAT:
            nearest = np.float32(min(minimum, float(np.finfo(np.float32).max)))
            if float(nearest) > minimum:
                nearest = np.nextafter(nearest, np.float32(0))
            return int(nearest.view(np.int32))
        return min(math.floor(minimum), _LARGEST_INTEGER)


def keys_of(data: NDArray[Any], indptr: NDArray[np.int64], *, minimum: float = 0.0) -> Keys:
    """Find the keys of stored values, without a copy for float32 and int32.

    Parameters
    ----------
    data
        Booleans, integers or floats of any width; shape ``(nnz,)``.
    indptr
        Where each cell begins in `data`; shape ``(n_obs + 1,)``. Keys compare within a cell.
    minimum
        Values up to it are not ranked, and may get the key 0.

    Raises
    ------
    InputError
        If `data` holds anything but booleans, integers and floats of up to 64 bits.
    """
    kind, width = data.dtype.kind, data.dtype.itemsize
    if kind not in "buif" or width > 8:
        msg = f"Values of type {data.dtype} cannot be ranked."
        raise InputError(msg, hint="store expression as numbers: float32, or integers for counts.")
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    if kind == "f" and width == 8:
        return _of_float64(data, indptr, minimum)
    if data.dtype == np.int32:
        return Keys(data, _LARGEST_INTEGER)
    if kind in "iu" and width >= 4:
        return _of_integers(data)
    return Keys(data.astype(np.float32, copy=False).view(np.int32), _LARGEST_FLOAT)


def _of_integers(data: NDArray[Any]) -> Keys:
    if len(data) and (data.max() > _LARGEST_INTEGER or data.min() < -_LARGEST_INTEGER):
        return _of_levels(data)
    return Keys(data.astype(np.int32), _LARGEST_INTEGER)


def _of_float64(data: NDArray[np.float64], indptr: NDArray[np.int64], minimum: float) -> Keys:
    from celloquy.text._narrow_kernel import narrows

    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = data.astype(np.float32)
    if (narrow == data).all():
        return Keys(narrow.view(np.int32), _LARGEST_FLOAT)
    if minimum > 0:
        data = np.where(data > minimum, data, np.minimum(data, 0))
        narrow = data.astype(np.float32)
    keys = narrow.view(np.int32)
    vanished = (keys == 0) & (data != 0)
    if not vanished.any() and narrows(data, keys, indptr):
        return Keys(keys, _LARGEST_FLOAT)
    return _of_levels(data)


def _of_levels(data: NDArray[Any]) -> Keys:
    """Give distinct values numbers: 0 for 0, less below, more than the ceiling if not finite."""
    table, positions = np.unique(np.append(data, np.zeros(1, data.dtype)), return_inverse=True)
    zero = positions[-1]
    table = table[zero:]
    ceiling = int(np.count_nonzero(table <= np.finfo(np.float32).max)) - 1
    return Keys((positions[:-1] - zero).astype(np.int32), ceiling, table)
