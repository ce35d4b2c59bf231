"""What is asked for when cells are generated: the prompt of every cell, and its genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.roles._asking import as_lm, as_task, names_of
from celloquy.roles._cells import obs_column, open_cells
from celloquy.roles._generate_chosen import read_back
from celloquy.roles._generate_guided import guide
from celloquy.roles._generate_options import CONTROL_GENES, GENERATE_GENES
from celloquy.roles._organism import with_organism
from celloquy.roles._taught import as_taught, reading_of, warn_of_new_labels
from celloquy.text import RankCurve, Vocabulary, field_text

if TYPE_CHECKING:
    import os

    from celloquy.lm import CellReading, LanguageModel, Limits
    from celloquy.roles._generate_chosen import ReadBack
    from celloquy.roles._generate_guided import Contrast
    from celloquy.roles._generate_options import GenerateOptions
    from celloquy.tasks import Task
    from celloquy.text import Constraint, Names, Prompt

Fields = Mapping[str, str | int | Sequence[str]]
"""Value of each input: one for all cells, or a list with one a cell; of a set of labels, the
labels, or a text with semicolons between them."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """A task, the model that writes, and what is said of each cell."""

    task: Task
    """What is asked for."""
    lm: LanguageModel
    """Who writes."""
    vocabulary: Vocabulary
    """The genes that may be named."""
    options: GenerateOptions
    """How cells are generated."""
    n: int
    """Answers."""
    fields: dict[str, list[str]]
    """Value of each input for each answer."""
    controls: list[list[Names]]
    """The control cells of each answer; empty without."""
    control_names: list[str]
    """Their names; empty without."""
    question: ReadBack | None = None
    """What tells the best of several candidates."""
    contrast: Contrast | None = None
    """What cells are guided away from; `None` without guidance."""

    @property
    def n_genes(self) -> int:
        """Genes of a cell."""
        return self.options.n_top_genes or GENERATE_GENES

    def prompt(self, answer: int) -> Prompt:
        """Ask for one answer."""
        return self.task.prompt(self._values(answer), template=self.options.template or 0)

    def contrasts(self, answers: range) -> list[Prompt] | None:
        """Give what some answers are guided away from; `None` without guidance."""
        if self.contrast is None:
            return None
        values = (self.task.complete(self._values(answer)) for answer in answers)
        return [self.contrast.prompt(one) for one in values]

    def _values(self, answer: int) -> dict[str, Any]:
        values: dict[str, Any] = {name: said[answer] for name, said in self.fields.items()}
        inputs = {one.name: one for one in self.task.asked_for}
        sets = {name for name, one in inputs.items() if one.kind == "labels"}
        values |= {name: listed(said) for name, said in values.items() if name in sets}
        if "n_genes" in inputs and "n_genes" not in values:
            values["n_genes"] = str(self.n_genes)
        if self.controls:
            place = _cell_input(self.task)
            cells = self.controls[answer]
            values[place] = cells[0] if inputs[place].kind == "cell" else cells
        return values

    def n_cells(self, answer: int) -> int | None:
        """Count the cells that an answer is to have; `None` where nothing says it."""
        if self.task.answer.kind != "cells":
            return 1
        asked = self.task.inputs.get("n_cells")
        if asked is None:
            return None
        if asked.kind == "count" and asked.of in self.fields:
            return len(listed(self.fields[asked.of][answer]))
        said = self.fields["n_cells"][answer] if "n_cells" in self.fields else asked.default
        return int(said) if said is not None and said.isdecimal() else None

    @cached_property
    def is_cell_by_cell(self) -> bool:
        """Whether answers of several cells are written one cell at a time, each held to genes.

        A server cannot be held to genes, so it writes its answer at once.
        """
        is_held = self.options.is_constrained and getattr(self.lm, "dry_run", None) is None
        return is_held and self.task.answer.kind == "cells" and self.n_cells(0) is not None

    @property
    def joint(self) -> str:
        """What stands between a prompt and its answer in the model's format."""
        return str(getattr(getattr(self.lm, "format", None), "joint", ""))

    @property
    def limits(self) -> Limits:
        """How tokens of a whole answer are drawn."""
        each = self.options.limits
        if self.options.max_new_tokens is not None or self.is_cell_by_cell:
            return each
        most = max((self.n_cells(answer) or 1) for answer in range(self.n))
        return replace(each, max_new_tokens=most * each.max_new_tokens)

    @property
    def room(self) -> int:
        """Tokens of the model's context that are kept for an answer."""
        return min(self.limits.max_new_tokens, self.lm.max_tokens // 2)

    def constraint(self) -> Constraint | None:
        """Say what may be written of one cell, or in all; `None` where anything may."""
        is_held = self.task.answer.kind == "genes" or self.is_cell_by_cell
        if not self.options.is_constrained or not is_held:
            return None
        from celloquy.text import Sequence as StringSequence

        names = self.vocabulary.names
        return StringSequence(names, self.n_genes, exactly=self.options.exactly)


def want(
    task: Task | str | os.PathLike[str],
    fields: Fields,
    *,
    n: int | None,
    lm: LanguageModel | str | None,
    options: GenerateOptions,
) -> Wanted:
    """Put a task, a model, genes and control cells together, and refuse what does not fit.

    Raises
    ------
    InputError
        If something does not fit.
    """
    task = as_task(task)
    if task.answer.kind not in {"genes", "cells"}:
        msg = f"Task {task.name!r} is not answered with cells."
        raise InputError(msg, hint=f"use `cq.predict(adata, {task.name!r}, …)` for labels.")
    if n is not None and n < 1:
        msg = f"`n` must be at least 1, got {n}."
        raise InputError(msg, hint="say how many cells are to be written.")
    has_control = _cell_input(task) != ""
    if has_control != (options.control is not None):
        what = "needs control cells" if has_control else "is about no control cell"
        msg = f"Task {task.name!r} {what}."
        hint = "pass `control=adata` (`--control cells.h5ad`)." if has_control else (
            "leave `control` out."
        )  # fmt: skip
        raise InputError(msg, hint=hint)
    if options.rank_curve is not None and not isinstance(options.rank_curve, RankCurve):
        options = replace(options, rank_curve=RankCurve.load(options.rank_curve))
    lm = as_lm(lm)
    if "generate" not in lm.capabilities:
        able = " and ".join(sorted(lm.capabilities)) or "do nothing"
        msg = f"'{lm.name}' cannot write answers; it can {able}."
        raise InputError(msg, hint="take a decoder (`hf:…`) or a server (`openai:…`).")
    genes_asked = {"n_top_genes": GENERATE_GENES}
    genes_asked |= {"n_control_genes": CONTROL_GENES} if has_control else {}
    options = as_taught(options, lm, task=task.name, defaults=genes_asked)
    options, contrast = guide(options, task, lm)
    vocabulary, reading = _vocabulary(options, lm), reading_of(lm)
    controls, names, columns, own = _read_controls(task, options, n, reading=reading)
    sets = [one.name for one in task.asked_for if one.kind == "labels"]
    n = n or len(controls) or _n_said(fields, sets) or 1
    told = with_organism(
        {}, task, own or vocabulary.names, given=(*fields, *columns), taught=reading
    )
    fields = {**fields, **told}
    joined = {name: value if isinstance(value, str | int) else "; ".join(value)
              for name, value in fields.items() if name in sets}  # fmt: skip
    said = {name: _spread(name, value, n) for name, value in {**fields, **joined}.items()} | columns
    question = None
    if options.n_candidates > 1:
        question = read_back(task, lm, said)
    else:
        for name, values in said.items():
            warn_of_new_labels(lm, name, list(dict.fromkeys(values)))
    wanted = Wanted(task, lm, vocabulary, options, n, said, controls, names, question, contrast)
    wanted.prompt(0)
    wanted.contrasts(range(1))
    expect = getattr(lm, "expect", None)
    if expect is not None:
        expect(n, fields=tuple(dict.fromkeys(options.obs_fields.values())))
    return wanted


def _cell_input(task: Task) -> str:
    return next((one.name for one in task.asked_for if one.kind in {"cell", "cells"}), "")


def listed(said: str) -> list[str]:
    """Read several labels, with semicolons between them.

    Examples
    --------
    >>> listed("B cell; CD4 T cell, naive")
    ['B cell', 'CD4 T cell, naive']
    """
    return [one.strip() for one in said.split(";") if one.strip()]


def _n_said(fields: Fields, sets: Sequence[str]) -> int:
    """Count the cells that a list with one value a cell asks for; 0 where there is none."""
    lists = (
        len(value)
        for name, value in fields.items()
        if name not in sets and not isinstance(value, str | int)
    )
    return next(lists, 0)


def _spread(name: str, value: str | int | Sequence[str], n: int) -> list[str]:
    """Give a field's value of every cell.

    Raises
    ------
    InputError
        If there are more or fewer values than cells.
    """
    if isinstance(value, str | int):
        return [field_text(value)] * n
    if len(value) != n:
        msg = f"The field {name!r} has {len(value):,} values, and {n:,} cells are asked for."
        raise InputError(msg, hint="give one value, or one a cell.")
    return [field_text(one) for one in value]


def _vocabulary(options: GenerateOptions, lm: LanguageModel) -> Vocabulary:
    """Choose the genes that may be named: the user's, else the checkpoint's.

    Raises
    ------
    InputError
        If there are none, or the file cannot be read.
    """
    genes = options.genes
    if genes is None:
        genes = getattr(lm, "vocabulary", None)
    if genes is None:
        msg = f"'{lm.name}' brings no list of genes, so it is not known what a gene is."
        hint = "pass `genes=adata.var_names`, or a file with one a line (`--genes FILE`)."
        raise InputError(msg, hint=hint)
    if isinstance(genes, Vocabulary):
        return genes
    if isinstance(genes, str) or hasattr(genes, "__fspath__"):
        try:
            text = Path(genes).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"The genes in '{genes}' cannot be read: {error}."
            raise InputError(msg, hint="give a text file with one gene a line.") from error
        genes = [line.strip() for line in text.splitlines() if line.strip()]
    names = tuple(str(name) for name in genes)
    if not names:
        msg = "The list of genes is empty."
        raise InputError(msg, hint="give at least as many genes as a cell is to name.")
    return Vocabulary(names)


def _read_controls(
    task: Task, options: GenerateOptions, n: int | None, *, reading: CellReading | None
) -> tuple[list[list[Names]], list[str], dict[str, list[str]], tuple[str, ...]]:
    """Read the control cells of each answer, in turn, the columns of prompts, and gene names."""
    if options.control is None:
        return [], [], {}, ()
    inputs = {one.name: one.kind for one in task.asked_for}
    size = options.n_control_cells if inputs[_cell_input(task)] == "cells" else 1
    with open_cells(
        options.control, verb="generate", read=options.read, needs="rankable", reading=reading
    ) as cells:
        columns = list(dict.fromkeys(options.obs_fields.values()))
        held = {name: obs_column(cells.stream, name).astype(str).tolist() for name in columns}
        index = [str(name) for name in cells.stream.obs().index]
        genes = [
            names
            for chunk in cells.stream.chunks()
            for names in names_of(cells.ranked(chunk, options.n_control_genes or CONTROL_GENES))
        ]
        own = cells.own_names
    n_groups = -(-len(genes) // size)
    groups = [np.arange(i * size, min((i + 1) * size, len(genes))) for i in range(n_groups)]
    turn = [groups[i % n_groups] for i in range(n or n_groups)]
    said = {
        name: [field_text(held[column][group[0]]) for group in turn]
        for name, column in options.obs_fields.items()
    }
    told = [", ".join(index[i] for i in group) for group in turn]
    return [[genes[i] for i in group] for group in turn], told, said, own
