"""``celloquy demo``: the main job on real blood cells, beside baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from celloquy.apps.cli._options import Overwrite, Seed


def demo(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")] = Path(
        "celloquy-demo"
    ),
    reference: Annotated[
        Path | None, typer.Option(help="Labelled cells of one study, to label --query from.")
    ] = None,
    query: Annotated[Path | None, typer.Option(help="Labelled cells of another study.")] = None,
    label_key: Annotated[str, typer.Option(help="Column of obs with the labels.")] = "cell_type",
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Check, write, embed, annotate and draw real blood cells, with baselines beside every number.

    Without options it takes the 700 cells that the scanpy package carries. With --reference
    and --query it labels the cells of one study from those of another.
    """
    from celloquy.apps.demo import DemoOptions, run_demo

    run_demo(
        DemoOptions(
            out=out, reference=reference, query=query, label_key=label_key, seed=seed,
            overwrite=overwrite,
        ),
        say=typer.echo,
    )  # fmt: skip
