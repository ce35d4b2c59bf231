"""A corpus on disk: what it holds, and its examples as every model reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from celloquy._runtime import closest, count_of
from celloquy.errors import InputError
from celloquy.tasks import load_task
from celloquy.text import Names, Text, Vocabulary
from celloquy.training._corpus_files import SCHEMA
from celloquy.training._corpus_tasks import GENE_KINDS
from celloquy.training._recipe_corpus import PARTS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from celloquy.tasks import Task
    from celloquy.text import Prompt

RECORD = "corpus.json"
TASKS = "tasks"
GENES = "genes.tsv"
"""The genes that a model shall know, where the recipe tells them."""
MASK = "[MASK]"
"""How a hidden gene is written."""


@dataclass(frozen=True, eq=False)
class CorpusExample:
    """One example: what is asked, with the answer held to be true."""

    task: str
    """The task's name; empty for a text of another program."""
    template: int
    """Which of the task's templates asks."""
    values: Mapping[str, Any]
    """What the template's gaps are filled with."""
    prompt: Prompt
    """What is asked, as segments; every model's prompt format writes them its own way."""
    answer: str
    """The answer held to be true, as the task writes it."""
    part: str
    """``"train"``, ``"validation"`` or ``"test"``."""
    source: str
    """Name of the file it was made from."""
    row: int
    """Row in that file."""
    group: str | None
    """What the split went by, such as the donor."""


