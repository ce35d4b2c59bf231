"""Examples as columns: what every way of making them works on, and what it gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from celloquy.training._corpus_draw import below, keys_for, mix, share, whole, word_key
from celloquy.training._corpus_kernel import ALL, see_genes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from celloquy.training._corpus_draw import Keys
    from celloquy.training._corpus_sources import Word
    from celloquy.training._corpus_tasks import CorpusTask
    from celloquy.training._recipe_corpus import CorpusRecipe

TRAIN = 0
"""Place of the training part."""


class Ragged(NamedTuple):
    """Lists of genes, end to end."""

    flat: NDArray[np.int32]
    """Places in the vocabulary; its length stands for a hidden gene."""
    offsets: NDArray[np.int64]
    """Where each list begins; one more than there are lists."""

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

    @property
    def depth(self) -> int | None:
        """How many genes of a cell are ranked, so that enough are left; `None` for all."""
        augment = self.recipe.augment
        if augment.panels:
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
        kept = below(1.0 - augment.gene_dropout) if augment.gene_dropout else ALL
        dropped = np.where(varies, kept, ALL).astype(np.uint64)
        seen = see_genes(
            (block.cells.flat, block.cells.offsets),
            drawn.cells,
            limits,
            self.gene_keys,
            (keys_for(drawn.keys, "dropout"), dropped),
            self._panels(drawn, varies),
        )
        return Ragged(*seen)

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
