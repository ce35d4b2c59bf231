"""Examples of several cells: of one tissue, one of each label, or a sample to write."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from celloquy.training._corpus_draw import keys_for, mix, share
from celloquy.training._objectives import Drawn, Examples, Ragged, dumps, texts_of, write_values
from celloquy.training._objectives_cells import no_lists, spoken
from celloquy.training._recipe_corpus import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from celloquy.training._corpus_cells import Cells
    from celloquy.training._corpus_draw import Keys
    from celloquy.training._corpus_split import CorpusSplit
    from celloquy.training._corpus_tasks import CorpusTask
    from celloquy.training._objectives import Block, Ways


def group_cells(
    task: CorpusTask, block: Block, fits: NDArray[np.bool_], ways: Ways, *, rates: Sequence[float]
) -> Examples:
    """Ask about several cells of one group, or for them.

    Cells of a block that agree in part and words are put into an order by their keys, and cut
    into groups of `n_cells`; what is left over makes no example.

    Parameters
    ----------
    task, block, ways
        What is asked, about whom, and how.
    fits
        Which cells can be asked about.
    rates
        How often each possible group is drawn, by part.
    """
    rounds = max(1, int(np.ceil(max(rates))))
    leaders, members, keys = [], [], []
    for number in range(rounds):
        order = keys_for(block.keys, "group", task.name, number)
        groups = _groups(task, block, np.flatnonzero(fits), order)
        left = np.array([min(max(rate - number, 0.0), 1.0) for rate in rates])
        for group in groups:
            key = order[group[0]]
            if share(mix(order[group[:1]]))[0] < left[block.parts[group[0]]]:
                leaders.append(int(group[0]))
                members.append(group)
                keys.append(key)
    drawn = Drawn(
        np.array(leaders, dtype=np.int64),
        np.array(keys, dtype=np.uint64),
        block.parts[np.array(leaders, dtype=np.int64)],
    )
    return _examples(task, block, drawn, members=members, ways=ways)


def _groups(
    task: CorpusTask, block: Block, cells: NDArray[np.int64], order: Keys
) -> list[NDArray[np.int64]]:
    """Cut cells into groups."""
    columns = [block.parts[cells].astype(np.int64)]
    columns += [word.codes.astype(np.int64) for word in spoken(task, block, cells).values()]
    answer, n = task.task.answer, task.part.n_cells
    if answer.kind in {"label", "text"}:
        columns.append(block.words[answer.gap].codes[cells].astype(np.int64))
    if answer.kind == "json":
        columns.append(_turns(block.words[task.label or ""].codes[cells], order[cells], columns))
    _, kinds = np.unique(np.stack(columns), axis=1, return_inverse=True)
    place = np.lexsort((order[cells], kinds.ravel()))
    cuts = np.flatnonzero(np.diff(kinds.ravel()[place])) + 1
    found = []
    for alike in np.split(cells[place], cuts):
        if answer.kind == "json":
            if len(alike) > 1:
                found.append(alike[:n])
            continue
        found += [alike[i : i + n] for i in range(0, len(alike) - n + 1, n)]
    return found


def _turns(
    labels: NDArray[np.int32], order: Keys, columns: Sequence[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Give each cell its turn within its label: cells of one turn all have another label."""
    _, kinds = np.unique(np.stack([*columns, labels]), axis=1, return_inverse=True)
    place = np.lexsort((order, kinds.ravel()))
    sorted_kinds = kinds.ravel()[place]
    first = np.searchsorted(sorted_kinds, sorted_kinds, side="left")
    turns = np.empty(len(labels), dtype=np.int64)
    turns[place] = np.arange(len(labels)) - first
    return turns


def _examples(
    task: CorpusTask, block: Block, drawn: Drawn, *, members: list[NDArray[np.int64]], ways: Ways
) -> Examples:
    """Make the columns of groups."""
    n = np.array([len(group) for group in members], dtype=np.int64)
    lists = np.concatenate([[0], np.cumsum(n)]).astype(np.int64)
    flat = np.concatenate(members) if members else np.empty(0, np.int64)
    number = np.arange(len(flat)) - np.repeat(lists[:-1], n)
    keys = mix(np.repeat(drawn.keys, n) + number.astype(np.uint64))
    each = Drawn(flat, keys, block.parts[flat])
    is_written = task.task.answer.kind == "cells"
    seen = _first(ways.see(block, each, is_whole=is_written), task.part.genes_each)
    shortest = np.minimum.reduceat(seen.lengths, lists[:-1]) if len(drawn) else seen.lengths
    longest = np.maximum.reduceat(seen.lengths, lists[:-1]) if len(drawn) else seen.lengths
    numbers = {given.name: n if given.name == "n_cells" else longest for given in task.numbers}
    labels = _labels(task, block, flat, lists)
    more = None
    if task.choice is not None:
        more = [{task.choice.name: _offered(task, own)} for own in labels]
    values = write_values(len(drawn), spoken(task, block, drawn.cells), numbers, more=more)
    if task.task.answer.kind == "cells":
        return Examples(
            drawn, values, *no_lists(len(drawn)),
            answer_genes=seen, answer_lists=lists, n_genes=shortest,
        )  # fmt: skip
    if task.task.answer.kind == "json":
        answers = pa.array(
            [dumps({f"Cell {i}": text for i, text in enumerate(own, 1)}) for own in labels],
            pa.string(),
        )
    else:
        answers = texts_of(block.words[task.task.answer.gap][drawn.cells])
    return Examples(drawn, values, seen, lists, answers=answers, n_genes=shortest)


def _labels(
    task: CorpusTask, block: Block, cells: NDArray[np.int64], lists: NDArray[np.int64]
) -> list[list[str]]:
    """Give the labels of each group's cells."""
    if task.label is None:
        return []
    word = block.words[task.label][cells]
    texts = [word.texts[code] for code in word.codes]
    return [texts[a:b] for a, b in pairwise(lists)]


def _offered(task: CorpusTask, labels: list[str]) -> list[str]:
    """Offer labels in an order that tells nothing, or, to be written, in the order of the cells."""
    return labels if task.task.answer.kind == "cells" else sorted(labels)


def _first(seen: Ragged, n: int) -> Ragged:
    """Keep the first genes of each list."""
    lengths = np.minimum(seen.lengths, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    at = np.arange(offsets[-1]) + np.repeat(seen.offsets[:-1] - offsets[:-1], lengths)
    return Ragged(seen.flat[at], offsets)


def possible_groups(
    task: CorpusTask, chunks: Iterable[Cells], split: CorpusSplit
) -> NDArray[np.int64]:
    """Say how many groups the cells of a source make, at the most, by part; shape ``(3,)``.

    Parameters
    ----------
    task
        The task.
    chunks
        All cells of the source.
    split
        Who learns and who judges.
    """
    is_json = task.task.answer.kind == "json"
    counts: Counter[tuple[int, int]] = Counter()
    for cells in chunks:
        parts = cells.parts(split)
        fits = cells.fits(task) & (parts >= 0)
        codes = cells.words[task.label or ""].codes if is_json and fits.any() else parts
        for part in range(len(PARTS)):
            kinds, n = np.unique(codes[fits & (parts == part)], return_counts=True)
            counts.update({(part, int(k)): int(m) for k, m in zip(kinds, n, strict=True)})
    of_part = [[n for (one, _), n in counts.items() if one == part] for part in range(len(PARTS))]
    if is_json:
        return np.array([max(one, default=0) for one in of_part], dtype=np.int64)
    return np.array([sum(one) // task.part.n_cells for one in of_part], dtype=np.int64)
