"""``celloquy sentences``: cells as ranked gene names, to Parquet."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from celloquy.apps.cli._options import Collisions, GeneColumn, Layer, Out, Overwrite, Raw, Source


def sentences(
    source: Source,
    *,
    out: Out,
    style: Annotated[
        str,
        typer.Option(
            help="celloquy, cell2sentence, cellama, cellhermes, chatcell, or a text with {genes}."
        ),
    ] = "celloquy",
    n_top_genes: Annotated[
        int, typer.Option(help="The most genes a sentence names; 0 names all expressed ones.")
    ] = 200,
    obs: Annotated[
        list[str] | None, typer.Option(help="Column of obs to write beside the genes; repeatable.")
    ] = None,
    layer: Layer = None,
    raw: Raw = False,
    gene_column: GeneColumn = None,
    to: Annotated[
        Literal["keep", "symbol", "ensembl"],
        typer.Option(help="Names as they are, approved symbols, or Ensembl ids."),
    ] = "keep",
    collisions: Collisions = "refuse",
    protein_coding: Annotated[
        bool, typer.Option("--protein-coding", help="Name only genes that code for proteins.")
    ] = False,
    no_mitochondrial: Annotated[
        bool, typer.Option("--no-mitochondrial", help="Leave mitochondrial genes out.")
    ] = False,
    no_ribosomal: Annotated[
        bool, typer.Option("--no-ribosomal", help="Leave ribosomal genes out.")
    ] = False,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Gene to leave out; repeatable.")
    ] = None,
    minimum: Annotated[float, typer.Option(help="Expression must exceed this.")] = 0.0,
    values: Annotated[
        bool, typer.Option("--values", help="Write the expression of every named gene, too.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write cells as the names of their most expressed genes, in bounded memory.

    The Parquet file holds the text, the genes as numbers, obs, and a record of how it was
    made. A run that was killed goes on where it stopped.
    """
    from celloquy._runtime import count_of
    from celloquy.text import GeneOptions, WriteOptions, write_sentences

    genes = GeneOptions(
        minimum=minimum,
        protein_coding_only=protein_coding,
        exclude_mitochondrial=no_mitochondrial,
        exclude_ribosomal=no_ribosomal,
        exclude=tuple(exclude or ()),
        to=to,
        collisions=collisions,
        gene_column=gene_column,
    )
    written = write_sentences(
        source,
        out,
        n_top_genes=n_top_genes or None,
        style=style,
        obs_features=tuple(obs or ()),
        layer=layer,
        use_raw=raw,
        genes=genes,
        files=WriteOptions(values=values, overwrite=overwrite, progress=True),
    )
    typer.echo(
        f"{count_of(written.n_obs, 'sentences')} {'names' if written.n_obs == 1 else 'name'} "
        f"{count_of(written.n_genes_named, 'genes')}; "
        f"{count_of(written.n_genes_cut, 'expressed genes')} of "
        f"{count_of(written.n_cells_cut, 'cells')} "
        f"{'is' if written.n_genes_cut == 1 else 'are'} not named",
        err=True,
    )
