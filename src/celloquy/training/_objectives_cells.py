"""Examples of one cell: name it, write it, find its hidden genes, go on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.training._corpus_draw import keys_for, mix, share
from celloquy.training._objectives import Examples, Ragged, texts_of, write_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from celloquy.training._corpus_sources import Word
    from celloquy.training._corpus_tasks import CorpusTask
    from celloquy.training._objectives import Block, Drawn, Ways


def spoken(task: CorpusTask, block: Block, cells: NDArray[np.int64]) -> dict[str, Word]:
    """Give the words of some cells that stand in a task's prompts."""
    return {name: block.words[name][cells] for name in task.speaks(block.words)}


def name_cells(task: CorpusTask, block: Block, drawn: Drawn, ways: Ways) -> Examples:
    """Ask for the label of each cell."""
    seen = ways.see(block, drawn)
    label = block.words[task.label or ""][drawn.cells]
    more = None
    if task.choice is not None:
        offered = offers(task, label, drawn, block)
        more = [{task.choice.name: labels} for labels in offered]
    values = write_values(len(drawn), spoken(task, block, drawn.cells), {}, more=more)
    one_each = np.arange(len(drawn) + 1)
    return Examples(drawn, values, seen, one_each, answers=texts_of(label), n_genes=seen.lengths)


def offers(task: CorpusTask, label: Word, drawn: Drawn, block: Block) -> list[list[str]]:
    """Offer each example its label among others of its source, in an order drawn by its key.

    Labels of other sources are not mixed in: two studies may call one type by two names.
    """
    known = block.labels[task.label or ""]
    made = []
    for code, key in zip(label.codes, keys_for(drawn.keys, "labels"), strict=True):
        rng = np.random.default_rng(int(key))
        others = [text for text in known if text != label.texts[code]]
        n = min(task.part.n_labels - 1, len(others))
        chosen = [others[i] for i in rng.choice(len(others), n, replace=False)] if n else []
        listed = [*chosen, label.texts[code]]
        made.append([listed[i] for i in rng.permutation(len(listed))])
    return made


def write_cells(task: CorpusTask, block: Block, drawn: Drawn, ways: Ways) -> Examples:
    """Ask for the genes of each cell, given some words."""
    seen = ways.see(block, drawn, is_whole=True)
    numbers = {given.name: seen.lengths for given in task.numbers}
    values = write_values(len(drawn), spoken(task, block, drawn.cells), numbers)
    return Examples(
        drawn, values, *no_lists(len(drawn)),
        answer_genes=seen, answer_lists=np.arange(len(drawn) + 1), n_genes=seen.lengths,
    )  # fmt: skip


def hide_genes(task: CorpusTask, block: Block, drawn: Drawn, ways: Ways) -> Examples:
    """Ask for genes that are hidden in each cell's sentence: about a share of them, one at least.

    Notes
    -----
    After CellHermes' masked genes (bioRxiv 2025.11.07.687322).
    """
    seen = ways.see(block, drawn)
    lengths = seen.lengths
    rows = np.repeat(np.arange(len(drawn)), lengths)
    at = np.arange(len(seen.flat)) - np.repeat(seen.offsets[:-1], lengths)
    chance = share(mix(keys_for(drawn.keys, "hidden")[rows] + at.astype(np.uint64)))
    hidden = chance < task.part.masked
    lowest = np.full(len(drawn), np.inf)
    np.minimum.at(lowest, rows, chance)
    hidden |= chance == lowest[rows]
    answers = Ragged(seen.flat[hidden], ends_of(np.bincount(rows[hidden], minlength=len(drawn))))
    mask = np.int32(len(ways.gene_keys))
    shown = Ragged(np.where(hidden, mask, seen.flat), seen.offsets)
    numbers = {given.name: answers.lengths for given in task.numbers}
    values = write_values(len(drawn), spoken(task, block, drawn.cells), numbers)
    one_each = np.arange(len(drawn) + 1)
    return Examples(
        drawn, values, shown, one_each,
        answer_genes=answers, answer_lists=one_each, n_genes=lengths,
    )  # fmt: skip


