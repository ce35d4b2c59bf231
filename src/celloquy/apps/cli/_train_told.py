"""What ``celloquy train`` prints at the end."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from celloquy._runtime import count_of

if TYPE_CHECKING:
    from celloquy.training import TrainingResult


def tell(result: TrainingResult, *, as_json: bool) -> None:
    """Print what a run left; of several processes only the first says it.

    Parameters
    ----------
    result
        The finished run.
    as_json
        Whether it is for machines.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        typer.echo(json.dumps(asdict(result), default=str))
        return
    typer.echo(f"{count_of(result.steps, 'steps')}; the model is in {result.model}")
    if result.best_step is not None:
        typer.echo(f"best at step {result.best_step:,}: validation loss {result.loss:.4f}")
    for task, metrics in result.metrics.items():
        for name, value in metrics.items():
            typer.echo(f"  {name} of {task or 'all'}: {value:.4f}")
