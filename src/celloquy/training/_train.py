"""Train a language model by a recipe, and leave a folder that says how."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from celloquy._runtime import kept_memory, require
from celloquy.errors import InputError
from celloquy.training._ranks import join_ranks
from celloquy.training._recipe_train import TrainRecipe, read_recipe
from celloquy.training._run import RunFolder, open_run
from celloquy.training._teach import TEACHERS

if TYPE_CHECKING:
    import os


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run left."""

    folder: Path
    """The run folder."""
    model: Path
    """The model, or the adapter, that is asked afterwards."""
    steps: int
    """Steps that were done."""
    best_step: int | None
    """The step whose weights were kept; `None` without validation examples."""
    loss: float | None
    """Validation loss of that step."""
    metrics: dict[str, dict[str, float]]
    """Its metrics, by task."""


def train(
    recipe: TrainRecipe | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    device: str = "auto",
    overwrite: bool = False,
) -> TrainingResult:
    """Train by a recipe; a run that was stopped goes on where it was.

    Parameters
    ----------
    recipe
        A recipe, or its TOML file.
    out
        The run folder; made if it is missing.
    device
        Where to compute.
    overwrite
        Whether a run that is there is thrown away and begun anew.

    Raises
    ------
    InputError
        If the recipe, its examples, or the run folder cannot be used.
    CheckpointError
        If the base model cannot be used.
    BackendError
        If the loss is no number, or memory is short.
    """
    told = recipe if isinstance(recipe, TrainRecipe) else read_recipe(recipe)
    require("torch", extra="train", why="to train a language model")
    out = Path(out)
    with join_ranks(device) as ranks:
        if ranks.is_first:
            open_run(out, told, overwrite=overwrite)
        ranks.wait()
        run = RunFolder(out)
        record = run.record()
        if not record["is_finished"]:
            with kept_memory() if ranks.device == "cpu" else nullcontext():
                TEACHERS[told.objective](told, run, ranks)
            ranks.wait()
        return result_of(run)


def result_of(run: RunFolder) -> TrainingResult:
    """Give what a finished run left.

    Raises
    ------
    InputError
        If it has not ended.
    """
    record = run.record()
    if not record["is_finished"]:
        msg = f"The run in '{run.folder}' has not ended."
        raise InputError(msg, hint="`celloquy train` with its recipe goes on with it.")
    result = record["result"]
    return TrainingResult(
        run.folder,
        run.model,
        result["steps"],
        result["best_step"],
        result["loss"],
        result["metrics"],
    )
