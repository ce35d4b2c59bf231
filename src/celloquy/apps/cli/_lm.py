"""``celloquy lm``: which language models are known, and what one can do."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from celloquy.apps.cli._options import Json

lm = typer.Typer(
    help="Language models: list known checkpoints, show one or your own.", no_args_is_help=True
)
_SHOWN = (
    "name", "backend", "family", "is_here", "capabilities", "cannot", "prompt_format", "context",
    "pooling", "layers", "dimensions", "tasks", "labels", "n_top_genes", "rank_by", "genes",
    "adapter", "base", "revision", "prefixes", "notes",
    "licence", "licence_source", "recheck",
)  # fmt: skip


@lm.command("list")
def list_all(*, as_json: Json = False) -> None:
    """List known checkpoints: name, family and licence. Nothing is loaded or fetched."""
    from celloquy.lm import known_checkpoints

    found = known_checkpoints()
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    width = max(len(one.id) for one in found)
    for one in found:
        licence = one.licence or "licence not known"
        again = " (check)" if one.recheck else ""
        typer.echo(f"{one.id:<{width}}  {one.family:<16}  {licence}{again}")


@lm.command("show")
def show(
    name: Annotated[str, typer.Argument(help="hf:…, st:…, fake:…, or a name of `lm list`.")],
    *,
    as_json: Json = False,
) -> None:
    """Show what a model can be asked for, its prompt format, context and licence."""
    from celloquy.lm import describe_lm

    said = describe_lm(name)
    if as_json:
        typer.echo(json.dumps(said, indent=2))
        return
    for word in _SHOWN:
        value = said.get(word)
        if value not in {None, ""} if not isinstance(value, list | dict) else value:
            typer.echo(f"{word.replace('_', ' ')}: {_line(value)}")


def _line(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} = {text!r}" for name, text in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
