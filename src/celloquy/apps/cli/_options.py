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
Lm = Annotated[
    str, typer.Option("--lm", help="Language model: hf:ID, a folder, openai:NAME@URL, fake:SCRIPT.")
]
LmOrMini = Annotated[
    str | None,
    typer.Option(
        "--lm",
        help="Language model: hf:ID, a folder, openai:NAME@URL, fake:SCRIPT; else celloquy-mini.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option(help="fp32, bf16, 8bit or 4bit.")]
Cache = Annotated[
    bool, typer.Option("--cache", help="Keep vectors in the user's cache for the next run.")
]
TaskName = Annotated[
    str, typer.Option("--task", help="Task by name (celloquy tasks list), or its file.")
]
Template = Annotated[
    int | None, typer.Option(help="Which of the task's templates to use; else the model's.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="INPUT=VALUE: an input of the task, for all cells; repeatable."),
]
Plots = Annotated[Path | None, typer.Option(help="Folder for pictures; made if it is missing.")]
AllowDownload = Annotated[
    bool, typer.Option("--allow-download", help="Fetch the model if it is not here.")
]
AllowRemote = Annotated[
    str | None,
    typer.Option(
        "--allow-remote", help="Host that prompts may be sent to; this machine needs none."
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show the first request and the cost; ask and write nothing."),
]
PriceIn = Annotated[
    float | None, typer.Option(help="Price of a million tokens sent, in any currency.")
]
PriceOut = Annotated[
    float | None, typer.Option(help="Price of a million tokens received, in the same currency.")
]
MaxCost = Annotated[
    float | None, typer.Option(help="The most to spend, in that currency; needs both prices.")
]
