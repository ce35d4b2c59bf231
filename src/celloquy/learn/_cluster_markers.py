"""The genes that tell each cluster of cells from all others, with the numbers behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.learn._block import CellBlock

PSEUDO_COUNT = 0.1
"""Molecules in 10,000 that are added to both means of a fold change."""


def cluster_markers(
    block: CellBlock,
    clusters: Sequence[object],
    *,
    n_markers: int = 20,
    min_share: float = 0.1,
    min_log2_fold_change: float = 0.25,
    usable: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Find the marker genes of each cluster: higher there than in all other cells.

    Genes are ordered by the area under the ROC curve: the probability that a cell of the
    cluster expresses the gene more than a cell outside of it, ties counted half. That is the
    effect size of Wilcoxon's rank-sum test, which a comparison of 59 methods found among the
    best for choosing markers (Pullin and McCarthy, Genome Biology 2024). There are no
    p-values: clusters were made from the same expression, so these would not mean what they
    say. Equal genes follow their key of the name alone.

    Parameters
    ----------
    block
        Cells, shape ``(n_obs, n_genes)``; a sample of each cluster is enough.
    clusters
        Cluster of each cell; shape ``(n_obs,)``. Cells without one (NaN) are left out.
    n_markers
        The most genes of a cluster.
    min_share
        Least share of the cluster's cells that express a marker.
    min_log2_fold_change
        Least log2 of the means' ratio, in molecules of 10,000.
    usable
        Genes that may be markers, shape ``(n_genes,)``; `None` allows all.

    Returns
    -------
    One row a cluster and marker, best first: `cluster`, `gene`, `auroc`,
    `log2_fold_change`, `share_inside` and `share_outside` (of cells that express it).

    Raises
    ------
    InputError
        If there are fewer than two clusters, or not one cluster a cell.
    """
    names, codes, block = _members(block, clusters)
    values = block.log_values.tocsc()
    inside = _Sides.of(values, codes, len(names))
    auroc = _auroc(values, codes, len(names))
    allowed = (inside.share >= min_share) & (inside.log2_fold_change >= min_log2_fold_change)
    allowed &= auroc > 0.5
    if usable is not None:
        allowed &= usable
    parts = []
    for number, name in enumerate(names):
        genes = np.flatnonzero(allowed[number])
        order = np.lexsort((block.vocabulary.place[genes], -auroc[number, genes]))
        best = genes[order][:n_markers]
        columns = {
            "cluster": [name] * len(best),
            "gene": [block.vocabulary.names[gene] for gene in best],
            "auroc": auroc[number, best],
            "log2_fold_change": inside.log2_fold_change[number, best],
            "share_inside": inside.share[number, best],
            "share_outside": inside.share_outside[number, best],
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _members(
    block: CellBlock, clusters: Sequence[object]
) -> tuple[list[str], NDArray[np.int64], CellBlock]:
    """Give the clusters' names, each cell's cluster, and the cells that have one.

    Raises
    ------
    InputError
        If there are fewer than two clusters, or not one cluster a cell.
    """
    if len(clusters) != block.n_obs:
        msg = f"There are {block.n_obs} cells and {len(clusters)} clusters."
        raise InputError(msg, hint="pass one cluster a cell.")
    given = pd.Series(np.asarray(clusters, dtype=object))
    has_one = given.notna().to_numpy()
    codes, found = pd.factorize(given[has_one].astype(str), sort=True)
    if len(found) < 2:
        msg = f"Markers tell clusters apart, and there is {len(found)} cluster."
        raise InputError(msg, hint="name a column of obs with at least two clusters.")
    kept = block if has_one.all() else block.rows(np.flatnonzero(has_one))
    return [str(name) for name in found], codes.astype(np.int64), kept


class _Sides:
    """Means and shares of each gene inside and outside of each cluster."""

    def __init__(self, share: NDArray[np.float64], share_outside: NDArray[np.float64]) -> None:
        self.share = share
        self.share_outside = share_outside
        self.log2_fold_change = np.zeros_like(share)

    @classmethod
    def of(cls, values: sp.csc_matrix, codes: NDArray[np.int64], n_clusters: int) -> _Sides:
        n_obs = len(codes)
        member = sp.csr_matrix((np.ones(n_obs), (codes, np.arange(n_obs))), (n_clusters, n_obs))
        sizes = np.bincount(codes, minlength=n_clusters)[:, None]
        others = np.maximum(n_obs - sizes, 1)
        linear = values.astype(np.float64)
        linear.data = np.expm1(linear.data)
        sums = (member @ linear).toarray()
        linear.data = (linear.data > 0).astype(np.float64)
        found = (member @ linear).toarray()
        sides = cls(found / sizes, (found.sum(axis=0) - found) / others)
        mean, mean_outside = sums / sizes, (sums.sum(axis=0) - sums) / others
        sides.log2_fold_change = np.log2(
            (mean + PSEUDO_COUNT) / (np.maximum(mean_outside, 0) + PSEUDO_COUNT)
        )
        return sides


def _auroc(values: sp.csc_matrix, codes: NDArray[np.int64], n_clusters: int) -> NDArray[np.float64]:
    """Area under the ROC curve of each gene for each cluster; shape ``(n_clusters, n_genes)``.

    Zeros are not stored: they are one tie below all others, so only stored values are sorted.
    """
    n_obs, n_genes = values.shape
    sizes = np.bincount(codes, minlength=n_clusters).astype(np.float64)
    ranks = np.empty((n_clusters, n_genes))
    for gene in range(n_genes):
        here = slice(values.indptr[gene], values.indptr[gene + 1])
        stored, cells = values.data[here], codes[values.indices[here]]
        positive = stored > 0
        n_zeros = n_obs - int(positive.sum())
        _, places, counts = np.unique(stored[positive], return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        rank = n_zeros + last - (counts - 1) / 2  # mean rank of each tie, from 1
        above = np.bincount(cells[positive], weights=rank[places], minlength=n_clusters)
        n_above = np.bincount(cells[positive], minlength=n_clusters)
        ranks[:, gene] = above + (sizes - n_above) * (n_zeros + 1) / 2
    pairs = sizes * (n_obs - sizes)
    wins = ranks - (sizes * (sizes + 1) / 2)[:, None]
    return np.asarray(wins / pairs[:, None])
