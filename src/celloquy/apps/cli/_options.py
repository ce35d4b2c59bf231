"""Options that several verbs share, with the same words everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Source = Annotated[
    Path,
    typer.Argument(help="Cells: .h5ad, .zarr, 10x folder or .h5, .loom, .csv or .tsv (.gz)."),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="File to write.")]
Layer = Annotated[
    str | None, typer.Option(help="Layer that holds the expression; without it, X is taken.")
]
Raw = Annotated[bool, typer.Option("--raw", help="Take the expression from raw.X.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
GeneColumn = Annotated[
    str | None,
    typer.Option(help="Column of var with the gene names; without it, the names of var."),
]
Collisions = Annotated[
    Literal["refuse", "sum", "keep"],
    typer.Option(help="What to do when several columns carry one gene: refuse, sum or keep."),
]
