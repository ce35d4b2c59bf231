"""``celloquy check``: what is in a file, what is wrong with it, how to mend it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from celloquy.apps.cli._options import Json, Layer, Raw, Source


def check(
    source: Source,
    *,
    layer: Layer = None,
    raw: Raw = False,
    reference: Annotated[
        Path | None, typer.Option(help="Cells whose genes are compared with these.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is in a file of cells, what is wrong with it, and how to mend it.

    Exit status 1 means that a verb would refuse the file as it is.
    """
    from celloquy.checks import check as check_cells

    report = check_cells(source, layer=layer, use_raw=raw, reference=reference)
    typer.echo(json.dumps(report.to_dict(), indent=2, default=float) if as_json else str(report))
    if not report.ok:
        sys.exit(1)
