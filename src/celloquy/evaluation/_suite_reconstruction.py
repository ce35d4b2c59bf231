"""Sentences back to expression: from the order of genes alone, beside means and the values."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from celloquy.evaluation._reconstruction import measure_cells
from celloquy.evaluation._suite_cells import Case
from celloquy.evaluation._suite_job import CaseResult, Job, Metric, NotApplicable
from celloquy.evaluation._suite_reconstruction_methods import (
    METHODS,
    Halves,
    dense,
    filled,
    fit_foreign,
    from_counted,
    from_names,
    from_text,
    halve,
    is_named,
    reconstruction_method,
    texts_of,
)
from celloquy.text import reconstruct
from celloquy.text._fidelity import measure_reconstruction

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from celloquy.evaluation._methods import Method
    from celloquy.evaluation._suite import Suite
    from celloquy.evaluation._suite_lms import SuiteModels
    from celloquy.text import RankCurve

    Floats = NDArray[np.float64]

LENGTHS = {"full sentences": None, "the first 200 genes": 200, "the first 50 genes": 50}
"""Genes of a sentence at most, by kind of case."""
CUT_ONLY = ("counted", "filled", "values-filled")
"""Methods that of a full sentence say what another one says."""


class ReconstructionJob(Job):
    """Writes cells as sentences and gives their expression back."""

    metrics: ClassVar = (
        Metric("pearson_cell", "Pearson over all genes of a cell"),
        Metric("r2", "R² over expressed genes"),
        Metric("r2_named", "R² over named genes"),
        Metric("pearson", "Pearson over expressed genes"),
        Metric("spearman", "Spearman over expressed genes"),
        Metric("rmse", "error (RMSE), log1p", "low"),
        Metric("genes_given_back", "genes given back"),
        Metric("molecules_given_back", "molecules of these"),
        Metric("genes_invented", "genes invented", "low"),
    )
    known_methods: ClassVar = METHODS
    units: ClassVar = "studies"

    def __init__(self, suite: Suite, folder: Path, models: SuiteModels) -> None:
        super().__init__(suite, folder, models)
        self.halves: dict[tuple[str, int], Halves] = {}

    def methods(self) -> list[Method]:
        """List the methods; language models have no part in it."""
        return [reconstruction_method(name) for name in self.suite.methods]

    def cases(self) -> list[Case]:
        """List every set at every length."""
        return [
            Case((known.name,), "", f"{known.name}, {kind}", kind, known.study, seed)
            for seed in self.suite.seeds
            for known in self.suite.sets
            for kind in LENGTHS
        ]

    def measure(self, case: Case, method: Method) -> CaseResult | NotApplicable:
        """Give cells back by one method, and judge them, where it is not another one."""
        n_top_genes = LENGTHS[case.kind]
        if method.name in CUT_ONLY and n_top_genes is None:
            return NotApplicable("of a full sentence it says what another method says")
        halves = self._halves(case.pool[0], case.seed)
        told, truth = self._given_back(halves, case, method), halves.truth
        molecules = np.expm1(truth)
        shares = (molecules * (told > 0)).sum(axis=1) / molecules.sum(axis=1)
        named = is_named(halves.written(n_top_genes), truth.shape[1])
        metrics = measure_cells(told, truth) | {
            "r2_named": measure_reconstruction(truth[named], told[named])["r2"],
            "molecules_given_back": float(shares.mean()),
        }
        lengths = halves.ranked.lengths[halves.held]
        more = {
            "n_learnt_from": len(halves.fitted),
            "n_genes": truth.shape[1],
            "n_expressed": float(np.median(lengths)),
        }
        return CaseResult(metrics, len(halves.held), more=more)

    def _given_back(self, halves: Halves, case: Case, method: Method) -> Floats:
        """Give log1p values back; shape ``(n_held, n_genes)``."""
        name, n_top_genes = method.name, LENGTHS[case.kind]
        written = halves.written(n_top_genes)
        if name == "mean":
            return np.tile(halves.learnt.mean(axis=0), (written.n_obs, 1))
        if name == "named-mean":
            return from_names(written, halves.learnt)
        if name.startswith("values"):
            kept = dense(reconstruct(written))
            return filled(kept, written, halves.learnt) if name == "values-filled" else kept
        if name == "counted":
            return from_counted(written, halves.curve("curve"))
        curve = self._foreign(halves, case) if name == "foreign" else halves.curve(name)
        told = from_text(
            texts_of(written), vocabulary=written.vocabulary, curve=curve,
            is_complete=n_top_genes is None, is_line=name.startswith("line"),
        )  # fmt: skip
        return filled(told, written, halves.learnt) if name == "filled" else told

    def _foreign(self, halves: Halves, case: Case) -> RankCurve:
        """Fit a curve on the cells of all other studies, once a set and seed."""
        if "foreign" not in halves.curves:
            here = self.cells.sets[case.pool[0]].study
            others = [each.name for each in self.suite.sets if each.study != here]
            parts = [self._halves(name, case.seed).ranked for name in others]
            halves.curves["foreign"] = fit_foreign(parts)
        return halves.curves["foreign"]

    def _halves(self, name: str, seed: int) -> Halves:
        """Draw and rank the cells of a set, once a seed; those of other seeds are let go."""
        if (name, seed) not in self.halves:
            if any(kept != seed for _, kept in self.halves):
                self.halves.clear()
            self.halves[name, seed] = halve(self.cells.draw(name, seed=seed).block, seed=seed)
        return self.halves[name, seed]
