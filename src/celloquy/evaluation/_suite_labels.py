"""Labels of cells, learnt from other cells: the job of most suites."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from celloquy.errors import InputError
from celloquy.evaluation._annotation import measure_annotation
from celloquy.evaluation._methods import (
    HEADS_OF_LM,
    METHODS_WITHOUT_LM,
    Method,
    method_named,
    method_that_asks,
    methods_of_lm,
)
from celloquy.evaluation._suite_designs import LabelDesign
from celloquy.evaluation._suite_job import CaseResult, Comparison, Job, Metric
from celloquy.learn import fit_reference, measure_reliability

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from celloquy.evaluation._suite import Suite
    from celloquy.evaluation._suite_cells import Case
    from celloquy.evaluation._suite_lms import SuiteModels
    from celloquy.learn import CellBlock

    Told = tuple[NDArray[np.float64], NDArray[np.object_] | None]


class LabelsJob(Job):
    """Learns labels of some cells and gives them to others."""

    metrics: ClassVar = (
        Metric("macro_f1", "macro-F1"),
        Metric("accuracy", "accuracy"),
        Metric("balanced_accuracy", "balanced accuracy"),
        Metric("cohen_kappa", "Cohen's κ"),
        Metric("coverage", "coverage"),
        Metric("accuracy_answered", "accuracy of answered"),
        Metric("calibration_error", "calibration error (ECE)", "low"),
    )
    known_methods: ClassVar = METHODS_WITHOUT_LM
    known_lm_methods: ClassVar = HEADS_OF_LM
    units: ClassVar = "study pairs, donors, patients"
    joined: ClassVar = ("fusion", "with-default")
    comparisons: ClassVar = (
        Comparison("over_default", "with-default", "default",
                   "The default joined with it, against the default alone"),
        Comparison("order", "logistic", "shuffled",
                   "What the order of genes gives it, against any order", HEADS_OF_LM),
        Comparison("names", "logistic", "renamed",
                   "What the names of genes give it, against the names of other genes",
                   HEADS_OF_LM),
    )  # fmt: skip

    def __init__(self, suite: Suite, folder: Path, models: SuiteModels) -> None:
        super().__init__(suite, folder, models)
        self.design = LabelDesign(self.cells)

    def methods(self) -> list[Method]:
        """List the methods of the suite: those of each language model by what it can do."""
        made = [method_named(name) for name in self.suite.methods]
        for lm in self.models.names:
            if self.models.can(lm, "embed"):
                made += methods_of_lm(lm, self.suite.lm_methods or ("1-nn", "logistic"))
            if self.suite.task is not None and self.models.can(lm, "score"):
                made.append(method_that_asks(lm))
        return made

    def cases(self) -> list[Case]:
        """List what is learnt from what."""
        return self.design.cases()

    def measure(self, case: Case, method: Method) -> CaseResult:
        """Learn, label, and judge the labels.

        Raises
        ------
        InputError
            If no cell has a label that is learnt.
        """
        pool = self.design.pool(case)
        train, test = self.design.rows(case, pool)
        labels, codes = np.unique(pool.cells.labels[train].astype(str), return_inverse=True)
        truth = pool.cells.labels.astype(str)
        judged = test[np.isin(truth[test], labels)]
        if not len(judged):
            msg = f"{case.reference!r} and {case.query!r} share no label."
            raise InputError(msg, hint="map labels to common ones, or leave out one of the sets.")
        block = pool.cells.block
        if method.lm and method.make is not None:  # read once for all heads: no head's time
            block = replace(block, text=self.models.vectors(method, block))
        began = time.perf_counter()
        told, answered = self._told(
            block.rows(train), block.rows(judged), codes=codes, labels=labels, method=method
        )
        seconds = time.perf_counter() - began
        more = {
            "n_train": len(train),
            "n_left_out": len(test) - len(judged),
            "too_few": pool.too_few,
            "n_genes": len(block.vocabulary),
            "labels": labels.tolist(),
            "truth": np.searchsorted(labels, truth[judged]).tolist(),
            "prediction": told.argmax(axis=1).tolist(),
            "score": np.round(told.max(axis=1), 4).tolist(),
        }
        metrics = _judged(truth[judged], labels, told, answered)
        return CaseResult(metrics, len(judged), seconds, more)

    def _told(
        self,
        train: CellBlock,
        test: CellBlock,
        *,
        codes: NDArray[np.int64],
        labels: NDArray[np.str_],
        method: Method,
    ) -> Told:
        """Give the probability of every label; of the default also what it answers."""
        if method.make is None:
            return self.models.ask(method.lm, test, labels), None
        if method.name == "default":
            found = fit_reference(train, labels[codes].tolist()).annotate(test)
            return found.probabilities, found.names
        fitted = method.make().fit(train, codes, n_labels=len(labels))
        return fitted.probabilities(test), None


def _judged(
    truth: NDArray[np.str_],
    labels: NDArray[np.str_],
    told: NDArray[np.float64],
    answered: NDArray[np.object_] | None,
) -> dict[str, float]:
    """Give the metrics of probabilities, and of what is answered where some is withheld."""
    prediction = labels[told.argmax(axis=1)]
    found = measure_annotation(truth, prediction).to_dict()
    metrics = {name: float(value) for name, value in found.items() if name != "n_obs"}
    metrics |= {"coverage": 1.0, "accuracy_answered": metrics["accuracy"]}
    if answered is not None:
        withheld = measure_annotation(truth, answered)
        metrics |= {"coverage": withheld.coverage, "accuracy_answered": withheld.accuracy_answered}
    error = measure_reliability(told.max(axis=1), prediction == truth).error
    return metrics | {"calibration_error": error}
