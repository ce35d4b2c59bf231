"""What Cell2Sentence does with generated sentences: repair, then a straight line of log rank."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set

NOT_A_GENE = "NOT_A_GENE"
"""What stands in the place of a word that is no gene."""


def cell2sentence_repair(
    sentences: Iterable[str], *, names: Iterable[str]
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
    known = set(names)
    return [_repair(sentence, known) for sentence in sentences]


def _repair(sentence: str, known: Set[str]) -> tuple[list[str], int]:
    words = [word if word in known else NOT_A_GENE for word in sentence.upper().split(" ")]
    distinct = dict.fromkeys(words)
    n_marks = words.count(NOT_A_GENE) if NOT_A_GENE in distinct else 0
    if len(distinct) < len(words) - max(n_marks - 1, 0):
        seen: set[str] = set()
        again = {word for word in words if word in seen or seen.add(word)}  # type: ignore[func-returns-value]
        for word in distinct:
            if word in again and word != NOT_A_GENE:
                words = _merged(words, word)
    return words, n_marks


def _merged(words: list[str], repeated: str) -> list[str]:
    places = [place for place, word in enumerate(words) if word == repeated]
    others = [word for word in words if word != repeated]
    others.insert(sum(places) // len(places), repeated)
    return others


def cell2sentence_reconstruct(
    sentences: Sequence[str],
    *,
    names: Sequence[str],
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
    position_of = {name: column for column, name in enumerate(names)}
    indices: list[int] = []
    places: list[int] = []
    indptr = [0]
    column_of = position_of.get
    for sentence in sentences:
        words = sentence.split(delimiter)
        # without a column, words share the key -1; a repeated gene keeps its last place
        found = dict(zip(map(column_of, words, repeat(-1)), range(len(words)), strict=True))
        found.pop(-1, None)
        indices.extend(found.keys())
        places.extend(found.values())
        indptr.append(len(indices))
    values = intercept + slope * np.log10(1.0 + np.arange(max(places, default=-1) + 1))
    matrix = sp.csr_matrix(
        (values.astype(np.float32)[np.array(places, dtype=np.int64)], indices, indptr),
        shape=(len(sentences), len(names)),
    )
    matrix.sort_indices()
    return matrix
