"""What the results of a suite say: means with intervals over groups, and paired differences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy.evaluation._intervals import Interval, drawn_groups, interval_of

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADLINE = "macro_f1"
METRICS = (
    "macro_f1", "accuracy", "balanced_accuracy", "cohen_kappa", "coverage", "accuracy_answered",
    "calibration_error",
)  # fmt: skip
LM_ROLE, DEFAULT = "language model", "default"
JOINED = ("fusion", "with-default")
"""Methods of a language model that read expression, too."""


@dataclass(frozen=True)
class Difference:
    """One method minus another on the same cases."""

    first: str
    """Title of the method."""
    second: str
    """Title of the method that it is compared with."""
    difference: float
    """Mean over cases of macro-F1, the first minus the second."""
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

    @property
    def verdict(self) -> str:
        """``"ahead"``, ``"behind"``, ``"level"`` (the interval holds 0), or ``"untold"``."""
        if self.interval is None:
            return "untold"
        if self.interval.low > 0:
            return "ahead"
        return "behind" if self.interval.high < 0 else "level"

    def __str__(self) -> str:
        """Write the difference with its interval and how often the first is ahead."""
        said = f"{self.difference:+.3f}"
        if self.interval is not None:
            said += f" {self.interval}"
        said += f", ahead in {self.n_better} of {self.n_cases} cases"
        if self.n_units > 1:
            said += f" and in the mean of {self.n_units_better} of {self.n_units} units"
        return said

    def to_dict(self) -> dict[str, Any]:
        """Give the fields by name, with the verdict."""
        return asdict(self) | {"verdict": self.verdict}


def result_table(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
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
                **{name: found["metrics"][name] for name in METRICS},
                "seconds": found["seconds"],
                "n_obs": found["n_obs"],
                "n_left_out": found.get("n_left_out", 0),
                "too_few": ", ".join(f"{name} ({n})" for name, n in too_few.items()),
            }
        )
    table = pd.DataFrame(rows)
    table[list(METRICS)] = table[list(METRICS)].astype(float)
    return table


def summary_table(table: pd.DataFrame) -> pd.DataFrame:
    """Average each method over the cases of a kind; best macro-F1 first.

    Cases of several draws are averaged over draws first; `sd` is the standard deviation of the
    mean over draws, NaN where there is one. The interval is over units, never over cells.
    """
    rows = []
    for (kind, method), part in table.groupby(["kind", "method"], sort=False):
        cases = part.groupby(["reference", "query", "unit"], sort=False)
        means = cases[[*METRICS, "seconds"]].mean().reset_index()
        interval = unit_interval(means[HEADLINE].to_numpy(), means["unit"].to_list())
        first = part.iloc[0]
        rows.append(
            {
                "kind": kind,
                "method": method,
                **{name: first[name] for name in ("title", "role", "lm")},
                **{name: means[name].mean() for name in (*METRICS, "seconds")},
                "low": interval.low if interval else np.nan,
                "high": interval.high if interval else np.nan,
                "sd": part.groupby("seed")[HEADLINE].mean().std(),
                "n_cases": len(means),
                "n_draws": part["seed"].nunique(),
                "n_units": means["unit"].nunique(),
                "n_obs": int(part["n_obs"].sum()),
                "against_default": against_default(table, kind=str(kind), method=str(method)),
            }
        )
    ordered = pd.DataFrame(rows)
    place = {kind: i for i, kind in enumerate(table["kind"].unique())}
    ordered["place"] = ordered["kind"].map(place)
    ordered = ordered.sort_values(["place", HEADLINE], ascending=[True, False], kind="stable")
    return ordered.drop(columns="place").reset_index(drop=True)


def unit_interval(values: Any, units: Sequence[str]) -> Interval | None:  # noqa: ANN401 (array)
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
    sums = np.bincount(place, weights=values)
    return interval_of((drawn @ sums) / (drawn @ np.bincount(place)), n_groups=len(names))


def difference(table: pd.DataFrame, first: str, second: str, *, kind: str) -> Difference | None:
    """Compare two methods on the cases that both were measured on; `None` without any."""
    part = table[table["kind"] == kind]
    sides = [part[part["method"] == name].set_index("case") for name in (first, second)]
    both = sides[0].index.intersection(sides[1].index)
    if not len(both):
        return None
    one, other = (side.loc[both] for side in sides)
    gaps = pd.DataFrame({"unit": one["unit"], "gap": one[HEADLINE] - other[HEADLINE],
                         "reference": one["reference"], "query": one["query"]})  # fmt: skip
    cases = gaps.groupby(["reference", "query", "unit"])["gap"].mean().reset_index()
    by_unit = cases.groupby("unit")["gap"].mean()
    return Difference(
        str(one["title"].iloc[0]),
        str(other["title"].iloc[0]),
        float(cases["gap"].mean()),
        unit_interval(cases["gap"].to_numpy(), cases["unit"].to_list()),
        len(cases),
        int((cases["gap"] > 0).sum()),
        len(by_unit),
        int((by_unit > 0).sum()),
    )


def against_default(table: pd.DataFrame, *, kind: str, method: str) -> str:
    """Write what a method has more than the default, on the cases of both; empty where none."""
    found = None if method == DEFAULT else difference(table, method, DEFAULT, kind=kind)
    if found is None:
        return ""
    return f"{found.difference:+.3f} {found.interval or ''}".strip()


def best_method(
    table: pd.DataFrame, roles: Sequence[str], *, kind: str, lm: str = "", but: Sequence[str] = ()
) -> str:
    """Name the method of some roles with the highest mean macro-F1; empty without any."""
    part = table[(table["kind"] == kind) & table["role"].isin(roles) & (table["lm"] == lm)]
    part = part[~part["method"].isin(but)]
    if not len(part):
        return ""
    cases = part.groupby(["method", "reference", "query"])[HEADLINE].mean()
    return str(cases.groupby("method").mean().idxmax())


@dataclass(frozen=True)
class LmAnswer:
    """Whether a language model adds anything, on the cases of one kind."""

    kind: str
    """The kind of cases."""
    lm: str
    """The language model."""
    over_best: Difference
    """Its best method minus the best method without a language model."""
    alone: Difference | None
    """Its best method that reads no expression, minus the best without a language model."""
    over_default: Difference | None
    """The default joined with it, minus the default alone."""
    order: Difference | None
    """Its vectors minus those of the same genes in any order."""
    names: Difference | None
    """Its vectors minus those of cells whose genes carry the names of others."""

    def sentences(self) -> list[str]:
        """Answer in words, from the numbers."""
        best = self.over_best
        what = {
            "ahead": "It adds: ",
            "behind": "It adds nothing: ",
            "level": "No difference is shown: ",
            "untold": "Without groups there is no interval, and so no answer: ",
        }[best.verdict]
        said = [
            f"{what}its best method ({best.first}) against the best without a language model "
            f"({best.second}), macro-F1 {best}. Both were chosen as the best of several on these "
            "cases, which flatters the side with more to choose from."
        ]
        for found, words in (
            (self.alone, "Its vectors alone, by their best head, against the same"),
            (self.over_default, "The default joined with it, against the default alone"),
            (self.order, "What the order of genes gives it, against any order"),
            (self.names, "What the names of genes give it, against the names of other genes"),
        ):
            if found is not None:
                said.append(f"{words}: {found}.")
        return said

    def to_dict(self) -> dict[str, Any]:
        """Give all differences by name."""
        parts = {name: getattr(self, name) for name in ("alone", "over_default", "order", "names")}
        told = {name: part and part.to_dict() for name, part in parts.items()}
        return {"kind": self.kind, "lm": self.lm, "over_best": self.over_best.to_dict(), **told,
                "sentences": self.sentences()}  # fmt: skip


def what_lms_add(table: pd.DataFrame) -> list[LmAnswer]:
    """Answer for each kind of cases and language model whether it adds anything.

    Baselines are taken on the very cases that the language model was measured on.
    """
    answers = []
    for kind in table["kind"].unique():
        for lm in [name for name in table["lm"].unique() if name]:
            asked = table[(table["lm"] == lm) & (table["role"] == LM_ROLE)]
            seen = table[table["case"].isin(asked["case"])]
            of_lm = best_method(seen, [LM_ROLE], kind=kind, lm=lm)
            joined = [f"{lm} {name}" for name in JOINED]
            vectors = best_method(seen, [LM_ROLE], kind=kind, lm=lm, but=joined)
            without = best_method(seen, [DEFAULT, "baseline", "other"], kind=kind)
            over = difference(seen, of_lm, without, kind=kind) if of_lm and without else None
            if over is None:
                continue
            answers.append(
                LmAnswer(
                    kind,
                    lm,
                    over,
                    difference(seen, vectors, without, kind=kind),
                    difference(seen, f"{lm} with-default", DEFAULT, kind=kind),
                    difference(seen, f"{lm} logistic", f"{lm} shuffled", kind=kind),
                    difference(seen, f"{lm} logistic", f"{lm} renamed", kind=kind),
                )
            )
    return answers
