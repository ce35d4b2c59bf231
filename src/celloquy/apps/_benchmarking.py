"""What ``celloquy benchmark`` does."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import typer

from celloquy._runtime import count_of
from celloquy.evaluation import (
    data_folder,
    known_suites,
    load_suite,
    make_report,
    run_suite,
    set_records,
    write_report,
)
from celloquy.evaluation._report_rows import number_with_interval
from celloquy.evaluation._suite_cells import SuiteCells
from celloquy.evaluation._suite_index import make_index, write_index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from celloquy.evaluation import LmOptions, Suite, SuiteReport

ALL = "all"
"""Stands for every suite of the package."""


def list_suites() -> None:
    """Print the suites of the package with their titles."""
    known = known_suites()
    width = max(map(len, known))
    for name in known:
        typer.echo(f"{name:<{width}}  {load_suite(name).title}")


def measure_suite(
    source: str,
    *,
    out: Path,
    lms: Sequence[str],
    data: Path | None,
    small: bool,
    options: LmOptions,
    overwrite: bool,
) -> SuiteReport:
    """Measure a suite, write its report, and print the table.

    Parameters
    ----------
    source
        Name or file of the suite.
    out
        Folder of the results.
    lms
        Language models to measure beside.
    data
        Folder of the cells.
    small
        Whether the small form is measured.
    options
        How language models run.
    overwrite
        Whether results of other cells, settings or code are measured anew.
    """
    suite = _suite(source, small=small)
    folder = data_folder(data)
    records = run_suite(suite, folder, out=out, lms=lms, options=options, overwrite=overwrite)
    report = make_report(
        suite, records, sets=set_records(suite, folder),
        command=_command(source, lms=lms, small=small, options=options),
    )  # fmt: skip
    written = write_report(report, out)
    for kind in report.results.kinds:
        rows = report.summary[report.summary["kind"] == kind]
        headline = report.results.headline(kind)
        typer.echo(f"{kind}, {headline.title}: {report.note_of(kind)}")
        for _, row in rows.iterrows():
            typer.echo(f"  {number_with_interval(row, headline)}  {row['title']}")
    for answer in report.answers:
        typer.echo(f"{answer.lm}, {answer.kind}: {answer.sentences()[0]}")
    typer.echo(f"{count_of(len(records), 'results')} · {', '.join(map(str, written))}", err=True)
    return report


def measure_all(
    *,
    out: Path,
    lms: Sequence[str],
    data: Path | None,
    small: bool,
    options: LmOptions,
    overwrite: bool,
) -> None:
    """Measure every suite of the package, each in a folder of its own, and write one page of all.

    Parameters
    ----------
    out
        Folder of the folders.
    lms
        Language models to measure beside.
    data
        Folder of the cells; all files are looked for before anything is measured.
    small
        Whether small forms are measured.
    options
        How language models run.
    overwrite
        Whether results of other cells, settings or code are measured anew.
    """
    folder = data_folder(data)
    for name in known_suites():
        SuiteCells(_suite(name, small=small), folder)
    reports = {}
    for name in known_suites():
        typer.echo(f"\n{name}", err=True)
        reports[name] = measure_suite(
            name, out=out / name, lms=lms, data=folder, small=small, options=options,
            overwrite=overwrite,
        )  # fmt: skip
    command = _command(ALL, lms=lms, small=small, options=options)
    written = write_index(make_index(reports, command=command), out)
    typer.echo(f"{count_of(len(reports), 'suites')} · {', '.join(map(str, written))}", err=True)


def _suite(source: str, *, small: bool) -> Suite:
    suite = load_suite(source)
    return suite.smaller() if small else suite


def _command(source: str, *, lms: Sequence[str], small: bool, options: LmOptions) -> str:
    """Write the command that makes the results again; the folders are the reader's own."""
    words = ["celloquy", "benchmark", source, "--data", "FOLDER", "--out", "RESULTS"]
    words += ["--lm", ",".join(lms)] if lms else []
    words += ["--small"] if small else []
    words += ["--precision", options.precision] if options.precision != "fp32" else []
    return shlex.join(words)
