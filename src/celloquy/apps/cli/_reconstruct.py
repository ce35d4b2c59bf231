"""``celloquy reconstruct``: from sentences back to expression."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from celloquy._runtime import count_of, refuse_existing
from celloquy.apps.cli._options import Out, Overwrite


def reconstruct(
    sentences: Annotated[
        Path, typer.Argument(help="Parquet file that `celloquy sentences` wrote.")
    ],
    *,
    out: Out,
    rank_curve: Annotated[
        Path | None,
        typer.Option(
            help="Saved rank curve (JSON); without it, expression that the file carries comes "
            "back, or else the packaged curve is used."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn sentences back into expression by a rank curve."""
    from celloquy.io import write_h5ad
    from celloquy.text import reconstruct as to_expression

    refuse_existing(out, overwrite=overwrite)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        adata = to_expression(sentences, rank_curve=rank_curve)
    write_h5ad(adata, out, overwrite=overwrite)
    for warning in caught:
        typer.echo(f"warning: {warning.message}", err=True)
    typer.echo(
        f"{count_of(adata.n_obs, 'cells')} × {count_of(adata.n_vars, 'genes')} · {out.name}",
        err=True,
    )
