"""``celloquy evaluate``: metrics with intervals, and baselines beside every number."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from celloquy.apps.cli._evaluate_cells import embedding, generated, perturbation, reconstruction
from celloquy.apps.cli._evaluate_report import (
    Groups,
    LeaveOut,
    OnlyShared,
    Report,
    TruthFile,
    Unknown,
    refuse_report,
    tell,
)
from celloquy.apps.cli._options import Json, Layer, Overwrite, Raw, Seed, Source

DEFAULT = "annotation"


class _JudgesLabels(TyperGroup):
    """A group whose first word may be a file: then labels are judged."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer's or click's)
        """Put the default job before what names none."""
        if args and not _names_command(args, tuple(self.commands)):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


def _names_command(args: list[str], commands: tuple[str, ...]) -> bool:
    """Say whether the first word is a command, and not a file of the same name.

    It is the file if one is there, an option or nothing follows, and no other word is a file:
    ``celloquy evaluate embedding --truth cell_type …`` in a folder with a store "embedding".
    """
    first, *others = args
    if first in {"-h", "--help"}:
        return True
    if first not in commands:
        return False
    follows_option = not others or others[0].startswith("-")
    asks_help = {"-h", "--help"} & set(others)
    return not (
        Path(first).exists()
        and follows_option
        and not asks_help
        and not any(Path(other).exists() for other in others)
    )


evaluate = typer.Typer(
    cls=_JudgesLabels,
    help="Judge results: metrics, intervals over donors or studies, baselines beside. "
    "`evaluate FILE …` judges predicted labels (annotation).",
    no_args_is_help=True,
)


@evaluate.command(DEFAULT)
def annotation(
    source: Annotated[
        Path,
        typer.Argument(help="Cells with the predictions; or a .csv, .tsv or .parquet of obs."),
    ],
    *,
    truth: Annotated[str, typer.Option(help="Column of obs with the labels held to be true.")],
    prediction: Annotated[str, typer.Option(help="Column of obs with the predicted labels.")],
    groups: Groups = None,
    confidence: Annotated[
        str | None, typer.Option(help="Column of obs with the confidence in [0, 1].")
    ] = None,
    truth_file: TruthFile = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(help="Column with other predictions to test against; repeatable."),
    ] = None,
    leave_out: LeaveOut = None,
    unknown: Unknown = None,
    labels_by: Annotated[
        str | None,
        typer.Option(help="Make labels one: a table (label, type), 'ontology' or 'blood'."),
    ] = None,
    ontology: Annotated[
        bool, typer.Option("--ontology", help="Measure distances in the Cell Ontology.")
    ] = False,
    only_shared: OnlyShared = False,
    seed: Seed = 0,
    out: Report = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Judge predicted labels by true ones. Only columns of obs are read."""
    from celloquy.evaluation import EvaluateOptions, evaluate_annotation

    refuse_report(out, overwrite=overwrite)
    report = evaluate_annotation(
        source,
        truth=truth,
        prediction=prediction,
        groups=groups,
        confidence=confidence,
        truth_source=truth_file,
        beside=tuple(beside or ()),
        options=EvaluateOptions(
            leave_out=tuple(leave_out or ()), unknown=tuple(unknown or ()), labels_by=labels_by,
            ontology=ontology, only_shared=only_shared, seed=seed,
        ),
    )  # fmt: skip
    tell(report, out=out, as_json=as_json, overwrite=overwrite)


@evaluate.command("drug")
def drug(
    source: Annotated[Path, typer.Argument(help="Cells with the predictions; or a table of obs.")],
    *,
    truth: Annotated[str, typer.Option(help="Column of obs with the true response.")],
    prediction: Annotated[str, typer.Option(help="Column of obs with the predicted response.")],
    groups: Annotated[str, typer.Option(help="Column of obs with the patient or cell line.")],
    positive: Annotated[
        str | None, typer.Option(help="The response that --probability is of.")
    ] = None,
    probability: Annotated[
        str | None, typer.Option(help="Column of obs with the probability of --positive.")
    ] = None,
    truth_file: TruthFile = None,
    leave_out: LeaveOut = None,
    unknown: Unknown = None,
    only_shared: OnlyShared = False,
    seed: Seed = 0,
    out: Report = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Judge predicted drug response, patient by patient or line by line."""
    from celloquy.evaluation import EvaluateOptions, evaluate_drug_response

    refuse_report(out, overwrite=overwrite)
    report = evaluate_drug_response(
        source,
        truth=truth,
        prediction=prediction,
        groups=groups,
        positive=positive,
        probability=probability,
        truth_source=truth_file,
        options=EvaluateOptions(
            leave_out=tuple(leave_out or ()), unknown=tuple(unknown or ()),
            only_shared=only_shared, seed=seed,
        ),
    )  # fmt: skip
    tell(report, out=out, as_json=as_json, overwrite=overwrite)


@evaluate.command("answers")
def answers(
    source: Source,
    *,
    truth: Annotated[str, typer.Option(help="Column of obs with the true cell type.")],
    answer: Annotated[str, typer.Option(help="Column of obs with the answers in words.")],
    groups: Groups = None,
    ontology: Annotated[
        bool, typer.Option("--ontology", help="Know synonyms, and types above the true one.")
    ] = False,
    leave_out: LeaveOut = None,
    layer: Layer = None,
    raw: Raw = False,
    seed: Seed = 0,
    table: Annotated[
        Path | None, typer.Option(help="Also write what each answer was read as: .csv or .tsv.")
    ] = None,
    out: Report = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Judge answers in words: the types and genes that they name.

    Raises
    ------
    typer.BadParameter
        If the table's ending names no table.
    """
    from celloquy._runtime import atomic_path
    from celloquy.evaluation import EvaluateOptions, evaluate_answers

    refuse_report(out, overwrite=overwrite)
    if table is not None and table.suffix.lower() not in {".csv", ".tsv"}:
        told = f"'--table {table.name}' ends in neither .csv nor .tsv."
        raise typer.BadParameter(told)
    options = EvaluateOptions(leave_out=tuple(leave_out or ()), ontology=ontology, seed=seed)
    report = evaluate_answers(
        source, truth=truth, answer=answer, groups=groups, layer=layer, use_raw=raw, options=options
    )
    if table is not None:
        with atomic_path(table, overwrite=overwrite) as temporary:
            separator = "," if table.suffix.lower() == ".csv" else "\t"
            report.answers.to_csv(temporary, sep=separator, index=False)
    tell(report, out=out, as_json=as_json, overwrite=overwrite)


for job in (embedding, generated, reconstruction, perturbation):
    evaluate.command()(job)
