"""``celloquy corpus``: examples for training, out of cells, tables and networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from celloquy.apps.cli._options import Overwrite


def corpus(
    recipe: Annotated[
        Path, typer.Argument(help="TOML file with a [corpus] part; or a corpus, with --export.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    export: Annotated[
        str | None,
        typer.Option(help="Write a corpus in another form: alpaca, chat or cell2sentence."),
    ] = None,
    import_from: Annotated[
        str | None,
        typer.Option("--import", help="Read files of another form: alpaca, chat or cell2sentence."),
    ] = None,
    show: Annotated[int, typer.Option(help="Print so many training examples.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make examples for training: split, drawn and varied by keys, in a random order.

    A run that was killed goes on where it stopped. With --export or --import, a corpus is written
    for other programs, or read from their files.
    """
    from celloquy.text import plain_text
    from celloquy.training import build_corpus, export_corpus, import_corpus

    if export is not None:
        for path in export_corpus(recipe, out, form=export, overwrite=overwrite):
            typer.echo(str(path), err=True)
        return
    if import_from is not None:
        made = import_corpus(recipe, out, form=import_from, overwrite=overwrite)
    else:
        made = build_corpus(recipe, out, overwrite=overwrite, progress=True)
    for _, example in zip(range(show), made.examples(), strict=False):
        typer.echo(f"--- {example.task or 'text'} ({example.source}, row {example.row})")
        typer.echo(f"{plain_text(example.prompt)}\n=> {example.answer}")
    typer.echo(str(made), err=True)
    for what, n in made.record.get("lost", {}).items():
        typer.echo(f"{n:,} left out, {what}", err=True)
