"""ChatCell's words: the article before a type, and what it counts in generated cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def chatcell_type(label: str) -> str:
    """Put "a" or "an" before a label by its first letter alone (AF-29).

    Examples
    --------
    >>> [chatcell_type(label) for label in ("Basal", "IRS", "alowCD34+ bulge")]
    ['a Basal', 'an IRS', 'an alowCD34+ bulge']
    """
    return f"{'an' if label[:1].lower() in set('aeiou') and label else 'a'} {label}"


@dataclass(frozen=True)
class GeneratedCounts:
    """What ChatCell counts in generated cells."""

    n_cells: int
    """Number of texts."""
    n_genes: int
    """Words of all texts."""
    n_valid: int
    """Words that are genes of the vocabulary."""
    n_unique: int
    """Distinct words of each text, summed."""

    @property
    def mean_length(self) -> float:
        """Words a text."""
        return self.n_genes / self.n_cells

    @property
    def validity(self) -> float:
        """Per cent of words that are genes."""
        return 100 * self.n_valid / self.n_genes

    @property
    def uniqueness(self) -> float:
        """Per cent of words that their text names for the first time."""
        return 100 * self.n_unique / self.n_genes

    def delta_length(self, wanted: int = 100) -> float:
        """How far the mean length is from what was wanted."""
        return abs(self.mean_length - wanted)


def chatcell_generated(texts: Sequence[str], vocabulary: Collection[str]) -> GeneratedCounts:
    """Count genes of generated cells as ChatCell does (AF-30): words in capitals.

    Parameters
    ----------
    texts
        Generated cell sentences.
    vocabulary
        The genes, in capitals.

    Raises
    ------
    InputError
        If there is no word at all.

    Examples
    --------
    >>> chatcell_generated(["A B X", "a A  C"], {"A", "B", "C"}).n_valid
    5
    """
    cells = [text.upper().split() for text in texts]
    words = [word for cell in cells for word in cell]
    if not words:
        msg = f"{len(texts)} texts name no gene."
        raise InputError(msg, hint="pass the generated cell sentences.")
    valid = sum(word in vocabulary for word in words)
    return GeneratedCounts(len(cells), len(words), valid, sum(len(set(cell)) for cell in cells))
