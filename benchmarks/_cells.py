"""Synthetic counts for the benchmarks: sparse, skewed and overdispersed like real ones."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

COUNTS_PER_GENE = 2.1
"""Molecules per expressed gene: about what a 10x v3 cell of 4,200 molecules shows."""
N_TYPES = 10
_BLOCK = 2_000


def make_counts(
    n_obs: int,
    *,
    n_vars: int = 36_000,
    genes_per_cell: int = 2_000,
    seed: int = 0,
    dtype: str = "float32",
) -> sp.csr_matrix:
    """Draw a cells-by-genes matrix of whole numbers with about `genes_per_cell` genes a cell.

    Gene means follow a lognormal law whose width is solved for the wanted number of genes.
    Ten cell types multiply them by gamma noise, and cells differ in depth, so that counts of
    a gene are a mixture of Poisson laws with more variance than a Poisson law has.
    """
    rng = np.random.default_rng(seed)
    counts_per_cell = COUNTS_PER_GENE * genes_per_cell
    shares = _gene_shares(rng, n_vars, genes_per_cell, counts_per_cell)
    blocks = []
    for start in range(0, n_obs, _BLOCK):
        size = min(_BLOCK, n_obs - start)
        blocks.append(_block(rng, size, shares, counts_per_cell=counts_per_cell, dtype=dtype))
    return sp.vstack(blocks, format="csr")


def _gene_shares(
    rng: np.random.Generator, n_vars: int, genes_per_cell: int, counts_per_cell: float
) -> np.ndarray:
    """Shares of the molecules by type and gene, shape ``(N_TYPES, n_vars)``."""
    normal = rng.standard_normal(n_vars)
    noise = rng.gamma(2.0, 0.5, size=(N_TYPES, n_vars))
    low, high = 0.1, 6.0
    for _ in range(30):
        width = (low + high) / 2
        shares = np.exp(width * normal) * noise
        shares /= shares.sum(axis=1, keepdims=True)
        expressed = (1 - np.exp(-counts_per_cell * shares)).sum(axis=1).mean()
        low, high = (width, high) if expressed > genes_per_cell else (low, width)
    return shares


def _block(
    rng: np.random.Generator,
    n_obs: int,
    shares: np.ndarray,
    *,
    counts_per_cell: float,
    dtype: str,
) -> sp.csr_matrix:
    """Draw every molecule's gene and cell; cells of all types, in a random order."""
    n_vars = shares.shape[1]
    types = rng.integers(N_TYPES, size=n_obs)
    depth = rng.lognormal(0.0, 0.35, size=n_obs)
    depth *= counts_per_cell / depth.mean()
    cells, genes = [], []
    for cell_type in range(N_TYPES):
        members = np.flatnonzero(types == cell_type)
        if not len(members):
            continue
        totals = rng.poisson(shares[cell_type] * depth[members].sum())
        share = depth[members] / depth[members].sum()
        lottery = np.repeat(members, np.maximum(1, np.round(share * 2**17)).astype(np.int64))
        cells.append(lottery[rng.integers(len(lottery), size=totals.sum())])
        genes.append(np.repeat(np.arange(n_vars, dtype=np.int32), totals))
    row, column = np.concatenate(cells).astype(np.int32), np.concatenate(genes)
    ones = np.ones(len(row), dtype)
    return sp.coo_matrix((ones, (row, column)), shape=(n_obs, n_vars)).tocsr()
