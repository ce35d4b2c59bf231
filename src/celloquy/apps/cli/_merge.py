"""``celloquy merge``: one whole model of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from celloquy.apps.cli._options import Overwrite


def merge(
    run: Annotated[Path, typer.Argument(help="Run folder that `celloquy train` finished.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model.")],
    dtype: Annotated[
        Literal["fp32", "bf16"], typer.Option(help="Digits of the weights; bf16 halves the files.")
    ] = "fp32",
    overwrite: Overwrite = False,
) -> None:
    """Write the model of a run as one folder of safetensors, for --lm hf:FOLDER, vLLM and GGUF."""
    from celloquy.training import merge as merge_run

    written = merge_run(run, out, dtype=dtype, overwrite=overwrite)
    typer.echo(str(written))
