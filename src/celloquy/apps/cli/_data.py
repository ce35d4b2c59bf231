"""``celloquy data``: the tables of what is known of genes and cell types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from celloquy.apps.cli._options import Json, Overwrite

data = typer.Typer(
    help="Tables of genes and cell types: list them, fetch them, add a file that you have.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="Name of the table; `celloquy data list` has them.")]


@data.command("list")
def list_tables(*, as_json: Json = False) -> None:
    """List the tables: source, licence, and what is on this machine."""
    from celloquy.knowledge import data_list

    tables = data_list()
    if as_json:
        typer.echo(json.dumps(tables.reset_index().to_dict(orient="records"), indent=2))
        return
    for name, table in tables.iterrows():
        typer.echo(f"{name}: {table['description']}")
        typer.echo(f"  licence: {table['licence']}")
        typer.echo(f"  source:  {table['source']}")
        here = f"{table['date'][:10]}, {table['rows']:,} rows, {table['size']:,} bytes"
        state = f"here ({here})" if table["state"] == "here" else table["state"]
        typer.echo(f"  state:   {state}")


@data.command("get")
def get(
    name: Name,
    *,
    url: Annotated[str | None, typer.Option(help="Another address of the same table.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Hash that the file must have.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Fetch a table from its official source into the cache; this uses the network."""
    from celloquy.knowledge import data_get

    entry = data_get(name, url=url, sha256=sha256, overwrite=overwrite)
    typer.echo(f"{name}: {entry.rows:,} rows · {entry.licence} · sha256 {entry.sha256[:12]}")


@data.command("add")
def add(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The table's file, plain or gzipped.")],
    *,
    overwrite: Overwrite = False,
) -> None:
    """Put a table's file that you have into the cache; no network is used."""
    from celloquy.knowledge import data_add

    entry = data_add(name, file, overwrite=overwrite)
    typer.echo(f"{name}: {entry.rows:,} rows · {entry.licence} · sha256 {entry.sha256[:12]}")
