"""Sentences as text back to ranked places: words to genes, repeats and strangers counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from celloquy.errors import InputError
from celloquy.text._words_kernel import place_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.text._vocabulary import Vocabulary

Duplicates = Literal["first", "mean", "refuse"]


@dataclass(frozen=True, eq=False)
class Places:
    """The genes of each cell, each once, with the place they hold in the sentence."""

    genes: NDArray[np.int32]
    """Positions in the vocabulary, in the order of `places`; shape ``(n_kept,)``."""
    places: NDArray[np.float64]
    """Place in the sentence, 0 first; gaps where a word is no gene; shape ``(n_kept,)``."""
    offsets: NDArray[np.int64]
    """Where each cell begins; shape ``(n_obs + 1,)``."""
    n_words: NDArray[np.int64]
    """Words of each cell, of any kind; shape ``(n_obs,)``."""
    n_unknown: NDArray[np.int64]
    """Words that the vocabulary lacks; shape ``(n_obs,)``."""
    n_repeated: NDArray[np.int64]
    """Words that name a gene once more; shape ``(n_obs,)``."""


def find_places(
    sentences: Sequence[str],
    vocabulary: Vocabulary,
    *,
    delimiter: str | None = None,
    duplicates: Duplicates = "first",
) -> Places:
    """Find the genes that sentences name, and the places they hold.

    One full stop at the end of a sentence is taken off. A word that the vocabulary lacks
    is left out but keeps its place.

    Parameters
    ----------
    sentences
        Gene names of each cell, most expressed first.
    vocabulary
        The genes that may be named, spelled as in the sentences.
    delimiter
        What stands between two names; `None` is any white space.
    duplicates
        A gene named more than once takes its first place, the mean of its places, or is
        refused.

    Raises
    ------
    InputError
        If a gene repeats and `duplicates` is ``"refuse"``, or `duplicates` is unknown.
    """
    if duplicates not in get_args(Duplicates):
        msg = f"`duplicates` is 'first', 'mean' or 'refuse', got {duplicates!r}."
        raise InputError(msg)
    texts = [_bare(sentence, delimiter) for sentence in sentences]
    between = " " if delimiter is None else delimiter
    words, offsets = _without_empty(*vocabulary.words.find(texts, delimiter=between), texts)
    is_mean = duplicates == "mean"
    genes, places, ends = place_words((words, offsets), len(vocabulary), is_mean)
    n_known = _count(words >= 0, offsets)
    n_repeated = n_known - np.diff(ends)
    if duplicates == "refuse" and n_repeated.any():
        cell = int(np.flatnonzero(n_repeated)[0])
        found = words[offsets[cell] : offsets[cell + 1]].tolist()
        gene = next(gene for gene in found if gene >= 0 and found.count(gene) > 1)
        msg = f"Sentence {cell} names {vocabulary.names[gene]!r} {found.count(gene)} times."
        raise InputError(msg, hint="pass `duplicates='first'` or `'mean'`.")
    n_words = np.diff(offsets)
    return Places(genes, places, ends, n_words, n_words - n_known, n_repeated)


def _bare(sentence: str, delimiter: str | None) -> str:
    """Take off the full stop, and white space around words."""
    text = sentence.strip().removesuffix(".")
    if delimiter is None:
        return " ".join(text.split())
    return delimiter.join([word.strip() for word in text.split(delimiter)])


def _without_empty(
    words: NDArray[np.int32], offsets: NDArray[np.int64], texts: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Leave out the one empty word of each empty text."""
    is_empty = np.fromiter((not text for text in texts), np.bool_, len(texts))
    lengths = np.diff(offsets) - is_empty
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return np.delete(words, offsets[:-1][is_empty]), ends


def _count(is_one: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the words of each cell that are so."""
    return np.diff(np.concatenate([np.zeros(1, np.int64), np.cumsum(is_one)])[offsets])
