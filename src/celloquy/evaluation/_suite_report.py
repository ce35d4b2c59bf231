"""The report of a suite, as HTML, Markdown and JSON from one set of numbers."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import atomic_path
from celloquy.evaluation._paired import LEAST_GROUPS, least_p
from celloquy.evaluation._report_html import html_report
from celloquy.evaluation._report_rows import (
    NOT_APPLICABLE,
    NOT_APPLICABLE_HEADS,
    case_cells,
    markdown_row,
    summary_cells,
    summary_columns,
)
from celloquy.evaluation._suite_answers import NOT_MEASURED, RULE, LmAnswer, what_lms_add
from celloquy.evaluation._suite_details import (
    cells_of,
    confusion_table,
    label_table,
    not_applicable,
    reliability_of,
    shown_methods,
)
from celloquy.evaluation._suite_job import JOBS
from celloquy.evaluation._suite_summary import Results, result_table

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from celloquy.evaluation._suite import Suite
    from celloquy.learn import Reliability


@dataclass(frozen=True, eq=False)
class Detail:
    """What one method did, label by label."""

    title: str
    """Title of the method."""
    per_label: pd.DataFrame
    """Precision, recall, F1 and cells of each label."""
    confusion: pd.DataFrame
    """Share of each true label's cells by prediction."""
    reliability: Reliability
    """Accuracy by confidence."""


