"""Edit distance of cell sentences, counted in genes, not in characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Sentence = Sequence[int] | NDArray[np.int32]


def edit_distances(first: Sequence[Sentence], second: Sequence[Sentence]) -> NDArray[np.float64]:
    """Count genes to insert, delete or replace, as a share of the longer sentence.

    Parameters
    ----------
    first
        Genes of each sentence, in order, as numbers; n sentences.
    second
        Genes of m other sentences.

    Returns
    -------
    Levenshtein's distance over the length of the longer sentence, in [0, 1]; shape ``(n, m)``.
    Two empty sentences are equal.

    Examples
    --------
    Two of three genes have changed places: two replacements.

    >>> edit_distances([[0, 1, 2]], [[0, 2, 1], [0, 1, 2]]).round(3).tolist()
    [[0.667, 0.0]]
    """
    from celloquy.evaluation._edit_kernel import shares

    one, other = _joined(first), _joined(second)
    n_genes = 1 + max(int(genes.max(initial=0)) for genes, _ in (one, other))
    return np.asarray(shares(one, other, n_genes))


def _joined(sentences: Sequence[Sentence]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    offsets = np.cumsum([0, *map(len, sentences)], dtype=np.int64)
    genes = np.empty(offsets[-1], dtype=np.int32)
    for start, one in zip(offsets, sentences, strict=False):
        genes[start : start + len(one)] = one
    return genes, offsets
