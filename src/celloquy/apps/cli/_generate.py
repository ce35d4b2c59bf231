"""``celloquy generate``: new cells from a language model."""

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
    Layer,
    LmOrMini,
    MaxCost,
    Overwrite,
    Precision,
    PriceIn,
    PriceOut,
    Raw,
    Seed,
    Sets,
    TaskName,
    Template,
)


def generate(
    *,
    task: TaskName,
    lm: LmOrMini = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File (.h5ad) to write the cells to.")
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", help="Cells to write; without it, one a control cell, or 1.")
    ] = None,
    sets: Sets = None,
    genes: Annotated[
        Path | None, typer.Option(help="Text file with one gene a line; else the checkpoint's.")
    ] = None,
    n_top_genes: Annotated[
        int | None,
        typer.Option(help="How many genes a cell names; else as the model was taught, or 100."),
    ] = None,
    at_most: Annotated[
        bool, typer.Option("--at-most", help="Let the model end a cell with fewer genes.")
    ] = False,
    free: Annotated[
        bool, typer.Option("--free", help="Let the model write anything; count what is no gene.")
    ] = False,
    repair: Annotated[
        Literal["celloquy", "cell2sentence"],
        typer.Option(help="How words that are no gene and repeats of a free answer are read."),
    ] = "celloquy",
    control: Annotated[
        Path | None, typer.Option(help="Control cells, for tasks about a cell or several.")
    ] = None,
    obs: Annotated[
        list[str] | None,
        typer.Option(help="INPUT=COLUMN: an input from obs of the control cells; repeatable."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Divides the logits; 0 is greedy; else as the model says, or 1."),
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw among so many tokens only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw among tokens that hold this probability.")
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(
            help="Above 1: cells more typical of what is asked for; else as the model says, or 1."
        ),
    ] = None,
    candidates: Annotated[
        int,
        typer.Option(help="Cells written for each that is kept: the surest after reading back."),
    ] = 1,
    template: Template = None,
    rank_curve: Annotated[
        Path | None, typer.Option(help="Rank curve (.json) that gives expression by rank.")
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
    overwrite: Overwrite = False,
) -> None:
    """Let a language model write new cells, of real genes only and none twice.

    Raises
    ------
    InputError
        If there is no file to write to, and none was to be written.
    """
    from celloquy.apps.cli._language_model import open_lm
    from celloquy.apps.cli._predict import pairs
    from celloquy.errors import InputError
    from celloquy.roles import GenerateOptions, ReadOptions, plan_generation
    from celloquy.roles import generate as generate_cells

    if out is None and not dry_run:
        msg = "There is no file to write the cells to."
        raise InputError(msg, hint="`--out new.h5ad`, or `--dry-run` to see the first prompt.")
    fields = pairs(sets, option="--set")
    options = GenerateOptions(
        genes=genes, n_top_genes=n_top_genes, exactly=not at_most, is_constrained=not free,
        repair=repair, temperature=temperature, top_k=top_k, top_p=top_p, template=template,
        n_candidates=candidates, guidance_scale=guidance_scale,
        control=control, obs_fields=pairs(obs, option="--obs", alike=True), rank_curve=rank_curve,
        read=ReadOptions(layer=layer, use_raw=raw, gene_column=gene_column, collisions=collisions),
    )  # fmt: skip
    model = open_lm(
        lm, allow_remote=allow_remote, price_in=price_in, price_out=price_out, max_cost=max_cost,
        device=device, precision=precision, allow_download=allow_download,
    )  # fmt: skip
    if dry_run:
        typer.echo(plan_generation(task, fields, n=n, lm=model, seed=seed, options=options))
        return
    made = generate_cells(
        task, fields, n=n, lm=model, out=out, seed=seed, overwrite=overwrite, options=options
    )
    record = made.uns["celloquy_generate"]
    typer.echo(
        f"{record['n_genes_named']:,} genes named · {record['n_unknown']:,} words were no gene, "
        f"{record['n_repeated']:,} repeats",
        err=True,
    )
