"""The scales that expression values may be on, and how well a sample fits each of them.

Two marks of a scale survive in the numbers. Normalisation brings all cells to one total, so
once the logarithm is undone the cells' sums agree. And sequencing counts whole molecules, so
once the logarithm is undone the values of one cell are whole multiples of one number. The
second holds for a panel of a few hundred genes too, where the sums no longer agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["MOST_MOLECULES", "SCALES", "Fit", "measure_fits"]

MOST_CELLS = 300
"""Cells whose values are compared with multiples; more would not change the mean."""
MOST_VALUES = 400
"""Distinct values, smallest first, that one cell adds."""
LARGEST_MULTIPLE = 100.0
"""Above this many times the smallest value, rounding of float32 blurs whole multiples."""
WHOLE_WITHIN = 2e-4
"""How far from a whole number a value may be, as a share of it: room for three decimals."""
MOST_MOLECULES = 1e9
"""No gene of a cell has more, on any scale; a logarithm that would need it is ruled out."""


def _unchanged(values: Floats) -> Floats:
    return values


def _exp2_minus_1(values: Floats) -> Floats:
    return np.asarray(np.expm1(values * np.log(2.0)))


def _exp10_minus_1(values: Floats) -> Floats:
    return np.asarray(np.expm1(values * np.log(10.0)))


def _expm1_twice(values: Floats) -> Floats:
    return np.asarray(np.expm1(np.expm1(values)))


SCALES: dict[str, tuple[Callable[[Floats], Floats], float]] = {
    "cpm": (_unchanged, MOST_MOLECULES),
    "log1p": (np.expm1, float(np.log1p(MOST_MOLECULES))),
    "log2": (_exp2_minus_1, float(np.log2(1 + MOST_MOLECULES))),
    "log10": (_exp10_minus_1, float(np.log10(1 + MOST_MOLECULES))),
    "log1p twice": (_expm1_twice, float(np.log1p(np.log1p(MOST_MOLECULES)))),
    "square root": (np.square, float(np.sqrt(MOST_MOLECULES))),
}
"""What undoes each scale (to something proportional to molecules), and its largest value."""


@dataclass(frozen=True)
class Fit:
    """How well one scale explains a sample."""

    scale: str
    """A key of `SCALES`."""
    total: float
    """Median sum of a cell once the scale is undone."""
    spread: float
    """Standard deviation of those sums over their mean; infinite for fewer than two cells."""
    top_share: float
    """Median share of a cell's largest value in its sum: near 1 where a wrong scale blows one
    value up, so that equal sums say nothing."""
    whole_share: float
    """Share of whole numbers among values up to 100, once the scale is undone; 0 where few are
    so small."""
    distance: float
    """Mean distance of a cell's values, in units of its step, from whole numbers: 0 for whole
    multiples, about 0.25 for anything else; infinite where no cell holds two values."""
    n_multiples: int
    """Values that the distance rests on."""


def measure_fits(values: Floats, offsets: NDArray[np.int64]) -> tuple[Fit, ...]:
    """Measure the scales that the positive values of some cells can be on.

    Parameters
    ----------
    values
        Positive finite values, cell after cell; shape ``(n,)``, ``n > 0``.
    offsets
        Where each cell begins in `values`; shape ``(cells + 1,)``; no cell is empty.

    Returns
    -------
    One fit a scale in the order of `SCALES`, without those whose values cannot be so large.
    """
    cells = _distinct_values(values, offsets)
    largest = values.max()
    fits = []
    for scale, (undo, limit) in SCALES.items():
        if largest > limit:
            continue
        undone = undo(values)
        sums = np.add.reduceat(undone, offsets[:-1])
        spread = float(sums.std() / sums.mean()) if len(sums) > 1 else float("inf")
        distance, n_multiples = _distance_from_multiples([undo(cell) for cell in cells])
        fits.append(
            Fit(
                scale=scale,
                total=float(np.median(sums)),
                spread=spread,
                top_share=float(np.median(np.maximum.reduceat(undone, offsets[:-1]) / sums)),
                whole_share=_whole_share(undone),
                distance=distance,
                n_multiples=n_multiples,
            )
        )
    return tuple(fits)


def _whole_share(undone: Floats) -> float:
    """Give the share of whole numbers among small values: large ones are near one anyway."""
    small = undone[undone <= LARGEST_MULTIPLE]
    if len(small) < 0.2 * len(undone):
        return 0.0
    whole = (np.abs(small - np.round(small)) <= WHOLE_WITHIN * small) & (small >= 0.5)
    return float(whole.mean())


def _distinct_values(values: Floats, offsets: NDArray[np.int64]) -> list[Floats]:
    """Give the distinct values of evenly spread cells, smallest first."""
    n_cells = len(offsets) - 1
    chosen = np.unique(np.linspace(0, n_cells - 1, min(n_cells, MOST_CELLS)).astype(np.int64))
    distinct = [np.unique(values[offsets[cell] : offsets[cell + 1]]) for cell in chosen]
    return [cell[:MOST_VALUES] for cell in distinct if len(cell) > 1]


def _distance_from_multiples(cells: list[Floats]) -> tuple[float, int]:
    """Give the mean distance from whole multiples, and the number of values it rests on."""
    total, n_multiples = 0.0, 0
    for undone in cells:
        ratios = undone[1:] / undone[0]
        ratios = ratios[(ratios <= LARGEST_MULTIPLE) & (ratios > 1.0 + 1e-4)]
        if len(ratios):
            total += _smallest_distance(ratios) * len(ratios)
            n_multiples += len(ratios)
    return (total / n_multiples if n_multiples else float("inf")), n_multiples


def _smallest_distance(ratios: Floats) -> float:
    """Try how many molecules a cell's smallest value stands for: one, unless others fit better.

    A cell with a handful of values would fit any multiple by chance, so it keeps to one.
    """
    best = float("inf")
    for molecules in (1, 2, 3, 4) if len(ratios) >= 8 else (1,):
        multiples = ratios * molecules
        distance = float(np.abs(multiples - np.round(multiples)).mean())
        if distance < 0.5 * best:
            best = distance
    return best
