"""The rows of a suite's tables, as text: the same in HTML and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.evaluation._suite_job import Metric


def summary_columns(rows: pd.DataFrame, metrics: Sequence[Metric]) -> dict[str, str]:
    """Name the columns of a kind's summary with their titles; empty ones are left out.

    Parameters
    ----------
    rows
        Rows of one kind of the summary.
    metrics
        Metrics that have a number there, the headline first.
    """
    headline, *others = metrics
    columns = {
        headline.name: headline.titled,
        "interval": "95 %" if rows["low"].notna().any() else "",
        "sd": "± draws" if rows["sd"].notna().any() else "",
        "against_default": "minus the default" if (rows["against_default"] != "").any() else "",
        "wilcoxon_p": "p" if rows["wilcoxon_p"].notna().any() else "",
        **{each.name: each.titled for each in others},
        "seconds": "time, s",
        "n_cases": "cases",
        "n_draws": "draws",
        "n_obs": "cells judged",
    }
    return {name: title for name, title in columns.items() if title}


def summary_cells(
    row: pd.Series, columns: Mapping[str, str], metrics: Sequence[Metric]
) -> list[str]:
    """Write one row of the summary.

    Parameters
    ----------
    row
        A row of the summary.
    columns
        What :func:`summary_columns` gave.
    metrics
        Metrics that have a number there, the headline first.
    """
    digits = {each.name: each.digits for each in metrics} | {"seconds": 2}
    cells = []
    for name in columns:
        if name == "interval":
            d = metrics[0].digits
            cells.append(
                "" if np.isnan(row["low"]) else f"{row['low']:.{d}f} to {row['high']:.{d}f}"
            )
        elif name == "against_default":
            cells.append(str(row[name]))
        elif name == "wilcoxon_p":
            cells.append("" if np.isnan(row[name]) else f"{row[name]:.2g}")
        elif name.startswith("n_"):
            cells.append(f"{int(row[name])}")
        else:
            cells.append(_number(float(row[name]), digits.get(name, metrics[0].digits)))
    return cells


def number_with_interval(row: pd.Series, headline: Metric) -> str:
    """Write the headline of a row of the summary with its interval.

    Parameters
    ----------
    row
        A row of the summary.
    headline
        The metric.
    """
    said = _number(float(row[headline.name]), headline.digits)
    if np.isnan(row["low"]):
        return said
    low, high = (f"{row[end]:.{headline.digits}f}" for end in ("low", "high"))
    return f"{said} [{low}, {high}]"


NOT_APPLICABLE = "Not applicable"
NOT_APPLICABLE_HEADS = ("cases", "method", "number", "because")
"""Heads of the table of what was not measured."""


def markdown_row(cells: Iterable[object]) -> str:
    """Write one row of a Markdown table."""
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def case_cells(values: NDArray[np.float64], metric: Metric) -> list[str]:
    """Write one metric of a case for every method; empty where there is none."""
    return [_number(float(value), metric.digits) for value in values]


def _number(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"