@dataclass(frozen=True, eq=False)
class SuiteReport:
    """What a suite found; ``str()`` of it is the Markdown."""

    suite: Suite
    """What was measured."""
    results: Results
    """One row a method and case, with the metrics of the job."""
    summary: pd.DataFrame
    """One row a kind and method."""
    answers: list[LmAnswer]
    """Whether each language model adds anything."""
    details: dict[str, list[Detail]]
    """Chosen methods by kind; of labels alone."""
    not_applicable: list[dict[str, Any]]
    """Methods that have nothing to say on cases of a kind: how many cases, and why."""
    sets: list[dict[str, Any]]
    """Name, study, origin and hash of each set."""
    command: str
    """What makes the report again."""
    made: str
    """When, by which version, on which machine."""

    def note_of(self, kind: str) -> str:
        """Say what the numbers of a kind are, and what the intervals are drawn over."""
        rows = self.summary[self.summary["kind"] == kind]
        n_cases, n_units = int(rows["n_cases"].max()), int(rows["n_units"].max())
        said = f"Means over {n_cases} cases. " if n_cases > 1 else "There is one case. "
        if n_units < 2:
            said += "There are no groups to draw, so there is no interval."
        else:
            units = JOBS[self.suite.measures].units
            said += f"Intervals draw {n_units} units ({units}) again"
            said += ", too few to say much." if n_units < LEAST_GROUPS else "."
        if (rows["against_default"] != "").any():
            said += " What a method has more or less than the default is taken on its own draws."
        if rows["wilcoxon_p"].notna().any():
            said += f" p: Wilcoxon signed-rank test of the same over {n_units} units, not "
            said += f"corrected for {len(rows)} methods; it cannot be below {least_p(n_units):.2g}."
        table = self.results.table
        part = table[table["kind"] == kind].drop_duplicates("case")
        n_out, too_few = int(part["n_left_out"].sum()), sorted(set(part["too_few"]) - {""})
        if n_out:
            said += f" {n_out:,} cells have a label that their reference lacks; they are left out."
        if too_few:
            said += f" Left out, as there are fewer cells than folds: {'; '.join(too_few)}."
        return said

    def cases(self, kind: str) -> pd.DataFrame:
        """Give the headline of every case (rows) and method (columns), best method first."""
        table = self.results.table
        wide = table[table["kind"] == kind].pivot_table(
            index=["reference", "query"], columns="title",
            values=self.results.headline(kind).name, sort=False,
        )  # fmt: skip
        order = self.summary[self.summary["kind"] == kind]["title"]
        return wide[[title for title in order if title in wide.columns]]

    def __str__(self) -> str:
        """Write the report as Markdown."""
        lines = [f"# {self.suite.title}", "", f"    {self.command}", ""]
        lines += [" ".join(self.suite.summary.split()), "", self.made, ""]
        lines += ["## Does the language model add anything?", ""]
        for answer in self.answers:
            lines += [f"{answer.lm}, {answer.kind}:", ""]
            lines += [f"- {sentence}" for sentence in answer.sentences()]
            lines.append("")
        lines += [RULE if self.answers else NOT_MEASURED, ""]
        for kind in self.summary["kind"].unique():
            rows = self.summary[self.summary["kind"] == kind]
            lines += [f"## {kind[0].upper()}{kind[1:]}", "", self.note_of(kind), ""]
            shown = self.results.shown(kind)
            heads = ["method", *summary_columns(rows, shown).values()]
            lines += [markdown_row(heads), "|---" * len(heads) + "|"]
            lines += [
                markdown_row([f"**{row['title']}**" if row["role"] == "default" else row["title"],
                      *summary_cells(row, summary_columns(rows, shown), shown)])
                for _, row in rows.iterrows()
            ]  # fmt: skip
            lines += ["", *self._cases_in_markdown(kind), ""]
        if self.not_applicable:
            lines += [f"## {NOT_APPLICABLE}", "", markdown_row(NOT_APPLICABLE_HEADS)]
            lines += ["|---" * len(NOT_APPLICABLE_HEADS) + "|"]
            lines += [markdown_row([str(v) for v in row.values()]) for row in self.not_applicable]
            lines.append("")
        return "\n".join(lines)

    def _cases_in_markdown(self, kind: str) -> list[str]:
        wide = self.cases(kind)
        headline = self.results.headline(kind)
        lines = [f"Every case, {headline.title}; columns by number:", ""]
        lines += [f"{i}. {title}" for i, title in enumerate(wide.columns, start=1)]
        numbers = [str(i) for i in range(1, len(wide.columns) + 1)]
        lines += [
            "",
            markdown_row(["reference", "query", *numbers]),
            "|---" * (len(numbers) + 2) + "|",
        ]
        for (one, other), row in zip(wide.index, wide.to_numpy(), strict=True):
            lines.append(markdown_row([one, other, *case_cells(row, headline)]))
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Give everything for machines; what is no number is `None`."""
        details = {
            kind: [
                {
                    "title": detail.title,
                    "per_label": detail.per_label.reset_index().to_dict("records"),
                    "confusion": detail.confusion.to_dict("index"),
                    "calibration_error": detail.reliability.error,
                }
                for detail in found
            ]
            for kind, found in self.details.items()
        }
        said = {
            "suite": self.suite.model_dump(mode="json"),
            "command": self.command,
            "made": self.made,
            "sets": self.sets,
            "summary": self.summary.to_dict("records"),
            "language_models": [answer.to_dict() for answer in self.answers],
            "details": details,
            "not_applicable": self.not_applicable,
            "metrics": [asdict(each) for each in self.results.metrics],
            "results": self.results.table.to_dict("records"),
        }
        cleaned: dict[str, Any] = _without_nan(said)
        return cleaned


def make_report(
    suite: Suite, records: Sequence[dict[str, Any]], *, sets: list[dict[str, Any]], command: str
) -> SuiteReport:
    """Make the report of results.

    Parameters
    ----------
    suite
        What was measured.
    records
        What :func:`run_suite` gave.
    sets
        The record of each set.
    command
        What makes the report again.
    """
    job = JOBS[suite.measures]
    measured = [found for found in records if "not_applicable" not in found]
    results = Results(result_table(measured, job.metrics), job.metrics)
    details = {kind: _details(results, measured, kind) for kind in results.kinds}
    made = (
        f"{datetime.now(UTC):%Y-%m-%d}, celloquy {version('celloquy')}, "
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}. "
        f"Suite '{suite.name}'; language models in {records[0]['made_of']['precision']}."
    )
    return SuiteReport(
        suite, results, results.summary(), what_lms_add(results, job), details,
        not_applicable(records), sets, command, made,
    )  # fmt: skip


def _details(results: Results, records: Sequence[dict[str, Any]], kind: str) -> list[Detail]:
    """Give what lies behind the means of chosen methods; nothing where no labels were given."""
    table = results.table
    found = []
    for name in shown_methods(results, kind):
        cells = cells_of(records, method=name, kind=kind)
        if len(cells):
            title = str(table.loc[table["method"] == name, "title"].iloc[0])
            found.append(
                Detail(title, label_table(cells), confusion_table(cells), reliability_of(cells))
            )
    return found


def write_report(report: SuiteReport, folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``report.json``; earlier ones are replaced.

    Parameters
    ----------
    report
        The report.
    folder
        The folder of the results.
    """
    texts = {
        "report.html": html_report(report),
        "report.md": f"{report}\n",
        "report.json": json.dumps(report.to_dict(), indent=1) + "\n",
    }
    return write_pages(texts, folder)


def write_pages(texts: Mapping[str, str], folder: str | os.PathLike[str]) -> list[Path]:
    """Write files of a folder, each whole or not at all; earlier ones are replaced.

    Parameters
    ----------
    texts
        Text of each file by its name.
    folder
        The folder.
    """
    written = []
    for name, text in texts.items():
        path = Path(folder) / name
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _without_nan(value: Any) -> Any:  # noqa: ANN401 (any plain value)
    if isinstance(value, dict):
        return {str(key): _without_nan(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(held) for held in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
