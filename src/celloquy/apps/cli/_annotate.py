"""``celloquy annotate``: labels from labelled cells, from markers, or from both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    MaxCost,
    Overwrite,
    Plots,
    PriceIn,
    PriceOut,
    Raw,
    Source,
)


def annotate(
    source: Source,
    *,
    reference: Annotated[
        Path | None, typer.Option(help="Labelled cells, or the folder of a saved reference.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; --markers can do without.")
    ] = None,
    label_key: Annotated[
        str | None, typer.Option(help="Column of the reference's obs with the labels.")
    ] = None,
    key_added: Annotated[
        str | None, typer.Option(help="Name of the new column; without it LABEL_KEY_celloquy.")
    ] = None,
    representation: Annotated[
        str | None, typer.Option(help="How cells become vectors; see the reference page.")
    ] = None,
    head: Annotated[str | None, typer.Option(help="logistic, knn, trees or mlp.")] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Calibrate scores on held-out reference cells.")
    ] = False,
    clusters: Annotated[
        str | None,
        typer.Option(help="Column of obs: each cluster also gets a majority label, or a name."),
    ] = None,
    markers: Annotated[
        bool,
        typer.Option("--markers", help="Let --lm name CLUSTERS from their marker genes."),
    ] = False,
    lm: Annotated[
        str | None,
        typer.Option(
            "--lm",
            help="Language model: names clusters with --markers, else reads cells (text, fusion).",
        ),
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option(help="With --markers: the model that reads cells for text and fusion."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="With --markers: names to choose from, one a line.")
    ] = None,
    per_cell: Annotated[
        str | None, typer.Option(help="With --markers: column of obs that labels cells already.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="With --markers: tissue=VALUE or organism=VALUE; repeatable."),
    ] = None,
    n_markers: Annotated[int, typer.Option(help="The most markers of a cluster to tell.")] = 20,
    free_text: Annotated[
        bool, typer.Option("--free-text", help="Names in the model's own words, then looked up.")
    ] = False,
    parents: Annotated[
        str | None, typer.Option(help="Table with columns child and parent, or ontology.")
    ] = None,
    layer: Layer = None,
    raw: Raw = False,
    gene_column: GeneColumn = None,
    collisions: Collisions = "refuse",
    reference_layer: Annotated[str | None, typer.Option(help="Layer of the reference.")] = None,
    reference_gene_column: Annotated[
        str | None, typer.Option(help="Column of the reference's var with the gene names.")
    ] = None,
    reference_raw: Annotated[
        bool, typer.Option("--reference-raw", help="Take raw.X of the reference.")
    ] = False,
    save_reference: Annotated[
        Path | None, typer.Option(help="Folder to save the fitted reference to.")
    ] = None,
    plots: Plots = None,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="Of the language model: fp32 or bf16.")] = "fp32",
    allow_download: AllowDownload = False,
    allow_remote: AllowRemote = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    max_cost: MaxCost = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Label cells by labelled cells, or name clusters by their markers, or "unknown".

    Raises
    ------
    typer.BadParameter
        If an option is missing.
    """
    if not markers and (reference is None or out is None):
        missing = "--reference" if reference is None else "--out"
        told = f"Missing option '{missing}'; only --markers can do without."
        raise typer.BadParameter(told)
    if markers and lm is None:
        told = "Missing option '--lm': the language model that names clusters."
        raise typer.BadParameter(told)
    if plots is not None and (out is None or reference is None):
        told = "'--plots' draws cells that were labelled by '--reference', from '--out'."
        raise typer.BadParameter(told)
    from celloquy.apps import _annotating as annotating
    from celloquy.apps.cli._language_model import open_lm
    from celloquy.apps.cli._predict import pairs
    from celloquy.learn import Recipe
    from celloquy.roles import ReadOptions, TextSource

    usual, reads = Recipe(), reader if markers else lm
    text = TextSource(lm=reads, precision=precision, device=device, allow_download=allow_download)
    wishes = annotating.Wishes(
        source, out, key_added, clusters, plots, as_json, overwrite,
        ReadOptions(layer=layer, use_raw=raw, gene_column=gene_column, collisions=collisions),
    )  # fmt: skip
    asked = None
    if reference is not None:
        recipe = Recipe(
            representation=representation or usual.representation, head=head or usual.head,
            calibrate=calibrate,
        )  # fmt: skip
        read = ReadOptions(
            layer=reference_layer, use_raw=reference_raw, gene_column=reference_gene_column,
            collisions=collisions,
        )  # fmt: skip
        asked = annotating.FromReference(reference, label_key, recipe, read, save_reference, text)
    if plots is not None:
        from celloquy.apps.pictures import refuse_pictures

        refuse_pictures(plots, overwrite=overwrite)
    if lm is not None and markers:
        model = open_lm(
            lm, allow_remote=allow_remote, price_in=price_in, price_out=price_out,
            max_cost=max_cost, device=device, precision=precision, allow_download=allow_download,
        )  # fmt: skip
        fields = pairs(sets, option="--set")
        wanted = annotating.FromMarkers(
            model, labels, per_cell, fields, n_markers, free_text, parents, dry_run
        )
        annotating.name(wishes, wanted, asked)
    elif asked is not None:
        annotating.draw(wishes, annotating.label_cells(wishes, asked, keep=True).key)
