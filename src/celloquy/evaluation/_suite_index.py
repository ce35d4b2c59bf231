"""All suites on one page: the headline of each, and whether a language model adds anything."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from celloquy.evaluation._report_html import html_page, table_that_sorts
from celloquy.evaluation._report_rows import markdown_row, number_with_interval
from celloquy.evaluation._suite_answers import NOT_MEASURED, RULE
from celloquy.evaluation._suite_report import write_pages
from celloquy.evaluation._suite_summary import DEFAULT_ROLE, LM_ROLE

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from celloquy.evaluation._report_html import Cell
    from celloquy.evaluation._suite_report import SuiteReport

TITLE = "All suites"
NOTE = (
    "One line a suite and kind of cases: the headline of the default, of the best baseline and of "
    "the best method with a language model, each with its 95 % interval over units where there are "
    "two or more. The last column is the best method with a language model minus the best without "
    f"one, on the cases of both. {RULE}"
)
NO_SIDE = "Neither way is better, so nothing is asked."
_HEADS = (
    "suite", "cases", "headline", "default", "best baseline", "best with a language model",
    "does the language model add anything?",
)  # fmt: skip


@dataclass(frozen=True)
class IndexLine:
    """What one suite says of one kind of cases."""

    suite: str
    """Name of the suite; its folder."""
    kind: str
    """Kind of the cases."""
    headline: str
    """Title of the headline, with an arrow to the better side."""
    default: str
    """Headline of the default with its interval; empty without one."""
    baseline: str
    """Headline of the best baseline with its interval, and which it is."""
    lm: str
    """The same of the best method with a language model."""
    answer: str
    """Whether a language model adds anything."""

    @property
    def cells(self) -> list[str]:
        """Text of each column."""
        return [str(value) for value in asdict(self).values()]


@dataclass(frozen=True)
class SuiteIndex:
    """What all suites say, line by line; ``str()`` of it is the Markdown."""

    lines: tuple[IndexLine, ...]
    """One line a suite and kind."""
    command: str
    """What makes the reports again."""
    made: str
    """When, by which version, on which machine."""

    def __str__(self) -> str:
        """Write the page as Markdown."""
        lines = [f"# {TITLE}", "", f"    {self.command}", "", self.made, "", NOTE, ""]
        lines += [markdown_row(_HEADS), "|---" * len(_HEADS) + "|"]
        for line in self.lines:
            linked = f"[{line.suite}]({line.suite}/report.md)"
            lines.append(markdown_row([linked, *line.cells[1:]]))
        return "\n".join(lines)

    def html(self) -> str:
        """Write the page as HTML."""
        rows: list[tuple[list[Cell], str]] = [
            ([(line.suite, f"{line.suite}/report.html"), *line.cells[1:]], "")
            for line in self.lines
        ]
        table = f'<div class="prose">{table_that_sorts(_HEADS, rows)}</div>'
        return html_page(TITLE, command=self.command, said=[self.made, NOTE], body=[table])

    def to_dict(self) -> dict[str, Any]:
        """Give everything for machines."""
        return {
            "command": self.command,
            "made": self.made,
            "lines": [asdict(line) for line in self.lines],
        }


def make_index(reports: Mapping[str, SuiteReport], *, command: str) -> SuiteIndex:
    """Put the headlines of several reports on one page.

    Parameters
    ----------
    reports
        Report of each suite by its name, at least one.
    command
        What makes them again.
    """
    lines = [
        _line(name, report, kind)
        for name, report in reports.items()
        for kind in report.results.kinds
    ]
    made = next(iter(reports.values())).made.split(" Suite ")[0]
    return SuiteIndex(tuple(lines), command, made)


def write_index(index: SuiteIndex, folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``report.json``; earlier ones are replaced.

    Parameters
    ----------
    index
        The page.
    folder
        The folder that holds the folder of each suite.
    """
    texts = {
        "report.html": index.html(),
        "report.md": f"{index}\n",
        "report.json": json.dumps(index.to_dict(), indent=1) + "\n",
    }
    return write_pages(texts, folder)


def _line(name: str, report: SuiteReport, kind: str) -> IndexLine:
    """Take the headlines of one kind from a report, whose rows stand in order."""
    headline = report.results.headline(kind)
    rows = report.summary[report.summary["kind"] == kind]
    best = {}
    for role in (DEFAULT_ROLE, "baseline", LM_ROLE):
        found = rows[rows["role"] == role]
        best[role] = ""
        if len(found):
            said = number_with_interval(found.iloc[0], headline)
            best[role] = said if role == DEFAULT_ROLE else f"{said} {found.iloc[0]['title']}"
    answers = [f"{answer.lm}: {answer.short}" for answer in report.answers if answer.kind == kind]
    nothing = NOT_MEASURED if headline.better else NO_SIDE
    return IndexLine(
        name, kind, headline.titled, best[DEFAULT_ROLE], best["baseline"], best[LM_ROLE],
        "; ".join(answers) or nothing,
    )  # fmt: skip
