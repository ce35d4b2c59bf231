"""Confidence intervals by drawing whole groups again: donors, studies, perturbations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import rng_for
from celloquy.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

N_RESAMPLES = 1000
LEVEL = 0.95
FEW_GROUPS = 10
"""Below this many groups an interval of this kind is too narrow more often than it says."""


@dataclass(frozen=True)
class Interval:
    """Where a number lies when whole groups are drawn again with replacement."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""
    n_groups: int
    """Number of groups that were drawn from."""
    level: float = LEVEL
    """Share of resamples between the ends."""

    def __str__(self) -> str:
        """Write both ends."""
        return f"[{self.low:.3f}, {self.high:.3f}]"

    def to_dict(self) -> dict[str, float]:
        """Give the fields by name."""
        return asdict(self)


def drawn_groups(
    n_groups: int, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> NDArray[np.int64]:
    """Say how often each resample holds each group; shape ``(n_resamples, n_groups)``.

    Raises
    ------
    InputError
        If there are fewer than two groups, or no resample.
    """
    if n_groups < 2:
        msg = f"There is {n_groups} group; an interval over groups needs two or more."
        raise InputError(msg, hint="name a column with several donors or studies.")
    if n_resamples < 1:
        msg = f"`n_resamples` must be at least 1, got {n_resamples}."
        raise InputError(msg, hint="leave it out to draw 1,000 times.")
    shares = np.full(n_groups, 1 / n_groups)
    drawn = rng_for(seed, "bootstrap over groups").multinomial(n_groups, shares, n_resamples)
    return np.asarray(drawn, dtype=np.int64)


def interval_of(values: ArrayLike, *, n_groups: int) -> Interval | None:
    """Give the middle 95 % of the resamples' values; `None` where none of them is a number."""
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), n_groups)


def mean_interval(
    values: ArrayLike, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Interval | None:
    """Give the interval of a mean over groups, one number a group.

    Groups are drawn again with replacement (percentile bootstrap, Efron and Tibshirani, 1993).

    Parameters
    ----------
    values
        One number a group (donor, study, perturbation); those that are NaN are left out.
    n_resamples
        How often groups are drawn.
    seed
        Seed of the draws.

    Returns
    -------
    The interval; `None` with fewer than two groups, for which there is none.

    Examples
    --------
    Two groups: every resample's mean is 0, 1/2 or 1.

    >>> str(mean_interval([0.0, 1.0])), mean_interval([0.5])
    ('[0.000, 1.000]', None)
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return None
    drawn = drawn_groups(len(known), n_resamples=n_resamples, seed=seed)
    return interval_of(drawn @ known / len(known), n_groups=len(known))


def group_notes(n_groups: int, *, named: str) -> tuple[str, ...]:
    """Say what an interval over so few groups is worth.

    Parameters
    ----------
    n_groups
        How many there are.
    named
        What they are called: a column.
    """
    if n_groups < 2:
        return (f"All cells are of one {named}, so there is no interval.",)
    if n_groups < FEW_GROUPS:
        few = f"Intervals draw {n_groups} groups ({named}) again; with fewer than {FEW_GROUPS}"
        return (f"{few} they are rather too narrow.",)
    return ()
