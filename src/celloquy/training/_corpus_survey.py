"""What a corpus is made of, found out before the first example: cells, words, genes, parts."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.knowledge import guess_organism
from celloquy.training._corpus_cells import Cells, SourceCells, study_of
from celloquy.training._corpus_draw import name_keys
from celloquy.training._corpus_sources import open_cells, read_words
from celloquy.training._recipe_corpus import PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celloquy.training._corpus_cells import CellStore
    from celloquy.training._corpus_draw import Keys
    from celloquy.training._corpus_sources import Ranking
    from celloquy.training._corpus_split import CorpusSplit
    from celloquy.training._corpus_tasks import CorpusTask

_SHORTEST = 3
"""Letters of a label from which on it is looked for within other words."""
_TOGETHER = 2**21
"""About the cells whose keys are compared at once."""


def survey(ranking: Ranking, store: CellStore) -> list[SourceCells]:
    """Look at every source: names, words and genes; expression is only sampled.

    Parameters
    ----------
    ranking
        The corpus, and how genes are ranked.
    store
        Where keys and words of the cells are put.

    Raises
    ------
    InputError
        If a source cannot be used, or the sources are of several organisms.
    """
    found, recipe = [], ranking.recipe
    for part in recipe.source:
        cells = open_cells(part, ranking=ranking)
        try:
            obs_names, words = read_words(cells, part)
            keys = name_keys(obs_names, study_of(part), recipe.seed)
            known = SourceCells.keep(
                Cells(part, keys, words),
                store,
                fingerprint=cells.fingerprint(),
                organism=part.values.get("organism") or guess_organism(cells.names),
                choice=cells.choice,
            )
            found.append(known)
        finally:
            cells.close()
    if not recipe.mixed_organisms and ranking.genes is None:
        _refuse_mixed(found)
    return found


def _refuse_mixed(sources: Sequence[SourceCells]) -> None:
    """Refuse sources of several organisms.

    Raises
    ------
    InputError
        If there are.
    """
    seen: dict[str, str] = {}
    for source in sources:
        if source.organism is not None:
            seen.setdefault(source.organism, source.name)
    if len(seen) > 1:
        told = " and ".join(f"{organism} ('{name}')" for organism, name in seen.items())
        msg = f"The sources are of several organisms: {told}. Their genes have other names."
        hint = "map them to one organism first, or say `mixed_organisms = true` in [corpus]."
        raise InputError(msg, hint=hint)


def refuse_told_labels(task: CorpusTask, sources: Sequence[SourceCells]) -> None:
    """Refuse prompts that hold their own answer.

    Parameters
    ----------
    task
        A task.
    sources
        All sources.

    Raises
    ------
    InputError
        If the answer's word and an input's word come from one column, or the text of an answer
        stands within the text of an input.
    """
    label = task.label
    if label is None or task.task.answer.kind not in {"label", "text"}:
        return
    for source in sources:
        if label not in source.words:
            continue
        inputs = [word for word in task.speaks(source.words) if word != label]
        for word in inputs:
            columns = source.part.columns
            if word in columns and columns[word] == columns.get(label):
                msg = f"Task {task.name!r} would be told its answer: {word!r} and {label!r} of "
                msg += f"'{source.name}' are the same column {columns[word]!r}."
                raise InputError(msg, hint=f"leave {word!r} out of the source's `columns`.")
            _refuse_told(task, source, label, word)


def _refuse_told(task: CorpusTask, source: SourceCells, label: str, word: str) -> None:
    """Refuse a word whose text holds the label of the same cell.

    Raises
    ------
    InputError
        If one does.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for cells in source.chunks():
        labels, inputs = cells.words[label], cells.words[word]
        fits = cells.fits(task) & (inputs.codes >= 0)
        pairs = labels.codes[fits].astype(np.int64) * len(inputs.texts) + inputs.codes[fits]
        for kind, n in zip(*np.unique(pairs, return_counts=True), strict=True):
            code, said = divmod(int(kind), len(inputs.texts))
            counts[labels.texts[code], inputs.texts[said]] += int(n)
    for (answer, text), n in sorted(counts.items()):
        if _holds(text, answer):
            msg = f"Task {task.name!r} would be told its answer: of {n:,} cells of '{source.name}' "
            msg += f"{label!r} is {answer!r}, and {word!r} says {text!r}."
            hint = f"leave {word!r} out of the source's words, or give it texts without labels."
            raise InputError(msg, hint=hint)


