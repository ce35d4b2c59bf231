"""A labelled reference: fitted once, saved, and only applied afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from celloquy.errors import InputError
from celloquy.learn._calibration import fit_temperature, folds, tempered
from celloquy.learn._labels import choose_cells, label_codes
from celloquy.learn._neighbours import NeighbourIndex
from celloquy.learn._predictions import Predictions, Thresholds
from celloquy.learn._recipe import Recipe
from celloquy.learn._representation import dense

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.learn._block import CellBlock
    from celloquy.learn._model import Model
    from celloquy.learn._neighbours import Neighbours
    from celloquy.learn._representation import Representation
    from celloquy.text import Vocabulary

DISTANCE_PERCENTILE = 99
MIN_SHARED_GENES = 50
STORED_FROM = 0.95
"""Share of the reference's expression that a query must measure for the stored fit."""

PanelPolicy: TypeAlias = Literal["auto", "stored", "refit"]

DEFAULT_RECIPE = Recipe()


@dataclass(frozen=True)
class Overlap:
    """How much of a reference's genes a query measures."""

    n_shared: int
    """Genes of the reference that the query measures."""
    n_genes: int
    """Genes of the reference."""
    share_of_expression: float
    """Share of the reference's expression that lies in the shared genes, in [0, 1]."""
    refitted: bool
    """Whether the reference was fitted anew on the shared genes."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Labelled cells and what was fitted on them."""

    labels: tuple[str, ...]
    """Label names, sorted."""
    recipe: Recipe
    """What it was fitted with."""
    cells: CellBlock
    """The cells it was fitted on, over the reference's vocabulary."""
    codes: NDArray[np.int64]
    """Label of each of those cells; shape ``(n_cells,)``."""
    cell_names: tuple[str, ...]
    """Names of those cells; shape ``(n_cells,)``."""
    n_seen: int
    """Labelled cells there were before any were left out."""
    model: Model
    """Fitted representations and heads."""
    space: Representation
    """Fitted dense representation that distances are measured in."""
    index: NeighbourIndex
    """The reference's cells in that space."""
    thresholds: Thresholds
    """Where a label is withheld."""
    temperature: float | None = None
    """Temperature of the probabilities; `None` where they are not calibrated."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the cells come from, as the caller says; JSON can hold it."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Genes that blocks must be over."""
        return self.cells.vocabulary

    @property
    def counts(self) -> dict[str, int]:
        """Cells of each label that it was fitted on."""
        cells = np.bincount(self.codes, minlength=len(self.labels))
        return {name: int(n) for name, n in zip(self.labels, cells, strict=True)}

    @cached_property
    def _is_expressed(self) -> NDArray[np.bool_]:
        """Say which genes a cell of the reference expresses; shape ``(n_genes,)``."""
        return np.asarray(self.cells.expression.sum(axis=0)).ravel() > 0

    def annotate(self, block: CellBlock) -> Predictions:
        """Give label probabilities and distances of cells.

        A cell that expresses no gene of the reference's cells has nothing to be judged by: its
        probabilities are what the head says of nothing, and its label is "unknown".

        Parameters
        ----------
        block
            Cells over this reference's vocabulary.

        Raises
        ------
        InputError
            If the block is over other genes.
        """
        self._refuse_other_genes(block)
        probabilities = self.model.probabilities(block)
        distance = self.neighbours(block).distances.mean(axis=1)
        return Predictions(
            self.labels,
            tempered(probabilities, self.temperature or 1.0),
            distance,
            self.thresholds,
            calibrated=self.temperature is not None,
            is_empty=self._is_empty(block),
        )

    def _is_empty(self, block: CellBlock) -> NDArray[np.bool_]:
        """Say which cells show nothing that the model reads; shape ``(n_obs,)``."""
        empty = np.asarray(block.expression @ self._is_expressed.astype(np.float64) == 0)
        if block.text is not None and set(self.recipe.members) == {"text"}:
            empty |= ~block.text.any(axis=1)
        return empty

    def neighbours(self, block: CellBlock) -> Neighbours:
        """Find each cell's nearest reference cells; rows point into `codes`, `cell_names`."""
        return self.index.search(dense(self.space.transform(block)), k=self.recipe.n_neighbours)

    def on_genes(
        self, measured: NDArray[np.bool_], *, policy: PanelPolicy = "auto"
    ) -> tuple[Reference, Overlap]:
        """Make ready for a query that measures only some of the reference's genes.

        What was not measured is not zero. A head that was fitted with those genes would
        take their absence for evidence, so the reference is fitted anew, on its own stored
        cells and the shared genes, where the shared genes hold too little of its
        expression. The query's cells take no part in that.

        Parameters
        ----------
        measured
            Which genes of the vocabulary the query measures; shape ``(n_genes,)``.
        policy
            ``"auto"`` keeps the stored fit if the shared genes hold at least 95 % of the
            reference's expression; ``"stored"`` always keeps it; ``"refit"`` always fits
            anew.

        Returns
        -------
        The reference to apply, over its own vocabulary, and the overlap.

        Raises
        ------
        InputError
            If fewer than 50 genes are shared (or half of a smaller vocabulary), or the
            policy is unknown.
        """
        overlap = measure_overlap(self.cells, measured, policy=policy)
        if not overlap.refitted:
            return self, overlap
        cells = self.cells.genes(np.flatnonzero(measured))
        fitted = _fit(cells, self.codes, self.labels, self.recipe)
        return replace(
            fitted,
            cell_names=self.cell_names,
            n_seen=self.n_seen,
            provenance=self.provenance,
        ), overlap

    def _refuse_other_genes(self, block: CellBlock) -> None:
        if block.vocabulary.names != self.vocabulary.names:
            msg = (
                f"The block is over {len(block.vocabulary):,} genes, and the reference over "
                f"{len(self.vocabulary):,} others."
            )
            raise InputError(msg, hint="bring the columns into `reference.vocabulary` first.")


