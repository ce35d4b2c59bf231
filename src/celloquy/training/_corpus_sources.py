"""Files of cells as a corpus reads them: words of each cell, and its ranked genes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from celloquy._runtime import closest, sha256_of
from celloquy.checks import require_slot
from celloquy.errors import InputError
from celloquy.io import open_stream
from celloquy.knowledge import guess_organism
from celloquy.text import GeneOptions, RankBuffers, field_text, get_style, rank_cells
from celloquy.text._gene_choice import gene_names, rank_options
from celloquy.text._sentences import SentenceJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.checks import Kind
    from celloquy.knowledge import KnownGenes
    from celloquy.text import Vocabulary
    from celloquy.training._recipe_corpus import CorpusRecipe, SourcePart

CHUNK_SIZE = 1_000
"""Cells that are read and ranked at once."""
_COUNTS: tuple[Kind, ...] = ("counts",)
RankedLists = tuple["NDArray[np.int32]", "NDArray[np.int64]", "NDArray[np.float32] | None"]
"""Genes of cells end to end, where each cell begins, and the values of the genes if wanted."""


class GeneUnion:
    """The names of the genes of all sources, each once, in the order in which they were met."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._columns: dict[bytes, NDArray[np.int32]] = {}
        self._found: tuple[str, NDArray[np.int32]] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names."""
        return tuple(self._at)

    def columns(self, names: Sequence[str], chosen: NDArray[np.int32]) -> NDArray[np.int32]:
        """Add the genes of a source, and give the place of each of its columns, -1 for none.

        Sources of the same columns share one array.

        Parameters
        ----------
        names
            Names of its genes.
        chosen
            Which of them each column is, -1 for none; shape ``(n_vars,)``.
        """
        place = np.array([*(self._at.setdefault(n, len(self._at)) for n in names), -1], np.int32)
        columns = place[chosen]
        key = hashlib.blake2b(columns.tobytes(), digest_size=16).digest()
        return self._columns.setdefault(key, columns)

    def places(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        """Give the place of each gene in a vocabulary, and -1 at the end.

        Parameters
        ----------
        vocabulary
            Names in another order.
        """
        if self._found is None or self._found[0] != vocabulary.fingerprint:
            place = np.append(vocabulary.find(self._at), -1).astype(np.int32)
            self._found = (vocabulary.fingerprint, place)
        return self._found[1]


class Ranking(NamedTuple):
    """How the genes of all sources are ranked."""

    recipe: CorpusRecipe
    """The corpus."""
    genes: KnownGenes | None
    """The genes that a model shall know, if the corpus tells them."""
    union: GeneUnion
    """The genes of all sources that were looked at."""


class ColumnChoice(NamedTuple):
    """What was found out of the genes and values of a file."""

    genes: GeneOptions
    """Which genes may be named."""
    kind: Kind
    """What the values are."""
    columns: NDArray[np.int32]
    """Which gene of all sources each column is, -1 for none; shape ``(n_vars,)``."""


class CellFile(Protocol):
    """Cells of one file."""

    choice: Any
    """What was found out of its genes and values, so that it is not found out again."""
    n_obs: int
    """Number of cells."""
    names: tuple[str, ...]
    """Names of its genes, as the corpus calls them; none where they were looked at before."""

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names of its genes, as the file calls them."""

    def obs(self, columns: Sequence[str]) -> pd.DataFrame:
        """Read columns of obs, indexed by cell name."""

    def fingerprint(self) -> dict[str, Any]:
        """Say what makes this file this file."""

    def ranked(
        self, start: int, stop: int, vocabulary: Vocabulary, *, n_top_genes: int | None
    ) -> RankedLists:
        """Rank the genes of cells `start` to `stop`, as places in the vocabulary."""

    def close(self) -> None:
        """Close the file."""


