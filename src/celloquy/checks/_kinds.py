"""What the values of one slot are: counts, logarithms, scaled values; how sure, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy.sparse as sp

from celloquy.checks._scales import MOST_MOLECULES, Fit, measure_fits

if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Matrix: TypeAlias = Any

__all__ = ["Kind", "SlotKind", "slot_kind"]

Kind = Literal["counts", "log1p", "log2", "log10", "cpm", "scaled", "unknown"]
"""What the values of a slot are."""

MOST_STORED = 1_000_000
"""Stored values that a verdict rests on; cells are left out evenly until they fit."""
WHOLE_WITHIN = 1e-3
"""How far from a whole number a count may lie: room for counts that went through float16."""
SAME_TOTAL = 5e-3
"""Cells have one total if their sums spread less: room for values rounded to two decimals."""
MOST_TOP_SHARE = 0.9
"""Where one gene is more of a cell than this, its sum is that gene's."""
MULTIPLES_WITHIN = 0.06
"""Values are multiples of one step if they lie closer on average; chance gives 0.25."""
ZERO = 1e-30
"""Smaller values are noise of a computation that should have given zero."""
CLEAR = 3.0
"""The best scale must be this many times better than the next."""


@dataclass(frozen=True)
class SlotKind:
    """What one slot holds, how sure that is, and what says so."""

    kind: Kind
    """``"counts"`` (molecules or reads), ``"log1p"`` / ``"log2"`` / ``"log10"`` (logarithm of
    1 + x, natural / base 2 / base 10), ``"cpm"`` (normalised, no logarithm), ``"scaled"``
    (holds negative values, as z-scores do) or ``"unknown"``."""
    confidence: float
    """How sure, in [0, 1]; a judgement in steps, not a frequency."""
    evidence: str
    """What was seen, in words."""


def slot_kind(sample: Matrix) -> SlotKind:
    """Tell what expression values are, from the values of some cells.

    Whole numbers are counts and negatives are scaled values. Anything else is tried as each of
    log1p, log2(1 + x), log10(1 + x) and plain normalised values: on the right scale all cells
    have one total, and the values of one cell are whole multiples of one number. The second
    mark holds for a panel of genes and for a single cell too. The largest value alone says
    nothing: deep cells exceed every threshold.

    Parameters
    ----------
    sample
        Cells by genes, shape ``(n_obs, n_vars)``; a scipy sparse matrix or array, or a dense
        array; any dtype; best spread over the whole source. Not changed.

    Returns
    -------
    The kind. NaN and infinite values are left aside: they are another check's subject.

    Examples
    --------
    >>> counts = np.array([[1.0, 2.0, 0.0, 5.0], [0.0, 3.0, 1.0, 0.0]])
    >>> slot_kind(counts).kind
    'counts'
    >>> logs = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    >>> slot_kind(logs)
    SlotKind(kind='log1p', confidence=0.95,
    evidence='undone (expm1), every cell adds up to 10,000 and the values of a cell are whole
    multiples of one number')
    """
    dense = None if sp.issparse(sample) else np.asarray(sample, dtype=np.float64)
    values, offsets = _finite_values(sp.csr_matrix(sample if dense is None else dense))
    if len(values) == 0:
        return SlotKind("unknown", 0.0, "every value is zero, or no value is a number")
    if values.min() < 0:
        return _kind_of_negatives(values)
    whole = (np.abs(values - np.round(values)) <= WHOLE_WITHIN) & (values >= 0.5)
    whole_share = float(whole.mean())
    if whole_share >= 0.999:
        return _kind_of_whole_numbers(values, offsets)
    fits = measure_fits(values, offsets)
    return (
        _kind_of_shifted_counts(values)
        or _kind_by_fits(fits, n_cells=len(offsets) - 1)
        or _kind_by_shape(values, fits, whole_share=whole_share, n_vars=sample.shape[1])
    )


def _finite_values(matrix: sp.csr_matrix) -> tuple[Floats, NDArray[np.int64]]:
    """Give the finite values other than zero, and where each cell that has any begins."""
    if matrix.nnz > MOST_STORED:
        n_cells = max(1, int(matrix.shape[0] * MOST_STORED / matrix.nnz))
        matrix = matrix[np.unique(np.linspace(0, matrix.shape[0] - 1, n_cells).astype(np.int64))]
    values = matrix.data.astype(np.float64)
    kept = np.isfinite(values) & (np.abs(values) > ZERO)
    cell = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[kept]
    per_cell = np.bincount(cell, minlength=matrix.shape[0])
    offsets = np.concatenate([[0], np.cumsum(per_cell[per_cell > 0])]).astype(np.int64)
    return values[kept], offsets


def _kind_of_negatives(values: Floats) -> SlotKind:
    share = float((values < 0).mean())
    seen = f"{share:.2%} of the values are negative, the lowest is {values.min():.4g}"
    if np.abs(values - np.round(values)).max() <= WHOLE_WITHIN:
        return SlotKind("unknown", 0.5, f"whole numbers, but {seen}")
    return SlotKind("scaled", 0.99 if share > 0.01 else 0.8, seen)


