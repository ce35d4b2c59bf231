"""Effects of perturbations that were held out, predicted without and with a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from celloquy.evaluation._gene_vectors import (
    coexpression_vectors,
    shuffled_vectors,
    text_vectors,
)
from celloquy.evaluation._perturbation_baselines import measure_halves, target_genes
from celloquy.evaluation._perturbation_metrics import measure_effects
from celloquy.evaluation._suite_job import CaseResult, Comparison, Job, Metric, NotApplicable
from celloquy.evaluation._suite_perturbation_folds import SEPARATOR, HeldOut
from celloquy.evaluation._suite_perturbation_methods import (
    FILLED,
    HALVES,
    HEADS,
    LM_METHODS,
    METHODS,
    PAIRS_ONLY,
    SHUFFLED,
    SUMMARIES,
    WITHOUT_VECTORS,
    perturbation_method,
    perturbation_method_of_lm,
    predict_by_vectors,
    predict_plainly,
    predict_with_mean,
)
from celloquy.knowledge import has_table, table_version

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.evaluation._methods import Method
    from celloquy.evaluation._suite import Suite
    from celloquy.evaluation._suite_cells import Case
    from celloquy.evaluation._suite_lms import SuiteModels
    from celloquy.evaluation._suite_perturbation_folds import Fold

    Floats = NDArray[np.float64]

N_SPLITS = 3
"""How often cells are halved for the ceiling."""
SAYS_NOTHING = ["pearson_centred", "pearson_delta"]
"""Correlations that are 0 where the prediction is flat."""

_NOTHING_TO_SAY = {
    HALVES: "it has too few cells for halves",
    "elsewhere": "it was perturbed in no other context of the set",
    "additive": "not all of its genes were perturbed alone",
}


class PerturbationJob(Job):
    """Predicts what perturbations change that were held out in every context of their set."""

    metrics: ClassVar = (
        Metric("centroid_accuracy", "centroid accuracy (a guess: 0.5)"),
        Metric("pearson_centred", "Pearson of change, centred"),
        Metric("discrimination", "discrimination"),
        Metric("pearson_delta", "Pearson of change"),
        Metric("direction_match", "direction match"),
        Metric("de_overlap", "overlap of changed genes"),
        Metric("mae_delta", "mean absolute error", "low"),
    )
    known_methods: ClassVar = METHODS
    known_lm_methods: ClassVar = LM_METHODS
    units: ClassVar = "perturbations"
    comparisons: ClassVar = (
        Comparison("names", "ridge", SHUFFLED,
                   "What the names of genes give it, against the names of other genes",
                   ("ridge", "nearest")),
        Comparison("paragraphs", f"{SUMMARIES}ridge", f"{SUMMARIES}{SHUFFLED}",
                   "What paragraphs of genes give it, against paragraphs of other genes",
                   (f"{SUMMARIES}ridge", f"{SUMMARIES}nearest")),
    )  # fmt: skip

    def __init__(self, suite: Suite, folder: Path, models: SuiteModels) -> None:
        super().__init__(suite, folder, models)
        self.held_out = HeldOut(self.cells)
        self.vectors: dict[tuple[str, str, bool], Floats] = {}

    def methods(self) -> list[Method]:
        """List the methods; of language models, of those that give vectors.

        Paragraphs are read where the user's cache holds the table ``summaries``.
        """
        made = [perturbation_method(name) for name in self.suite.methods]
        for lm in self.models.names:
            if self.models.can(lm, "embed"):
                made += [
                    perturbation_method_of_lm(lm, name)
                    for name in self.suite.lm_methods
                    if not name.startswith(SUMMARIES) or has_table("summaries")
                ]
        return made

    def cases(self) -> list[Case]:
        """List every perturbation of every context, each held out once a seed."""
        return list(self.held_out.asked)

    def measure(self, case: Case, method: Method) -> CaseResult | NotApplicable:
        """Judge one prediction of a method, where it has something of its own to say."""
        _, name = self.held_out.asked[case]
        fold = self.held_out.fold(case)
        if method.name not in fold.tables:
            fold.tables[method.name] = self._measured(fold, case, method)
        table, place = fold.tables[method.name], fold.names.index(name)
        if name not in table.index:
            return NotApplicable(_why_not(case, method))
        more: dict[str, object] = {
            "n_learnt_from": len(fold.learnt),
            "n_held_out": len(fold.held),
            "n_control": fold.context.control_cells.shape[0],
            "n_changed": int(fold.changed[place].sum()),
        }
        if SUMMARIES in method.name:
            more["summaries"] = table_version("summaries")
        numbers = table.loc[[name]].to_numpy(np.float64)[0]
        metrics = dict(zip(table.columns, numbers.tolist(), strict=True))
        return CaseResult(metrics, int(fold.context.cells[fold.held[place]].shape[0]), more=more)

    def _measured(self, fold: Fold, case: Case, method: Method) -> pd.DataFrame:
        """Measure all perturbations of a fold; one row each that the method answers."""
        if method.name == HALVES:
            return _measured_halves(fold, case.seed)
        told = self._predicted(fold, case, method)
        answered = np.flatnonzero(~np.isnan(told).any(axis=1))
        names = [fold.names[i] for i in answered]
        table = measure_effects(
            told[answered], fold.means, asked=fold.held[answered], control=fold.context.control,
            reference=fold.reference[answered], changed=fold.changed[answered],
            targets=target_genes(names, fold.context.genes, separator=SEPARATOR), among=fold.held,
        )  # fmt: skip
        table.index = names
        table[SAYS_NOTHING] = table[SAYS_NOTHING].fillna(0.0)
        return _told_apart(table, fold)

    def _predicted(self, fold: Fold, case: Case, method: Method) -> Floats:
        """Predict mean profiles; NaN where a method has nothing of its own to say."""
        if method.name in PAIRS_ONLY and case.fold >= 0:
            return np.full(fold.reference.shape, np.nan)
        if method.name in WITHOUT_VECTORS:
            return predict_plainly(fold, method.name)
        genes = self.held_out.genes(case.pool[0])
        if method.name == FILLED:
            return predict_with_mean(fold, genes)
        name = method.name.rpartition(" ")[2]
        vectors = self._vectors(case.pool[0], method.lm, summaries=name.startswith(SUMMARIES))
        head = name.removeprefix(SUMMARIES)
        if head == SHUFFLED:
            vectors = shuffled_vectors(vectors, seed=case.seed)
        return predict_by_vectors(fold, genes, vectors, HEADS[head][1])

    def _vectors(self, name: str, lm: str, *, summaries: bool) -> Floats:
        """Give vectors of all genes that are perturbed in a set, read once."""
        key = (name, lm, summaries)
        if key not in self.vectors:
            genes = self.held_out.genes(name)
            if lm:
                model, cache = self.models.loaded(lm), self.models.options.cache
                told = text_vectors(genes, model, summaries=summaries, cache=cache)
            else:
                told = coexpression_vectors(genes, self.held_out.unperturbed())
            self.vectors[key] = told
        return self.vectors[key]


def _why_not(case: Case, method: Method) -> str:
    if method.name in PAIRS_ONLY and case.fold >= 0:
        return "of a single perturbation it says no more than another method"
    return _NOTHING_TO_SAY.get(method.name, "all of its genes were learnt from")


def _measured_halves(fold: Fold, seed: int) -> pd.DataFrame:
    """Measure the noise ceiling; one row each of those with four cells or more."""
    table = measure_halves(
        fold.context, fold.held, separator=SEPARATOR, n_splits=N_SPLITS, seed=seed,
        among=fold.held,
    )  # fmt: skip
    if len(table):
        rows = [fold.names.index(str(name)) for name in table.index]
        table.loc[~fold.changed[rows].any(axis=1), ["direction_match", "de_overlap"]] = np.nan
    return _told_apart(table, fold)


def _told_apart(table: pd.DataFrame, fold: Fold) -> pd.DataFrame:
    """Leave out what takes a second held-out perturbation, where there is none."""
    if len(fold.held) < 2 and len(table):
        table[["centroid_accuracy", "discrimination"]] = np.nan
    return table
