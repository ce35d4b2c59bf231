"""A task put to a language model about cells: the values of its inputs, its prompts, their plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy.errors import BackendError, InputError
from celloquy.learn import UNKNOWN
from celloquy.lm import default_lm, load_lm
from celloquy.roles._labels import read_labels
from celloquy.roles._organism import with_organism
from celloquy.roles._predict_options import PREDICT_GENES
from celloquy.roles._taught import as_taught, reading_of, warn_of_new_labels
from celloquy.tasks import Task, load_task
from celloquy.text import Names, Vocabulary, field_text

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from celloquy.lm import LanguageModel
    from celloquy.roles._labels import Labels
    from celloquy.roles._predict_options import PredictOptions
    from celloquy.tasks import Input
    from celloquy.text import Prompt, RankedCells


@dataclass(frozen=True, eq=False)
class Asking:
    """A task, the model that answers it, and where the values of its inputs come from."""

    task: Task
    """What is asked."""
    lm: LanguageModel
    """Who answers."""
    labels: tuple[str, ...]
    """The closed set of answers."""
    fields: Mapping[str, str]
    """Inputs with one value for all cells."""
    obs_fields: Mapping[str, str]
    """Inputs whose value is a column of obs: the column's name by the input's."""
    options: PredictOptions
    """How cells are predicted; what was left open is as the model was taught."""

    @property
    def template(self) -> int:
        """Which of the task's templates is used."""
        return self.options.template or 0

    @property
    def cell_input(self) -> Input:
        """The input that takes the genes of a cell, or of several."""
        return next(one for one in self.task.asked_for if one.kind in {"cell", "cells"})

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of obs that prompts need."""
        return tuple(dict.fromkeys(self.obs_fields.values()))

    @property
    def answers(self) -> tuple[str, ...]:
        """The text of each allowed answer."""
        return tuple(self.task.answer_text(label) for label in self.labels)

    def of_genes(self, names: Sequence[str]) -> Asking:
        """Name the organism that gene names tell, where nobody named one."""
        fields = with_organism(
            self.fields, self.task, names, given=self.obs_fields, taught=reading_of(self.lm)
        )
        return replace(self, fields=fields)

    def check(self) -> None:
        """Refuse inputs that the task does not have, lacks, or cannot take; ask about no cell.

        Raises
        ------
        InputError
            If there is one.
        """
        nothing = Names(np.empty(0, dtype=np.int32), Vocabulary(()))
        known = {one.name: one for one in self.task.asked_for}
        for name in (*self.fields, *self.obs_fields):
            if name in known and known[name].kind in {"cell", "cells"}:
                msg = f"The input {name!r} of task {self.task.name!r} is the cells themselves."
                raise InputError(msg, hint="leave it out: it is filled in from the expression.")
        missing = pd.DataFrame({column: ["1"] for column in self.columns}, dtype=object)
        self.prompts([[nothing]], missing)
        for label in self.labels:
            self.task.answer_text(label)

    def prompts(self, cells: Sequence[Sequence[Names]], obs: pd.DataFrame) -> list[Prompt]:
        """Ask about cells, or groups of cells, one prompt each.

        Parameters
        ----------
        cells
            The genes of each row's cells; one cell, unless the task asks about several.
        obs
            The columns of obs that prompts need, one row a prompt.
        """
        given: dict[str, Any] = dict(self.fields)
        if "labels" in {one.kind for one in self.task.asked_for}:
            name = next(one.name for one in self.task.asked_for if one.kind == "labels")
            given.setdefault(name, self.labels)
        words = {
            name: [field_text(value) for value in obs[column]]
            for name, column in self.obs_fields.items()
        }
        place, is_alone = self.cell_input.name, self.cell_input.kind == "cell"
        asked: list[Prompt] = []
        for row, genes in enumerate(cells):
            values = {**given, **{name: texts[row] for name, texts in words.items()}}
            values[place] = genes[0] if is_alone else list(genes)
            asked.append(self.task.prompt(values, template=self.template))
        return asked

    def log_prior(self) -> NDArray[np.float64]:
        """Score the labels on a prompt without genes and metadata; shape ``(m,)``.

        After contextual calibration (Zhao et al., ICML 2021).

        Raises
        ------
        InputError
            If the model gives no probabilities.
        """
        nothing = Names(np.empty(0, dtype=np.int32), Vocabulary(()))
        missing = pd.DataFrame({column: [None] for column in self.columns}, dtype=object)
        plan = self.lm.plan(
            self.prompts([[nothing]], missing), n_answer_tokens=self.n_answer_tokens()
        )
        logp = self.lm.score(plan, self.answers).logp[0]
        if not np.isfinite(logp).all():
            msg = f"'{self.lm.name}' gives no probabilities, which `prior_corrected` needs."
            raise InputError(msg, hint="leave `prior_corrected` out, or take a decoder (`hf:…`).")
        return np.asarray(logp)

    def n_answer_tokens(self) -> int:
        """Count the tokens of the longest answer, its end included."""
        return max(self._lengths())

    def n_label_tokens(self) -> int:
        """Count the tokens of all answers together, their ends included."""
        return sum(self._lengths())

    def _lengths(self) -> list[int]:
        form = getattr(self.lm, "format", None)
        if form is not None:
            return [len(form.answer_ids(answer, ends=True)) for answer in self.answers]
        return [int(n) + 1 for n in self.lm.plan(self.answers).n_tokens]

    def record(self) -> dict[str, Any]:
        """Say what is asked of whom, in plain values."""
        return {
            "task": {
                "name": self.task.name,
                "sha256": self.task.sha256,
                "template": self.template,
            },
            "lm": record_of_lm(self.lm),
            "fields": dict(self.fields),
            "obs_fields": dict(self.obs_fields),
            "labels": list(self.labels),
            **record_of_reading(self.lm),
        }


def record_of_lm(lm: LanguageModel) -> dict[str, str]:
    """Say which model answers, in plain values."""
    return {"name": lm.name, "revision": lm.revision, "precision": lm.precision}


def record_of_reading(lm: LanguageModel) -> dict[str, Any]:
    """Say how a model was taught to read cells, in plain values; nothing where it does not say."""
    reading = reading_of(lm)
    return {} if reading is None else {"reading": reading.record()}


def said_of_server(lm: LanguageModel) -> dict[str, Any]:
    """Give what a server's model says of itself after it was asked; nothing of a local one."""
    record = getattr(lm, "record", None)
    if record is None:
        return {}
    known = {name: value for name, value in record().items() if value is not None and name != "lm"}
    return {**known, "provider_models": ", ".join(known.get("provider_models", ()))}


