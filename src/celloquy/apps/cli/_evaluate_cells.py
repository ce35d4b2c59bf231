"""``celloquy evaluate embedding``, ``generated``, ``reconstruction``, ``perturbation``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from celloquy.apps.cli._evaluate_report import Report, refuse_report, tell
from celloquy.apps.cli._options import Json, Layer, Overwrite, Raw, Seed, Source

Real = Annotated[Path, typer.Option(help="Real cells to compare with.")]
MaxObs = Annotated[int | None, typer.Option(help="The most cells that are used, drawn at random.")]
Donors = Annotated[str | None, typer.Option(help="Column of the real cells' obs with the donor.")]


def embedding(
    source: Source,
    *,
    rep: Annotated[str, typer.Option(help="Name of the embedding in obsm.")] = "X_celloquy",
    label_key: Annotated[str, typer.Option(help="Column of obs with the labels.")] = "cell_type",
    batch_key: Annotated[
        str | None, typer.Option(help="Column of obs with the batch, donor or study.")
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(help="Compute PCA and the SVD of the sentences' words beside."),
    ] = True,
    max_obs: MaxObs = None,
    layer: Layer = None,
    raw: Raw = False,
    seed: Seed = 0,
    out: Report = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Judge an embedding by its labels and batches."""
    from celloquy.evaluation import evaluate_embedding
    from celloquy.roles import ReadOptions

    refuse_report(out, overwrite=overwrite)
    most = {} if max_obs is None else {"max_obs": max_obs}
    report = evaluate_embedding(
        source,
        rep=rep,
        label_key=label_key,
        batch_key=batch_key,
        read=ReadOptions(layer=layer, use_raw=raw),
        baselines=baselines,
        seed=seed,
        **most,
    )
    tell(report, out=out, as_json=as_json, overwrite=overwrite)


def generated(
    new: Annotated[Path, typer.Argument(help="Generated cells.")],
    *,
    real: Real,
    label_key: Annotated[
        str, typer.Option(help="Column of obs with the label that was asked for.")
    ] = "cell_type",
    train: Annotated[
        Path | None, typer.Option(help="Cells that the generator learned from, to look for copies.")
    ] = None,
    groups: Donors = None,
    n_top_genes: Annotated[
        int | None, typer.Option(help="Compare the first genes of each cell alone.")
    ] = None,
    max_obs: MaxObs = None,
    seed: Seed = 0,
    out: Report = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Judge generated cells by real cells that their generator has not seen."""
    from celloquy.evaluation import GeneratedOptions, evaluate_generated

    refuse_report(out, overwrite=overwrite)
    options = GeneratedOptions(n_top_genes=n_top_genes)
    if max_obs is not None:
        options = replace(options, max_obs=max_obs)
    report = evaluate_generated(
        new,
        real=real,
        label_key=label_key,
        train=train,
        group_key=groups,
        options=options,
        seed=seed,
    )
    tell(report, out=out, as_json=as_json, overwrite=overwrite)


def reconstruction(
    reconstructed: Annotated[Path, typer.Argument(help="Cells that were given back.")],
    *,
    real: Real,
    groups: Donors = None,
    max_obs: MaxObs = None,
    layer: Layer = None,
    raw: Raw = False,
    seed: Seed = 0,
    out: Report = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Judge reconstructed cells by the real cells of the same names."""
    from celloquy.evaluation import evaluate_reconstruction
    from celloquy.roles import ReadOptions

    refuse_report(out, overwrite=overwrite)
    most = {} if max_obs is None else {"max_obs": max_obs}
    report = evaluate_reconstruction(
        reconstructed,
        real=real,
        group_key=groups,
        read=ReadOptions(layer=layer, use_raw=raw),
        seed=seed,
        **most,
    )
    tell(report, out=out, as_json=as_json, overwrite=overwrite)


def perturbation(
    pred: Annotated[Path, typer.Argument(help="Predicted cells, or one profile a perturbation.")],
    *,
    real: Real,
    control: Annotated[str, typer.Option(help="Name of the control.")] = "control",
    perturbation_key: Annotated[
        str, typer.Option(help="Column of obs with the perturbation.")
    ] = "perturbation",
    context_key: Annotated[
        str | None, typer.Option(help="Column of obs with the cell line or condition.")
    ] = None,
    separator: Annotated[
        str, typer.Option(help="What stands between the perturbations of a combination.")
    ] = "+",
    layer: Layer = None,
    raw: Raw = False,
    seed: Seed = 0,
    out: Report = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Judge predicted effects of perturbations."""
    from celloquy.evaluation import evaluate_perturbation
    from celloquy.roles import ReadOptions

    refuse_report(out, overwrite=overwrite)
    report = evaluate_perturbation(
        pred,
        real=real,
        control=control,
        perturbation_key=perturbation_key,
        context_key=context_key,
        separator=separator,
        read=ReadOptions(layer=layer, use_raw=raw),
        seed=seed,
    )
    tell(report, out=out, as_json=as_json, overwrite=overwrite)
