"""The shuffled order of Cell2Sentence, compiled.

NumPy's legacy generator is MT19937 (Matsumoto & Nishimura 1998). Its shuffle walks from
the last element down, and draws each partner below or at `i` by masking 32-bit words to the
bits of `i` and throwing away those above `i`. Which words a row uses depends on how many
all earlier rows threw away, so drawing is serial; arranging the rows is parallel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_U = np.uint32
_N_DIGIT_BITS = 11


@numba.njit(cache=True)
def _twist(state: NDArray[np.uint32]) -> None:
    upper, lower, matrix, one = _U(0x80000000), _U(0x7FFFFFFF), _U(0x9908B0DF), _U(1)
    for k in range(227):
        y = (state[k] & upper) | (state[k + 1] & lower)
        state[k] = state[k + 397] ^ (y >> one) ^ ((_U(0) - (y & one)) & matrix)
    for k in range(227, 623):
        y = (state[k] & upper) | (state[k + 1] & lower)
        state[k] = state[k - 227] ^ (y >> one) ^ ((_U(0) - (y & one)) & matrix)
    y = (state[623] & upper) | (state[0] & lower)
    state[623] = state[396] ^ (y >> one) ^ ((_U(0) - (y & one)) & matrix)


@numba.njit(cache=True)
def _temper(state: NDArray[np.uint32], words: NDArray[np.uint32]) -> None:
    for k in range(624):
        y = state[k]
        y ^= y >> _U(11)
        y ^= (y << _U(7)) & _U(0x9D2C5680)
        y ^= (y << _U(15)) & _U(0xEFC60000)
        words[k] = y ^ (y >> _U(18))


@numba.njit(cache=True)
def draw_partners(
    indptr: NDArray[np.int64],
    partners: NDArray[np.uint32],
    stream: tuple[NDArray[np.uint32], NDArray[np.uint32]],
    position: int,
) -> int:
    """Draw the partner of each element of each row, in the order of the rows.

    `partners[indptr[row] + i]` is what element `i` of the row is swapped with. `stream` is
    the generator's state and its tempered words, each of shape ``(624,)``; they go on from
    call to call, as does the returned position among the words.
    """
    state, words = stream
    for row in range(indptr.size - 1):
        start = indptr[row]
        i = indptr[row + 1] - start - 1
        while i > 0:
            mask = i
            for shift in (1, 2, 4, 8, 16):
                mask |= mask >> shift
            last_of_mask = mask >> 1  # down to here the mask stays the same
            while i > last_of_mask:
                if position == 624:
                    _twist(state)
                    _temper(state, words)
                    position = 0
                k = position
                while k < 624 and i > last_of_mask:
                    j = np.int64(words[k] & _U(mask))
                    partners[start + i] = _U(j)  # overwritten by the next word if above i
                    i -= np.int64(j <= i)
                    k += 1
                position = k
    return position


@numba.njit(cache=True)
def _digits(keys: NDArray[Any]) -> tuple[int, int]:
    """Lowest bit in which the keys of a row differ, and how many bits from there."""
    differs = keys[0] ^ keys[0]
    for key in keys:
        differs |= key ^ keys[0]
    bits, lowest, width = np.uint64(differs), 0, 0
    while bits and not bits & np.uint64(1):
        bits >>= np.uint64(1)
        lowest += 1
    while bits:
        bits >>= np.uint64(1)
        width += 1
    return lowest, width


@numba.njit(cache=True)
def _sort_pass(
    keys: NDArray[Any],
    digit_of: tuple[Any, Any],
    order: tuple[NDArray[np.uint32], NDArray[np.uint32]],
    counts: NDArray[np.int32],
) -> None:
    """Move elements from the first of `order` to the second by one digit of their keys."""
    shift, mask = digit_of
    before, after = order
    n_digits = np.int64(mask) + 1
    counts[: n_digits + 1] = 0
    for key in keys:
        counts[np.int64((key >> shift) & mask) + 1] += 1
    for digit in range(n_digits):
        counts[digit + 1] += counts[digit]
    for k in range(keys.size):
        element = before[k]
        place = np.int64((keys[element] >> shift) & mask)
        after[counts[place]] = element
        counts[place] += 1


@numba.njit(cache=True)
def _arrange_row(
    keys: NDArray[Any],
    partners: NDArray[np.uint32],
    order: tuple[NDArray[np.uint32], NDArray[np.uint32]],
    counts: NDArray[np.int32],
) -> NDArray[np.uint32]:
    """Shuffle a row, then sort it by key; stable: counting sort, low digit first."""
    here, spare = order
    for i in range(keys.size - 1, 0, -1):
        j = partners[i]
        held = here[i]
        here[i] = here[j]
        here[j] = held
    lowest, width = _digits(keys)
    n_passes = (width + _N_DIGIT_BITS - 1) // _N_DIGIT_BITS
    n_bits = (width + n_passes - 1) // n_passes if n_passes else 0
    unsigned = keys.dtype.type
    for sort_pass in range(n_passes):
        digit_of = unsigned(lowest + sort_pass * n_bits), unsigned((1 << n_bits) - 1)
        _sort_pass(keys, digit_of, (here, spare), counts)
        here, spare = spare, here
    return here


@numba.njit(cache=True)
def _arrange_narrow_row(
    keys: NDArray[Any],
    partners: NDArray[np.uint32],
    order: tuple[NDArray[np.uint32], NDArray[np.uint32]],
    counts: NDArray[np.int32],
) -> NDArray[np.uint32]:
    """Do the same in one walk where keys are one digit wide.

    The shuffle settles elements from the last to the first, so each can be put at the end
    of what is left of its key's places at once.
    """
    here, arranged = order
    least = keys.min()
    n_keys = np.int64(keys.max() - least) + 1
    counts[:n_keys] = 0
    for key in keys:
        counts[np.int64(key - least)] += 1
    for digit in range(1, n_keys):
        counts[digit] += counts[digit - 1]
    for i in range(keys.size - 1, -1, -1):
        j = partners[i] if i else _U(0)
        element = here[j]
        here[j] = here[i]
        place = np.int64(keys[element] - least)
        counts[place] -= 1
        arranged[counts[place]] = element
    return arranged


@numba.njit(cache=True, nogil=True)
def arrange(
    indptr: NDArray[np.int64],
    drawn: tuple[NDArray[Any], NDArray[np.uint32]],
    stored: tuple[NDArray[Any], NDArray[Any]],
    ordered: tuple[NDArray[np.int32], NDArray[np.float32]],
) -> None:
    """Write columns and values of `stored` into `ordered`: each row shuffled, then sorted.

    The sort is stable and by rising key; `drawn` are unsigned keys and partners. All arrays
    but `indptr` (where each of these rows begins) have shape ``(nnz,)``.
    """
    keys, partners = drawn
    indices, data = stored
    columns, values = ordered
    n_obs = indptr.size - 1
    longest = 0
    for row in range(n_obs):
        longest = max(longest, indptr[row + 1] - indptr[row])
    order = np.empty(longest, np.uint32), np.empty(longest, np.uint32)
    counts = np.empty((1 << _N_DIGIT_BITS) + 1, np.int32)
    narrow = keys.dtype.type((1 << _N_DIGIT_BITS) - 1)
    for row in range(n_obs):
        start, stop = indptr[row], indptr[row + 1]
        if start == stop:
            continue
        for k in range(stop - start):
            order[0][k] = k
        here, swaps = keys[start:stop], partners[start:stop]
        if here.max() - here.min() <= narrow:
            arranged = _arrange_narrow_row(here, swaps, order, counts)
        else:
            arranged = _arrange_row(here, swaps, order, counts)
        for k in range(stop - start):
            columns[start + k] = indices[start + arranged[k]]
            values[start + k] = data[start + arranged[k]]


@numba.njit(cache=True, nogil=True)
def whole_keys(values: NDArray[Any], keys: NDArray[np.uint32]) -> bool:
    """Turn counts into keys that rise as the count falls; say whether all were counts."""
    for k in range(values.size):
        if not 0 <= values[k] < 0x7FFFFFFF:
            return False
        count = np.uint32(values[k])
        if count != values[k]:
            return False
        keys[k] = _U(0x7FFFFFFF) - count
    return True


@numba.njit(cache=True, nogil=True)
def falling_keys(bits: NDArray[Any], infinity: np.unsignedinteger, keys: NDArray[Any]) -> None:
    """Turn the bits of floats into unsigned keys that rise as the value falls.

    NaN comes last, and a negative zero equals zero, as in NumPy's sort of the negated
    values. `infinity` is the bits of the infinite value.
    """
    unsigned = bits.dtype.type
    every = ~unsigned(0)
    sign = every ^ (every >> unsigned(1))
    for k in range(bits.size):
        value = bits[k]
        if value & ~sign > infinity:
            keys[k] = every
        elif value & sign:
            keys[k] = value if value != sign else ~sign
        else:
            keys[k] = value ^ ~sign
