"""A suite: which sets, which design, which methods; a TOML file."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from celloquy._runtime import closest
from celloquy._runtime._strict_toml import StrictTable, checked, read_toml
from celloquy.errors import InputError
from celloquy.evaluation._suite_job import JOBS

GUIDE = "docs/guides/benchmark.md"
DATA_VARIABLE = "CELLOQUY_DATA"
_NOT_OF_CELLS = (
    "title", "summary", "methods", "lms", "lm_methods", "small", "seeds", "lm_seeds",
)  # fmt: skip
_LATER_KEYS: dict[str, object] = {
    "measures": "labels", "settings": {}, "batch": None, "control": None,
}  # fmt: skip
"""Keys that came after results were first kept: at these defaults they change no digest."""
Design = Literal["pairs", "leave-one-out", "folds"]


class CellSet(StrictTable):
    """Labelled cells of one file, or of a part of it."""

    name: str
    """Name in tables: the origin."""
    study: str
    """Study: sets of one study are never counted as independent."""
    file: str
    """Name of the file in the data folder's ``cells``."""
    label: str = "cell_type"
    """Column of obs with the labels; empty where cells have none."""
    group: str | None = None
    """Column of obs with donor, patient or technology; for ``leave-one-out``."""
    batch: str | None = None
    """Column of obs with the batch."""
    control: str | None = None
    """Value of `label` that cells without a perturbation have."""
    where: dict[str, str] = Field(default_factory=dict)
    """Column of obs and the value that kept cells have there."""
    shares_cells_with: tuple[str, ...] = ()
    """Sets that hold some of the same cells: such pairs are left out."""
    origin: str
    """Where the cells can be had."""


class Small(StrictTable):
    """What the small form measures instead."""

    sets: tuple[str, ...] = ()
    """Names of the sets; empty for all."""
    n_cells: int = Field(60, ge=1)
    """Cells of a set, or of a group, at most."""
    n_groups: int = Field(3, ge=2)
    """Groups that are left out once, at most."""
    methods: tuple[str, ...] = ()
    """Methods; empty for all."""
    settings: dict[str, int | float | str] = Field(default_factory=dict)
    """Settings of the job that differ."""