class Corpus:
    """A corpus that :func:`build_corpus` wrote.

    Parameters
    ----------
    folder
        Its folder.

    Raises
    ------
    InputError
        If there is no corpus, or one of a later version.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.record = _read_record(self.folder)
        self.vocabulary = Vocabulary(tuple(self.record["vocabulary"]))

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The tasks as they were when the corpus was made."""
        return {
            name: load_task(self.folder / TASKS / f"{name}.yaml") for name in self.record["tasks"]
        }

    @cached_property
    def with_mask(self) -> Vocabulary:
        """The genes, and what stands for a hidden one, which comes last."""
        return Vocabulary((*self.vocabulary.names, MASK))

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Examples of each part, by task."""
        found: dict[str, dict[str, int]] = self.record["counts"]
        return found

    def n(self, part: str = "train") -> int:
        """Count the examples of a part.

        Parameters
        ----------
        part
            ``"train"``, ``"validation"`` or ``"test"``.
        """
        return sum(self.counts.get(_checked(part), {}).values())

    def __str__(self) -> str:
        """Write the examples of each part and task, one part a line."""
        lines = []
        for part in PARTS:
            by_task = self.counts.get(part, {})
            said = ", ".join(f"{name} {n:,}" for name, n in by_task.items())
            if by_task:
                lines.append(f"{part}: {count_of(sum(by_task.values()), 'examples')} ({said})")
        return "\n".join(lines)

    def files(self, part: str = "train") -> list[Path]:
        """Name the Parquet files of a part, in order.

        Parameters
        ----------
        part
            ``"train"``, ``"validation"`` or ``"test"``.
        """
        return sorted((self.folder / _checked(part)).glob("*.parquet"))

    def tables(self, part: str = "train") -> Iterator[pa.Table]:
        """Read a part row group by row group: genes are places in the vocabulary.

        Parameters
        ----------
        part
            ``"train"``, ``"validation"`` or ``"test"``.
        """
        for path in self.files(part):
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group)

    def examples(self, part: str = "train") -> Iterator[CorpusExample]:
        """Give the examples of a part in their random order, in memory bounded by a row group.

        Parameters
        ----------
        part
            ``"train"``, ``"validation"`` or ``"test"``.
        """
        for table in self.tables(part):
            yield from self._examples(table)

    def _examples(self, table: pa.Table) -> Iterator[CorpusExample]:
        genes, answer_genes = Lists(table["genes"]), Lists(table["answer_genes"])
        scalars = table.drop_columns(["genes", "answer_genes"]).to_pylist()
        for i, row in enumerate(scalars):
            if row["prompt"] is not None:
                yield _of_text(row)
                continue
            task = self.tasks[row["task"]]
            values = self._values(task, row["values"], genes[i])
            answer = _answer(task, row["answer"], [self._names(one) for one in answer_genes[i]])
            yield CorpusExample(
                task.name,
                row["template"],
                values,
                task.prompt(values, template=row["template"]),
                answer,
                *(row[name] for name in ("part", "source", "row", "group")),
            )

    def _values(self, task: Task, said: str, lists: Sequence[NDArray[Any]]) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(said)
        inputs = [given for given in task.asked_for if given.kind in GENE_KINDS]
        left = list(lists)
        n_cells = len(left) - sum(given.kind != "cells" for given in inputs)
        for given in inputs:
            if given.kind == "cells":
                values[given.name] = [self._given(left.pop(0)) for _ in range(n_cells)]
            else:
                values[given.name] = self._given(left.pop(0))
        return values

    def _given(self, ids: NDArray[Any]) -> Names:
        is_masked = len(ids) and int(ids.max()) == len(self.vocabulary)
        return Names(ids, self.with_mask if is_masked else self.vocabulary)

    def _names(self, ids: NDArray[Any]) -> list[str]:
        names = self.vocabulary.names
        return [names[gene] for gene in ids]


class Lists:
    """A column of lists of lists of genes, read by row without copies.

    Parameters
    ----------
    column
        The column.
    """

    def __init__(self, column: pa.ChunkedArray) -> None:
        whole = column.combine_chunks()
        self._outer = whole.offsets.to_numpy()
        self._valid = whole.is_valid().to_numpy(zero_copy_only=False)
        self._inner = whole.values.offsets.to_numpy()
        self._flat = whole.values.values.to_numpy()

    def __getitem__(self, row: int) -> list[NDArray[Any]]:
        if not self._valid[row]:
            return []
        places = range(self._outer[row], self._outer[row + 1])
        return [self._flat[self._inner[i] : self._inner[i + 1]] for i in places]


def _answer(task: Task, text: str | None, lists: list[list[str]]) -> str:
    """Write an answer as the task does."""
    if task.answer.kind == "genes":
        return task.answer_text(lists[0])
    if task.answer.kind == "cells":
        return task.answer_text(lists)
    if task.answer.kind == "json":
        return task.answer_text(json.loads(text or "{}"))
    return task.answer_text(text)


def _of_text(row: Mapping[str, Any]) -> CorpusExample:
    """Make an example of a text that another program wrote."""
    rest = {name: row[name] for name in ("part", "source", "row", "group")}
    return CorpusExample("", 0, {}, (Text(row["prompt"]),), row["answer"], **rest)


def _checked(part: str) -> str:
    """Give a part's name back.

    Raises
    ------
    InputError
        If there is no such part.
    """
    if part not in PARTS:
        msg = f"A corpus has no part {part!r}{closest(part, PARTS)}."
        raise InputError(msg, hint=f"choose one of: {', '.join(PARTS)}.")
    return part


def _read_record(folder: Path) -> dict[str, Any]:
    """Read what a corpus says of itself.

    Raises
    ------
    InputError
        If there is no corpus, it is not finished, or it is of a later version.
    """
    path = folder / RECORD
    if not path.is_file():
        begun = folder.is_dir() and any(folder.iterdir())
        msg = f"There is no corpus in '{folder}'" + (", or it is not finished." if begun else ".")
        raise InputError(msg, hint="`celloquy corpus recipe.toml --out FOLDER` makes one.")
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        msg = f"'{path}' is damaged: {error}."
        raise InputError(msg, hint="make the corpus again.") from error
    if record.get("kind") != "corpus" or record.get("schema", 0) > SCHEMA:
        what = f"{record.get('kind')!r}, version {record.get('schema')}"
        msg = f"'{path}' holds {what}; this celloquy reads a corpus up to version {SCHEMA}."
        raise InputError(msg, hint="install a newer celloquy.")
    return record
