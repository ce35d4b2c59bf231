"""The axis of a plot: where numbers stand, and which are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_MOST_STEPS = 6
_DECADES = 100.0
"""Positive numbers that differ by more than this factor stand on a logarithmic axis."""


@dataclass(frozen=True)
class Axis:
    """An axis from its first tick to its last."""

    ticks: tuple[float, ...]
    """Numbers that are written, rising."""
    logarithmic: bool = False
    """Whether equal steps are equal factors."""

    def place(self, value: float) -> float:
        """Say where a number stands: 0 is the first tick and 1 the last."""
        low, high = self.ticks[0], self.ticks[-1]
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return (value - low) / (high - low)


def axis_of(values: ArrayLike) -> Axis:
    """Choose an axis that holds all numbers: 0 to 1 where they fit, with 0 in any case.

    Parameters
    ----------
    values
        Numbers, of any shape; those that are not finite are left out.

    Examples
    --------
    >>> axis_of([0.2, 0.9]).ticks
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    >>> axis_of([-0.1, 0.35]).ticks
    (-0.1, 0.0, 0.1, 0.2, 0.3, 0.4)
    >>> axis_of([30.0, 9000.0]).ticks
    (10.0, 100.0, 1000.0, 10000.0)
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if low >= 0 and high <= 1:
        return Axis((0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    if low > 0 and high / low > _DECADES:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return Axis(tuple(10.0**power for power in range(first, last + 1)), logarithmic=True)
    low, high = min(low, 0.0), max(high, 0.0)
    step = _step(high - low)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(tuple(round(place * step, 12) for place in range(first, last + 1)))


def _step(span: float) -> float:
    """Give the smallest of 1, 2 and 5 times a power of ten that needs few steps."""
    power = 10.0 ** math.floor(math.log10(span / _MOST_STEPS))
    return next(power * by for by in (1, 2, 5, 10) if span / (power * by) <= _MOST_STEPS)