def as_task(task: Task | str | os.PathLike[str]) -> Task:
    """Give a task, by its name or file if it is not one yet."""
    return task if isinstance(task, Task) else load_task(task)


def as_lm(lm: LanguageModel | str | None) -> LanguageModel:
    """Give a language model, by its name if it is not one yet; without any, the package's own."""
    lm = default_lm() if lm is None else lm
    return load_lm(lm) if isinstance(lm, str) else lm


def ask_about_cells(task: Task, *, several: bool) -> None:
    """Refuse a task that does not ask for a label of cells.

    Raises
    ------
    InputError
        If its answer is no label, it is not about cells, or cells were to be grouped and it
        asks about one, or the other way round.
    """
    if task.answer.kind == "json":
        msg = f"Task {task.name!r} is answered with a label for each of several cells at once."
        hint = "a task about one cell labels each; from Python, `lm.generate` takes this one."
        raise InputError(msg, hint=hint)
    if task.answer.kind in {"genes", "cells", "text"}:
        wanted = {"genes": "genes", "cells": "cells", "text": "text"}[task.answer.kind]
        msg = f"Task {task.name!r} is answered with {wanted}, and `predict` answers with labels."
        raise InputError(msg, hint=f"use `cq.generate({task.name!r}, …)` (`celloquy generate`).")
    kinds = [one.kind for one in task.asked_for]
    n_cells = kinds.count("cell") + kinds.count("cells")
    if n_cells != 1:
        what = "no cell" if n_cells == 0 else f"{n_cells} different cells"
        msg = f"Task {task.name!r} asks about {what}, and `predict` asks about each cell."
        raise InputError(msg, hint="`celloquy tasks show NAME` shows what a task asks about.")
    if ("cells" in kinds) and not several:
        msg = f"Task {task.name!r} asks about several cells at once."
        hint = 'say which: `group_by="donor"` (`--group-by`), a column of obs.'
        raise InputError(msg, hint=hint)
    if several and "cell" in kinds:
        msg = f"Task {task.name!r} asks about one cell, and `group_by` puts cells together."
        raise InputError(msg, hint="leave `group_by` out, or choose a task about several cells.")


