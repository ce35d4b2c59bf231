"""What the results of a suite say: means with intervals over units, and paired differences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy.evaluation._intervals import Interval, drawn_groups, interval_of
from celloquy.evaluation._paired import LEAST_GROUPS, LEVEL, PairedTest, paired_test

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from celloquy.evaluation._suite_job import Metric

LM_ROLE, DEFAULT_ROLE = "language model", "default"
WITHOUT_LM = (DEFAULT_ROLE, "baseline", "other")
"""Roles of what stands for "without a language model": no controls, no ceilings."""


@dataclass(frozen=True)
class Difference:
    """One method minus another on the same cases."""

    first: str
    """Title of the method."""
    second: str
    """Title of the method that it is compared with."""
    difference: float
    """Mean over cases of the headline, the first minus the second."""
    interval: Interval | None
    """95 % interval over units (study pairs, donors); `None` with fewer than two."""
    n_cases: int
    """Cases that both were measured on."""
    n_better: int
    """Cases where the first is ahead."""
    n_units: int
    """Units that are drawn."""
    n_units_better: int
    """Units where the first is ahead in the mean."""
    better: str = "high"
    """Which way of the headline is better."""
    test: PairedTest | None = None
    """Paired tests over the means of units; `None` with fewer than two."""
    digits: int = 3
    """Digits after the point in words."""

    @property
    def verdict(self) -> str:
        """``"ahead"``, ``"behind"``, ``"level"``, ``"too few"`` or ``"untold"``.

        Ahead and behind need an interval without 0 and a Wilcoxon p below 0.05; of fewer than six
        units no p is below that, so they are too few. Without an interval nothing is told.
        """
        if self.interval is None or not self.better:
            return "untold"
        if self.n_units < LEAST_GROUPS:
            return "too few"
        differs = self.test is not None and self.test.wilcoxon_p < LEVEL
        if not differs or self.interval.low <= 0 <= self.interval.high:
            return "level"
        return "ahead" if (self.interval.low > 0) == (self.better != "low") else "behind"

    @property
    def short(self) -> str:
        """The difference with its interval."""
        said = f"{self.difference:+.{self.digits}f}"
        if self.interval is None:
            return said
        low, high = (f"{end:.{self.digits}f}" for end in (self.interval.low, self.interval.high))
        return f"{said} [{low}, {high}]"

    def __str__(self) -> str:
        """Write the difference with its interval and how often the first is ahead."""
        said = f"{self.short}, ahead in {self.n_better} of {self.n_cases} cases"
        if self.n_units > 1:
            said += f" and in the mean of {self.n_units_better} of {self.n_units} units"
        if self.test is not None and not np.isnan(self.test.wilcoxon_p):
            said += f" (Wilcoxon p = {self.test.wilcoxon_p:.2g})"
        return said

    def to_dict(self) -> dict[str, Any]:
        """Give the fields by name, with the verdict."""
        test = None if self.test is None else self.test.to_dict()
        return asdict(self) | {"test": test, "verdict": self.verdict}


@dataclass(frozen=True, eq=False)
class Results:
    """The results of a suite, one row a method and case.

    Parameters
    ----------
    table
        What :func:`result_table` makes.
    metrics
        The metrics of the job, the headline first.
    """

    table: pd.DataFrame
    metrics: tuple[Metric, ...]

    @property
    def kinds(self) -> list[str]:
        """Kinds of cases, in their order."""
        return [str(kind) for kind in self.table["kind"].unique()]

    @property
    def default(self) -> str:
        """Name of the method that others are compared with; empty without any."""
        names = self.table.loc[self.table["role"] == DEFAULT_ROLE, "method"]
        return str(names.iloc[0]) if len(names) else ""

    def shown(self, kind: str) -> list[Metric]:
        """Give the metrics that have a number in a kind, its headline first."""
        part = self.table[self.table["kind"] == kind]
        known = [each for each in self.metrics if part[each.name].notna().any()]
        return known or [self.metrics[0]]

    def headline(self, kind: str) -> Metric:
        """Give the metric that methods of a kind are ordered and compared by."""
        return self.shown(kind)[0]

    def summary(self) -> pd.DataFrame:
        """Average each method over the cases of a kind; the best headline first.

        Cases of several draws are averaged over draws first; `sd` is the standard deviation of
        the mean over draws, NaN where there is one. The interval is over units, never over cells.
        """
        rows: list[dict[str, Any]] = []
        for kind in self.kinds:
            headline = self.headline(kind)
            here = self.table[self.table["kind"] == kind]
            found = [
                self._summarised(str(name), part)
                for name, part in here.groupby("method", sort=False)
            ]
            worst = -np.inf if headline.better != "low" else np.inf
            rows += sorted(
                found,
                key=lambda row: worst if np.isnan(row[headline.name]) else row[headline.name],
                reverse=headline.better != "low",
            )
        return pd.DataFrame(rows)

    def _summarised(self, method: str, part: pd.DataFrame) -> dict[str, Any]:
        first = part.iloc[0]
        headline = self.headline(str(first["kind"]))
        names = [each.name for each in self.metrics]
        means = _over_draws(part, [*names, "seconds"])
        known = means[means[headline.name].notna()]
        interval = unit_interval(known[headline.name], known["unit"].to_list())
        default = "" if method == self.default else self.default
        gap = self.difference(method, default, kind=first["kind"]) if default else None
        return {
            "kind": first["kind"],
            "headline": headline.name,
            "method": method,
            **{name: first[name] for name in ("title", "role", "lm")},
            **{name: means[name].mean() for name in (*names, "seconds")},
            "low": interval.low if interval else np.nan,
            "high": interval.high if interval else np.nan,
            "sd": part.groupby("seed")[headline.name].mean().std(),
            "n_cases": len(known),
            "n_draws": part["seed"].nunique(),
            "n_units": known["unit"].nunique(),
            "n_obs": int(part["n_obs"].sum()),
            "against_default": "" if gap is None else gap.short,
            "wilcoxon_p": np.nan if gap is None or gap.test is None else gap.test.wilcoxon_p,
        }

    def difference(self, first: str, second: str, *, kind: str) -> Difference | None:
        """Compare two methods on the cases that both were measured on; `None` without any.

        Parameters
        ----------
        first
            Name of a method.
        second
            Name of the one that it is compared with.
        kind
            Kind of the cases.
        """
        headline = self.headline(kind)
        part = self.table[(self.table["kind"] == kind) & self.table[headline.name].notna()]
        sides = [part[part["method"] == name].set_index("case") for name in (first, second)]
        both = sides[0].index.intersection(sides[1].index)
        if not len(both):
            return None
        one, other = (side.loc[both] for side in sides)
        paired = one[["reference", "query", "unit"]].assign(
            one=one[headline.name], other=other[headline.name]
        )
        cases = _over_draws(paired, ["one", "other"])
        gap = (cases["one"] - cases["other"]).to_numpy()
        units = cases.groupby("unit")[["one", "other"]].mean()
        sign = -1 if headline.better == "low" else 1
        unit_gap = (units["one"] - units["other"]).to_numpy()
        return Difference(
            str(one["title"].iloc[0]),
            str(other["title"].iloc[0]),
            float(gap.mean()),
            unit_interval(gap, cases["unit"].to_list()),
            len(cases),
            int((sign * gap > 0).sum()),
            len(units),
            int((sign * unit_gap > 0).sum()),
            headline.better,
            paired_test(units["one"], units["other"]) if len(units) > 1 else None,
            headline.digits,
        )

    def best(
        self, roles: Sequence[str], *, kind: str, lm: str = "", but: Sequence[str] = ()
    ) -> str:
        """Name the method of some roles with the best mean headline; empty without any.

        Parameters
        ----------
        roles
            Roles that count.
        kind
            Kind of the cases.
        lm
            Language model of the methods.
        but
            Names of methods that do not count.
        """
        headline = self.headline(kind)
        part = self.table[(self.table["kind"] == kind) & self.table[headline.name].notna()]
        part = part[part["role"].isin(roles) & (part["lm"] == lm) & ~part["method"].isin(but)]
        if not len(part):
            return ""
        cases = part.groupby(["method", "reference", "query"])[headline.name].mean()
        means = cases.groupby("method").mean()
        return str(means.idxmin() if headline.better == "low" else means.idxmax())


def result_table(records: Sequence[dict[str, Any]], metrics: Sequence[Metric]) -> pd.DataFrame:
    """Make one row a result: method, case and metrics."""
    rows = []
    for found in records:
        method, case, too_few = found["method"], found["case"], found.get("too_few", {})
        rows.append(
            {
                "method": method["name"],
                "title": method["title"],
                "role": method["role"],
                "lm": method["lm"],
                "case": case["name"],
                **{key: case[key] for key in ("reference", "query", "kind", "unit", "seed")},
                **{each.name: found["metrics"].get(each.name) for each in metrics},
                "seconds": found["seconds"],
                "n_obs": found["n_obs"],
                "n_left_out": found.get("n_left_out", 0),
                "too_few": ", ".join(f"{name} ({n})" for name, n in too_few.items()),
            }
        )
    table = pd.DataFrame(rows)
    names = [each.name for each in metrics]
    table[names] = table[names].astype(float)
    return table


def unit_interval(values: ArrayLike, units: Sequence[str]) -> Interval | None:
    """Give the interval of the mean over cases, drawing whole units with all their cases.

    Parameters
    ----------
    values
        One number a case.
    units
        Unit of each case.

    Examples
    --------
    Two units, one of them with two cases: resamples have the means 0, 2/3 and 1.

    >>> str(unit_interval(np.array([0.0, 1.0, 1.0]), ["a", "b", "b"]))
    '[0.000, 1.000]'
    """
    names, place = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    if len(names) < 2:
        return None
    drawn = drawn_groups(len(names))
    sums = np.bincount(place, weights=np.asarray(values, dtype=float))
    return interval_of((drawn @ sums) / (drawn @ np.bincount(place)), n_groups=len(names))


def _over_draws(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Average over the draws of each case."""
    cases = table.groupby(["reference", "query", "unit"], sort=False)
    means: pd.DataFrame = cases[list(names)].mean().reset_index()
    return means
