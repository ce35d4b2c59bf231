"""New and real cells over the same genes, in halves, and as sentences where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import scipy.sparse as sp

from celloquy._runtime import rng_for
from celloquy.errors import InputError
from celloquy.evaluation._sides import column_of, in_memory, made_values, shared_genes
from celloquy.learn import CellBlock
from celloquy.roles import ReadOptions, read_block
from celloquy.text import (
    RankedCells,
    RankOptions,
    Vocabulary,
    default_rank_curve,
    rank_cells,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.checks import Kind

FEWEST_REAL = 6
EDITED_GENES = 100
"""Genes of a sentence that edit distances are counted over, at most."""


@dataclass(frozen=True, eq=False)
class LabelledCells:
    """Cells and the label of each."""

    block: CellBlock
    """Expression over the shared genes."""
    labels: NDArray[np.object_]
    """Label of each cell; one empty name where there are none."""

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return self.block.n_obs

    @cached_property
    def sentences(self) -> list[NDArray[np.int32]]:
        """The first genes of each cell, most expressed first."""
        ranked = self.block.top(EDITED_GENES)
        return np.split(ranked.genes, ranked.offsets[1:-1])

    def rows(self, cells: NDArray[np.int64]) -> LabelledCells:
        """Keep some cells, in the given order."""
        return LabelledCells(self.block.rows(cells), self.labels[cells])

    def as_sentences(
        self, n_top_genes: int, *, median_of: Mapping[str, float] | None = None
    ) -> LabelledCells:
        """Keep each cell's first genes, with the values of the packaged rank curve.

        Parameters
        ----------
        n_top_genes
            The most genes of a cell.
        median_of
            Median of each gene in a corpus: genes are then ranked by specificity.
        """
        if median_of is None:
            return LabelledCells(_by_rank(self.block.top(n_top_genes)), self.labels)
        names = self.block.vocabulary.names
        medians = np.array([median_of.get(name, np.nan) for name in names])
        kind = cast("Kind", self.block.kind)
        options = RankOptions(n_top_genes, "specificity", medians=medians, kind=kind)
        ranked = rank_cells(self.block.expression, self.block.vocabulary, options=options)
        return LabelledCells(_by_rank(ranked), self.labels)

    def drawn(self, n: int, *, seed: int, name: str) -> LabelledCells:
        """Draw at most `n` cells at random."""
        if self.n_obs <= n:
            return self
        order = rng_for(seed, "cells", name).permutation(self.n_obs)[:n]
        return self.rows(np.sort(order))


def _by_rank(ranked: RankedCells) -> CellBlock:
    ranks = np.arange(len(ranked.genes)) - np.repeat(ranked.offsets[:-1], ranked.lengths)
    values = np.maximum(default_rank_curve().predict(ranks), 1e-6)
    order = np.lexsort((ranked.genes, np.repeat(np.arange(ranked.n_obs), ranked.lengths)))
    shape = (ranked.n_obs, len(ranked.vocabulary))
    # the ranks go with the block: where the curve is level, values alone would not give them back
    expression = sp.csr_matrix((values[order], ranked.genes[order], ranked.offsets), shape=shape)
    return CellBlock(expression, "log1p", ranked.vocabulary, ranked=ranked)


def read_new(
    source: AnnData | str | os.PathLike[str], *, label_key: str | None
) -> tuple[LabelledCells, pd.DataFrame]:
    """Read generated cells, and what was told of each.

    Raises
    ------
    InputError
        If there is no cell, a gene repeats, the labels are missing, or a value is negative or
        cannot be used.
    """
    adata = in_memory(source)
    if not adata.n_obs:
        msg = "There is no generated cell."
        raise InputError(msg, hint="generate some first: `celloquy generate`.")
    values, kind = made_values(adata, what="generated")
    if len(values.data) and values.data.min() < 0:
        msg = f"A generated value is {values.data.min():g}; expression is never negative."
        raise InputError(msg, hint="clip at 0, or undo a scaling.")
    values.eliminate_zeros()
    names = tuple(adata.var_names.astype(str))
    shared_genes(names, names)
    block = CellBlock(values, kind, Vocabulary(names))
    return LabelledCells(block, labels_of(adata.obs, label_key, what="generated cells")), adata.obs


def read_real(
    source: AnnData | str | os.PathLike[str],
    *,
    label_key: str | None,
    what: str = "real cells",
    read: ReadOptions | None = None,
) -> tuple[LabelledCells, pd.DataFrame]:
    """Read real cells and their obs."""
    block, obs = read_block(source, read=read)
    return LabelledCells(block, labels_of(obs, label_key, what=what)), obs


def labels_of(obs: pd.DataFrame, label_key: str | None, *, what: str) -> NDArray[np.object_]:
    """Give the label of each cell; one empty name where no column is named."""
    if label_key is None:
        return np.full(len(obs), "", dtype=object)
    return column_of(obs, label_key, what=what)


def over_genes(cells: LabelledCells, genes: list[str]) -> LabelledCells:
    """Keep some genes, in the given order."""
    places = cells.block.vocabulary.find(genes).astype(np.int64)
    return LabelledCells(cells.block.genes(places), cells.labels)


def three_parts(
    labels: NDArray[np.object_], *, groups: NDArray[np.object_] | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Set a third of the cells aside, and halve the rest: by whole groups, or within each label.

    Returns
    -------
    Rows of the third, which says nothing of groups, and of the two halves.

    Raises
    ------
    InputError
        If there are fewer than six cells, or one group only.
    """
    rng = rng_for(seed, "parts of real cells")
    if len(labels) < FEWEST_REAL:
        msg = f"There are {len(labels)} real cells; comparing takes {FEWEST_REAL} or more."
        raise InputError(msg, hint="compare with more real cells.")
    order = rng.permutation(len(labels))
    aside, rest = np.split(order, [len(order) // 3])
    if groups is None:
        # cells of one label stand together, and every other of them goes to the first half
        rest = rest[np.argsort(labels[rest].astype(str), kind="stable")]
        return np.sort(aside), np.sort(rest[::2]), np.sort(rest[1::2])
    names, place = np.unique(groups[rest].astype(str), return_inverse=True)
    if len(names) < 2:
        msg = f"All real cells are of the group {str(names[0])!r}; halves take two groups."
        raise InputError(msg, hint="leave `group_key` out: cells are then halved.")
    drawn = rng.permutation(len(names))
    sizes = np.cumsum(np.bincount(place)[drawn])[:-1]
    n_first = 1 + int(np.abs(sizes - len(rest) / 2).argmin())
    is_first = np.isin(place, drawn[:n_first])
    return np.sort(aside), np.sort(rest[is_first]), np.sort(rest[~is_first])
