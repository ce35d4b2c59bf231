"""Options that every kind of evaluation has, and its report: printed, and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from celloquy.evaluation._measured import Measured

_FORMS = (".json", ".md", ".txt")
Groups = Annotated[
    str | None,
    typer.Option(help="Column of obs: donor, study, patient or line; intervals draw these."),
]
TruthFile = Annotated[
    Path | None,
    typer.Option(help="File with the truth, if it is another; joined by the cells' names."),
]
LeaveOut = Annotated[
    list[str] | None, typer.Option(help="True label whose cells are not judged; repeatable.")
]
Unknown = Annotated[
    list[str] | None, typer.Option(help="Predicted label that means no answer; repeatable.")
]
OnlyShared = Annotated[
    bool, typer.Option("--only-shared", help="Judge the cells that both files hold.")
]
Report = Annotated[
    Path | None, typer.Option("--out", "-o", help="Also write the report: .json, .md or .txt.")
]


def refuse_report(out: Path | None, *, overwrite: bool) -> None:
    """Refuse a report that could not be written, before anything is computed.

    Raises
    ------
    typer.BadParameter
        If the file's ending names no form of a report.
    """
    from celloquy._runtime import refuse_existing

    if out is None:
        return
    if out.suffix.lower() not in _FORMS:
        told = f"'--out {out.name}' ends in none of {', '.join(_FORMS)}."
        raise typer.BadParameter(told)
    refuse_existing(out, overwrite=overwrite)


def tell(report: Measured, *, out: Path | None, as_json: bool, overwrite: bool) -> None:
    """Print a report, and write it where that was asked for.

    Parameters
    ----------
    report
        What was measured.
    out
        File to write, or `None`; see :func:`refuse_report`.
    as_json
        Whether JSON is printed.
    overwrite
        Whether an existing file is replaced.
    """
    from celloquy._runtime import atomic_path

    shown = str(report)
    as_data = json.dumps(report.to_dict(), indent=2, allow_nan=False)
    if out is not None:
        forms = dict(zip(_FORMS, (as_data, f"```text\n{shown}\n```", shown), strict=True))
        with atomic_path(out, overwrite=overwrite) as temporary:
            temporary.write_text(forms[out.suffix.lower()] + "\n", encoding="utf-8")
    typer.echo(as_data if as_json else shown)
    if out is not None:
        typer.echo(f"report: {out}", err=True)
