"""The language models of a suite: loaded when first needed, as encoders and by asking."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import anndata as ad
import numpy as np
import pandas as pd

from celloquy._runtime import rng_for
from celloquy.evaluation._blood import prompt_names
from celloquy.lm import load_lm
from celloquy.roles import PredictOptions, TextSource, predict
from celloquy.text import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.evaluation._methods import Method, Scramble
    from celloquy.learn import CellBlock
    from celloquy.lm import LanguageModel
    from celloquy.text import RankedCells

    Kept = dict[tuple[str, str], NDArray[np.float32]]

SEED = 0
"""Seed of what is scrambled."""
PART = 128
"""Cells that are embedded by one call."""


@dataclass(frozen=True)
class LmOptions:
    """How the language models of a suite run."""

    precision: str = "fp32"
    """``"fp32"``, or ``"bf16"`` (faster where the processor has it)."""
    device: str = "auto"
    """``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``."""
    cache: bool = False
    """Whether vectors are kept in the user's cache folder and taken from there."""
    allow_remote: str | None = None
    """Host that prompts may be sent to."""


class SuiteModels:
    """The language models of a suite.

    Parameters
    ----------
    lms
        Loaded language models, or what :func:`celloquy.load_lm` takes.
    n_top_genes
        Genes of a cell that are read.
    task
        Task by which those that score are asked; `None` asks none.
    options
        How they run.
    """

    def __init__(
        self,
        lms: Sequence[str | LanguageModel],
        *,
        n_top_genes: int,
        task: str | None = None,
        options: LmOptions | None = None,
    ) -> None:
        named = {lm if isinstance(lm, str) else lm.name: lm for lm in lms}
        self.given: dict[str, str | LanguageModel] = dict(named)
        self.n_top_genes = n_top_genes
        self.task = task
        self.options = options or LmOptions()
        self.kept: WeakKeyDictionary[CellBlock, Kept] = WeakKeyDictionary()

    @property
    def names(self) -> list[str]:
        """Their names, in the order given."""
        return list(self.given)

    def loaded(self, name: str) -> LanguageModel:
        """Load a language model, once."""
        lm = self.given[name]
        if isinstance(lm, str):
            lm = self.given[name] = load_lm(
                lm, device=self.options.device, precision=self.options.precision,
                allow_remote=self.options.allow_remote,
            )  # fmt: skip
        return lm

    def can(self, name: str, capability: str) -> bool:
        """Say whether a language model has a capability; a sentence encoder is not loaded."""
        lm = self.given[name]
        if isinstance(lm, str) and lm.startswith("st:"):
            return capability == "embed"
        return capability in self.loaded(name).capabilities

    def taught_on(self, name: str) -> frozenset[str]:
        """Name the files that a language model was taught on, as far as it says so."""
        lm = self.given[name]
        if isinstance(lm, str) and lm.startswith("st:"):
            return frozenset()
        reading = getattr(self.loaded(name), "reading", None)
        said = "" if reading is None else reading.about.get("sources", "")
        return frozenset(filter(None, (one.strip() for one in said.split(","))))

    def _n_top_genes(self, name: str) -> int | None:
        """Give the number of genes that are read; `None` for a model that was taught its own."""
        is_taught = getattr(self.loaded(name), "reading", None) is not None
        return None if is_taught else self.n_top_genes

    def vectors(self, method: Method, block: CellBlock) -> NDArray[np.float32]:
        """Embed cells as a method reads them, once a block and way of reading.

        Parameters
        ----------
        method
            Names the language model, and what is scrambled before it reads.
        block
            The cells; vectors are kept as long as this very block is.

        Returns
        -------
        Shape ``(n_obs, d)``.
        """
        kept = self.kept.setdefault(block, {})
        key = (method.lm, method.scramble)
        if key not in kept:
            source = TextSource(
                lm=self.loaded(method.lm), n_top_genes=self._n_top_genes(method.lm),
                cache=self.options.cache,
            )  # fmt: skip
            reader, parts = source.reader(), []
            for start in range(0, block.n_obs, PART):  # with a cache, a part is what a kill costs
                cells = block.rows(np.arange(start, min(start + PART, block.n_obs)))
                parts.append(reader.embed(scrambled(reader.rank(cells), method.scramble)))
            kept[key] = np.concatenate([vectors for vectors, _ in parts])
        return kept[key]

    def ask(self, name: str, cells: CellBlock, labels: NDArray[np.str_]) -> NDArray[np.float64]:
        """Ask for the label of each cell, among the reference's; shape ``(n_obs, n_labels)``.

        A cell that is not answered gets the same probability for every label.
        """
        names = [f"cell {i}" for i in range(cells.n_obs)]
        adata = ad.AnnData(
            cells.expression,
            obs=pd.DataFrame(index=pd.Index(names)),
            var=pd.DataFrame(index=pd.Index(cells.vocabulary.names)),
        )
        options = PredictOptions(
            probabilities=True, min_score=0.0, n_top_genes=self._n_top_genes(name)
        )
        lm, task = self.loaded(name), self.task or "cell_type"
        taught = getattr(lm, "labels", {}).get(task, ())
        said = prompt_names(labels, taught=taught) if taught else labels.tolist()
        found = predict(adata, task, lm=lm, labels=said, options=options)
        told = np.full((cells.n_obs, len(labels)), np.nan)
        if found.probabilities is not None:
            place = [list(found.labels_of_probabilities).index(label) for label in said]
            told = np.asarray(found.probabilities, dtype=np.float64)[:, place]
        return np.where(np.isnan(told).any(axis=1, keepdims=True), 1 / len(labels), told)


def scrambled(ranked: RankedCells, what: Scramble) -> RankedCells:
    """Destroy the order of genes in each cell, or give every gene the name of another.

    The genes that a cell names, or how often and where each place of the vocabulary is named,
    stay as they are: what a model loses is what it took from order, or from the names.

    Parameters
    ----------
    ranked
        Ranked cells.
    what
        ``"order"``, ``"names"``, or nothing.
    """
    if what == "order":
        genes = ranked.genes.copy()
        for start, stop in zip(ranked.offsets[:-1], ranked.offsets[1:], strict=True):
            held = np.sort(genes[start:stop])
            key = held.tobytes().hex()  # so that a cell is read alike alone and among others
            genes[start:stop] = rng_for(SEED, "order of genes", key).permutation(held)
        return replace(ranked, genes=genes)
    if what == "names":
        names = ranked.vocabulary.names
        order = rng_for(SEED, "names of genes").permutation(len(names))
        return replace(ranked, vocabulary=Vocabulary(tuple(names[i] for i in order)))
    return ranked