def _holds(text: str, answer: str) -> bool:
    text, answer = text.casefold(), answer.casefold()
    if text == answer:
        return True
    found = re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text)
    return len(answer) >= _SHORTEST and found is not None


def refuse_empty(task: CorpusTask, sources: Sequence[SourceCells], split: CorpusSplit) -> None:
    """Refuse a task of cells without a training example, and say why there is none.

    Parameters
    ----------
    task
        A task that takes cells.
    sources, split
        All sources, and who learns and who judges.

    Raises
    ------
    InputError
        If there is none.
    """
    chunks = (cells for source in sources for cells in source.chunks())
    if any((cells.fits(task) & (cells.parts(split) == 0)).any() for cells in chunks):
        return
    why = [_why_none(task, source, split) for source in sources]
    msg = f"No training example is left for task {task.name!r}: "
    msg += "; ".join(why) if why else "there is no [[corpus.source]]"
    needs = ", ".join(task.needs()) or "nothing"
    hint = f"it needs {needs} of each cell; name columns in the source, or leave the task out."
    msg += "."
    raise InputError(msg, hint=hint)


def _why_none(task: CorpusTask, source: SourceCells, split: CorpusSplit) -> str:
    """Say why a source has no training example of a task."""
    where = f"'{source.name}'"
    if task.way == "pair" and not source.part.control:
        return f"{where} does not say which cells are controls (`control`)"
    for word in task.needs():
        if word not in source.words:
            return f"{where} has no word {word!r}{closest(word, source.words)}"
    n = sum(int((cells.parts(split) == 0).sum()) for cells in source.chunks())
    fits = sum(int(cells.fits(task).sum()) for cells in source.chunks())
    if not n:
        return f"all {source.n_obs:,} cells of {where} are held out or left out"
    return f"{where} has {fits:,} cells with all that is needed, and none of them is for training"


def shared_cells(sources: Sequence[SourceCells], split: CorpusSplit) -> dict[tuple[int, int], int]:
    """Count the cells of one name and study that are in two parts.

    All cells are compared, those of one span of keys at a time, so that memory does not grow.

    Parameters
    ----------
    sources, split
        All sources, and who learns and who judges.
    """
    n_spans = -(-sum(source.n_obs for source in sources) // _TOGETHER)
    found: Counter[tuple[int, int]] = Counter()
    for number in range(n_spans):
        low, high = number * 2**64 // n_spans, (number + 1) * 2**64 // n_spans - 1
        by_part = _keys_between(np.uint64(low), np.uint64(high), sources, split)
        for one, other in combinations(range(len(PARTS)), 2):
            found[one, other] += len(
                np.intersect1d(by_part[one], by_part[other], assume_unique=True)
            )
    return {pair: n for pair, n in found.items() if n}


def _keys_between(
    low: np.uint64, high: np.uint64, sources: Sequence[SourceCells], split: CorpusSplit
) -> list[Keys]:
    """Give the keys of each part from `low` to `high`, each once and rising."""
    held: list[list[Keys]] = [[] for _ in PARTS]
    for cells in (cells for source in sources for cells in source.chunks()):
        parts = np.where((cells.keys >= low) & (cells.keys <= high), cells.parts(split), -1)
        for part, keys in enumerate(held):
            keys.append(cells.keys[parts == part])
    return [np.unique(np.concatenate(keys)) for keys in held]


def group_counts(sources: Sequence[SourceCells], by: str) -> tuple[dict[str, int], int]:
    """Count the cells of each group, and those without one.

    Parameters
    ----------
    sources
        All sources.
    by
        What the corpus is split by.
    """
    counts: dict[str, int] = {}
    without = 0
    for source in sources:
        here: Counter[str] = Counter()
        for cells in source.chunks():
            groups = cells.groups(by)
            here.update({"all": len(cells)} if groups is None else groups.counts())
            without += 0 if groups is None else int((groups.codes < 0).sum())
        for text in sorted(here):
            counts[text] = counts.get(text, 0) + here[text]
    return counts, without
