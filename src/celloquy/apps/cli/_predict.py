"""``celloquy predict``: labels by a language model, from a closed set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from celloquy.apps.cli._options import (
    AllowDownload,
    AllowRemote,
    Collisions,
    Device,
    DryRun,
    GeneColumn,
    Json,
    Layer,
    LmOrMini,
    MaxCost,
    Overwrite,
    Plots,
    Precision,
    PriceIn,
    PriceOut,
    Raw,
    Seed,
    Sets,
    Source,
    TaskName,
    Template,
)


def predict(
    source: Source,
    *,
    task: TaskName,
    lm: LmOrMini = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Text file with one label a line; else the model's or the task's own."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write; without it, a table goes to the screen."),
    ] = None,
    sets: Sets = None,
    obs: Annotated[
        list[str] | None,
        typer.Option(help="INPUT=COLUMN, or a NAME for both: an input from obs; repeatable."),
    ] = None,
    n_top_genes: Annotated[
        int | None,
        typer.Option(
            help="The most genes of a cell to name; else as the model was taught, or 200."
        ),
    ] = None,
    group_by: Annotated[
        str | None, typer.Option(help="Column of obs: ask about several cells of a group at once.")
    ] = None,
    n_cells: Annotated[int, typer.Option(help="The most cells of a group to read.")] = 5,
    template: Template = None,
    min_score: Annotated[float, typer.Option(help="Less likely answers are unknown.")] = 0.5,
    top_n: Annotated[int, typer.Option(help="How many of the likeliest answers to keep.")] = 2,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Keep the probability of every label.")
    ] = False,
    best_only: Annotated[
        bool, typer.Option("--best-only", help="Find the likeliest label alone, without scores.")
    ] = False,
    normalise: Annotated[
        Literal["none", "tokens"], typer.Option(help="Divide scores by the number of tokens.")
    ] = "none",
    prior_corrected: Annotated[
        bool, typer.Option("--prior-corrected", help="Take off what is answered without genes.")
    ] = False,
    refuse_cut: Annotated[
        bool, typer.Option("--refuse-cut", help="Stop if genes do not fit, and ask nothing.")
    ] = False,
    parents: Annotated[
        str | None,
        typer.Option(help="Table with columns child and parent, or ontology: roll up to parents."),
    ] = None,
    calibrate_on: Annotated[
        Path | None, typer.Option(help="Other, labelled cells: calibrate the scores on them.")
    ] = None,
    label_key: Annotated[
        str | None, typer.Option(help="Column of CALIBRATE_ON's obs with the true labels.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Calibration file: to use, or where to keep the new one.")
    ] = None,
    truth: Annotated[
        str | None, typer.Option(help="Column of obs with true labels: measure the answers.")
    ] = None,
    plots: Plots = None,
    key_added: Annotated[
        str | None, typer.Option(help="Name of the new column; without it TASK_celloquy.")
    ] = None,
    layer: Layer = None,
    raw: Raw = False,
    gene_column: GeneColumn = None,
    collisions: Collisions = "refuse",
    device: Device = "auto",
    precision: Precision = "fp32",
    allow_download: AllowDownload = False,
    allow_remote: AllowRemote = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    max_cost: MaxCost = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Ask a language model about every cell; answers come from a closed set, or are unknown."""
    from celloquy.apps._predicting import Wishes, ask
    from celloquy.apps.cli._language_model import open_lm
    from celloquy.roles import PredictOptions, ReadOptions

    wishes = Wishes(
        task, labels, out, key_added, calibrate_on, label_key, calibration, truth, plots, dry_run,
        as_json, overwrite,
    )  # fmt: skip
    wishes.check()
    model = open_lm(
        lm, allow_remote=allow_remote, price_in=price_in, price_out=price_out, max_cost=max_cost,
        device=device, precision=precision, allow_download=allow_download,
    )  # fmt: skip
    options = PredictOptions(
        n_top_genes=n_top_genes, fields=pairs(sets, option="--set"),
        obs_fields=pairs(obs, option="--obs", alike=True), template=template, group_by=group_by,
        n_cells=n_cells, seed=seed, min_score=min_score, top_n=top_n, probabilities=probabilities,
        best_only=best_only, normalise=normalise, prior_corrected=prior_corrected, parents=parents,
        too_long="refuse" if refuse_cut else "cut",
        read=ReadOptions(layer=layer, use_raw=raw, gene_column=gene_column, collisions=collisions),
    )  # fmt: skip
    ask(source, wishes, model, options)


def pairs(given: list[str] | None, *, option: str, alike: bool = False) -> dict[str, str]:
    """Read NAME=VALUE options.

    Parameters
    ----------
    given
        What was given.
    option
        Name of the option, for messages.
    alike
        Whether a name alone stands for both.

    Raises
    ------
    InputError
        If one has no ``=``, or a name is given twice.
    """
    from celloquy.errors import InputError

    found: dict[str, str] = {}
    for one in given or []:
        name, sign, value = one.partition("=")
        if not name or (not sign and not alike):
            msg = f"`{option} {one}` names no input and value."
            raise InputError(msg, hint=f"write `{option} NAME=VALUE`.")
        if name in found:
            msg = f"`{option}` gives {name!r} twice: {found[name]!r} and {value!r}."
            raise InputError(msg, hint="give it once.")
        found[name] = value if sign else name
    return found
