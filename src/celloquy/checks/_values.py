"""What is wrong with the values of a slot: not numbers, negatives, empty cells and genes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from celloquy.checks._report import Problem, Severity
from celloquy.checks._scales import SCALES
from celloquy.knowledge import is_mitochondrial

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.checks._kinds import SlotKind
    from celloquy.io import RowChunk

    Sums: TypeAlias = NDArray[Any]

FEW_GENES = 200
"""Cells with fewer genes are seldom whole cells; the usual lower limit of filters."""
MANY_GENES = 100
"""No cell expresses each of so many genes."""
WHOLE_TRANSCRIPTOME = 5_000
"""From so many genes on, a source is taken for a whole transcriptome and not for a panel."""
HIGH_MITOCHONDRIAL = 0.2
"""Above this share a cell is often dying."""


@dataclass
class Tally:
    """Counts over chunks: how much is missing or negative, and sums of cells and genes."""

    is_mitochondrial: NDArray[np.bool_]
    """Genes of the mitochondrial genome; shape ``(n_vars,)``."""
    kind: SlotKind
    """Says how values are brought back to molecules for shares."""
    n_values: int = 0
    n_nan: int = 0
    n_infinite: int = 0
    n_negative: int = 0
    lowest: float = 0.0
    n_obs: int = 0
    genes: list[Sums] = field(default_factory=list)
    sums: list[Sums] = field(default_factory=list)
    mitochondrial: list[Sums] = field(default_factory=list)
    cells_of_gene: Sums | None = None

    def add(self, chunk: RowChunk) -> None:
        """Count one chunk."""
        values = chunk.data.astype(np.float64)
        is_number = np.isfinite(values)
        self.n_obs += chunk.n_obs
        self.n_values += int((values != 0).sum())
        self.n_nan += int(np.isnan(values).sum())
        self.n_infinite += int(np.isinf(values).sum())
        self.n_negative += int((values < 0).sum())
        self.lowest = min(self.lowest, float(values[is_number].min(initial=0.0)))
        values = np.where(is_number & (values > 0), values, 0.0)
        expressed = values > 0
        cell = np.repeat(np.arange(chunk.n_obs), np.diff(chunk.indptr))
        self.genes.append(np.bincount(cell[expressed], minlength=chunk.n_obs))
        molecules = self._molecules(values)
        self.sums.append(np.bincount(cell, molecules, minlength=chunk.n_obs))
        of_mito = np.where(self.is_mitochondrial[chunk.indices], molecules, 0.0)
        self.mitochondrial.append(np.bincount(cell, of_mito, minlength=chunk.n_obs))
        per_gene = np.bincount(chunk.indices[expressed], minlength=chunk.n_vars)
        known = self.cells_of_gene
        self.cells_of_gene = per_gene if known is None else known + per_gene

    def _molecules(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.kind.kind not in {"log1p", "log2", "log10"}:
            return values
        undo, limit = SCALES[self.kind.kind]
        return undo(np.minimum(values, limit))


def tally_chunks(chunks: Iterable[RowChunk], *, var: pd.DataFrame, kind: SlotKind) -> Tally:
    """Count over chunks."""
    tally = Tally(is_mitochondrial=is_mitochondrial(var.index), kind=kind)
    for chunk in chunks:
        tally.add(chunk)
    return tally


def value_facts(tally: Tally) -> dict[str, float]:
    """Give the medians over cells."""
    genes, sums = _joined(tally.genes), _joined(tally.sums)
    if not (genes > 0).any() or tally.kind.kind == "scaled":
        return {}
    facts = {"genes_per_cell": float(np.median(genes))}
    if tally.kind.kind == "counts":
        facts["total_per_cell"] = float(np.median(sums))
    shares = _mitochondrial_shares(tally)
    if shares is not None:
        facts["mitochondrial_share"] = float(np.median(shares))
    return facts


def value_problems(tally: Tally, *, var: pd.DataFrame, is_whole: bool) -> list[Problem]:
    """Find what is wrong with the values.

    Parameters
    ----------
    tally
        The counts.
    var
        Genes, indexed by name.
    is_whole
        Whether all cells were counted, so that a gene without a cell is empty.
    """
    return [*_wrong_numbers(tally), *_empty(tally, var, is_whole=is_whole), *_poor_cells(tally)]


def _wrong_numbers(tally: Tally) -> list[Problem]:
    seen = f"the {tally.n_obs:,} cells looked at"
    problems = []
    if tally.n_nan:
        problems.append(
            Problem(
                code="missing-values",
                severity="refuse",
                message=f"{tally.n_nan:,} values in {seen} are missing (NaN), which have no rank.",
                mend="find out where they come from; if they mean 0: "
                "`adata.X = np.nan_to_num(adata.X)`",
                count=tally.n_nan,
            )
        )
    if tally.n_infinite:
        problems.append(
            Problem(
                code="infinite-values",
                severity="refuse",
                message=f"{tally.n_infinite:,} values in {seen} are infinite, as after a logarithm "
                "of 0 or a division by 0.",
                mend="normalise again from counts",
                count=tally.n_infinite,
            )
        )
    if tally.n_negative:
        problems.append(
            Problem(
                code="negative-values",
                severity="refuse",
                message=f"{tally.n_negative:,} of {tally.n_values:,} values in {seen} are negative "
                f"(lowest {tally.lowest:.4g}): scaled or corrected values do not say which genes "
                "a cell expresses most.",
                count=tally.n_negative,
            )
        )
    return problems


def _empty(tally: Tally, var: pd.DataFrame, *, is_whole: bool) -> list[Problem]:
    genes = _joined(tally.genes)
    n_empty = int((genes == 0).sum())
    if len(genes) and n_empty == len(genes) and not tally.n_negative:
        message = f"None of the {len(genes):,} cells looked at expresses any gene."
        mend = "choose another slot, or read the file again from its source"
        return [Problem("nothing-expressed", "refuse", message, mend, n_empty)]
    problems = []
    if n_empty:
        message = f"{n_empty:,} of {len(genes):,} cells express no gene; they get empty sentences."
        mend = "`sc.pp.filter_cells(adata, min_genes=1)`"
        problems.append(Problem("empty-cells", "warn", message, mend, n_empty))
    if is_whole and tally.cells_of_gene is not None:
        silent = np.flatnonzero(tally.cells_of_gene == 0)
        if len(silent):
            message = f"{len(silent):,} of {len(var):,} genes are expressed in no cell."
            examples = tuple(map(str, var.index[silent[:3]]))
            problems.append(Problem("empty-genes", "note", message, None, len(silent), examples))
    return problems


def _poor_cells(tally: Tally) -> list[Problem]:
    genes = _joined(tally.genes)
    problems = []
    if len(genes) and genes.min() == len(tally.is_mitochondrial) >= MANY_GENES:
        message = (
            "Every cell expresses every gene: the values were imputed or something was added to "
            "them, so that genes without a molecule are named too."
        )
        problems.append(Problem("no-zeros", "warn", message, "choose the slot of counts"))
    n_poor = int(((genes > 0) & (genes < FEW_GENES)).sum())
    if n_poor and len(tally.is_mitochondrial) >= WHOLE_TRANSCRIPTOME:
        message = f"{n_poor:,} of {len(genes):,} cells express fewer than {FEW_GENES} genes."
        mend = f"`sc.pp.filter_cells(adata, min_genes={FEW_GENES})`, if they are debris"
        severity: Severity = "warn" if n_poor > 0.2 * len(genes) else "note"
        problems.append(Problem("few-genes", severity, message, mend, n_poor))
    shares = _mitochondrial_shares(tally)
    n_high = 0 if shares is None else int((shares > HIGH_MITOCHONDRIAL).sum())
    if n_high:
        message = (
            f"{n_high:,} of {len(genes):,} cells have more than {HIGH_MITOCHONDRIAL:.0%} "
            "mitochondrial molecules, as dying cells do."
        )
        severity = "warn" if n_high > 0.1 * len(genes) else "note"
        problems.append(Problem("high-mitochondrial", severity, message, None, n_high))
    return problems


def _mitochondrial_shares(tally: Tally) -> NDArray[np.float64] | None:
    """Give each expressed cell's share; None in a panel of genes or on an unknown scale."""
    if not tally.is_mitochondrial.any() or len(tally.is_mitochondrial) < WHOLE_TRANSCRIPTOME:
        return None
    if tally.kind.kind in {"scaled", "unknown"}:
        return None
    sums = _joined(tally.sums)
    shares = _joined(tally.mitochondrial)[sums > 0] / sums[sums > 0]
    return shares if len(shares) else None


def _joined(parts: list[Sums]) -> Sums:
    return np.concatenate(parts) if parts else np.zeros(0)
