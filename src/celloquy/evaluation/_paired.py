"""Is one model better than another? Paired tests over groups, with their number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.evaluation._intervals import N_RESAMPLES, Interval, mean_interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05
"""A p below this is called a difference."""
LEAST_GROUPS = 6
"""Fewest groups whose two-sided test can go below :data:`LEVEL`: 2 / 2⁶ = 0.031."""
_ENUMERATED = 12
"""Up to this many differences with ties, every choice of signs is tried (4,096)."""


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same groups: one number a group and model."""

    difference: float
    """Mean over groups of the first minus the second."""
    interval: Interval | None
    """95 % interval of that mean over groups; `None` with fewer than two."""
    wilcoxon_p: float
    """Two-sided Wilcoxon signed-rank test (1945); NaN with fewer than two groups."""
    sign_p: float
    """Two-sided sign test: only how many groups are better counts; NaN with fewer than two."""
    n_groups: int
    """Groups with a number on both sides."""
    n_better: int
    """Groups where the first is larger."""
    n_worse: int
    """Groups where the second is larger; the others are equal."""
    notes: tuple[str, ...] = field(default=())
    """What the numbers cannot say."""

    def to_dict(self) -> dict[str, Any]:
        """Give the fields by name; what is no number is `None`."""
        held = {name: getattr(self, name) for name in self.__dataclass_fields__}
        held |= {name: None for name in ("wilcoxon_p", "sign_p") if np.isnan(held[name])}
        interval = None if self.interval is None else self.interval.to_dict()
        return held | {"interval": interval, "notes": list(self.notes)}

    def __str__(self) -> str:
        """Write the difference, both tests and the number of groups."""
        interval = f" {self.interval}" if self.interval else ""
        said = f"{self.difference:+.3f}{interval}, better in {self.n_better} and worse in "
        said += f"{self.n_worse} of {self.n_groups} groups"
        if np.isnan(self.sign_p):
            return said
        return f"{said}; Wilcoxon p = {self.wilcoxon_p:.3g}, sign test p = {self.sign_p:.3g}"


def paired_test(
    first: ArrayLike, second: ArrayLike, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> PairedTest:
    """Test whether two models differ, over groups that both were measured on.

    Groups are donors, studies or pairs of studies, never cells: cells of one donor are no
    independent trials. Groups with equal numbers take no part in either test.

    Parameters
    ----------
    first
        One number a group; shape ``(n_groups,)``.
    second
        The other model's, in the same order; shape ``(n_groups,)``.
    n_resamples
        How often groups are drawn for the interval.
    seed
        Seed of the draws.

    Returns
    -------
    The mean difference, its interval and both tests.

    Raises
    ------
    InputError
        If the lengths differ, or no group has a number on both sides.

    Notes
    -----
    With n groups the least p of either test is 2 / 2ⁿ: five groups cannot reach 0.05.

    Examples
    --------
    All of four groups are better: 2 of the 16 choices of signs are as extreme.

    >>> test = paired_test([0.9, 0.8, 0.7, 0.6], [0.8, 0.6, 0.4, 0.2])
    >>> test.n_better, test.wilcoxon_p, test.sign_p, round(test.difference, 3)
    (4, 0.125, 0.125, 0.25)
    """
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != other.shape or one.ndim != 1:
        msg = f"The first model has {one.size} numbers and the second {other.size}."
        raise InputError(msg, hint="pass one number a group, the same groups in the same order.")
    both = np.isfinite(one) & np.isfinite(other)
    if not both.any():
        msg = f"None of {len(one)} groups has a number of both models."
        raise InputError(msg, hint="measure both models on the same groups.")
    gap = np.round(one[both] - other[both], 12)  # 0.3 - 0.2 and 0.2 - 0.1 are one rank
    n_better, n_worse = int((gap > 0).sum()), int((gap < 0).sum())
    wilcoxon_p, sign_p = _tests(gap) if len(gap) > 1 else (float("nan"), float("nan"))
    return PairedTest(
        difference=float(gap.mean()),
        interval=mean_interval(gap, n_resamples=n_resamples, seed=seed),
        wilcoxon_p=wilcoxon_p,
        sign_p=sign_p,
        n_groups=len(gap),
        n_better=n_better,
        n_worse=n_worse,
        notes=tuple(_notes(len(gap), n_better + n_worse)),
    )


def _tests(gap: NDArray[np.float64]) -> tuple[float, float]:
    from scipy.stats import PermutationMethod, binomtest, wilcoxon

    moved = gap[gap != 0]
    if len(moved) < 2:  # one difference is as likely up as down
        return 1.0, 1.0
    tied = len(np.unique(np.abs(moved))) < len(moved)  # without ties the exact table is at hand
    signs = PermutationMethod(n_resamples=2**_ENUMERATED)
    p = wilcoxon(moved, method=signs if tied and len(moved) <= _ENUMERATED else "auto").pvalue
    return float(p), float(binomtest(int((moved > 0).sum()), len(moved)).pvalue)


def _notes(n_groups: int, n_moved: int) -> list[str]:
    if n_groups < 2:
        return ["One group is no test: the difference stands without one."]
    if n_moved < LEAST_GROUPS:
        return [f"With {n_moved} groups that differ, no p can be below {least_p(n_moved):.3g}."]
    return []


def least_p(n_groups: int) -> float:
    """Give the least p of either two-sided test: all groups on one side.

    Parameters
    ----------
    n_groups
        Groups that differ.

    Examples
    --------
    >>> [least_p(n) for n in (0, 1, 5, 6)]
    [1.0, 1.0, 0.0625, 0.03125]
    """
    return min(1.0, 2.0 ** (1 - n_groups))
