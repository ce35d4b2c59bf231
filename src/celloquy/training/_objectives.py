"""Examples as columns: what every way of making them works on, and what it gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from celloquy.training._corpus_draw import below, keys_for, mix, share, whole, word_key
from celloquy.training._corpus_kernel import ALL, see_genes
from celloquy.training._corpus_vary import vary_genes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from celloquy.knowledge import KnownGenes
    from celloquy.text import Vocabulary
    from celloquy.training._corpus_draw import Keys
    from celloquy.training._corpus_sources import Word
    from celloquy.training._corpus_tasks import CorpusTask
    from celloquy.training._recipe_corpus import CorpusRecipe

TRAIN = 0
"""Place of the training part."""
_NOISY = 0.5
"""Share of the training cells that noise is added to."""


class Ragged(NamedTuple):
    """Lists of genes, end to end."""

    flat: NDArray[np.int32]
    """Places in the vocabulary; its length stands for a hidden gene."""
    offsets: NDArray[np.int64]
    """Where each list begins; one more than there are lists."""
    values: NDArray[np.float32] | None = None
    """Values of the genes, where they vary before they are ranked."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Genes of each list."""
        return np.diff(self.offsets)

    def take(self, which: NDArray[np.int64]) -> Ragged:
        """Give some lists, in this order."""
        lengths = self.lengths[which]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(offsets[-1]) + np.repeat(self.offsets[which] - offsets[:-1], lengths)
        return Ragged(self.flat[at], offsets)

    @staticmethod
    def of(lists: Sequence[Sequence[int]]) -> Ragged:
        """Put lists end to end."""
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
        flat = np.fromiter((gene for one in lists for gene in one), np.int32, int(offsets[-1]))
        return Ragged(flat, offsets)


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive cells of one source."""

    cells: Ragged
    """The ranked genes of each cell."""
    keys: Keys
    """Key of each cell; shape ``(n,)``."""
    parts: NDArray[np.int8]
    """Part of each cell; shape ``(n,)``."""
    words: Mapping[str, Word]
    """Words of each cell."""
    start: int
    """Row of the first cell in its source."""
    control: Mapping[str, str]
    """What a word says of control cells."""
    match: tuple[str, ...]
    """Words in which a control agrees with its perturbed cell."""
    labels: Mapping[str, tuple[str, ...]]
    """All texts of each word in the source."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Examples of one task before they have genes: whose, and by which chance."""

    cells: NDArray[np.int64]
    """The cell of each example, by its place in the block; shape ``(n,)``."""
    keys: Keys
    """Key of each example; shape ``(n,)``."""
    parts: NDArray[np.int8]
    """Part of each example; shape ``(n,)``."""

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, which: NDArray[Any]) -> Drawn:
        return Drawn(self.cells[which], self.keys[which], self.parts[which])

    @staticmethod
    def of(block: Block, times: NDArray[np.int64], task: CorpusTask) -> Drawn:
        """Draw each cell so many times."""
        cells = np.repeat(np.arange(len(times)), times)
        first = np.repeat(np.cumsum(times) - times, times)
        numbers = (np.arange(len(cells)) - first).astype(np.uint64)
        keys = mix(mix(block.keys[cells] ^ task.key) + numbers)
        return Drawn(cells, keys, block.parts[cells])


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples of one task as columns."""

    drawn: Drawn
    """Whose they are."""
    values: pa.Array
    """JSON of the inputs that are no genes."""
    genes: Ragged
    """Lists of genes of all examples."""
    lists: NDArray[np.int64]
    """Where the lists of each example begin in `genes`; shape ``(n + 1,)``."""
    answers: pa.Array | None = None
    """Answers that are words."""
    answer_genes: Ragged | None = None
    """Answers that are genes: lists of all examples."""
    answer_lists: NDArray[np.int64] | None = None
    """Where the lists of each example begin in `answer_genes`."""
    n_genes: NDArray[np.int64] | None = None
    """Genes of the shortest cell of each example, where cells can be too short."""


@dataclass(frozen=True, eq=False)
class Ways:
    """What all ways of making examples share."""

    recipe: CorpusRecipe
    gene_keys: Keys
    """Key of each gene of the vocabulary."""
    medians: NDArray[np.float64]
    """What the values of each gene are divided by; 1 where genes are ranked by value."""
    place: NDArray[np.int32]
    """Place of each gene among equals."""

    @staticmethod
    def of(recipe: CorpusRecipe, vocabulary: Vocabulary, genes: KnownGenes | None) -> Ways:
        """Say what all ways share.

        Parameters
        ----------
        recipe
            The corpus.
        vocabulary
            All its genes.
        genes
            The genes that a model shall know, if the corpus tells them.
        """
        medians = np.ones(len(vocabulary))
        if genes is not None and recipe.rank_by == "specificity":
            medians = np.array([genes.median_of.get(name, np.nan) for name in vocabulary.names])
        return Ways(recipe, gene_keys(vocabulary.names), medians, vocabulary.place)

    @property
    def depth(self) -> int | None:
        """How many genes of a cell are ranked, so that enough are left; `None` for all."""
        augment = self.recipe.augment
        if augment.panels or augment.values_vary:
            return None
        most = max(self.recipe.n_top_genes, *(augment.n_genes or (0,)))
        return int(most / (1 - augment.gene_dropout) * 1.25) + 16 if augment.gene_dropout else most

    def see(self, block: Block, drawn: Drawn, *, is_whole: bool = False) -> Ragged:
        """Give the genes of each example's cell, varied where it is for training.

        Parameters
        ----------
        block, drawn
            The cells, and who was drawn.
        is_whole
            Whether no gene is left out by chance, as where they are what is to be written: of a
            cell seen in part, "the most expressed genes" would not be true.
        """
        augment, n = self.recipe.augment, len(drawn)
        trains = drawn.parts == TRAIN
        limits = np.full(n, self.recipe.n_top_genes, dtype=np.int64)
        if augment.n_genes is not None:
            fewest, most = augment.n_genes
            lengths = fewest + whole(keys_for(drawn.keys, "length"), most - fewest + 1)
            limits = np.where(trains, lengths, limits)
        varies = trains & (not is_whole)
        keeps = below(1.0 - augment.gene_dropout) if augment.gene_dropout else ALL
        dropped = np.where(varies, keeps, ALL).astype(np.uint64)
        seen = (keys_for(drawn.keys, "dropout"), dropped), self._panels(drawn, varies)
        kept, noise = self._variation(drawn, varies)
        altered = (kept < 1) | (noise > 0)
        cells = (block.cells.flat, block.cells.offsets)
        plain = Ragged(
            *see_genes(cells, drawn.cells, np.where(altered, 0, limits), self.gene_keys, *seen)
        )
        at = np.flatnonzero(altered)
        if not len(at) or block.cells.values is None:
            return plain
        own = vary_genes(
            (*cells, block.cells.values),
            drawn.cells[at],
            limits=limits[at],
            genes=(self.gene_keys, self.medians, self.place),
            seen=tuple((keys[at], under[at]) for keys, under in seen),
            varied=(keys_for(drawn.keys, "values")[at], kept[at], noise[at]),
        )
        return _replaced(plain, at, Ragged(*own))

    def _variation(
        self, drawn: Drawn, varies: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the share of molecules that each example keeps, and the deviation of its noise."""
        augment = self.recipe.augment
        kept, noise = np.ones(len(drawn)), np.zeros(len(drawn))
        if augment.depth is not None:
            low, high = np.log(augment.depth)
            thinned = share(keys_for(drawn.keys, "is thinned")) < augment.depth_share
            drawn_shares = np.exp(low + share(keys_for(drawn.keys, "depth")) * (high - low))
            kept = np.where(varies & thinned, drawn_shares, kept)
        if augment.noise:
            noisy = share(keys_for(drawn.keys, "is noisy")) < _NOISY
            noise = np.where(varies & noisy, augment.noise, noise)
        return kept, noise

    def _panels(self, drawn: Drawn, varies: NDArray[np.bool_]) -> tuple[Keys, Keys]:
        """Give the key of each example's panel, and the key under which genes are of it."""
        augment, n = self.recipe.augment, len(drawn)
        if not augment.panels:
            return np.zeros(n, np.uint64), np.full(n, ALL)
        numbers = np.arange(augment.n_panels, dtype=np.uint64)
        keys = keys_for(numbers, "panel", self.recipe.seed)
        fewest, most = augment.panel_genes
        sizes = fewest + share(mix(keys)) * (most - fewest)
        seen = np.array([below(size / len(self.gene_keys)) for size in sizes], dtype=np.uint64)
        which = whole(keys_for(drawn.keys, "which panel"), augment.n_panels)
        has = varies & (share(keys_for(drawn.keys, "has panel")) < augment.panels)
        return keys[which], np.where(has, seen[which], ALL).astype(np.uint64)

    def templates(self, task: CorpusTask, drawn: Drawn) -> NDArray[np.int16]:
        """Give the template of each example; those that are not for training take the first."""
        n = len(task.task.templates) if self.recipe.augment.paraphrases else 1
        found = whole(keys_for(drawn.keys, "template"), n)
        return np.where(drawn.parts == TRAIN, found, 0).astype(np.int16)


