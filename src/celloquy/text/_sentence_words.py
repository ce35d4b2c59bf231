"""Sentences as text back to ranked places: words to genes, repeats and strangers counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from celloquy.errors import InputError

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
    cells = [_words(sentence, delimiter) for sentence in sentences]
    genes: list[int] = []
    places: list[float] = []
    ends = [0]
    counts = np.zeros((3, len(cells)), dtype=np.int64)
    for cell, words in enumerate(cells):
        found = [vocabulary.positions.get(word, -1) for word in words]
        placed = _placed(found, duplicates)
        known = len(found) - found.count(-1)
        counts[:, cell] = len(words), len(words) - known, known - len(placed)
        if duplicates == "refuse" and known > len(placed):
            gene = next(gene for gene in placed if found.count(gene) > 1)
            msg = f"Sentence {cell} names {vocabulary.names[gene]!r} {found.count(gene)} times."
            raise InputError(msg, hint="pass `duplicates='first'` or `'mean'`.")
        genes.extend(placed)
        places.extend(placed.values())
        ends.append(len(genes))
    return Places(
        np.array(genes, dtype=np.int32),
        np.array(places, dtype=np.float64),
        np.array(ends, dtype=np.int64),
        *counts,
    )


def _words(sentence: str, delimiter: str | None) -> list[str]:
    text = sentence.strip().removesuffix(".")
    return [word.strip() for word in text.split(delimiter)] if text else []


def _placed(found: list[int], duplicates: Duplicates) -> dict[int, float]:
    """Give each gene its place, in the order of the places."""
    placed: dict[int, float] = {}
    for place, gene in enumerate(found):
        placed.setdefault(gene, place)
    placed.pop(-1, None)
    if duplicates != "mean" or len(placed) == len(found):
        return placed
    summed = dict.fromkeys(placed, 0)
    for place, gene in enumerate(found):
        if gene >= 0:
            summed[gene] += place
    mean = {gene: total / found.count(gene) for gene, total in summed.items()}
    return dict(sorted(mean.items(), key=lambda item: item[1]))
