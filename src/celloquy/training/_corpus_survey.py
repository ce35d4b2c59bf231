"""What a corpus is made of, found out before the first example: cells, words, genes, parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.knowledge import guess_organism
from celloquy.training._corpus_draw import name_keys
from celloquy.training._corpus_sources import open_cells, read_words
from celloquy.training._objectives_cells import is_control

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from celloquy.training._corpus_draw import Keys
    from celloquy.training._corpus_sources import Ranking, Word
    from celloquy.training._corpus_split import CorpusSplit
    from celloquy.training._corpus_tasks import CorpusTask
    from celloquy.training._recipe_corpus import SourcePart

STUDY = "study"
_SHORTEST = 3
"""Letters of a label from which on it is looked for within other words."""


@dataclass(frozen=True, eq=False)
class SourceCells:
    """What is kept of the cells of a source: a key and a few numbers each."""

    part: SourcePart
    """What the recipe says of it."""
    keys: Keys
    """Key of each cell."""
    words: Mapping[str, Word]
    """Words of each cell."""
    names: tuple[str, ...]
    """Names of its genes."""
    fingerprint: Mapping[str, Any]
    """What makes it this source."""
    kept: NDArray[np.bool_]
    """Which cells are not left out."""
    choice: Any = None
    """What was found out of its genes and values, so that it is not found out again."""

    @property
    def name(self) -> str:
        """The name of its file."""
        return Path(self.part.path).name

    @property
    def study(self) -> str:
        """The study that it is of."""
        return study_of(self.part)

    @cached_property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The texts of each word that cells have which are not left out."""
        found = {}
        for name, word in self.words.items():
            codes = np.unique(word.codes[self.kept & (word.codes >= 0)])
            found[name] = tuple(word.texts[code] for code in codes)
        return found

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
        from celloquy.training._corpus_sources import Word as Words

        if by == "cell":
            return None
        if by == STUDY:
            return Words(np.zeros(len(self.keys), np.int32), (self.study,))
        if by not in self.words:
            msg = f"The corpus is split by {by!r}, and '{self.name}' has no such word"
            msg += f"{closest(by, self.words)}."
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
        found = self.kept.copy()
        for word in task.needs():
            if word not in self.words:
                return np.zeros(len(found), dtype=bool)
            found &= self.words[word].codes >= 0
        if task.way == "pair":
            if not self.part.control:
                return np.zeros(len(found), dtype=bool)
            found &= ~is_control(self.words, self.part.control)
        return found


def study_of(part: Any) -> str:  # noqa: ANN401 (a source, a table or a network)
    """Name the study of a source: as the recipe says, or its file's name."""
    return str(part.study) or Path(part.path).name.partition(".")[0]


def survey(ranking: Ranking) -> list[SourceCells]:
    """Look at every source: names, words and genes; expression is only sampled.

    Parameters
    ----------
    ranking
        The corpus, and how genes are ranked.

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
            kept = np.ones(cells.n_obs, dtype=bool)
            for word, texts in part.leave_out.items():
                unwanted = [words[word].texts.index(text) for text in texts]
                kept &= ~np.isin(words[word].codes, unwanted)
            fingerprint = cells.fingerprint()
            found.append(
                SourceCells(part, keys, words, cells.names, fingerprint, kept, cells.choice)
            )
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
        organism = source.part.values.get("organism") or guess_organism(source.names)
        if organism is not None:
            seen.setdefault(organism, source.name)
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
    fits = source.fits(task) & (source.words[word].codes >= 0)
    labels, inputs = source.words[label], source.words[word]
    pairs = np.stack([labels.codes[fits], inputs.codes[fits]])
    kinds, counts = np.unique(pairs, axis=1, return_counts=True)
    for (code, said), n in zip(kinds.T, counts, strict=True):
        answer, text = labels.texts[code], inputs.texts[said]
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


def refuse_empty(
    task: CorpusTask, sources: Sequence[SourceCells], parts: Sequence[NDArray[np.int8]]
) -> None:
    """Refuse a task of cells without a training example, and say why there is none.

    Parameters
    ----------
    task
        A task that takes cells.
    sources, parts
        All sources, and the part of each of their cells.

    Raises
    ------
    InputError
        If there is none.
    """
    if any(
        (source.fits(task) & (part == 0)).any() for source, part in zip(sources, parts, strict=True)
    ):
        return
    why = [_why_none(task, source, part) for source, part in zip(sources, parts, strict=True)]
    msg = f"No training example is left for task {task.name!r}: "
    msg += "; ".join(why) if why else "there is no [[corpus.source]]"
    needs = ", ".join(task.needs()) or "nothing"
    hint = f"it needs {needs} of each cell; name columns in the source, or leave the task out."
    msg += "."
    raise InputError(msg, hint=hint)


def _why_none(task: CorpusTask, source: SourceCells, part: NDArray[np.int8]) -> str:
    """Say why a source has no training example of a task."""
    where = f"'{source.name}'"
    if task.way == "pair" and not source.part.control:
        return f"{where} does not say which cells are controls (`control`)"
    for word in task.needs():
        if word not in source.words:
            return f"{where} has no word {word!r}{closest(word, source.words)}"
    n = int((part == 0).sum())
    fits = int(source.fits(task).sum())
    if not n:
        return f"all {len(part):,} cells of {where} are held out or left out"
    return f"{where} has {fits:,} cells with all that is needed, and none of them is for training"


def shared_cells(
    sources: Sequence[SourceCells], parts: Sequence[NDArray[np.int8]]
) -> dict[tuple[int, int], int]:
    """Count the cells of one name and study that are in two parts.

    Parameters
    ----------
    sources, parts
        All sources, and the part of each of their cells.
    """
    by_part = {
        part: np.unique(
            np.concatenate([s.keys[p == part] for s, p in zip(sources, parts, strict=True)])
        )
        for part in range(3)
        if sources
    }
    found = {}
    for one, other in combinations(by_part, 2):
        shared = np.intersect1d(by_part[one], by_part[other], assume_unique=True)
        if len(shared):
            found[one, other] = len(shared)
    return found


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
        groups = source.groups(by)
        if groups is None:
            counts["all"] = counts.get("all", 0) + len(source.keys)
            continue
        for text, n in groups.counts().items():
            counts[text] = counts.get(text, 0) + n
        without += int((groups.codes < 0).sum())
    return counts, without


def parts_of(source: SourceCells, split: CorpusSplit) -> NDArray[np.int8]:
    """Give the part of each cell of a source, -1 where it is left out.

    Parameters
    ----------
    source
        The source.
    split
        Who learns and who judges.
    """
    parts = split.part_of(source.groups(split.by), source.keys)
    return np.where(source.kept, parts, -1).astype(np.int8)
