"""The compiled check that values of a row stay apart when they lose half of their bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def narrows(
    values: NDArray[np.float64], narrow: NDArray[np.int32], indptr: NDArray[np.int64]
) -> bool:
    """Say whether float64 values of one row that differ also differ as float32.

    A hash table of the distinct values of the row, its slots stamped with the row's number
    instead of being cleared.
    """
    longest = 16
    for row in range(indptr.size - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    size = 1
    while size < 2 * longest:
        size *= 2
    stamp = np.full(size, -1, np.int64)
    bits, exact = np.empty(size, np.int32), np.empty(size, np.float64)
    for row in range(indptr.size - 1):
        for i in range(indptr[row], indptr[row + 1]):
            slot = (np.uint32(narrow[i]) * np.uint32(2654435769) >> np.uint32(11)) & (size - 1)
            while stamp[slot] == row and bits[slot] != narrow[i]:
                slot = (slot + 1) & (size - 1)
            if stamp[slot] != row:
                stamp[slot], bits[slot], exact[slot] = row, narrow[i], values[i]
            elif exact[slot] != values[i]:
                return False
    return True
