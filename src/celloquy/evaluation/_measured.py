"""Numbers with everything that stands beside them: intervals, baselines, a ceiling, notes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celloquy.evaluation._intervals import Interval


@dataclass(frozen=True)
class Meaning:
    """What a metric says, and how to read it."""

    what: str
    """What is counted."""
    source: str
    """Where it is defined."""
    best: float = 1.0
    """What the best result has."""
    lowest: float = 0.0
    """The least that it can be."""
    highest: float = 1.0
    """The most that it can be."""

    @property
    def arrow(self) -> str:
        """Say which way is better: up, down, or towards a value between."""
        if self.best == self.highest:
            return "↑"
        return "↓" if self.best == self.lowest else f"→{self.best:g}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """What was measured; ``str()`` of it reads well, :meth:`to_dict` is for machines."""

    meanings: ClassVar[Mapping[str, Meaning]] = {}
    """What each metric says, by its name."""
    title: ClassVar[str] = "result"
    """How the column of what was judged is headed."""

    metrics: dict[str, float]
    """Metrics of what was judged, by name; NaN where one is not defined."""
    intervals: dict[str, Interval] = field(default_factory=dict)
    """95 % intervals over groups, by metric; only those that have one."""
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    """The same metrics of cheap methods on the same cells, by the method's name."""
    ceiling: dict[str, float] = field(default_factory=dict)
    """The same metrics of one half of the real cells against the other half; may be empty."""
    n: dict[str, int] = field(default_factory=dict)
    """How many of what the numbers rest on."""
    notes: tuple[str, ...] = ()
    """What a reader must know to read the numbers rightly."""

    def table(self) -> pd.DataFrame:
        """Give one row a metric: what was judged, its interval, the ceiling, each baseline."""
        columns: dict[str, Any] = {
            "better": [self._arrow(name) for name in self.metrics],
            self.title: list(self.metrics.values()),
        }
        if self.intervals:
            columns["95 % interval"] = [str(self.intervals.get(name, "")) for name in self.metrics]
        if self.ceiling:
            columns["noise ceiling"] = [self.ceiling.get(name, np.nan) for name in self.metrics]
        for method, found in self.baselines.items():
            columns[method] = [found.get(name, np.nan) for name in self.metrics]
        return pd.DataFrame(columns, index=pd.Index(list(self.metrics), name="metric"))

    def to_dict(self) -> dict[str, Any]:
        """Give everything for machines; what is no number is `None`."""
        said = {
            "metrics": self.metrics,
            "intervals": {name: found.to_dict() for name, found in self.intervals.items()},
            "baselines": self.baselines,
            "ceiling": self.ceiling,
            "n": self.n,
            "meanings": {
                name: asdict(self.meanings[name]) for name in self.metrics if name in self.meanings
            },
            "notes": list(self.notes),
        }
        return {name: _plain(value) for name, value in said.items()}

    def __str__(self) -> str:
        """Write how much it rests on, the table, and the notes."""
        counted = ", ".join(f"{value:,} {name}" for name, value in self.n.items())
        shown = self.table().map(_shown)
        shown.index.name = None
        lines = [counted, "", shown.to_string()] if counted else [shown.to_string()]
        return "\n".join([*lines, *(f"\nnote: {note}" for note in self.notes)])

    def _arrow(self, name: str) -> str:
        meaning = self.meanings.get(name)
        return meaning.arrow if meaning else ""


def mean_of(rows: pd.DataFrame) -> dict[str, float]:
    """Give the mean of every column over the rows that have a number."""
    return {str(name): float(value) for name, value in rows.mean(skipna=True).items()}


def _shown(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "–" if math.isnan(value) else f"{value:.3f}"


def _plain(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """Write infinite numbers and NaN as `None`, whatever holds them."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
