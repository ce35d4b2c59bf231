"""Cells that need no language model: drawn again, drawn gene by gene, with genes shuffled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from celloquy._runtime import rng_for
from celloquy.evaluation._generated_cells import LabelledCells
from celloquy.learn import CellBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RESAMPLED, BY_GENE, SHUFFLED = "real cells again", "NB by gene", "genes shuffled"


def resampled(known: LabelledCells, labels: NDArray[np.object_], *, seed: int) -> LabelledCells:
    """Draw real cells of the wanted labels, with replacement."""
    rng = rng_for(seed, RESAMPLED)
    rows = np.empty(len(labels), dtype=np.int64)
    for label in sorted(set(labels)):
        wanted = labels == label
        rows[wanted] = rng.choice(np.flatnonzero(known.labels == label), int(wanted.sum()))
    return known.rows(rows)


def drawn_by_gene(known: LabelledCells, labels: NDArray[np.object_], *, seed: int) -> LabelledCells:
    """Draw the counts of each gene by itself, negative binomial by label.

    Mean and variance are those of the label's known cells; a gene whose variance is not above
    its mean is drawn as Poisson. Genes do not know of each other, so cells have their label's
    mean and nothing else.
    """
    rng = rng_for(seed, BY_GENE)
    counts = known.block.expression
    drawn = np.zeros((len(labels), counts.shape[1]), dtype=np.float32)
    for label in sorted(set(labels)):
        mine = counts[known.labels == label].astype(np.float64)
        mean = np.asarray(mine.mean(axis=0)).ravel()
        spread = np.asarray(mine.multiply(mine).mean(axis=0)).ravel() - mean**2
        extra = spread - mean
        size = np.divide(mean**2, extra, out=np.full(len(mean), np.inf), where=extra > 0)
        wanted = np.flatnonzero(labels == label)
        shape = (len(wanted), len(mean))
        with np.errstate(invalid="ignore"):
            rate = np.where(np.isfinite(size), rng.gamma(np.minimum(size, 1e6), 1.0, shape), 0)
            rate = np.where(np.isfinite(size), rate * mean / np.where(size > 0, size, 1), mean)
        drawn[wanted] = rng.poisson(rate)
    block = CellBlock(sp.csr_matrix(drawn), "counts", known.block.vocabulary)
    return LabelledCells(block, labels)


def bootstrapped_by_gene(
    known: LabelledCells, labels: NDArray[np.object_], *, seed: int
) -> LabelledCells:
    """Take the value of each gene from a known cell of the label, another one for each gene.

    Every gene has its label's values, and no gene knows of another.
    """
    rng = rng_for(seed, "bootstrap by gene")
    values = known.block.expression
    drawn = np.zeros((len(labels), values.shape[1]), dtype=values.dtype)
    for label in sorted(set(labels)):
        mine = values[known.labels == label].toarray()
        wanted = np.flatnonzero(labels == label)
        rows = rng.integers(len(mine), size=(len(wanted), mine.shape[1]))
        drawn[wanted] = np.take_along_axis(mine, rows, axis=0)
    block = CellBlock(sp.csr_matrix(drawn), known.block.kind, known.block.vocabulary)
    return LabelledCells(block, labels)


def relabelled(known: LabelledCells, *, seed: int) -> LabelledCells:
    """Shuffle the labels of cells: right cells, and labels that say nothing of them."""
    order = rng_for(seed, "labels shuffled").permutation(known.n_obs)
    return LabelledCells(known.block, known.labels[order])


def shuffled(known: LabelledCells, labels: NDArray[np.object_], *, seed: int) -> LabelledCells:
    """Draw real cells and shuffle the values among the genes that each expresses."""
    cells = resampled(known, labels, seed=seed)
    rng = rng_for(seed, SHUFFLED)
    expression = cells.block.expression.copy()
    for start, stop in zip(expression.indptr[:-1], expression.indptr[1:], strict=True):
        expression.data[start:stop] = rng.permutation(expression.data[start:stop])
    return LabelledCells(replace(cells.block, expression=expression, ranked=None), cells.labels)


def makers(
    known: LabelledCells,
) -> dict[str, Callable[[NDArray[np.object_], int], LabelledCells]]:
    """Give each baseline as a function of wanted labels and seed.

    Parameters
    ----------
    known
        Real cells that the baselines may use: those that the generator was trained on, or the
        half that it is not compared with.
    """
    found = {
        RESAMPLED: lambda labels, seed: resampled(known, labels, seed=seed),
        SHUFFLED: lambda labels, seed: shuffled(known, labels, seed=seed),
    }
    if known.block.kind == "counts":
        found[BY_GENE] = lambda labels, seed: drawn_by_gene(known, labels, seed=seed)
    return found