def _replaced(lists: Ragged, at: NDArray[np.int64], own: Ragged) -> Ragged:
    """Put other lists in the place of some."""
    rows = np.arange(len(lists.lengths))
    rows[at] = len(rows) + np.arange(len(at))
    ends = np.concatenate([lists.offsets, own.offsets[1:] + lists.offsets[-1]])
    return Ragged(np.concatenate([lists.flat, own.flat]), ends).take(rows)


def write_values(
    n: int,
    words: Mapping[str, Word],
    numbers: Mapping[str, NDArray[np.int64]],
    *,
    more: Sequence[Mapping[str, Any]] | None = None,
) -> pa.Array:
    """Write the inputs that are no genes as JSON, once for each that differs.

    Parameters
    ----------
    n
        How many examples there are.
    words
        Words of each example; one that is missing is "unknown".
    numbers
        Numbers of each example.
    more
        Further inputs of each example.
    """
    columns = [word.codes.astype(np.int64) for word in words.values()]
    table = np.stack([*columns, *numbers.values()]) if columns or numbers else np.zeros((1, n), int)
    kinds, where = np.unique(table, axis=1, return_inverse=True)
    written: list[dict[str, Any]] = []
    for kind in kinds.T:
        said: dict[str, Any] = {}
        for code, (name, word) in zip(kind, words.items(), strict=False):
            said[name] = word.texts[code] if code >= 0 else "unknown"
        for number, name in zip(kind[len(words) :], numbers, strict=False):
            said[name] = int(number)
        written.append(said)
    where = where.ravel()
    if more is not None:
        return pa.array([dumps({**written[i], **own}) for i, own in zip(where, more, strict=True)])
    texts = pa.array([dumps(said) for said in written], pa.string())
    return texts.take(pa.array(where))


def dumps(said: Mapping[str, Any]) -> str:
    """Write JSON on one line."""
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def texts_of(word: Word) -> pa.Array:
    """Give the text of each example's word."""
    return pa.array(list(word.texts), pa.string()).take(pa.array(word.codes))


def gene_keys(names: Sequence[str]) -> Keys:
    """Make the key of each gene from its name."""
    return np.array([word_key("gene", name) for name in names], dtype=np.uint64)
