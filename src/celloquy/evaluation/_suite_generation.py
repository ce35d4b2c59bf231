"""Cells of a type that a model writes, beside real cells of a study that it has not seen."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.evaluation._blood import prompt_names
from celloquy.evaluation._generated import pca_of
from celloquy.evaluation._generated_baselines import (
    bootstrapped_by_gene,
    drawn_by_gene,
    relabelled,
    resampled,
)
from celloquy.evaluation._generated_cells import LabelledCells
from celloquy.evaluation._generated_metrics import Judge
from celloquy.evaluation._generated_words import measure_words
from celloquy.evaluation._methods import Method, lm_title
from celloquy.evaluation._suite_generation_cells import Sides, generation_cases, sides_of
from celloquy.evaluation._suite_job import CaseResult, Job, Metric, NotApplicable
from celloquy.learn import CellBlock
from celloquy.roles import GenerateOptions, generate
from celloquy.text import RankCurve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from celloquy.evaluation._methods import Role
    from celloquy.evaluation._suite import Suite
    from celloquy.evaluation._suite_cells import Case
    from celloquy.evaluation._suite_lms import SuiteModels

WRITTEN = "written"
TASK = "pseudo_cell"
FALLING = RankCurve("linear_log_rank", "log1p", slope=-1.0, intercept=20.0)
"""Gives every rank a value of its own, so that no order is lost between writing and judging."""
_TABLE: dict[str, tuple[str, Role]] = {
    "real": ("real cells of the held-out study", "ceiling"),
    "resampled": ("real cells of the training study, drawn again", "baseline"),
    "nb": ("each gene by itself, negative binomial by type", "baseline"),
    "bootstrap": ("each gene by itself, from cells of the type", "baseline"),
    "relabelled": ("real held-out cells, types shuffled", "control"),
}


class GenerationJob(Job):
    """Judges new cells by real cells of another study, sentence with sentence."""

    metrics: ClassVar = (
        Metric("recognised", "recognised as their type, mean of types"),
        Metric("knn_quality_5", "recognised, share of cells"),
        Metric("knn_discriminability", "… and by other new cells"),
        Metric("real_or_new", "told from real (0.5 is best)", "low"),
        Metric("mmd", "MMD", "low"),
        Metric("wasserstein", "Wasserstein", "low"),
        Metric("frechet", "Fréchet", "low"),
        Metric("change_pearson", "fold changes, Pearson"),
        Metric("change_slope", "fold changes, slope (1 is best)", ""),
        Metric("edit_distance", "edits to the nearest real sentence", "low"),
        Metric("distinct_cells", "cells that differ from all others"),
        Metric("copied", "copies of training cells", "low"),
        Metric("nearer_to_training", "nearer to training (0.5 is best)", ""),
        Metric("validity", "words that are genes"),
        Metric("uniqueness", "words not said before"),
    )
    known_methods: ClassVar = tuple(_TABLE)
    known_lm_methods: ClassVar = (WRITTEN,)
    units: ClassVar = "study pairs"

    def __init__(self, suite: Suite, folder: Path, models: SuiteModels) -> None:
        super().__init__(suite, folder, models)
        self.last: tuple[Case, Sides, Judge] | None = None

    def methods(self) -> list[Method]:
        """List the methods of the suite, and every language model that writes."""
        made = [Method(name, _TABLE[name][0], "", _TABLE[name][1]) for name in self.suite.methods]
        for lm in self.models.names:
            if self.models.can(lm, "generate"):
                said = f"written by {lm_title(lm)}"
                made.append(Method(f"{lm} {WRITTEN}", said, "", "language model", lm=lm))
        return made

    def cases(self) -> list[Case]:
        """List the ordered pairs of independent studies, then each set in halves.

        A language model that ranks genes by specificity writes other genes first. For each such
        model the cases of the seeds of language models come again, all cells ranked as it does.
        """
        made = generation_cases(self.suite)
        few = [case for case in made if case.seed in self.suite.seeds[: self.suite.lm_seeds]]
        for number, name in enumerate(self.models.names, start=1):
            if self._median_of(name) is not None:
                how = f"genes by specificity, as {lm_title(name)} has them"
                made += [
                    replace(
                        case, kind=f"{case.kind}; {how}", query=f"{case.query}, {how}", fold=number
                    )
                    for case in few
                ]
        return made

    def measure(self, case: Case, method: Method) -> CaseResult | NotApplicable:
        """Make as many cells of each type as the held-out half has, and judge them.

        Parameters
        ----------
        case
            What is learnt from, and what new cells are compared with.
        method
            What makes them. Negative binomials need counts; without, they have no result. Nor
            has a language model where genes are not ranked as it does.
        """
        ranks_as = self._ranks_as(case)
        is_ranked_otherwise = method.lm != ranks_as and (
            ranks_as or self._median_of(method.lm) is not None
        )
        if method.lm and is_ranked_otherwise:
            return NotApplicable("genes of this case are not ranked as it ranks them")
        sides, judge = self._parted(case)
        began = time.perf_counter()
        made, words = self._made(method, sides, case)
        seconds = time.perf_counter() - began
        if made is None:
            return NotApplicable("the training study has no counts")
        order = self._median_of(ranks_as) if ranks_as and not method.lm else None
        cut = made.as_sentences(self.suite.n_top_genes, median_of=order)
        found, per_label = judge.measure(cut)
        found = {"recognised": float(per_label["knn_quality_5"].mean())} | found | words
        kept = {metric.name: found[metric.name] for metric in self.metrics if metric.name in found}
        more = {
            "n_train": sides.train.n_obs,
            "n_real": sides.truth.n_obs,
            "n_genes": len(sides.train.block.vocabulary),
            "left_out": sides.left_out,
            "per_label": _plain_rows(per_label),
        }
        return CaseResult(kept, made.n_obs, seconds, more)

    def _ranks_as(self, case: Case) -> str:
        """Name the language model whose order of genes a case has; empty for expression."""
        return self.models.names[case.fold - 1] if case.fold else ""

    def _median_of(self, name: str) -> Mapping[str, float] | None:
        """Give the medians that a writing model ranks genes by; `None` for expression."""
        if not self.models.can(name, "generate"):
            return None
        reading = getattr(self.models.loaded(name), "reading", None)
        if reading is None or reading.rank_by != "specificity" or reading.known is None:
            return None
        medians: Mapping[str, float] = reading.known.median_of
        return medians

    def _parted(self, case: Case) -> tuple[Sides, Judge]:
        """Give the sides of a case, and its judge; those of the last case are kept."""
        if self.last is None or self.last[0] != case:
            sides = sides_of(self.cells, case)
            order = self._median_of(self._ranks_as(case)) if case.fold else None
            cut = sides.as_sentences(self.suite.n_top_genes, median_of=order)
            judge = Judge(cut.truth, pca_of(cut.aside), cut.train, has_labels=True)
            self.last = (case, sides, judge)
        return self.last[1:]

    def _made(
        self, method: Method, sides: Sides, case: Case
    ) -> tuple[LabelledCells | None, dict[str, float]]:
        """Make cells of the held-out half's types; of what is written, count the words."""
        wanted, seed = sides.held_out.labels, case.seed
        if method.lm:
            return self._written(method.lm, sides, case)
        if method.name == "nb" and sides.train.block.kind != "counts":
            return None, {}
        makers = {
            "real": lambda: sides.held_out,
            "relabelled": lambda: relabelled(sides.held_out, seed=seed),
            "resampled": lambda: resampled(sides.train, wanted, seed=seed),
            "nb": lambda: drawn_by_gene(sides.train, wanted, seed=seed),
            "bootstrap": lambda: bootstrapped_by_gene(sides.train, wanted, seed=seed),
        }
        return makers[method.name](), {}

    def _written(
        self, name: str, sides: Sides, case: Case
    ) -> tuple[LabelledCells, dict[str, float]]:
        """Let a language model write cells, of the genes that it knows and all sides measure.

        Raises
        ------
        InputError
            If it knows none of them.
        """
        lm, labels = self.models.loaded(name), sides.held_out.labels
        genes = sides.train.block.vocabulary
        own = getattr(lm, "vocabulary", None)
        known = [gene for gene in genes.names if own is None or gene in own.positions]
        if not known:
            msg = f"{lm.name!r} knows none of the {len(genes):,} genes of {case.name!r}."
            raise InputError(msg, hint="compare its gene names: symbols, or Ensembl ids?")
        options = GenerateOptions(
            genes=known, n_top_genes=min(self.suite.n_top_genes, len(known)), rank_curve=FALLING
        )
        taught = getattr(lm, "labels", {})
        if self.suite.labels == "coarse blood types":
            types = prompt_names(labels, taught=taught.get(TASK) or taught.get("cell_type", ()))
        else:
            types = [str(one) for one in labels]
        asked = {"cell_type": types}
        written = generate(TASK, asked, n=len(labels), lm=lm, seed=case.seed, options=options)
        values = sp.csr_matrix(written.X)
        places = genes.find(written.var_names.tolist())
        shape = (len(labels), len(genes))
        over = sp.csr_matrix((values.data, places[values.indices], values.indptr), shape=shape)
        over.sort_indices()
        made = LabelledCells(CellBlock(over, "log1p", genes), labels)
        words = measure_words(made, written.obs, known=set(genes.names))
        return made, {"validity": words["validity"], "uniqueness": words["uniqueness"]}


def _plain_rows(per_label: pd.DataFrame) -> list[dict[str, object]]:
    rows = per_label.astype(object).where(per_label.notna(), None).reset_index()
    return [
        {str(name): value.item() if isinstance(value, np.generic) else value
         for name, value in row.items()}
        for row in rows.to_dict("records")
    ]  # fmt: skip
