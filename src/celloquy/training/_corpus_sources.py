"""Files of cells as a corpus reads them: words of each cell, and its ranked genes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from celloquy._runtime import closest, sha256_of
from celloquy.errors import InputError
from celloquy.io import open_stream
from celloquy.knowledge import guess_organism
from celloquy.text import GeneOptions, RankBuffers, RankOptions, field_text, get_style, rank_cells
from celloquy.text._sentences import SentenceJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.text import Vocabulary
    from celloquy.text._gene_choice import GeneChoice
    from celloquy.training._recipe_corpus import SourcePart

CHUNK_SIZE = 1_000
"""Cells that are read and ranked at once."""


class CellFile(Protocol):
    """Cells of one file."""

    choice: Any
    """What was found out of its genes."""
    n_obs: int
    """Number of cells."""
    names: tuple[str, ...]
    """Names of its genes."""

    def obs(self, columns: Sequence[str]) -> pd.DataFrame:
        """Read columns of obs, indexed by cell name."""

    def fingerprint(self) -> dict[str, Any]:
        """Say what makes this file this file."""

    def ranked(
        self, start: int, stop: int, vocabulary: Vocabulary, *, n_top_genes: int | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Rank the genes of cells `start` to `stop`: places in the vocabulary, and offsets."""

    def close(self) -> None:
        """Close the file."""


class ExpressionFile:
    """Cells with expression.

    Parameters
    ----------
    part
        What the recipe says of the file.
    known
        What was found out of its genes before.
    """

    def __init__(self, part: SourcePart, *, known: GeneChoice | None = None) -> None:
        self._part = part
        self._stream = open_stream(part.path, layer=part.layer, use_raw=part.use_raw)
        self.choice = known or self._choose()
        self.n_obs = self._stream.n_obs
        self.names = self.choice.vocabulary.names
        self._buffers = RankBuffers()
        self._columns: tuple[str, NDArray[np.int32]] | None = None

    def _choose(self) -> GeneChoice:
        """Check the values, and find out which genes may be named."""
        part = self._part
        options = GeneOptions(
            to=part.to,
            collisions=part.collisions,
            gene_column=part.gene_column,
            protein_coding_only=part.protein_coding_only,
        )
        job = SentenceJob.of(
            self._stream,
            source=part.path,
            n_top_genes=None,
            style=get_style("celloquy"),
            obs_features=(),
            genes=options,
        )
        return job.choice

    def obs(self, columns: Sequence[str]) -> pd.DataFrame:
        """Read columns of obs, indexed by cell name."""
        return self._stream.obs(tuple(columns))

    def fingerprint(self) -> dict[str, Any]:
        """Say what makes this file this file."""
        found = {**self._stream.fingerprint(), "n_genes_named": len(self.names)}
        path = Path(self._part.path)
        if not path.is_file():
            return found
        found.pop("modified_ns", None)  # a copy of the file is the same file
        return {**found, "sha256": sha256_of(path)}

    def ranked(
        self, start: int, stop: int, vocabulary: Vocabulary, *, n_top_genes: int | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Rank the genes of cells `start` to `stop`: places in the vocabulary, and offsets."""
        columns = self._in(vocabulary)
        options = RankOptions(n_top_genes)
        genes, lengths = [], []
        for chunk in self._stream.chunks(CHUNK_SIZE, start=start, stop=stop):
            ranked = rank_cells(
                chunk, vocabulary, columns=columns, options=options, buffers=self._buffers
            )
            genes.append(ranked.genes.copy())
            lengths.append(ranked.lengths.copy())
        offsets = np.concatenate([[0], np.cumsum(np.concatenate([[0], *lengths])[1:])])
        flat = np.concatenate(genes) if genes else np.empty(0, np.int32)
        return flat.astype(np.int32, copy=False), offsets.astype(np.int64)

    def _in(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        """Give each column of the file its place in the vocabulary."""
        if self._columns is None or self._columns[0] != vocabulary.fingerprint:
            place = np.append(vocabulary.find(self.names), -1).astype(np.int32)
            self._columns = (vocabulary.fingerprint, place[self.choice.columns])
        return self._columns[1]

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def open_cells(part: SourcePart, *, known: Any = None) -> CellFile:  # noqa: ANN401
    """Open the cells of a source.

    Parameters
    ----------
    part
        What the recipe says of the file.
    known
        What was found out of its genes before; its checks are then not done again.

    Raises
    ------
    InputError
        If it cannot be read or ranked, or its genes are those of another organism than it says.
    """
    from celloquy.training._exchange_sentences import SentenceFolder, is_sentence_folder

    if is_sentence_folder(part.path):
        cells: CellFile = SentenceFolder(part, names=known)
    else:
        cells = ExpressionFile(part, known=known)
    if known is not None:
        return cells
    said, seen = part.values.get("organism"), guess_organism(cells.names)
    if said in {"human", "mouse"} and seen in {"human", "mouse", "mixed"} and said != seen:
        msg = f"'{Path(part.path).name}' says organism = {said!r}, and its genes are {seen}, "
        msg += f"such as {cells.names[0]!r}."
        raise InputError(msg, hint="mend `values` of the source, or map its genes first.")
    return cells


@dataclass(frozen=True, eq=False)
class Word:
    """A word of every cell, such as its type."""

    codes: NDArray[np.int32]
    """Which of `texts` each cell has, -1 where it has none; shape ``(n_obs,)``."""
    texts: tuple[str, ...]
    """The texts, sorted."""

    def __getitem__(self, cells: slice | NDArray[np.int64]) -> Word:
        return Word(self.codes[cells], self.texts)

    def counts(self) -> dict[str, int]:
        """Count the cells of each text."""
        counted = np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))
        return {text: int(n) for text, n in zip(self.texts, counted, strict=True) if n}


def read_words(cells: CellFile, part: SourcePart) -> tuple[pd.Index, dict[str, Word]]:
    """Read the names of all cells, and their words.

    Parameters
    ----------
    cells
        The open file.
    part
        What the recipe says of it.

    Raises
    ------
    InputError
        If a column of obs, or a value to leave out or of controls, is not there.
    """
    obs = cells.obs(tuple(dict.fromkeys(part.columns.values())))
    words = {
        word: Word(np.zeros(cells.n_obs, np.int32), (text,)) for word, text in part.values.items()
    }
    for word, column in part.columns.items():
        words[word] = _word(obs[column])
    where = Path(part.path).name
    asked = [(word, text) for word, texts in part.leave_out.items() for text in texts]
    for word, text in (*asked, *part.control.items()):
        known = words[word].texts
        if text not in known:
            msg = f"No cell of '{where}' has {word} = {text!r}{closest(text, known)}."
            raise InputError(msg, hint=f"there are: {', '.join(known[:20])}.")
    return obs.index, words


def _word(column: pd.Series[Any]) -> Word:
    """Read a column as texts; what is missing or empty has none."""
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    texts = [field_text(value) for value in distinct]
    known = tuple(sorted(set(texts) - {"unknown"}))
    place = {text: i for i, text in enumerate(known)}
    table = np.array([*(place.get(text, -1) for text in texts), -1], dtype=np.int32)
    return Word(table[codes], known)
