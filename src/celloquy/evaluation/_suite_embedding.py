"""Embeddings of cells that come from several batches: labels kept, batches mixed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from celloquy._runtime import rng_for
from celloquy.evaluation._embedding import N_COMPONENTS
from celloquy.evaluation._embedding_neighbours import measure_transfer
from celloquy.evaluation._embedding_scib import Labelled, mixing_of, scib_metrics_of
from celloquy.evaluation._methods import Method, lm_title
from celloquy.evaluation._suite_cells import Case, SetCells
from celloquy.evaluation._suite_job import CaseResult, Comparison, Job, Metric
from celloquy.learn import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from celloquy.evaluation._methods import Role, Scramble
    from celloquy.evaluation._suite import Suite
    from celloquy.evaluation._suite_lms import SuiteModels

    Vectors = NDArray[np.float32]

LABELLED, UNLABELLED = "cells with labels", "cells without labels"
RANDOM = "random"
_METHODS: dict[str, tuple[str, Role, str]] = {
    "default-log-pca": ("PCA 50 of log counts (default space of a reference)", "default", "pca"),
    "bag-svd": ("ranked bag, SVD 50", "other", "bag-svd"),
    "tfidf-svd": ("same sentences, TF-IDF + SVD 50", "baseline", "tfidf-svd"),
    RANDOM: ("random vectors", "control", ""),
}
_OF_LM: dict[str, tuple[str, Role, Scramble]] = {
    "embedding": ("{lm}", "language model", ""),
    "shuffled": ("{lm}, genes in any order", "control", "order"),
    "renamed": ("{lm}, names of other genes", "control", "names"),
}


class EmbeddingJob(Job):
    """Embeds the cells of several batches, and judges what of labels and batches is left."""

    metrics: ClassVar = (
        Metric("bio_conservation", "bio conservation (scIB)"),
        Metric("batch_correction", "batch correction (scIB)", ""),
        Metric("scib_total", "scIB total"),
        Metric("transfer_macro_f1", "macro-F1, 15-NN of other batches"),
        Metric("transfer_accuracy", "accuracy of the same"),
        Metric("kmeans_nmi", "k-means NMI"),
        Metric("kmeans_ari", "k-means ARI"),
        Metric("silhouette_label", "silhouette of labels"),
        Metric("clisi", "cLISI"),
        Metric("isolated_labels", "isolated labels"),
        Metric("bras", "BRAS", ""),
        Metric("ilisi", "iLISI", ""),
        Metric("kbet", "kBET", ""),
        Metric("graph_connectivity", "graph connectivity"),
        Metric("pcr_comparison", "PCR against PCA (itself: 0)", ""),
    )
    known_methods: ClassVar = tuple(_METHODS)
    known_lm_methods: ClassVar = tuple(_OF_LM)
    units: ClassVar = "studies"
    comparisons: ClassVar = (
        Comparison("order", "embedding", "shuffled",
                   "What the order of genes gives it, against any order"),
        Comparison("names", "embedding", "renamed",
                   "What the names of genes give it, against the names of other genes"),
    )  # fmt: skip

    def __init__(self, suite: Suite, folder: Path, models: SuiteModels) -> None:
        super().__init__(suite, folder, models)
        self.last: tuple[Case, SetCells, Vectors] | None = None

    def methods(self) -> list[Method]:
        """List the embeddings: those of language models that embed, too."""
        made = [
            Method(name, _METHODS[name][0], "", _METHODS[name][1]) for name in self.suite.methods
        ]
        for lm in self.models.names:
            if self.models.can(lm, "embed"):
                for name in self.suite.lm_methods or ("embedding",):
                    title, role, scramble = _OF_LM[name]
                    shown = title.format(lm=lm_title(lm))
                    made.append(Method(f"{lm} {name}", shown, "", role, None, lm, scramble))
        return made

    def cases(self) -> list[Case]:
        """List the sets, those with labels apart from those without."""
        return [
            Case((each.name,), "", each.name, LABELLED if each.label else UNLABELLED, each.study,
                 seed)
            for seed in self.suite.seeds
            for each in self.suite.sets
        ]  # fmt: skip

    def measure(self, case: Case, method: Method) -> CaseResult:
        """Embed the cells of a set, and judge the vectors."""
        cells, before = self._cells(case)
        began = time.perf_counter()
        vectors = self._vectors(case, method)
        seconds = time.perf_counter() - began
        if case.kind == UNLABELLED:
            found = mixing_of(vectors, cells.batches)
        else:
            found = scib_metrics_of(vectors, Labelled(cells.labels, cells.batches, before))
            found |= measure_transfer(vectors, cells.labels, batches=cells.batches).metrics
        more = {
            "n_batches": len(set(cells.batches)),
            "n_labels": len(set(cells.labels)),
            "n_dimensions": int(vectors.shape[1]),
        }
        return CaseResult(found, cells.block.n_obs, seconds, more)

    def _cells(self, case: Case) -> tuple[SetCells, Vectors]:
        """Draw the cells of a set, and compute the PCA that batches are compared with."""
        if self.last is None or self.last[0] != case:
            cells = self.cells.draw(case.pool[0], seed=case.seed, of_each="batch")
            self.last = (case, cells, _space("pca", cells))
        return self.last[1:]

    def _vectors(self, case: Case, method: Method) -> Vectors:
        cells, _ = self._cells(case)
        if method.lm:
            return self.models.vectors(method, cells.block)
        if method.name == RANDOM:
            drawn = rng_for(case.seed, "random vectors").standard_normal(
                (cells.block.n_obs, N_COMPONENTS)
            )
            return np.asarray(drawn, dtype=np.float32)
        return _space(_METHODS[method.name][2], cells)


def _space(representation: str, cells: SetCells) -> Vectors:
    space = Recipe(representation=representation, n_components=N_COMPONENTS).new_space()
    return np.asarray(space.fit(cells.block).transform(cells.block), dtype=np.float32)