def _kind_of_whole_numbers(values: Floats, offsets: NDArray[np.int64]) -> SlotKind:
    """Tell counts from values per million that somebody rounded."""
    if values.max() > MOST_MOLECULES:
        return SlotKind("unknown", 0.5, f"whole numbers up to {values.max():.4g}: too large")
    smallest = np.minimum.reduceat(values, offsets[:-1])
    sums = np.add.reduceat(values, offsets[:-1])
    if len(sums) > 2 and np.median(smallest) >= 2 and sums.std() < SAME_TOTAL * sums.mean():
        seen = f"whole numbers, but every cell adds up to about {np.median(sums):,.0f} and few are"
        return SlotKind("cpm", 0.8, f"{seen} 1: normalised and rounded")
    if values.max() <= 1:
        return SlotKind("counts", 0.7, "only 0 and 1: counts of very few molecules, or on/off")
    confidence = 0.99 if len(values) >= 20 else 0.8
    return SlotKind("counts", confidence, f"whole numbers from 0 to {values.max():,.0f}")


def _kind_of_shifted_counts(values: Floats) -> SlotKind | None:
    """Find counts to which one fraction was added everywhere."""
    if len(values) < 20 or values.max() - values.min() < 2:
        return None
    fraction = float(np.median(values % 1))
    shifted = np.abs((values - fraction + 0.5) % 1 - 0.5) <= WHOLE_WITHIN
    if shifted.mean() < 0.999:
        return None
    return SlotKind("unknown", 0.9, f"every value is a whole number plus {fraction:.4g}")


def _kind_by_fits(fits: tuple[Fit, ...], *, n_cells: int) -> SlotKind | None:
    """Decide by equal totals and whole multiples; None where neither is clear."""
    bare = [fit for fit in fits if fit.whole_share >= 0.999 and fit.n_multiples >= 3]
    if len(bare) == 1:
        return _describe(bare[0], has_total=False, has_multiples=True)
    even = [(fit.spread, fit) for fit in fits if fit.top_share < MOST_TOP_SHARE]
    by_total = _clear_best(even, below=SAME_TOTAL, floor=1e-6)
    by_multiples = _clear_best(
        [(fit.distance, fit) for fit in fits], below=MULTIPLES_WITHIN, floor=1e-3
    )
    if by_multiples is not None and by_multiples.n_multiples < 3:
        by_multiples = None
    if by_total is not None and by_multiples is not None and by_total is not by_multiples:
        return None
    best = by_total or by_multiples
    if best is None:
        return None
    return _describe(best, has_total=by_total is not None, has_multiples=by_multiples is not None)


def _clear_best(ranked: list[tuple[float, Fit]], *, below: float, floor: float) -> Fit | None:
    """Give the fit of the lowest mark if it is below a limit and well ahead of the next."""
    ranked = sorted(ranked, key=lambda pair: pair[0])
    if not ranked or ranked[0][0] >= below:
        return None
    if len(ranked) > 1 and ranked[1][0] < CLEAR * max(ranked[0][0], floor):
        return None
    return ranked[0][1]


READINGS: dict[str, tuple[Kind, str]] = {
    "cpm": ("cpm", ""),
    "log1p": ("log1p", "undone (expm1), "),
    "log2": ("log2", "undone (2^x - 1), "),
    "log10": ("log10", "undone (10^x - 1), "),
    "log1p twice": ("unknown", "log1p was taken twice: undone (expm1 of expm1), "),
    "square root": ("unknown", "square roots: undone (x^2), "),
}
"""The kind that each scale means, and how its evidence begins."""


def _describe(fit: Fit, *, has_total: bool, has_multiples: bool) -> SlotKind:
    many = has_multiples and fit.n_multiples >= 30
    confidence = 0.99 if has_total and many else 0.95 if has_total or many else 0.8
    total = f"{fit.total:,.0f}" if fit.total >= 100 else f"{fit.total:.4g}"
    marks = []
    if has_total:
        marks.append(f"every cell adds up to {total}")
    if has_multiples and not has_total and fit.whole_share >= 0.999:
        marks.append("the values are whole numbers: cells were not normalised")
    elif has_multiples:
        marks.append("the values of a cell are whole multiples of one number")
    kind, beginning = READINGS[fit.scale]
    return SlotKind(kind, confidence, beginning + " and ".join(marks))


def _kind_by_shape(
    values: Floats, fits: tuple[Fit, ...], *, whole_share: float, n_vars: int
) -> SlotKind:
    """Judge what keeps neither mark: estimated counts, or genes left out after normalising."""
    some_whole = whole_share >= 0.3 or (whole_share >= 0.1 and values.max() > 10)
    if some_whole and values.max() <= MOST_MOLECULES:
        seen = f"{whole_share:.0%} of the values are whole numbers, the rest are not"
        return SlotKind("counts", 0.6, f"{seen}: corrected or estimated counts")
    even = [(fit.spread, fit) for fit in fits if fit.top_share < MOST_TOP_SHARE]
    nearly = _clear_best(even, below=0.1, floor=1e-6)
    if nearly is not None and READINGS[nearly.scale][0] != "unknown":
        described = _describe(nearly, has_total=True, has_multiples=False)
        seen = described.evidence.replace("adds up to", "adds up to about")
        return SlotKind(described.kind, 0.6, f"{seen} (spread {nearly.spread:.1%})")
    seen = f"values are not whole and go up to {values.max():.4g}"
    uneven = any(fit.scale == "cpm" and fit.spread > 0.2 for fit in fits)
    if values.max() > 100 and uneven and n_vars >= 5_000:
        return SlotKind("counts", 0.5, f"{seen}, and cells differ in total: estimated counts")
    return SlotKind("unknown", 0.5, f"{seen}; no scale gives cells of one total or whole multiples")
