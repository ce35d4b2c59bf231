"""Names that are looked up many at a time: sentences become positions without a string a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.text._words_kernel import count_words, fill_table, look_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Packed = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class WordTable:
    """Names by their hash."""

    blob: NDArray[np.uint8]
    """UTF-8 of all names, end to end."""
    starts: NDArray[np.int64]
    """Where each begins; shape ``(n_names + 1,)``."""
    slots: NDArray[np.int32]
    """Position of a name at its hash, or after it; -1 where none is."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, names: Sequence[str]) -> WordTable:
        """Hash every name once; of equal names the last counts."""
        blob, starts = _packed(names)
        slots = np.full(1 << max(4, (3 * len(names)).bit_length()), -1, dtype=np.int32)
        fill_table((blob, starts, slots))
        return cls(blob, starts, slots)

    def find(
        self, texts: Sequence[str], *, delimiter: str = " "
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Split texts as `str.split` does, and give each word's position.

        Parameters
        ----------
        texts
            Texts; length ``n``.
        delimiter
            What stands between two words; at least one character.

        Returns
        -------
        Positions of the words of all texts, -1 where there is no such name; and where each text
        begins, shape ``(n + 1,)``.

        Raises
        ------
        InputError
            If the delimiter is empty.

        Examples
        --------
        >>> words, offsets = WordTable.of(["A", "B"]).find(["B A X", ""])
        >>> words.tolist(), offsets.tolist()
        ([1, 0, -1, -1], [0, 3, 4])
        """
        if not delimiter:
            msg = "Nothing stands between two words, so a sentence cannot be split."
            raise InputError(msg, hint="pass a delimiter, such as a space.")
        text, starts = _packed(texts)
        between = np.frombuffer(_encoded(delimiter), dtype=np.uint8)
        offsets = count_words(text, starts, between)
        words = np.empty(int(offsets[-1]), dtype=np.int32)
        look_up((self.blob, self.starts, self.slots), text, starts, between, words)
        return words, offsets


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # half a pair of a damaged text is a word too


def _packed(texts: Sequence[str]) -> Packed:
    """Write texts end to end as bytes."""
    joined = "".join(texts)
    lengths = np.fromiter(
        map(len, texts if joined.isascii() else map(_encoded, texts)), np.int64, len(texts)
    )
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return np.frombuffer(_encoded(joined) or b"\0", dtype=np.uint8), starts
