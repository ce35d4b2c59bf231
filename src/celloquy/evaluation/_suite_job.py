"""What a suite measures: a job gives cases, methods and metrics, and measures one on the other.

A job is a class that derives from :class:`Job`; it stands in :data:`JOBS` under the name that
``measures`` of a suite's file has. The engine does the rest: one file a method and case, which is
not measured again; means with intervals over units; every method against the default; whether a
language model adds anything; the report. So a job

- reads cells through ``self.cells`` (:class:`SuiteCells`), never by itself: ``self.cells.cells``
  gives all cells of a set with label, group and batch, ``self.cells.draw`` some of them by seed;
- gives every case a ``kind`` (cases of one kind are averaged), a ``unit`` (drawn for intervals:
  donor, study, perturbation) and one of ``self.suite.seeds``;
- lists the methods of ``self.suite.methods``, and for each of ``self.models.names`` those of
  ``self.suite.lm_methods`` that it can do; names are checked against ``known_methods`` and
  ``known_lm_methods`` when the suite is read;
- says in ``comparisons`` what else tells whether a language model adds anything (its controls);
- measures a method on a case: metrics by name. One that is not defined there is NaN, or left out.
  A method that has nothing to say on a case is :class:`NotApplicable` there, with the reason.
  The headline of a kind is the first of ``metrics`` that has a number there.

Methods of the roles "control" and "ceiling" are shown, and never stand for the best without a
language model. Those of the roles "language model" and "control" name their model in ``lm`` and
are called ``f"{lm} {name}"``; they are measured on the first ``lm_seeds`` seeds only. A random
part comes from ``rng_for(case.seed, ...)``, so that a result is the same whatever was measured
before it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from celloquy._runtime import Registry
from celloquy.evaluation._suite_cells import Case, SuiteCells

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from celloquy.evaluation._methods import Method
    from celloquy.evaluation._suite import Suite
    from celloquy.evaluation._suite_lms import SuiteModels


@dataclass(frozen=True)
class Metric:
    """One column of numbers."""

    name: str
    """Name in records."""
    title: str
    """Title in tables, with the unit if it has one."""
    better: Literal["high", "low", ""] = "high"
    """Which way is better; empty where neither is."""
    digits: int = 3
    """Digits after the point in tables."""

    @property
    def titled(self) -> str:
        """The title, with an arrow to the better side."""
        return self.title + {"high": " ↑", "low": " ↓", "": ""}[self.better]


@dataclass(frozen=True)
class CaseResult:
    """What a method did on a case."""

    metrics: dict[str, float]
    """Numbers by name of the metric; NaN where one is not defined."""
    n_obs: int
    """Cells that were judged."""
    seconds: float | None = None
    """Time of the method alone; `None` takes the time of the whole measurement."""
    more: dict[str, Any] = field(default_factory=dict)
    """What the record keeps besides: plain values, as JSON holds them."""


@dataclass(frozen=True)
class NotApplicable:
    """A method has nothing to say on a case: kept as a result, so that it is not asked again."""

    why: str
    """The reason; it goes on from "not applicable, because"."""


@dataclass(frozen=True)
class Comparison:
    """Two methods whose difference says what a language model adds."""

    name: str
    """Name in the report's JSON."""
    first: str
    """A method of the language model: one of ``known_lm_methods``."""
    second: str
    """Another one of them, or one of ``known_methods``."""
    words: str
    """What the difference says; the sentence goes on with a colon and the number."""
    of: tuple[str, ...] = ()
    """Methods that read what these two read; empty for all. If `second` is a control, the language
    model adds something by one of them only where `first` is ahead of that control."""


class Job(ABC):
    """What a suite measures.

    Parameters
    ----------
    suite
        The suite.
    folder
        The data folder.
    models
        The language models that stand beside.
    """

    metrics: ClassVar[tuple[Metric, ...]]
    """Metrics, the headline first."""
    known_methods: ClassVar[tuple[str, ...]]
    """Names that ``methods`` of a suite may hold."""
    known_lm_methods: ClassVar[tuple[str, ...]] = ()
    """Names that ``lm_methods`` of a suite may hold."""
    known_settings: ClassVar[Mapping[str, int | float | str]] = {}
    """Settings of this job alone, with their defaults: see :meth:`setting`."""
    units: ClassVar[str] = "sets"
    """What intervals draw again, in words and in the plural."""
    comparisons: ClassVar[tuple[Comparison, ...]] = ()
    """What is said of each language model beside its best method against the best without one."""
    joined: ClassVar[tuple[str, ...]] = ()
    """Names of ``known_lm_methods`` that read expression, too: more than the model alone."""

    def __init__(self, suite: Suite, folder: Path, models: SuiteModels) -> None:
        self.suite = suite
        self.models = models
        self.cells = SuiteCells(suite, folder)

    def setting(self, name: str) -> int | float | str:
        """Give a setting of the suite, or its default."""
        return self.suite.settings.get(name, self.known_settings[name])

    def has_learned(self, lm: str, case: Case) -> bool:
        """Say whether a language model was taught on the study that a case judges.

        Known of models that carry how they read cells, as `celloquy train` writes it.

        Parameters
        ----------
        lm
            Name of the language model.
        case
            The case.
        """
        judged = [name for name in case.pool if name != case.reference] or list(case.pool)
        studies = {self.cells.sets[name].study for name in judged}
        files = {each.file for each in self.suite.sets if each.study in studies}
        return not files.isdisjoint(self.models.taught_on(lm))

    @abstractmethod
    def methods(self) -> list[Method]:
        """List what is measured, in the order of the tables of one kind and seed."""

    @abstractmethod
    def cases(self) -> list[Case]:
        """List what it is measured on; cases of the same cells one after the other."""

    @abstractmethod
    def measure(self, case: Case, method: Method) -> CaseResult | NotApplicable:
        """Measure one method on one case, or say why it has nothing to say there.

        Parameters
        ----------
        case
            One of :meth:`cases`.
        method
            One of :meth:`methods`.
        """


JOBS: Registry[type[Job]] = Registry(
    "job",
    {
        "embedding": "celloquy.evaluation._suite_embedding:EmbeddingJob",
        "generation": "celloquy.evaluation._suite_generation:GenerationJob",
        "labels": "celloquy.evaluation._suite_labels:LabelsJob",
        "perturbation": "celloquy.evaluation._suite_perturbation:PerturbationJob",
        "reconstruction": "celloquy.evaluation._suite_reconstruction:ReconstructionJob",
        "speed": "celloquy.evaluation._suite_speed:SpeedJob",
    },
)
"""Jobs by the name that ``measures`` of a suite has."""
