"""``celloquy train``: a language model learns by a recipe, and a run that was stopped goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from celloquy.apps.cli._options import Device, Json, Overwrite


def train(
    recipe: Annotated[
        Path | None, typer.Argument(help="Recipe (TOML); its first line may name a preset.")
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; made, or gone on with.")
    ] = None,
    device: Device = "auto",
    presets: Annotated[
        bool, typer.Option("--presets", help="List the presets that a recipe may begin with.")
    ] = False,
    show: Annotated[
        str | None, typer.Option(help="Print a preset, with the command that it is run by.")
    ] = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a language model by a recipe; a run that was stopped goes on by the same command.

    Raises
    ------
    InputError
        If a recipe or a run folder is missing.
    """
    from celloquy.errors import InputError
    from celloquy.training import list_presets, preset_text

    if presets or show:
        typer.echo(preset_text(show) if show else "\n".join(list_presets()))
        return
    if recipe is None or out is None:
        msg = "A run needs a recipe and a folder."
        raise InputError(msg, hint="celloquy train recipe.toml --out run/")
    from celloquy.apps.cli._train_told import tell
    from celloquy.training import train as train_by

    tell(train_by(recipe, out, device=device, overwrite=overwrite), as_json=as_json)