def names_of(ranked: RankedCells) -> list[Names]:
    """Give the genes of each cell as a segment."""
    bounds = ranked.offsets
    return [
        Names(ranked.genes[a:b].copy(), ranked.vocabulary, ranked.values[a:b].copy())
        for a, b in pairwise(bounds)
    ]


@contextmanager
def told_where(names: Sequence[str], *, what: str = "cell") -> Iterator[None]:
    """Name the cell, where a failure of the model names the row of a prompt.

    Parameters
    ----------
    names
        Names of the rows.
    what
        What a row is.

    Raises
    ------
    InputError
        As it was, with the cell in front.
    BackendError
        As it was, with the cell or the cells in front.
    """
    try:
        yield
    except BackendError as error:
        msg = _told(error, names, what)
        raise BackendError(msg, hint=error.hint, retryable=error.retryable) from error
    except InputError as error:
        if _ROW.search(str(error)) is None:
            raise
        msg = _told(error, names, what)
        raise InputError(msg, hint=error.hint) from error


_ROW = re.compile(
    r"\b(?P<what>prompt|row) (?P<row>\d+)\b(?: of \d+\b)?(?P<colon>: )?", re.IGNORECASE
)


def _told(error: Exception, names: Sequence[str], what: str) -> str:
    """Say a cell's name instead of the number of its prompt."""
    said = str(error)
    found = _ROW.search(said)
    if found is None or int(found["row"]) >= len(names):
        return f"Among {what}s {names[0]!r} to {names[-1]!r}: {said}" if names else said
    where = f"{what.capitalize()} {names[int(found['row'])]!r}"
    if found.start() == 0 and found["colon"]:
        return f"{where}: {said[found.end() :]}"
    instead = f"its {found['what'].lower()}{found['colon'] or ''}"
    return f"{where}: {said[: found.start()]}{instead}{said[found.end() :]}"


def prepare(
    task: Task | str | os.PathLike[str],
    *,
    lm: LanguageModel | str | None,
    labels: Labels | None,
    options: PredictOptions,
) -> Asking:
    """Put a task, a model and a label set together, and refuse what cannot be asked of cells.

    What the options leave open is as the model was taught.

    Raises
    ------
    InputError
        If something does not fit.
    """
    task = as_task(task)
    ask_about_cells(task, several=options.group_by is not None)
    lm = as_lm(lm)
    if "score" not in lm.capabilities:
        able = " and ".join(sorted(lm.capabilities)) or "do nothing"
        msg = f"'{lm.name}' cannot score answers; it can {able}."
        raise InputError(msg, hint="take a decoder (`hf:…`) or a server (`openai:…`).")
    options = as_taught(options, lm, task=task.name, defaults={"n_top_genes": PREDICT_GENES})
    chosen = label_set(task, lm, labels)
    warn_of_new_labels(lm, task.name, chosen)
    asking = Asking(task, lm, chosen, dict(options.fields), options.columns, options)
    asking.check()
    return asking


def label_set(task: Task, lm: LanguageModel, labels: Labels | None) -> tuple[str, ...]:
    """Choose the label set: the user's, else the checkpoint's, else the task's.

    Raises
    ------
    InputError
        If there is none, or it cannot be used.
    """
    if labels is not None:
        return read_labels(labels)
    known = getattr(lm, "labels", None)
    if isinstance(known, Mapping):
        known = known.get(task.name)
    if known:
        return read_labels([label for label in known if label != UNKNOWN])
    if task.answer.labels is not None:
        return task.answer.labels
    msg = f"Task {task.name!r} has no labels of its own, and neither has '{lm.name}'."
    hint = "`labels=[…]`, or a file with one label a line (`--labels labels.txt`)."
    raise InputError(msg, hint=hint)
