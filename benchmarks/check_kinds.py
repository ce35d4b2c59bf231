"""How often `slot_kind` is right: real counts, turned into every kind of slot that people keep.

CPU, about two minutes:

    CELLOQUY_DATA=... python benchmarks/check_kinds.py

Prints the two tables of docs/guides/check.md. Each row is one thing that was done to the counts of
each file of the data folder; each column is a verdict.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import scipy.sparse as sp

from celloquy.checks import slot_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KINDS = ("counts", "log1p", "log2", "log10", "cpm", "scaled", "unknown")
N_CELLS = 2_000
N_PANEL = 300


@dataclass(frozen=True)
class Change:
    """One thing that is done to counts, and the kind that comes out."""

    name: str
    truth: str
    make: Callable[[sp.csr_matrix], sp.csr_matrix]


def normalise(counts: sp.csr_matrix, total: float | None) -> sp.csr_matrix:
    """Bring every cell to `total`, or to the median total."""
    sums = np.asarray(counts.sum(axis=1)).ravel()
    total = float(np.median(sums[sums > 0])) if total is None else total
    factors = np.divide(total, sums, where=sums > 0, out=np.zeros_like(sums))
    return sp.csr_matrix(sp.diags(factors) @ counts)


def on_values(matrix: sp.csr_matrix, change: Callable[[np.ndarray], np.ndarray]) -> sp.csr_matrix:
    """Change the stored values and keep them as float32."""
    matrix = matrix.copy()
    matrix.data = change(matrix.data).astype(np.float32)
    matrix.eliminate_zeros()
    return matrix


def panel(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Keep the genes of highest variance."""
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    variance = np.asarray(matrix.power(2).mean(axis=0)).ravel() - mean**2
    return sp.csr_matrix(matrix[:, np.sort(np.argsort(-variance)[:N_PANEL])])


