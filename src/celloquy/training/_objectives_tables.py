"""Examples that a table holds: an input of a task in each column, and the answer in one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.tasks._answers import checked_label
from celloquy.training._corpus_draw import name_keys
from celloquy.training._corpus_split import key_parts
from celloquy.training._corpus_tables import column_of, read_table
from celloquy.training._corpus_tasks import GENE_KINDS
from celloquy.training._objectives import Examples, Ragged, dumps
from celloquy.training._recipe_corpus import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from celloquy.training._corpus_draw import Keys
    from celloquy.training._corpus_split import CorpusSplit
    from celloquy.training._corpus_tasks import CorpusTask
    from celloquy.training._objectives import Drawn
    from celloquy.training._recipe_corpus import SplitPart, TablePart

_BETWEEN = re.compile(r"[\s,;|]+")


class TableExamples:
    """The examples of one table.

    Parameters
    ----------
    part
        What the recipe says of it.
    task
        The task of its rows.
    seed
        Seed of the corpus.

    Raises
    ------
    InputError
        If it cannot be read, a column is missing, or an answer cannot be one of the task's.
    """

    def __init__(self, part: TablePart, task: CorpusTask, *, seed: int) -> None:
        self._part, self._task, self._seed = part, task, seed
        table = read_table(part.path)
        given = [one.name for one in task.task.asked_for]
        gap = task.task.answer.gap
        where = Path(part.path).name
        for word in (*part.columns, *part.values):
            if word not in (*given, gap):
                msg = f"The task {task.name!r} has no input or answer {word!r}"
                msg += f"{closest(word, (*given, gap))}, which the table '{where}' gives it."
                raise InputError(msg, hint=f"it takes: {', '.join((*given, gap))}.")
        self._columns: dict[str, pd.Series[Any]] = {
            word: column_of(table, column, part.path).astype(str).str.strip()
            for word, column in part.columns.items()
        }
        for word, text in part.values.items():
            self._columns[word] = pd.Series([text] * len(table), dtype=object)
        self._refuse_missing(where)
        whole = np.logical_and.reduce(
            [(self._columns[word] != "").to_numpy() for word in self._columns]
        )
        self.n_incomplete = int((~whole).sum())
        self._columns = {
            word: column[whole].reset_index(drop=True) for word, column in self._columns.items()
        }
        self.rows = np.flatnonzero(whole)
        self._check_answers(where)

    def __len__(self) -> int:
        return len(self.rows)

    def _refuse_missing(self, where: str) -> None:
        """Refuse a table without what the task needs.

        Raises
        ------
        InputError
            If an input without a default, or the answer, is not given.
        """
        needed = [
            one.name
            for one in self._task.task.asked_for
            if one.default is None and one.kind != "number"
        ]
        for word in (*needed, self._task.task.answer.gap):
            if word not in self._columns:
                msg = f"The table '{where}' gives the task {self._task.name!r} no {word!r}"
                msg += f"{closest(word, self._columns)}."
                raise InputError(msg, hint=f"name its column: `columns = {{ {word} = '…' }}`.")

    def _check_answers(self, where: str) -> None:
        """Refuse answers that are none of the task's.

        Raises
        ------
        InputError
            If there is one.
        """
        answer = self._task.task.answer
        if answer.kind != "label":
            return
        for text in self._columns[answer.gap].unique():
            try:
                checked_label(text, answer.labels)
            except InputError as error:
                msg = f"The table '{where}' has an answer that cannot be: {error}"
                raise InputError(msg, hint=error.hint or "mend the table.") from error

    @property
    def gene_names(self) -> set[str]:
        """Every gene that is named."""
        named: set[str] = set()
        kinds = {one.name for one in self._task.task.asked_for if one.kind in GENE_KINDS}
        if self._task.task.answer.kind == "genes":
            kinds.add(self._task.task.answer.gap)
        for word in kinds & set(self._columns):
            for text in self._columns[word].unique():
                named.update(_genes(text))
        return named

    @property
    def keys(self) -> Keys:
        """Key of each row, from what it says; shape ``(n,)``."""
        text = pd.Series([""] * len(self), dtype=object)
        for word in sorted(self._columns):
            text = text + "\t" + self._columns[word].astype(object)
        return name_keys(text.to_numpy(), "row", self._task.name, self._seed)

    def parts(self, split: CorpusSplit, asked: SplitPart) -> NDArray[np.int8]:
        """Give the part of each row; shape ``(n,)``.

        A column of what the corpus is split by decides; else the row's genes, one by one or
        together, or, where there are none, its first words.

        Parameters
        ----------
        split
            The split of the cells.
        asked
            What the recipe says of it.
        """
        if asked.by in self._columns and split.groups:
            place = {g: PARTS.index(part) for part in split.groups for g in split.groups[part]}
            groups = self._columns[asked.by]
            drawn = self._drawn(groups, asked)
            known = groups.map(place)
            return np.where(known.notna(), known.fillna(0), drawn).astype(np.int8)
        genes = [one.name for one in self._task.task.asked_for if one.kind == "gene"]
        if asked.genes == "gene" and genes:
            drawn_parts = [self._drawn(self._columns[word], asked) for word in genes]
            return np.asarray(np.max(drawn_parts, axis=0), dtype=np.int8)
        fields = [
            one.name
            for one in self._task.task.asked_for
            if one.kind == "field" and one.default is None and one.name in self._columns
        ]
        words = (*genes, *fields) if asked.genes == "pair" and genes else (*fields, *genes)[:1]
        words = words or tuple(self._columns)[:1]
        together = [sorted(texts) for texts in zip(*(self._columns[w] for w in words), strict=True)]
        return self._drawn(pd.Series(["\t".join(texts) for texts in together], dtype=object), asked)

    def _drawn(self, groups: pd.Series[Any], asked: SplitPart) -> NDArray[np.int8]:
        codes, distinct = pd.factorize(groups)
        keys = name_keys(distinct, "row's group", self._seed)
        return key_parts(keys, asked.gene_shares)[codes]

    def examples(self, drawn: Drawn, place: Mapping[str, int]) -> Examples:
        """Make the examples of some rows.

        Parameters
        ----------
        drawn
            Which rows.
        place
            Place of each gene in the corpus' vocabulary.
        """
        rows = {word: column.to_numpy()[drawn.cells] for word, column in self._columns.items()}
        task = self._task.task
        kinds = {one.name: one.kind for one in task.asked_for}
        gene_words = [one.name for one in task.asked_for if one.kind in GENE_KINDS]
        answer = rows[task.answer.gap]
        answer_genes = None
        if task.answer.kind == "genes":
            answer_genes = Ragged.of([[place[g] for g in _genes(text)] for text in answer])
        values = []
        for i in range(len(drawn)):
            said: dict[str, Any] = {
                word: texts[i] for word, texts in rows.items() if kinds.get(word) == "field"
            }
            if answer_genes is not None:
                said |= {one.name: int(answer_genes.lengths[i]) for one in self._task.numbers}
            values.append(dumps(said))
        lists = [
            [place[g] for g in _genes(rows[w][i])] for i in range(len(drawn)) for w in gene_words
        ]
        n_lists = len(gene_words)
        return Examples(
            drawn,
            pa.array(values, pa.string()),
            Ragged.of(lists),
            np.arange(len(drawn) + 1) * n_lists,
            answers=None if answer_genes is not None else pa.array(answer, pa.string()),
            answer_genes=answer_genes,
            answer_lists=None if answer_genes is None else np.arange(len(drawn) + 1),
        )


def _genes(text: str) -> list[str]:
    """Read genes with white space, commas, semicolons or bars between, each once."""
    return list(dict.fromkeys(word for word in _BETWEEN.split(text) if word))
