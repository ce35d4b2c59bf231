"""What Cell2Sentence does with generated sentences: repair, then a straight line of log rank."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from celloquy.text._vocabulary import Vocabulary
from celloquy.text._words import WordTable
from celloquy.text._words_kernel import last_places, repair_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

NOT_A_GENE = "NOT_A_GENE"
"""What stands in the place of a word that is no gene."""


def cell2sentence_repair(
    sentences: Iterable[str], *, names: Iterable[str] | Vocabulary
) -> list[tuple[list[str], int]]:
    """Upper-case generated sentences, mark words that are no gene, and merge repeats.

    Words are what stands between single spaces. A gene that repeats moves to the mean of
    its places, rounded down, gene after gene in the order of first mention, each counted in
    the list as the genes before left it. Marks repeat freely and keep their places.

    Parameters
    ----------
    sentences
        Generated cell sentences.
    names
        The vocabulary: upper-cased gene names.

    Returns
    -------
    For each sentence its words, and how many of them are marks.

    Examples
    --------
    >>> cell2sentence_repair(["A B C A", "A X b"], names=["A", "B", "C"])
    [(['B', 'A', 'C'], 0), (['A', 'NOT_A_GENE', 'B'], 1)]
    """
    spelled, words, offsets = _repaired(sentences, names)
    cells = [words[start:stop] for start, stop in pairwise(offsets.tolist())]
    return [(spelled[cell].tolist(), int((cell < 0).sum())) for cell in cells]


def _repaired(
    sentences: Iterable[str], names: Iterable[str] | Vocabulary
) -> tuple[NDArray[np.object_], NDArray[np.int32], NDArray[np.int64]]:
    """Give the names, the mark last; the repaired words as their positions; where cells begin."""
    known = names.names if isinstance(names, Vocabulary) else tuple(names)
    table = names.words if isinstance(names, Vocabulary) else WordTable.of(known)
    words, offsets = table.find([sentence.upper() for sentence in sentences])
    if NOT_A_GENE in known:
        words[words == len(known) - 1 - known[::-1].index(NOT_A_GENE)] = -1
    return np.array([*known, NOT_A_GENE], dtype=object), *repair_words((words, offsets), len(known))


def cell2sentence_reconstruct(
    sentences: Sequence[str],
    *,
    names: Sequence[str] | Vocabulary,
    slope: float,
    intercept: float,
    delimiter: str = " ",
) -> sp.csr_matrix:
    """Give each word the value ``intercept + slope * log10(1 + place)``, place 0 first.

    Words that are not in `names` are left out but keep their place; a repeated gene takes
    its last place; nothing is clipped, so far down a sentence values are negative.

    Parameters
    ----------
    sentences
        Cell sentences.
    names
        Gene names, one a column.
    slope, intercept
        The line, such as :func:`cell2sentence_fit` gives.
    delimiter
        What stands between two names.

    Returns
    -------
    Cells by genes, float32, shape ``(len(sentences), len(names))``.

    Examples
    --------
    >>> cell2sentence_reconstruct(
    ...     ["B A X C"], names=["A", "B", "C"], slope=-0.5, intercept=2.0
    ... ).toarray().round(3)
    array([[1.849, 2.   , 1.699]], dtype=float32)
    """
    table = names.words if isinstance(names, Vocabulary) else WordTable.of(names)
    cells = table.find(sentences, delimiter=delimiter)
    return _on_the_line(cells, len(table), slope=slope, intercept=intercept)


def cell2sentence_expression(
    sentences: Iterable[str], *, names: Sequence[str] | Vocabulary, slope: float, intercept: float
) -> tuple[sp.csr_matrix, NDArray[np.int64]]:
    """Repair generated sentences and reconstruct them, without writing them down in between.

    Parameters
    ----------
    sentences
        Generated cell sentences.
    names
        The vocabulary: upper-cased gene names, one a column.
    slope, intercept
        See :func:`cell2sentence_reconstruct`.

    Returns
    -------
    What :func:`cell2sentence_reconstruct` makes of what :func:`cell2sentence_repair` gives; and
    the marks of each sentence, shape ``(n_obs,)``.

    Examples
    --------
    >>> matrix, n_marks = cell2sentence_expression(
    ...     ["b a x c"], names=["A", "B", "C"], slope=-0.5, intercept=2.0
    ... )
    >>> matrix.toarray().round(3), n_marks.tolist()
    (array([[1.849, 2.   , 1.699]], dtype=float32), [1])
    """
    spelled, words, offsets = _repaired(sentences, names)
    n_names = len(spelled) - 1
    n_marks = np.diff(np.concatenate([[0], np.cumsum(words < 0)])[offsets])
    return _on_the_line((words, offsets), n_names, slope=slope, intercept=intercept), n_marks


def _on_the_line(
    cells: tuple[NDArray[np.int32], NDArray[np.int64]],
    n_names: int,
    *,
    slope: float,
    intercept: float,
) -> sp.csr_matrix:
    genes, places, offsets = last_places(cells, n_names)
    values = intercept + slope * np.log10(1.0 + np.arange(places.max(initial=-1) + 1))
    shape = (len(offsets) - 1, n_names)
    matrix = sp.csr_matrix((values.astype(np.float32)[places], genes, offsets), shape=shape)
    matrix.has_sorted_indices = True
    return matrix