def logarithm(total: float | None, take: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """Normalise, then take a logarithm of 1 + x."""
    return lambda counts: on_values(normalise(counts, total), take)


def log2_1p(values: np.ndarray) -> np.ndarray:
    return np.log2(1 + values)


def log10_1p(values: np.ndarray) -> np.ndarray:
    return np.log10(1 + values)


def same(values: np.ndarray) -> np.ndarray:
    return values


def downsampled(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Keep each molecule with probability 0.3."""
    rng = np.random.default_rng(0)
    return on_values(counts, lambda values: rng.binomial(np.round(values).astype(int), 0.3))


def scaled(matrix: sp.csr_matrix, *, every: int = 1, largest: float = np.inf) -> sp.csr_matrix:
    """Turn every `every`-th of the panel's genes into z-scores."""
    dense = panel(logarithm(1e4, np.log1p)(matrix)).toarray()
    spread = dense.std(axis=0)
    z = (dense - dense.mean(axis=0)) / np.where(spread > 0, spread, 1)
    dense[:, ::every] = np.minimum(z, largest)[:, ::every]
    return sp.csr_matrix(dense)


def ambient_removed(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Take 10 % of each cell's molecules away in proportion to the mean profile (SoupX's idea)."""
    profile = np.asarray(counts.sum(axis=0)).ravel()
    profile = profile / profile.sum()
    cell = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    sums = np.asarray(counts.sum(axis=1)).ravel()
    soup = 0.1 * sums[cell] * profile[counts.indices]
    soup[soup < 0.05] = 0  # SoupX leaves genes alone that the ambient hardly touches
    return on_values(counts, lambda values: np.maximum(values - soup, 0))


def shared_reads(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Give every third gene a part of another's reads, as RSEM and kallisto do."""
    rng = np.random.default_rng(0)
    part = np.where(counts.indices % 3 == 0, rng.random(counts.nnz), 0.0)
    return on_values(counts, lambda values: values + part)


def first_cells(n: int, change: Callable[[sp.csr_matrix], sp.csr_matrix]) -> Callable:
    """Keep the `n` cells in the middle after the change."""
    return lambda counts: change(counts)[(middle := counts.shape[0] // 2) : middle + n]


LN_1E4 = logarithm(1e4, np.log1p)

CHANGES = (
    Change("counts", "counts", lambda c: c),
    Change("counts, uint8", "counts", lambda c: c.minimum(255).astype(np.uint8)),
    Change("counts, 30 % of the molecules", "counts", downsampled),
    Change("counts, panel of 300 genes", "counts", panel),
    Change("counts, 3 cells", "counts", first_cells(3, lambda c: c)),
    Change("counts, 1 cell", "counts", first_cells(1, lambda c: c)),
    Change("counts less ambient", "counts", ambient_removed),
    Change("counts with shared reads", "counts", shared_reads),
    Change("ln(1+x), total 10,000", "log1p", LN_1E4),
    Change("ln(1+x), total 1,000,000", "log1p", logarithm(1e6, np.log1p)),
    Change("ln(1+x), median total", "log1p", logarithm(None, np.log1p)),
    Change("ln(1+x), not normalised", "log1p", lambda c: on_values(c, np.log1p)),
    Change("ln(1+x), panel of 300 genes", "log1p", lambda c: panel(LN_1E4(c))),
    Change("ln(1+x), 3 decimals", "log1p", lambda c: on_values(LN_1E4(c), lambda v: v.round(3))),
    Change("ln(1+x), 2 decimals", "log1p", lambda c: on_values(LN_1E4(c), lambda v: v.round(2))),
    Change("ln(1+x), float16", "log1p", lambda c: on_values(LN_1E4(c), np.float16)),
    Change(
        "ln(1+x), panel, 3 decimals",
        "log1p",
        lambda c: on_values(panel(LN_1E4(c)), lambda v: v.round(3)),
    ),
    Change("ln(1+x), 3 cells", "log1p", first_cells(3, LN_1E4)),
    Change("ln(1+x), 1 cell", "log1p", first_cells(1, LN_1E4)),
    Change("ln(1+x), 1 cell, panel", "log1p", first_cells(1, lambda c: panel(LN_1E4(c)))),
    Change("ln(1+x) of counts less ambient", "log1p", lambda c: LN_1E4(ambient_removed(c))),
    Change(
        "ln(1+x) of counts less ambient, panel",
        "log1p",
        lambda c: panel(LN_1E4(ambient_removed(c))),
    ),
    Change("log2(1+x), total 1,000,000", "log2", logarithm(1e6, log2_1p)),
    Change("log2(1+x), panel", "log2", lambda c: panel(logarithm(1e6, log2_1p)(c))),
    Change("log2(1+x), total 10,000, panel", "log2", lambda c: panel(logarithm(1e4, log2_1p)(c))),
    Change("log10(1+x), total 10,000", "log10", logarithm(1e4, log10_1p)),
    Change("log10(1+x), panel", "log10", lambda c: panel(logarithm(1e4, log10_1p)(c))),
    Change("per million", "cpm", logarithm(1e6, same)),
    Change("per 10,000", "cpm", logarithm(1e4, same)),
    Change("per million, panel", "cpm", lambda c: panel(logarithm(1e6, same)(c))),
    Change("per million, rounded", "cpm", logarithm(1e6, np.round)),
    Change("shares of the cell", "cpm", logarithm(1.0, same)),
    Change("z-scores", "scaled", scaled),
    Change("z-scores, cut at 10", "scaled", lambda c: scaled(c, largest=10.0)),
    Change("z-scores of every other gene", "scaled", lambda c: scaled(c, every=2)),
    Change("counts + 0.5", "unknown", lambda c: on_values(c, lambda v: v + 0.5)),
    Change("log1p twice", "unknown", lambda c: on_values(LN_1E4(c), np.log1p)),
    Change("square roots of counts", "unknown", lambda c: on_values(c, np.sqrt)),
)


def per_length(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Divide by a length a gene, as transcripts per million do: no whole multiples are left."""
    lengths = np.random.default_rng(0).lognormal(7.5, 0.8, counts.shape[1])
    return sp.csr_matrix(counts @ sp.diags(1 / lengths))


def pooled_factors(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Divide by size factors near the total, as scran's: totals stay unequal."""
    sums = np.asarray(counts.sum(axis=1)).ravel()
    noise = np.random.default_rng(0).lognormal(0, 0.2, len(sums))
    factors = np.divide(sums.mean(), sums * noise, where=sums > 0, out=np.zeros_like(sums))
    return sp.csr_matrix(sp.diags(factors) @ counts)


def without_top_genes(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Leave the 1 % of genes with most molecules out."""
    sums = np.asarray(counts.sum(axis=0)).ravel()
    return sp.csr_matrix(counts[:, np.sort(np.argsort(-sums)[max(1, len(sums) // 100) :])])


def residuals(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Give Pearson residuals of a panel, cut at the root of the number of cells."""
    dense = panel(counts).toarray()
    expected = np.outer(dense.sum(axis=1), dense.sum(axis=0)) / max(dense.sum(), 1)
    found = (dense - expected) / np.sqrt(expected + expected**2 / 100 + 1e-12)
    return sp.csr_matrix(np.clip(found, -np.sqrt(len(dense)), np.sqrt(len(dense))))


HELD_OUT = (
    Change(
        "log2(1+x) of pooled size factors", "log2", lambda c: on_values(pooled_factors(c), log2_1p)
    ),
    Change(
        "ln(1+x) of pooled size factors", "log1p", lambda c: on_values(pooled_factors(c), np.log1p)
    ),
    Change("ln(1+x), total 100,000", "log1p", logarithm(1e5, np.log1p)),
    Change(
        "ln(1+x), total 10,000, then 1 % of genes left out",
        "log1p",
        lambda c: without_top_genes(LN_1E4(c)),
    ),
    Change(
        "transcripts per million", "cpm", lambda c: on_values(normalise(per_length(c), 1e6), same)
    ),
    Change(
        "ln(1+x) of transcripts per million",
        "log1p",
        lambda c: on_values(normalise(per_length(c), 1e6), np.log1p),
    ),
    Change(
        "log2(1+x/10) of transcripts per million",
        "log2",
        lambda c: on_values(normalise(per_length(c), 1e5), log2_1p),
    ),
    Change(
        "log2(1+x) of transcripts per million, panel",
        "log2",
        lambda c: panel(on_values(normalise(per_length(c), 1e6), log2_1p)),
    ),
    Change(
        "counts, 90 % of the molecules",
        "counts",
        lambda c: on_values(
            c, lambda v: np.random.default_rng(1).binomial(np.round(v).astype(int), 0.9)
        ),
    ),
    Change(
        "counts times a share a gene (decontX's idea)",
        "counts",
        lambda c: on_values(c, lambda v: v * np.random.default_rng(2).beta(20, 2, len(v))),
    ),
    Change(
        "ln(1+x), centred",
        "scaled",
        lambda c: sp.csr_matrix((dense := panel(LN_1E4(c)).toarray()) - dense.mean(axis=0)),
    ),
    Change("Pearson residuals", "scaled", residuals),
)
"""What was measured only after every threshold had been set."""


def load_counts(path: Path) -> sp.csr_matrix:
    """Read up to `N_CELLS` cells spread over a file."""
    adata = ad.read_h5ad(path)
    rows = np.unique(np.linspace(0, adata.n_obs - 1, N_CELLS).astype(int))
    return sp.csr_matrix(adata.X[rows]).astype(np.float64)


def measure(folder: Path, changes: Sequence[Change] = CHANGES) -> dict[str, Counter[str]]:
    """Count the verdicts of every change over all files."""
    verdicts: dict[str, Counter[str]] = {change.name: Counter() for change in changes}
    for path in sorted((folder / "cells").glob("*.h5ad")):
        counts = load_counts(path)
        for change in changes:
            verdicts[change.name][slot_kind(change.make(counts)).kind] += 1
    return verdicts


def show(folder: Path, changes: Sequence[Change]) -> None:
    """Print one table and its sums."""
    verdicts = measure(folder, changes)
    print("| done to the counts | is | " + " | ".join(KINDS) + " |")
    print("|---|---|" + "---|" * len(KINDS))
    right = unknown = total = 0
    for change in changes:
        counted = verdicts[change.name]
        right += counted[change.truth]
        unknown += counted["unknown"] if change.truth != "unknown" else 0
        total += sum(counted.values())
        cells = " | ".join(str(counted[kind] or "") for kind in KINDS)
        print(f"| {change.name} | {change.truth} | {cells} |")
    wrong = total - right - unknown
    print(f"\n{right} of {total} right ({right / total:.1%}), {unknown} unknown, {wrong} wrong\n")


def main() -> None:
    """Print both tables."""
    folder = Path(os.environ["CELLOQUY_DATA"])
    show(folder, CHANGES)
    show(folder, HELD_OUT)


if __name__ == "__main__":
    main()
