"""Predict for the command line: calibrate, ask, measure, draw, and tell."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from celloquy._runtime import count_of, refuse_existing
from celloquy.errors import InputError
from celloquy.io import open_stream, refuse_taken
from celloquy.learn import measure_reliability
from celloquy.roles import calibrate, plan_prediction, predict
from celloquy.roles._asking import as_task, label_set
from celloquy.roles._cells import obs_column
from celloquy.roles._parents import read_parents
from celloquy.roles._targets import refuse_targets

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from celloquy.lm import LanguageModel
    from celloquy.roles import Predicted, PredictOptions

RELIABILITY = "reliability.png"


@dataclass(frozen=True)
class Wishes:
    """What is wanted of one run, besides how the cells are asked about."""

    task: str
    labels: Path | None
    out: Path | None
    key_added: str | None
    calibrate_on: Path | None
    label_key: str | None
    calibration: Path | None
    truth: str | None
    plots: Path | None
    dry_run: bool
    as_json: bool
    overwrite: bool

    def check(self) -> None:
        """Refuse wishes that do not fit together.

        Raises
        ------
        InputError
            If one needs another that is missing.
        """
        if (self.calibrate_on is None) != (self.label_key is None):
            msg = "`--calibrate-on` and `--label-key` belong together, and one is missing."
            raise InputError(msg, hint="name the labelled cells, and their column of labels.")
        if self.plots is not None and self.truth is None and self.out is None:
            msg = "`--plots` draws annotated cells, or how far scores are right; neither is there."
            raise InputError(msg, hint="pass `--out FILE`, `--truth COLUMN`, or both.")
        if self.plots is not None and not self.dry_run:
            from celloquy.apps.pictures import refuse_pictures

            refuse_pictures(self.plots, overwrite=self.overwrite)
            if self.plots.is_dir():
                refuse_existing(self.plots / RELIABILITY, overwrite=self.overwrite)


def ask(source: Path, wishes: Wishes, lm: LanguageModel, options: PredictOptions) -> None:
    """Do what is wished, and tell about it."""
    if wishes.dry_run:
        plan = plan_prediction(source, wishes.task, lm=lm, labels=wishes.labels, options=options)
        typer.echo(json.dumps(plan.__dict__, indent=2) if wishes.as_json else str(plan))
        return
    truth = _refuse_early(source, wishes, lm, options)
    options = replace(options, calibration=_calibration(wishes, lm, options))
    found = predict(
        source, wishes.task, lm=lm, labels=wishes.labels, out=wishes.out,
        key_added=wishes.key_added, overwrite=wishes.overwrite, options=options,
    )  # fmt: skip
    measured = None if truth is None else measure(truth, found)
    if wishes.as_json:
        said = _as_json(found, measured, with_cells=wishes.out is None)
        typer.echo(json.dumps(said, indent=2, allow_nan=False))
    elif wishes.out is None:
        typer.echo(found.table.to_csv(sep="\t", index_label="cell"), nl=False)
    typer.echo(str(found), err=True)
    if measured is not None:
        typer.echo("\n".join(_lines(measured)), err=True)
    if wishes.plots is not None:
        _draw(found, truth, wishes, options)


def _calibration(wishes: Wishes, lm: LanguageModel, options: PredictOptions) -> Any:  # noqa: ANN401
    """Fit a calibration on other cells, or name the file of one."""
    if wishes.calibrate_on is None or wishes.label_key is None:
        return wishes.calibration
    made = calibrate(
        wishes.calibrate_on, wishes.task, lm=lm, labels=wishes.labels, label_key=wishes.label_key,
        out=wishes.calibration, overwrite=wishes.overwrite, options=options,
    )  # fmt: skip
    cells = count_of(made.n_cells, "cells")
    typer.echo(f"temperature {made.temperature:.3g}, fitted on {cells}", err=True)
    return made


def _refuse_early(
    source: Path, wishes: Wishes, lm: LanguageModel, options: PredictOptions
) -> pd.Series[Any] | None:
    """Read the true labels, and refuse what would fail after cells were asked about.

    Raises
    ------
    InputError
        If the columns are taken, or no cell has a true label that is one of the answers.
    """
    task = as_task(wishes.task)
    labels = label_set(task, lm, wishes.labels)
    key = wishes.key_added or f"{task.name}_celloquy"
    targets = {"obs": [key], "uns": [key]}
    refuse_targets(source, targets, out=wishes.out, overwrite=wishes.overwrite)
    with open_stream(source) as stream:
        if wishes.out is not None:
            refuse_taken(stream, targets, overwrite=wishes.overwrite)
        if wishes.truth is None:
            return None
        truth = obs_column(stream, wishes.truth)
    known = set(labels)
    if options.parents is not None:
        known |= {above for some in read_parents(options.parents).values() for above in some}
    _check_truth(truth, known, first=labels[:3])
    return truth


def _check_truth(truth: pd.Series[Any], known: set[str], *, first: tuple[str, ...]) -> None:
    """Refuse true labels of which none can be answered, and tell those that cannot.

    Raises
    ------
    InputError
        If no cell has a true label, or none of them is an answer.
    """
    counts = truth.dropna().astype(str).value_counts()
    if counts.empty:
        msg = f"No cell has a true label in {str(truth.name)!r}."
        raise InputError(msg, hint="name the column that holds them.")
    others = [str(label) for label in counts.index if label not in known]
    if len(others) == len(counts):
        listed = ", ".join(map(repr, others[:3]))
        msg = f"No true label of {str(truth.name)!r} is one of the answers: {listed} there, "
        msg += f"{', '.join(map(repr, first))} here."
        raise InputError(msg, hint="write both alike, or leave `--truth` out.")
    if others:
        n_cells = int(counts[others].sum())
        told = f"{n_cells:,} cells have a true label that is none of the answers, such as "
        typer.echo(f"{told}{others[0]!r}; they count as wrong", err=True)


def measure(truth: pd.Series[Any], found: Predicted) -> dict[str, float]:
    """Compare answers with true labels; the largest label for all is the baseline beside it.

    Parameters
    ----------
    truth
        True labels; cells without one are left out.
    found
        The answers.
    """
    from celloquy.evaluation import measure_annotation

    has_one = truth.notna().to_numpy()
    true = truth[has_one].astype(str).to_numpy()
    said = found.labels[has_one].astype(str).to_numpy()
    measured = measure_annotation(true, said).to_dict()
    largest = truth[has_one].astype(str).value_counts().idxmax()
    measured["accuracy_of_largest_label"] = float((true == largest).mean())
    sure = found.table[f"{found.key}_score"].to_numpy()[has_one]
    known = np.isfinite(sure) & (said != "unknown")
    if known.any():
        measured["calibration_error"] = measure_reliability(
            np.minimum(sure[known], 1.0), (said == true)[known]
        ).error
    return measured


def _lines(measured: dict[str, float]) -> list[str]:
    names = {
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
        "coverage": "coverage",
        "accuracy_answered": "accuracy of labelled cells",
        "accuracy_of_largest_label": "accuracy of the largest label for all (baseline)",
        "calibration_error": "expected calibration error of labelled cells",
    }
    known = {name: said for name, said in names.items() if np.isfinite(measured.get(name, np.nan))}
    return [f"{said}: {measured[name]:.3f}" for name, said in known.items()]


def _as_json(
    found: Predicted, measured: dict[str, float] | None, *, with_cells: bool
) -> dict[str, Any]:
    counts = found.labels.value_counts()
    said: dict[str, Any] = {
        "key": found.key,
        "n_obs": len(found.table),
        "coverage": found.coverage,
        "labels": {str(label): int(n) for label, n in counts.items() if n},
        "record": found.record,
    }
    if measured is not None:
        said["measured"] = {k: v if np.isfinite(v) else None for k, v in measured.items()}
    if with_cells:
        said["cells"] = json.loads(found.table.reset_index(names="cell").to_json(orient="records"))
    return said


def _draw(
    found: Predicted, truth: pd.Series[Any] | None, wishes: Wishes, options: PredictOptions
) -> None:
    """Draw what can be drawn: the cells, and how often answers of a given score are right."""
    from celloquy import plotting as pl
    from celloquy.apps.pictures import draw_annotation

    folder = wishes.plots
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    if wishes.out is not None and found.record["has_probabilities"]:
        drawn += draw_annotation(
            wishes.out, found.key, folder=folder, read=options.read, overwrite=wishes.overwrite
        )
    if truth is not None and found.record["has_probabilities"]:
        known = (truth.notna() & found.score.notna() & (found.labels != "unknown")).to_numpy()
        if known.any():
            right = truth.astype(str).to_numpy() == found.labels.astype(str).to_numpy()
            sure = np.minimum(found.score.to_numpy()[known], 1.0)
            pl.reliability(
                sure, right[known], save=folder / RELIABILITY, overwrite=wishes.overwrite
            )
            drawn.append(folder / RELIABILITY)
    for path in drawn:
        typer.echo(str(path), err=True)
