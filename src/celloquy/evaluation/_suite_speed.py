"""How fast this package is on the machine at hand, beside a few plain lines."""

from __future__ import annotations

import tempfile
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from celloquy._runtime._devices import processor
from celloquy.evaluation._methods import Method
from celloquy.evaluation._suite_cells import Case
from celloquy.evaluation._suite_job import CaseResult, Job, Metric, NotApplicable
from celloquy.evaluation._suite_speed_timing import Taken, load_average, take_in_turn
from celloquy.evaluation._suite_speed_works import OURS, SpeedCells, Work, embedding, works

if TYPE_CHECKING:
    from celloquy.evaluation._methods import Role
    from celloquy.evaluation._suite import Suite
    from celloquy.evaluation._suite_lms import SuiteModels

_TABLE: dict[str, tuple[str, Role]] = {
    OURS: ("Celloquy", "default"),
    "numpy": ("numpy, row by row", "baseline"),
    "anndata": ("anndata, the whole file", "baseline"),
    "scikit-learn": ("scikit-learn on log counts", "baseline"),
    "sentence-transformers": ("sentence-transformers, fp32", "baseline"),
}


class SpeedJob(Job):
    """Times this package and plain ways on the same cells, in turn."""

    metrics: ClassVar = (
        Metric("cells_per_second", "cells a second", "high", 0),
        Metric("cells_per_cpu_second", "cells a second of CPU time", "high", 0),
        Metric("times_plain", "times as fast as the plain way", "high", 2),
        Metric("peak_mb", "peak memory over the input, MB", "low", 1),
        Metric("load", "load of the machine before", "", 1),
    )
    known_methods: ClassVar = tuple(_TABLE)
    known_settings: ClassVar = {"n_rounds": 5, "n_annotated": 600, "n_embedded": 64}

    def __init__(self, suite: Suite, folder: Path, models: SuiteModels) -> None:
        super().__init__(suite, folder, models)
        self.last: tuple[Case, dict[str, CaseResult]] | None = None

    def methods(self) -> list[Method]:
        """List the methods of the suite."""
        return [Method(name, _TABLE[name][0], "", _TABLE[name][1]) for name in self.suite.methods]

    @cached_property
    def works(self) -> dict[str, Work]:
        """What is timed, by its title: also the vectors of each language model that gives some."""
        made = works()
        for name in self.models.names:
            if self.models.can(name, "embed"):
                lm = self.models.loaded(name)
                made.append(embedding(name, lm, device=self.models.options.device))
        return {work.title: work for work in made}

    def has_learned(self, lm: str, case: Case) -> bool:
        """Say no: what a model has learned changes nothing about its speed."""
        del lm, case
        return False

    def cases(self) -> list[Case]:
        """List every work on every set; a case names the machine, as it holds nowhere else."""
        cpu = processor()
        made = []
        for seed in self.suite.seeds:
            for each in self.suite.sets:
                for work in self.works.values():
                    n_obs = self._n_cells(work)
                    said = f"{n_obs:,} cells of {each.name}: {work.title}"
                    machine = f"{cpu.name}, {cpu.n_cores} cores"
                    made.append(Case((each.name,), machine, said, work.title, "", seed))
        return made

    def measure(self, case: Case, method: Method) -> CaseResult | NotApplicable:
        """Time all ways of a case in turn, once, where the method has one.

        Parameters
        ----------
        case
            What is done, and on which cells.
        method
            Whose way is told.
        """
        if method.name not in self.works[case.kind].ways:
            return NotApplicable("it has no way to do this")
        if self.last is None or self.last[0] != case:
            self.last = (case, self._timed(case))
        return self.last[1][method.name]

    def _n_cells(self, work: Work) -> int:
        return int(self.setting(work.n_cells)) if work.n_cells else self.suite.n_cells

    def _timed(self, case: Case) -> dict[str, CaseResult]:
        work = self.works[case.kind]
        n_obs = self._n_cells(work)
        drawn = self.cells.draw(case.pool[0], seed=case.seed, n_cells=n_obs)
        drawn = drawn.rows(np.arange(n_obs) % len(drawn.labels))  # a small set is repeated
        chosen = {name: way for name, way in work.ways.items() if name in self.suite.methods}
        load = load_average()
        with tempfile.TemporaryDirectory() as folder:
            cells = SpeedCells(drawn, Path(folder), n_read=self.suite.n_top_genes)
            ways = {name: partial(way, cells) for name, way in chosen.items()}
            taken = take_in_turn(ways, n_rounds=int(self.setting("n_rounds")))
        plain = next((one for name, one in taken.items() if name != OURS), None)
        return {
            name: _result(one, plain, n_obs=cells.n_obs, load=load) for name, one in taken.items()
        }


def _result(taken: Taken, plain: Taken | None, *, n_obs: int, load: float) -> CaseResult:
    """Say what one way took; ratios are those of rounds, as both ways met the same machine."""
    metrics = {
        "cells_per_second": taken.cells_per_second(n_obs),
        "cells_per_cpu_second": taken.cells_per_cpu_second(n_obs),
        "peak_mb": max(taken.peak, 0.0),
        "load": load,
    }
    if plain is not None:
        metrics["times_plain"] = taken.times(plain)
    more = {
        "n_rounds": len(taken.seconds),
        "rounds": taken.seconds,
        "cpu_rounds": taken.cpu_seconds,
    }
    return CaseResult(metrics, n_obs, taken.median_seconds, more)