def continue_cells(task: CorpusTask, block: Block, drawn: Drawn, ways: Ways) -> Examples:
    """Ask how each cell's sentence goes on; the two together are as long as a sentence may be.

    Notes
    -----
    After CellHermes' next genes (bioRxiv 2025.11.07.687322).
    """
    seen = ways.see(block, drawn, is_whole=True)
    n_next = np.minimum(task.part.n_next, seen.lengths // 2)
    rows = np.repeat(np.arange(len(drawn)), seen.lengths)
    at = np.arange(len(seen.flat)) - np.repeat(seen.offsets[:-1], seen.lengths)
    is_next = at >= (seen.lengths - n_next)[rows]
    head = Ragged(seen.flat[~is_next], ends_of(seen.lengths - n_next))
    tail = Ragged(seen.flat[is_next], ends_of(n_next))
    numbers = {given.name: n_next for given in task.numbers}
    values = write_values(len(drawn), spoken(task, block, drawn.cells), numbers)
    one_each = np.arange(len(drawn) + 1)
    return Examples(
        drawn, values, head, one_each,
        answer_genes=tail, answer_lists=one_each, n_genes=seen.lengths,
    )  # fmt: skip


def pair_cells(task: CorpusTask, block: Block, drawn: Drawn, ways: Ways) -> Examples:
    """Ask for the genes of a perturbed cell, given a control cell that is like it else.

    Controls are cells of the same part in the same block; a cell without any makes no example.
    """
    partners = partners_of(block, drawn)
    found = partners >= 0
    drawn, partners = drawn[found], partners[found]
    after = ways.see(block, drawn, is_whole=True)
    before = ways.see(block, type(drawn)(partners, drawn.keys, drawn.parts), is_whole=True)
    numbers = {given.name: after.lengths for given in task.numbers}
    values = write_values(len(drawn), spoken(task, block, drawn.cells), numbers)
    one_each = np.arange(len(drawn) + 1)
    return Examples(
        drawn, values, before, one_each, answer_genes=after, answer_lists=one_each,
        n_genes=np.minimum(before.lengths, after.lengths),
    )  # fmt: skip


def is_control(words: Mapping[str, Word], control: Mapping[str, str]) -> NDArray[np.bool_]:
    """Say which cells are controls."""
    found = [words[word].codes == words[word].texts.index(text) for word, text in control.items()]
    both: NDArray[np.bool_] = np.logical_and.reduce(found)
    return both


def partners_of(block: Block, drawn: Drawn) -> NDArray[np.int64]:
    """Find a control cell for each example, drawn by its key; -1 where there is none."""
    controls = np.flatnonzero(is_control(block.words, block.control))
    columns = [block.parts.astype(np.int64)]
    columns += [block.words[word].codes.astype(np.int64) for word in block.match]
    _, kinds = np.unique(np.stack(columns), axis=1, return_inverse=True)
    kinds = kinds.ravel()
    order = controls[np.lexsort((block.keys[controls], kinds[controls]))]
    first = np.searchsorted(kinds[order], kinds[drawn.cells], side="left")
    last = np.searchsorted(kinds[order], kinds[drawn.cells], side="right")
    n = last - first
    at = first + (share(keys_for(drawn.keys, "partner")) * n).astype(np.int64)
    padded = np.append(order, -1)
    return np.where(n > 0, padded[np.minimum(at, len(order))], -1)


def ends_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give where lists of some lengths begin, and where the last ends."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def no_lists(n: int) -> tuple[Ragged, NDArray[np.int64]]:
    """Give each of n examples no list of genes."""
    return Ragged(np.empty(0, np.int32), np.zeros(1, np.int64)), np.zeros(n + 1, np.int64)