class ExpressionFile:
    """Cells with expression.

    Parameters
    ----------
    part
        What the recipe says of the file.
    ranking
        How genes are ranked.
    known
        What was found out of its genes and values before.

    Raises
    ------
    InputError
        If it cannot be read or ranked as is asked for.
    """

    def __init__(
        self, part: SourcePart, *, ranking: Ranking, known: ColumnChoice | None = None
    ) -> None:
        self._part, self._ranking = part, ranking
        self._stream = open_stream(part.path, layer=part.layer, use_raw=part.use_raw)
        self.n_obs = self._stream.n_obs
        self.names: tuple[str, ...] = ()
        self.choice = known or self._choose()
        self._buffers = RankBuffers()

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names of its genes, as the file calls them."""
        return tuple(gene_names(self._stream.var, self._part.gene_column))

    def _choose(self) -> ColumnChoice:
        """Check the values, and find out which genes may be named."""
        part, recipe, genes = self._part, self._ranking.recipe, self._ranking.genes
        said = part.values.get("organism")
        options = GeneOptions(
            rank_by=recipe.rank_by,
            known=genes,
            organism=said if genes is not None and said in {"human", "mouse"} else None,
            to=part.to,
            collisions=part.collisions,
            gene_column=part.gene_column,
            protein_coding_only=part.protein_coding_only,
        )
        if recipe.augment.depth is not None:
            require_slot(self._stream, verb="depth", kinds=_COUNTS, source=part.path)
        job = SentenceJob.of(
            self._stream,
            source=part.path,
            n_top_genes=None,
            style=get_style("celloquy"),
            obs_features=(),
            genes=options,
        )
        self.names = job.choice.vocabulary.names
        self._n_dropped = job.choice.report.dropped
        columns = self._ranking.union.columns(self.names, job.choice.columns)
        return ColumnChoice(job.genes, job.kind, columns)

    def obs(self, columns: Sequence[str]) -> pd.DataFrame:
        """Read columns of obs, indexed by cell name."""
        return self._stream.obs(tuple(columns))

    def fingerprint(self) -> dict[str, Any]:
        """Say what makes this file this file."""
        found = {**self._stream.fingerprint(), "n_genes_named": len(self.names)}
        if self._ranking.genes is not None:
            found["n_genes_left_out"] = self._n_dropped
        path = Path(self._part.path)
        if not path.is_file():
            return found
        found.pop("modified_ns", None)  # a copy of the file is the same file
        return {**found, "sha256": sha256_of(path)}

    def ranked(
        self, start: int, stop: int, vocabulary: Vocabulary, *, n_top_genes: int | None
    ) -> RankedLists:
        """Rank the genes of cells `start` to `stop`, as places in the vocabulary."""
        choice = self.choice
        columns = self._ranking.union.places(vocabulary)[choice.columns]
        options = rank_options(choice.genes, vocabulary, n_top_genes, kind=choice.kind)
        keeps = self._ranking.recipe.augment.values_vary
        genes, lengths = [np.empty(0, np.int32)], [np.zeros(1, np.int64)]
        values = [np.empty(0, np.float32)]
        for chunk in self._stream.chunks(CHUNK_SIZE, start=start, stop=stop):
            ranked = rank_cells(
                chunk, vocabulary, columns=columns, options=options, buffers=self._buffers
            )
            genes.append(ranked.genes.astype(np.int32))
            lengths.append(ranked.lengths)
            if keeps:
                values.append(ranked.values.copy())
        offsets = np.cumsum(np.concatenate(lengths)).astype(np.int64)
        return np.concatenate(genes), offsets, np.concatenate(values) if keeps else None

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def open_cells(
    part: SourcePart,
    *,
    ranking: Ranking,
    known: Any = None,  # noqa: ANN401
) -> CellFile:
    """Open the cells of a source.

    Parameters
    ----------
    part
        What the recipe says of the file.
    ranking
        How genes are ranked.
    known
        What was found out of its genes and values before; its checks are then not done again.

    Raises
    ------
    InputError
        If it cannot be read or ranked, or its genes are those of another organism than it says.
    """
    from celloquy.training._exchange_sentences import SentenceFolder, is_sentence_folder

    if is_sentence_folder(part.path):
        if ranking.genes is not None or ranking.recipe.augment.values_vary:
            msg = f"'{Path(part.path).name}' holds sentences: ranks without expression, which "
            msg += "`medians`, `depth` and `noise` need."
            raise InputError(msg, hint="name the file of cells that the sentences were made of.")
        cells: CellFile = SentenceFolder(part, union=ranking.union, is_known=known is not None)
    else:
        cells = ExpressionFile(part, ranking=ranking, known=known)
    if known is not None:
        return cells
    own_names = cells.own_names
    said, seen = part.values.get("organism"), guess_organism(own_names)
    if said in {"human", "mouse"} and seen in {"human", "mouse", "mixed"} and said != seen:
        msg = f"'{Path(part.path).name}' says organism = {said!r}, and its genes are {seen}, "
        msg += f"such as {own_names[0]!r}."
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
