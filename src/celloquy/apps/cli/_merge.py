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
    vllm_ready: Annotated[
        bool, typer.Option("--vllm-ready", help="Refuse what vLLM is not known to serve.")
    ] = False,
    gguf_ready: Annotated[
        bool, typer.Option("--gguf-ready", help="Refuse what llama.cpp is not known to convert.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the model of a run as one folder of safetensors, for --lm hf:FOLDER and servers."""
    from celloquy.training import merge as merge_run

    asked = {"vLLM": vllm_ready, "llama.cpp": gguf_ready}
    read_by = [program for program, is_asked in asked.items() if is_asked]
    written = merge_run(run, out, dtype=dtype, read_by=read_by, overwrite=overwrite)
    typer.echo(str(written))
