"""``celloquy reconstruct``: from sentences back to expression."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    import numpy as np

    from celloquy.io import write_h5ad
    from celloquy.text import RankCurve, default_rank_curve, read_sentences
    from celloquy.text import reconstruct as to_expression

    read = read_sentences(sentences)
    curve = None if rank_curve is None else RankCurve.load(rank_curve)
    said = "the given rank curve" if curve else "the expression that the file carries"
    if curve is None and np.isnan(read.ranked.values).any():
        curve = default_rank_curve()
        said = "the packaged rank curve, an average over public studies"
    adata = to_expression(read, rank_curve=curve)
    write_h5ad(adata, out, overwrite=overwrite)
    typer.echo(f"{adata.n_obs:,} cells × {adata.n_vars:,} genes by {said} · {out.name}", err=True)
