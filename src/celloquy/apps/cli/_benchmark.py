"""``celloquy benchmark``: a suite of sets, designs and methods, with a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from celloquy.apps.cli._options import AllowRemote, Overwrite


def benchmark(
    suite: Annotated[
        str, typer.Argument(help="Name of a suite (see --list), a TOML file of your own, or all.")
    ] = "",
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the results; a killed run goes on from it."),
    ] = None,
    lm: Annotated[
        str, typer.Option("--lm", help="Language models to measure beside, with commas between.")
    ] = "",
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with the cells; without it, what CELLOQUY_DATA names."),
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="Few cells and sets: under two minutes.")
    ] = False,
    list_all: Annotated[
        bool, typer.Option("--list", help="List the suites of the package and stop.")
    ] = False,
    precision: Annotated[str, typer.Option(help="Of language models: fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    cache: Annotated[
        bool, typer.Option("--cache", help="Keep vectors in the user's cache for the next run.")
    ] = False,
    allow_remote: AllowRemote = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure language models and baselines on a suite; write HTML, Markdown and JSON.

    Every number is a file of its own in OUT/cells, so the same command goes on where it stopped.
    For all, each suite gets a folder in OUT, and one page says what they found.

    Raises
    ------
    InputError
        If no suite or no folder is named.
    """
    from celloquy.apps._benchmarking import ALL, list_suites, measure_all, measure_suite
    from celloquy.errors import InputError
    from celloquy.evaluation import LmOptions

    if list_all:
        list_suites()
        return
    if not suite or out is None:
        msg = "`celloquy benchmark` needs a suite and a folder for the results."
        raise InputError(msg, hint="celloquy benchmark pbmc-transfer --out results/")
    options = LmOptions(precision=precision, device=device, cache=cache, allow_remote=allow_remote)
    lms = [name.strip() for name in lm.split(",") if name.strip()]
    if suite == ALL:
        measure_all(out=out, lms=lms, data=data, small=small, options=options, overwrite=overwrite)
        return
    measure_suite(
        suite, out=out, lms=lms, data=data, small=small, options=options, overwrite=overwrite
    )
