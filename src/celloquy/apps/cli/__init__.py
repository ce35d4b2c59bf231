"""The command line: every verb is the twin of one function.

Data goes to standard output, everything else to standard error. Exit status 0 is done, 1 is
failed or refused, 2 is wrong use.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

from celloquy.apps.cli._annotate import annotate
from celloquy.apps.cli._benchmark import benchmark
from celloquy.apps.cli._check import check
from celloquy.apps.cli._corpus import corpus
from celloquy.apps.cli._data import data
from celloquy.apps.cli._demo import demo
from celloquy.apps.cli._doctor import doctor
from celloquy.apps.cli._encode import encode
from celloquy.apps.cli._evaluate import evaluate
from celloquy.apps.cli._fit_projection import fit_projection
from celloquy.apps.cli._generate import generate
from celloquy.apps.cli._lm import lm
from celloquy.apps.cli._merge import merge
from celloquy.apps.cli._predict import predict
from celloquy.apps.cli._reconstruct import reconstruct
from celloquy.apps.cli._sentences import sentences
from celloquy.apps.cli._tasks import tasks
from celloquy.apps.cli._train import train
from celloquy.errors import CelloquyError

app = typer.Typer(
    name="celloquy",
    help="Ask your cells: single-cell omics as language.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS = (
    check, sentences, reconstruct, encode, fit_projection, annotate, predict, generate, corpus,
    train, merge, benchmark, doctor, demo,
)  # fmt: skip
for verb in VERBS:
    # what a function raises is for readers of the code
    app.command(help=(verb.__doc__ or "").partition("\n    Raises\n")[0])(verb)
app.add_typer(evaluate, name="evaluate")
app.add_typer(data, name="data")
app.add_typer(tasks, name="tasks")
app.add_typer(lm, name="lm")


@app.callback(invoke_without_command=True)
def root(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Ask your cells: single-cell omics as language.

    Raises
    ------
    typer.Exit
        After the version was printed.
    """
    if debug:
        os.environ["CELLOQUY_DEBUG"] = "1"
    if version:
        from celloquy import __version__

        typer.echo(__version__)
        raise typer.Exit


def tell_warning(message: Warning | str, *_place: object, **_more: object) -> None:
    """Print a choice made on the user's behalf as one line, without its place in the code.

    Parameters
    ----------
    message
        The warning.
    _place, _more
        What else `warnings.showwarning` gets.
    """
    typer.echo(f"warning: {message}", err=True)


def main() -> None:
    """Run the command line; print an error as two lines, without a traceback.

    Raises
    ------
    CelloquyError
        With ``--debug``, as it came.
    """
    warnings.showwarning = tell_warning
    try:
        app()
    except CelloquyError as error:
        if os.environ.get("CELLOQUY_DEBUG"):
            raise
        typer.echo(f"error: {error}", err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("error: stopped by the keyboard; nothing half-written is left.", err=True)
        sys.exit(130)
