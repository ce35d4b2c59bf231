"""The genes that ranks and sentences speak of, in a fixed order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from celloquy.text._words import WordTable


def tie_key(name: str) -> bytes:
    """Key of a gene among equals: BLAKE2b of its name, 8 bytes.

    It depends on the name alone, so neither the order of columns nor the other genes or
    cells of a file move a gene within a tie.

    Examples
    --------
    >>> tie_key("CD3E").hex() == tie_key("CD3E").hex()
    True
    """
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


@lru_cache(maxsize=4)
def _place(names: tuple[str, ...]) -> NDArray[np.int32]:
    """Give each name's place by key, then by itself; kept for the next call on the same genes."""
    keys = np.array([tie_key(name) for name in names], dtype="S8").view(">u8")
    place = np.empty(len(names), dtype=np.int32)
    place[np.lexsort((np.array(names, dtype=object), keys))] = np.arange(len(names), dtype=np.int32)
    place.flags.writeable = False
    return place


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Gene names, ordered, each once.

    Parameters
    ----------
    names
        Canonical gene names; shape ``(n_genes,)``.
    ids
        Ensembl ids in the same order, ``""`` where unknown; `None` if none is known.

    Raises
    ------
    InputError
        If a name is empty or repeats, or `ids` has another length.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.positions) != len(self.names):
            repeated = next(name for i, name in enumerate(self.names) if self.positions[name] != i)
            msg = f"A vocabulary names each gene once; {repeated!r} repeats."
            raise InputError(msg, hint="resolve collisions first: `collisions='sum'`.")
        if "" in self.positions:
            msg = f"Gene {self.positions['']} of the vocabulary has no name."
            raise InputError(msg, hint="give every gene a name, or leave it out.")
        if self.ids is not None and len(self.ids) != len(self.names):
            msg = f"The vocabulary has {len(self.names)} names and {len(self.ids)} ids."
            raise InputError(msg, hint="give one id a name, '' where it is unknown.")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Position of each name."""
        return {name: position for position, name in enumerate(self.names)}

    @cached_property
    def words(self) -> WordTable:
        """The names by their hash, to find the words of many sentences."""
        from celloquy.text._words import WordTable

        return WordTable.of(self.names)

    @cached_property
    def place(self) -> NDArray[np.int32]:
        """Each gene's place among equals, 0 first; shape ``(n_genes,)``; see :func:`tie_key`."""
        return _place(self.names)

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b of the names in order, 32 hexadecimal digits."""
        return hashlib.blake2b("\n".join(self.names).encode(), digest_size=16).hexdigest()

    def find(self, names: Iterable[str]) -> NDArray[np.int32]:
        """Position of each given name, -1 where the vocabulary lacks it."""
        return np.array([self.positions.get(name, -1) for name in names], dtype=np.int32)