class Suite(StrictTable):
    """What is measured, of which cells, by which methods."""

    name: str
    """Name of the suite."""
    title: str
    """Title of its report."""
    summary: str
    """What it measures, and what its numbers cannot say."""
    measures: str = "labels"
    """Job: labels of some cells, learnt from others; or another name of :data:`JOBS`."""
    settings: dict[str, int | float | str] = Field(default_factory=dict)
    """Settings of the job."""
    design: Design | None = None
    """``pairs``: every ordered pair of sets; ``leave-one-out``: every group of a set from its
    others; ``folds``: parts of a set drawn by cell. Of labels; other jobs may use it."""
    labels: Literal["as they are", "coarse blood types"] = "as they are"
    """Whether labels of the sets are first mapped to common ones."""
    task: str | None = None
    """Task by which language models that score are asked; `None` does not ask."""
    n_cells: int = Field(300, ge=1)
    """Cells of a set (``pairs``, ``folds``) or of a group, at most."""
    n_folds: int = Field(5, ge=2)
    """Number of folds."""
    n_groups: int = Field(0, ge=0)
    """Groups that take part at most; 0 for all."""
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    """Seeds of the draws of cells."""
    lm_seeds: int = Field(1, ge=1)
    """How many of the seeds are measured for methods that read sentences, which are slow."""
    methods: tuple[str, ...] = Field(min_length=1)
    """Methods that need no language model."""
    lms: tuple[str, ...] = ()
    """Language models that always stand beside: sentence encoders."""
    lm_methods: tuple[str, ...] = ()
    """What is done with the vectors of each language model."""
    n_top_genes: int = Field(30, ge=1)
    """Genes of a cell that language models read."""
    small: Small = Field(default_factory=lambda: Small.model_validate({}))
    """The small form."""
    sets: tuple[CellSet, ...] = Field(min_length=1)
    """The sets of cells."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Suite:
        if self.measures not in JOBS:
            msg = f"there is no job {self.measures!r}{closest(self.measures, JOBS)}"
            raise ValueError(msg)
        job = JOBS[self.measures]
        for what, names, known in (
            ("method", [*self.methods, *self.small.methods], job.known_methods),
            ("method", self.lm_methods, job.known_lm_methods),
            ("setting", [*self.settings, *self.small.settings], tuple(job.known_settings)),
        ):
            for name in names:
                if name not in known:
                    msg = f"there is no {what} {name!r}{closest(name, known)}"
                    raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Suite:
        names = [each.name for each in self.sets]
        if len(set(names)) < len(names):
            msg = "two sets have one name"
            raise ValueError(msg)
        if self.measures == "labels" and self.design is None:
            msg = "labels need a `design`: pairs, leave-one-out or folds"
            raise ValueError(msg)
        if self.design == "pairs" and len({each.study for each in self.sets}) < 2:
            msg = "pairs need sets of two studies or more"
            raise ValueError(msg)
        for each in self.sets:
            if self.design == "leave-one-out" and each.group is None:
                msg = f"the set {each.name!r} has no `group`, and the design leaves groups out"
                raise ValueError(msg)
            if self.measures == "embedding" and each.batch is None:
                msg = f"the set {each.name!r} has no `batch`, and embeddings are judged by batches"
                raise ValueError(msg)
        for name in [*self.small.sets, *(n for each in self.sets for n in each.shares_cells_with)]:
            if name not in names:
                msg = f"there is no set {name!r}{closest(name, names)}"
                raise ValueError(msg)
        return self

    def smaller(self) -> Suite:
        """Give the small form: few cells, few sets, one seed, and no language model."""
        small = self.small
        kept = [each for each in self.sets if not small.sets or each.name in small.sets]
        names = {each.name for each in kept}
        shared = [
            each.model_copy(
                update={"shares_cells_with": tuple(set(each.shares_cells_with) & names)}
            )
            for each in kept
        ]
        return self.model_copy(
            update={
                "sets": tuple(shared),
                "n_cells": small.n_cells,
                "n_folds": min(self.n_folds, small.n_groups),
                "n_groups": small.n_groups,
                "seeds": self.seeds[:1],
                "methods": small.methods or self.methods,
                "settings": self.settings | small.settings,
                "lms": (),
            }
        )

    def digest(self) -> str:
        """SHA-256 of what decides the cells of a case: not of the methods, nor of other draws."""
        said = self.model_dump(mode="json")
        for name in _NOT_OF_CELLS:
            said.pop(name)
        for each in said["sets"]:
            each.pop("origin")
        for table in (said, *said["sets"]):
            for name, default in _LATER_KEYS.items():
                if name in table and table[name] == default:
                    table.pop(name)
        text = json.dumps(said, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def known_suites() -> list[str]:
    """Name the suites of the package.

    Examples
    --------
    >>> "pbmc-transfer" in known_suites()
    True
    """
    folder = files("celloquy.evaluation").joinpath("suites")
    return sorted(Path(each.name).stem for each in folder.iterdir() if each.name.endswith(".toml"))


def load_suite(source: str | os.PathLike[str]) -> Suite:
    """Read a suite of the package by its name, or a file of your own.

    Parameters
    ----------
    source
        A name of :func:`known_suites`, or a TOML file.

    Raises
    ------
    InputError
        If there is no such suite, or a key or value of it cannot be; the closest is told.
    """
    path, known = Path(source), known_suites()
    if str(source) in known:
        path = Path(str(files("celloquy.evaluation").joinpath(f"suites/{source}.toml")))
    elif path.suffix != ".toml":
        msg = f"There is no suite {str(source)!r}{closest(str(source), known)}."
        raise InputError(msg, hint=f"there are: {', '.join(known)}; or name a TOML file.")
    said = read_toml(path, what="suite")
    return checked(said, Suite, where=f"The suite '{path.name}'", guide=GUIDE)


def data_folder(given: str | os.PathLike[str] | None) -> Path:
    """Find the folder of cells.

    Raises
    ------
    InputError
        If none is named, or it is not there.
    """
    named = given or os.environ.get(DATA_VARIABLE)
    if not named:
        msg = "No folder of cells is named."
        hint = f"pass `--data FOLDER` or set {DATA_VARIABLE}; benchmarks/data/README.md tells how "
        raise InputError(msg, hint=hint + "each set is had.")
    folder = Path(named)
    if not folder.is_dir():
        msg = f"The folder of cells '{folder}' is not there."
        raise InputError(msg, hint="benchmarks/data/README.md tells how each set is had.")
    return folder
