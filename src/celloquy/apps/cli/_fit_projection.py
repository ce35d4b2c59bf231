"""``celloquy fit-projection``: what tells labels apart in the vectors of an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from celloquy.apps.cli._options import Overwrite, Seed, Source


def fit_projection(
    source: Source,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    label_key: Annotated[str, typer.Option(help="Column of obs with the labels.")],
    batch_key: Annotated[
        str | None, typer.Option(help="Column of obs with the donor, batch or study.")
    ] = None,
    rep: Annotated[str, typer.Option(help="Name of the vectors in obsm.")] = "X_celloquy",
    n_components: Annotated[
        int | None, typer.Option(help="Directions kept; else as many as labels, less one.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Fit a projection on labelled cells that are encoded, for encode --projection."""
    from celloquy.roles import fit_projection as fit

    fitted = fit(
        source,
        label_key=label_key,
        batch_key=batch_key,
        rep=rep,
        n_components=n_components,
        out=out,
        overwrite=overwrite,
        seed=seed,
    )
    typer.echo(f"{fitted} · {out}", err=True)
