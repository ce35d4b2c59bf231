"""``celloquy annotate``: labels from labelled cells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from celloquy.apps.cli._options import Collisions, GeneColumn, Layer, Out, Overwrite, Raw, Source


def annotate(
    source: Source,
    *,
    reference: Annotated[
        Path, typer.Option(help="Labelled cells, or the folder of a saved reference.")
    ],
    out: Out,
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
        str | None, typer.Option(help="Column of obs: each cluster also gets a majority label.")
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
    plots: Annotated[
        Path | None, typer.Option(help="Folder for pictures; made if it is missing.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Label cells by labelled cells, and say "unknown" where the evidence is too weak."""
    from celloquy.learn import Recipe
    from celloquy.learn import save_reference as save
    from celloquy.roles import AnnotateOptions, ReadOptions, load_or_fit
    from celloquy.roles import annotate as annotate_cells

    usual = Recipe()
    recipe = Recipe(
        representation=representation or usual.representation,
        head=head or usual.head,
        calibrate=calibrate,
    )
    read = ReadOptions(layer=layer, use_raw=raw, gene_column=gene_column, collisions=collisions)
    read_reference = ReadOptions(
        layer=reference_layer,
        use_raw=reference_raw,
        gene_column=reference_gene_column,
        collisions=collisions,
    )
    if plots is not None:
        from celloquy.apps.pictures import draw_annotation, refuse_pictures

        refuse_pictures(plots, overwrite=overwrite)
    fitted: object = reference
    if save_reference is not None:
        fitted = load_or_fit(reference, label_key=label_key, recipe=recipe, read=read_reference)
        save(fitted, save_reference, overwrite=overwrite)
    annotation = annotate_cells(
        source,
        reference=fitted,
        label_key=label_key,
        key_added=key_added,
        out=out,
        overwrite=overwrite,
        options=AnnotateOptions(
            recipe=recipe, read=read, read_reference=read_reference, clusters=clusters
        ),
    )
    typer.echo(str(annotation), err=True)
    if plots is not None:
        for path in draw_annotation(
            out, annotation.key, folder=plots, read=read, groupby=clusters, overwrite=overwrite
        ):
            typer.echo(str(path), err=True)