def measure_overlap(
    cells: CellBlock, measured: NDArray[np.bool_], *, policy: PanelPolicy = "auto"
) -> Overlap:
    """Say how much of the reference cells' expression a query measures, and what follows.

    Parameters
    ----------
    cells
        The reference's cells.
    measured
        Which genes of their vocabulary the query measures; shape ``(n_genes,)``.
    policy
        See :meth:`Reference.on_genes`.

    Returns
    -------
    The overlap; `refitted` says whether only the shared genes are to be fitted on.

    Raises
    ------
    InputError
        If fewer than 50 genes are shared (or half of a smaller vocabulary), or the policy is
        unknown.
    """
    if policy not in {"auto", "stored", "refit"}:
        msg = f"`policy` is 'auto', 'stored' or 'refit', got {policy!r}."
        raise InputError(msg)
    shared = np.flatnonzero(measured)
    n_genes = len(cells.vocabulary)
    if len(shared) < min(MIN_SHARED_GENES, (n_genes + 1) // 2):
        msg = f"The query measures {len(shared):,} of the reference's {n_genes:,} genes."
        raise InputError(msg, hint="compare the gene names of both: symbols, or Ensembl ids?")
    per_gene = np.asarray(cells.log_values.expm1().sum(axis=0)).ravel()
    share = float(per_gene[shared].sum() / max(per_gene.sum(), 1e-300))
    all_there = len(shared) == n_genes
    refit = not all_there and (policy == "refit" or (policy == "auto" and share < STORED_FROM))
    return Overlap(len(shared), n_genes, share, refit)


def fit_reference(
    cells: CellBlock,
    labels: Sequence[object],
    *,
    recipe: Recipe = DEFAULT_RECIPE,
    cell_names: Sequence[str] | None = None,
    n_seen: int | None = None,
    provenance: dict[str, Any] | None = None,
) -> Reference:
    """Fit representation, head, distances and thresholds on labelled cells.

    Parameters
    ----------
    cells
        Labelled cells. Where they are more than ``recipe.max_cells``, that many are chosen
        evenly over the labels; a caller that streams chooses them first, by
        :func:`choose_cells`.
    labels
        Label of each cell; shape ``(n_obs,)``.
    recipe
        What is fitted.
    cell_names
        Names of the cells; row numbers where `None`.
    n_seen
        Labelled cells there were before the caller chose; the number of cells where `None`.
    provenance
        Where the cells come from (file name, slot, label column …); saved as it is.

    Raises
    ------
    InputError
        If a cell has no label, or lengths differ.
    """
    if len(labels) != cells.n_obs:
        msg = f"There are {cells.n_obs} reference cells and {len(labels)} labels."
        raise InputError(msg)
    names, codes = label_codes(labels)
    chosen = choose_cells(codes, max_cells=recipe.max_cells, seed=recipe.seed)
    given = [str(i) for i in range(len(codes))] if cell_names is None else cell_names
    total = len(codes) if n_seen is None else n_seen
    if len(chosen) < len(codes):
        cells, codes = cells.rows(chosen), codes[chosen]
    fitted = _fit(cells, codes, names, recipe)
    return replace(
        fitted,
        cell_names=tuple(given[i] for i in chosen),
        n_seen=total,
        provenance=dict(provenance or {}),
    )


def _fit(
    cells: CellBlock, codes: NDArray[np.int64], labels: tuple[str, ...], recipe: Recipe
) -> Reference:
    space = recipe.new_space().fit(cells)
    index = NeighbourIndex(dense(space.transform(cells)))
    return Reference(
        labels=labels,
        recipe=recipe,
        cells=cells,
        codes=codes,
        cell_names=(),
        n_seen=cells.n_obs,
        model=recipe.new_model().fit(cells, codes, n_labels=len(labels)),
        space=space,
        index=index,
        thresholds=Thresholds(max_distance=_distance_threshold(index, recipe.n_neighbours)),
        temperature=_temperature(cells, codes, len(labels), recipe) if recipe.calibrate else None,
    )


def _distance_threshold(index: NeighbourIndex, n_neighbours: int) -> float:
    if len(index.reference) < 2:
        return float("inf")
    distances = index.leave_one_out(k=n_neighbours).distances.mean(axis=1)
    return float(np.percentile(distances, DISTANCE_PERCENTILE))


def _temperature(
    cells: CellBlock, codes: NDArray[np.int64], n_labels: int, recipe: Recipe
) -> float:
    """Fit the temperature on folds that neither representation nor head has seen."""
    fold = folds(codes, seed=recipe.seed)
    probabilities = np.zeros((cells.n_obs, n_labels))
    for held_out in np.unique(fold):
        inside, outside = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
        if not len(inside):
            return 1.0
        model = recipe.new_model().fit(cells.rows(inside), codes[inside], n_labels=n_labels)
        probabilities[outside] = model.probabilities(cells.rows(outside))
    return fit_temperature(probabilities, codes)
