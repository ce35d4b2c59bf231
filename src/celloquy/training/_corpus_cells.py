"""What a corpus keeps of every cell: a key and a few numbers, read back a chunk at a time.

The numbers of all cells stand end to end: in memory while they are few, and in an unnamed
temporary file beyond, so that memory does not grow with the cells of a corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.io._spool import Growing
from celloquy.training._corpus_sources import Word
from celloquy.training._objectives_cells import is_control

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from celloquy.io._arrays import FlatArray
    from celloquy.training._corpus_draw import Keys
    from celloquy.training._corpus_split import CorpusSplit
    from celloquy.training._corpus_tasks import CorpusTask
    from celloquy.training._recipe_corpus import SourcePart

STUDY = "study"
CHUNK = 2**20
"""Cells that are looked at together."""
_IN_MEMORY = 8 * 2**20
"""Bytes of keys, and of words, that are kept in memory."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Consecutive cells of a source, in memory."""

    part: SourcePart
    """What the recipe says of the source."""
    keys: Keys
    """Key of each cell; shape ``(n,)``."""
    words: Mapping[str, Word]
    """Words of each cell."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which cells are not left out; shape ``(n,)``."""
        kept = np.ones(len(self), dtype=bool)
        for name, texts in self.part.leave_out.items():
            word = self.words[name]
            kept &= ~np.isin(word.codes, [word.texts.index(text) for text in texts])
        return kept

    def groups(self, by: str) -> Word | None:
        """Give the group of each cell; `None` for a split by cell.

        Parameters
        ----------
        by
            What the corpus is split by.

        Raises
        ------
        InputError
            If the source has no such word.
        """
        if by == "cell":
            return None
        if by == STUDY:
            return Word(np.zeros(len(self), np.int32), (study_of(self.part),))
        if by not in self.words:
            msg = f"The corpus is split by {by!r}, and '{Path(self.part.path).name}' has no such "
            msg += f"word{closest(by, self.words)}."
            hint = f"name its column, `columns = {{ {by} = '…' }}`, or split by study."
            raise InputError(msg, hint=hint)
        return self.words[by]

    def fits(self, task: CorpusTask) -> NDArray[np.bool_]:
        """Say which cells can be an example of a task.

        Parameters
        ----------
        task
            The task.
        """
        found = self.kept
        for word in task.needs():
            if word not in self.words:
                return np.zeros(len(found), dtype=bool)
            found &= self.words[word].codes >= 0
        if task.way == "pair":
            if not self.part.control:
                return np.zeros(len(found), dtype=bool)
            found &= ~is_control(self.words, self.part.control)
        return found

    def parts(self, split: CorpusSplit) -> NDArray[np.int8]:
        """Give the part of each cell, -1 where it is left out; shape ``(n,)``.

        Parameters
        ----------
        split
            Who learns and who judges.
        """
        parts = split.part_of(self.groups(split.by), self.keys)
        return np.where(self.kept, parts, -1).astype(np.int8)


class CellStore:
    """Keys and words of the cells of all sources, one source after another."""

    def __init__(self) -> None:
        self._keys = Growing(np.dtype(np.uint64), most_bytes=_IN_MEMORY)
        self._codes = Growing(np.dtype(np.int32), most_bytes=_IN_MEMORY)
        self._finished: tuple[FlatArray, FlatArray] | None = None

    def append(self, keys: Keys) -> int:
        """Add the keys of a source; give the place of the first."""
        first = self._keys.size
        self._keys.append(keys)
        return first

    def append_word(self, word: Word) -> int:
        """Add a word of a source's cells; give the place of the first."""
        first = self._codes.size
        self._codes.append(word.codes)
        return first

    def keys(self, first: int, n: int) -> Keys:
        """Read keys back."""
        keys: Keys = self._arrays[0].read(first, first + n, None)
        return keys

    def codes(self, first: int, n: int) -> NDArray[np.int32]:
        """Read codes of a word back."""
        return self._arrays[1].read(first, first + n, None)

    @property
    def _arrays(self) -> tuple[FlatArray, FlatArray]:
        if self._finished is None:
            self._finished = self._keys.finish(), self._codes.finish()
        return self._finished

    def close(self) -> None:
        """Drop all."""
        self._keys.close()
        self._codes.close()


@dataclass(frozen=True, eq=False)
class SourceCells:
    """The cells of a source, and what was found out about them."""

    part: SourcePart
    """What the recipe says of it."""
    n_obs: int
    """Number of cells."""
    store: CellStore
    """Where keys and words are kept."""
    first: int
    """Place of the first key."""
    words: Mapping[str, tuple[int | None, tuple[str, ...]]]
    """Place of the first code of each word, `None` where all cells have the one text; and its
    texts."""
    labels: Mapping[str, tuple[str, ...]]
    """The texts of each word that cells have which are not left out."""
    n_left_out: int
    """Number of cells that are left out."""
    fingerprint: Mapping[str, Any]
    """What makes it this source."""
    organism: str | None
    """Whose genes they are, if that is known."""
    choice: Any = None
    """What was found out of its genes and values, so that it is not found out again."""

    @staticmethod
    def keep(
        cells: Cells,
        store: CellStore,
        *,
        fingerprint: Mapping[str, Any],
        organism: str | None,
        choice: Any,  # noqa: ANN401 (a source knows what it needs)
    ) -> SourceCells:
        """Put the cells of a source into a store.

        Parameters
        ----------
        cells
            All of them.
        store
            Where to put them.
        fingerprint, organism, choice
            What was found out about the source.
        """
        kept = cells.kept
        labels, words = {}, {}
        for name, word in cells.words.items():
            codes = np.unique(word.codes[kept & (word.codes >= 0)])
            labels[name] = tuple(word.texts[code] for code in codes)
            is_said = name in cells.part.values and name not in cells.part.columns
            words[name] = (None if is_said else store.append_word(word), word.texts)
        n_left_out = int((~kept).sum())
        return SourceCells(
            cells.part, len(cells), store, store.append(cells.keys), words, labels, n_left_out,
            fingerprint, organism, choice,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The name of its file."""
        return Path(self.part.path).name

    @property
    def study(self) -> str:
        """The study that it is of."""
        return study_of(self.part)

    def cells(self, start: int, stop: int) -> Cells:
        """Read cells `start` to `stop`.

        Parameters
        ----------
        start, stop
            The first, and the one after the last.
        """
        n = stop - start
        words = {
            name: Word(
                np.zeros(n, np.int32) if at is None else self.store.codes(at + start, n), texts
            )
            for name, (at, texts) in self.words.items()
        }
        return Cells(self.part, self.store.keys(self.first + start, n), words)

    def chunks(self) -> Iterator[Cells]:
        """Read all cells, chunk by chunk."""
        for start in range(0, self.n_obs, CHUNK):
            yield self.cells(start, min(start + CHUNK, self.n_obs))


def study_of(part: Any) -> str:  # noqa: ANN401 (a source, a table or a network)
    """Name the study of a source: as the recipe says, or its file's name."""
    return str(part.study) or Path(part.path).name.partition(".")[0]
