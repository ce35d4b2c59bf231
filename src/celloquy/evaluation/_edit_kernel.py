"""The compiled edit distance of gene sentences; imported only where it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONE = np.uint64(1)
WORD = 64


@numba.njit(cache=True)
def levenshtein(
    places: NDArray[np.uint64], length: int, other: NDArray[np.int32], column: NDArray[np.uint64]
) -> int:
    """Count genes to insert, delete or replace, 64 rows of the table at once.

    Myers (Journal of the ACM 1999), in blocks as Hyyrö (2003): a column of the table is kept as
    one bit a row that says whether the number rises, and one that says whether it falls.

    Parameters
    ----------
    places
        Bit i of word w of a gene is set where gene number 64 w + i of the sentence is it; shape
        ``(n_words, n_genes)``.
    length
        Genes of the sentence; at least 1.
    other
        Genes of the other sentence.
    column
        Room for the two bits; shape ``(2, n_words)``.
    """
    n_words = (length - 1) // WORD + 1
    column[0, :n_words] = ~np.uint64(0)
    column[1, :n_words] = np.uint64(0)
    last = ONE << np.uint64((length - 1) % WORD)
    found = length
    for gene in other:
        carried = 1
        for w in range(n_words):
            rises, falls = column[0, w], column[1, w]
            same = places[w, gene]
            upright = same | falls
            if carried < 0:
                same |= ONE
            level = (((same & rises) + rises) ^ rises) | same
            up = falls | ~(level | rises)
            down = rises & level
            top = last if w == n_words - 1 else ONE << np.uint64(WORD - 1)
            step = 0
            if up & top:
                step = 1
            elif down & top:
                step = -1
            up <<= ONE
            down <<= ONE
            if carried < 0:
                down |= ONE
            elif carried > 0:
                up |= ONE
            column[0, w] = down | ~(upright | up)
            column[1, w] = up & upright
            carried = step
        found += carried
    return found


@numba.njit(cache=True)
def shares(
    first: tuple[NDArray[np.int32], NDArray[np.int64]],
    second: tuple[NDArray[np.int32], NDArray[np.int64]],
    n_genes: int,
) -> NDArray[np.float64]:
    """Give the distance of each pair of sentences over the longer one's length.

    Parameters
    ----------
    first, second
        Genes of all sentences end to end, and where each begins.
    n_genes
        One more than the largest gene number.
    """
    genes, offsets = first
    others, other_offsets = second
    n, m = len(offsets) - 1, len(other_offsets) - 1
    found = np.zeros((n, m))
    longest = 1
    for i in range(n):
        longest = max(longest, offsets[i + 1] - offsets[i])
    n_words = (longest - 1) // WORD + 1
    places = np.zeros((n_words, n_genes), np.uint64)
    column = np.zeros((2, n_words), np.uint64)
    for i in range(n):
        one = genes[offsets[i] : offsets[i + 1]]
        for k in range(len(one)):
            places[k // WORD, one[k]] |= ONE << np.uint64(k % WORD)
        for j in range(m):
            other = others[other_offsets[j] : other_offsets[j + 1]]
            if len(one) == 0:
                found[i, j] = 1.0 if len(other) else 0.0
            else:
                count = levenshtein(places, len(one), other, column)
                found[i, j] = count / max(len(one), len(other))
        for k in range(len(one)):
            places[k // WORD, one[k]] = np.uint64(0)
    return found
