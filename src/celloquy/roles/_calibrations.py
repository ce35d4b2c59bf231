"""A temperature for one task, model and label set, fitted on labelled cells of their own."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.learn import (
    AnswerCalibration,
    choose_cells,
    fit_answer_calibration,
    label_codes,
    load_answer_calibration,
    save_answer_calibration,
)
from celloquy.roles._asking import prepare, told_where
from celloquy.roles._cells import obs_column, open_cells
from celloquy.roles._predict_options import PredictOptions
from celloquy.roles._predict_rows import CellRows, Rows, fingerprints, pieces, rows_of
from celloquy.roles._taught import reading_of

if TYPE_CHECKING:
    from celloquy.lm import LanguageModel
    from celloquy.roles._asking import Asking
    from celloquy.roles._labels import Labels
    from celloquy.roles._targets import Source
    from celloquy.tasks import Task

OF_MODEL = "with the model"
"""What a record says of a calibration that came beside the weights."""
MAX_CELLS = 2_000
"""Labelled cells that a temperature is fitted on at most."""


def calibrate(
    source: Source,
    task: Task | str | os.PathLike[str],
    *,
    lm: LanguageModel | str | None = None,
    label_key: str,
    labels: Labels | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    options: PredictOptions | None = None,
) -> AnswerCalibration:
    """Fit a temperature on labelled cells, so that probabilities of other cells are calibrated.

    The cells are asked as :func:`predict` asks, at most 2,000 of them, chosen evenly over their
    labels; those labelled otherwise than the label set are left out. Cells that were used here
    are refused when the calibration is applied.

    Parameters
    ----------
    source
        Labelled cells, other ones than are to be predicted: an AnnData or a file.
    task, lm, labels
        See :func:`predict`.
    label_key
        Column of obs with the true labels.
    out
        JSON file to keep the calibration in.
    overwrite
        Whether an existing one is replaced.
    options
        The options that cells will be predicted with.

    Returns
    -------
    What ``PredictOptions(calibration=…)`` takes.

    Raises
    ------
    InputError
        If no cell has one of the labels, the model gives no probabilities, or something does
        not fit as in :func:`predict`.

    Notes
    -----
    After Guo et al. (ICML 2017): the temperature that makes the true labels likeliest. It
    changes how sure an answer is, never which answer is the likeliest.
    """
    options = options or PredictOptions()
    if options.group_by is not None or options.best_only:
        name = "group_by" if options.group_by is not None else "best_only"
        msg = f"A calibration is fitted on the probabilities of single cells, and `{name}` is set."
        raise InputError(msg, hint=f"leave `{name}` out.")
    asking = prepare(task, lm=lm, labels=labels, options=options)
    options = asking.options
    with open_cells(
        source, verb="predict", read=options.read, needs="rankable", reading=reading_of(asking.lm)
    ) as cells:
        cells.warn_of_ensembl_ids(cells.reading)
        truth = obs_column(cells.stream, label_key).astype(object)
        usable = np.flatnonzero(truth.isin(asking.labels).to_numpy())
        if not len(usable):
            msg = f"No cell of '{cells.stream.source}' has one of the labels in {label_key!r}."
            hint = f"the labels are {', '.join(asking.labels[:5])}; name the column that has them."
            raise InputError(msg, hint=hint)
        _, codes = label_codes(truth.iloc[usable].to_list())
        chosen = usable[choose_cells(codes, max_cells=MAX_CELLS, seed=options.seed)]
        asking = asking.of_genes(cells.own_names)
        rows = rows_of(cells, asking, options)
        logp, n_tokens, prints = _scored(rows, asking, chosen)
    prior = asking.log_prior() if options.prior_corrected else None
    calibration = fit_answer_calibration(
        logp, n_tokens, truth=truth.iloc[chosen].to_list(), labels=asking.labels,
        normalise=options.normalise, log_prior=prior,
        of={**_of(asking, options), "cells": " ".join(sorted(prints))},
    )  # fmt: skip
    if out is not None:
        save_answer_calibration(calibration, out, overwrite=overwrite)
    return calibration


def _scored(
    rows: Rows, asking: Asking, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Ask about the chosen cells, and no others."""
    answers, room = asking.answers, asking.n_answer_tokens()
    logp, n_tokens, prints, start = [], [], [], 0
    for asked in pieces(rows):
        stop = start + len(asked.names)
        inside = chosen[(chosen >= start) & (chosen < stop)] - start
        if len(inside):
            with told_where([asked.names[row] for row in inside]):
                plan = asking.lm.plan([asked.prompts[row] for row in inside], n_answer_tokens=room)
                scores = asking.lm.score(plan, answers)
            logp.append(scores.logp)
            n_tokens.append(scores.n_tokens)
            every = fingerprints(asked)
            prints += [every[row] for row in inside]
        start = stop
    return np.concatenate(logp), np.concatenate(n_tokens), prints


def _of(asking: Asking, options: PredictOptions) -> dict[str, str]:
    """Say what scores come from: another model, task or prompt is another calibration."""
    given = {**asking.fields, **{name: f"obs:{c}" for name, c in asking.obs_fields.items()}}
    return {
        "lm": asking.lm.name,
        "revision": asking.lm.revision,
        "precision": asking.lm.precision,
        "task": asking.task.sha256,
        "template": str(asking.template),
        "n_top_genes": str(options.n_top_genes),
        "inputs": "; ".join(f"{name}={given[name]}" for name in sorted(given)),
    }


def calibration_for(asking: Asking, options: PredictOptions) -> AnswerCalibration | None:
    """Take the calibration of the options, and refuse one that was fitted for something else.

    Raises
    ------
    InputError
        If model, task, labels or options differ.
    """
    given = options.calibration
    if given is None:
        return _own_calibration(asking, options)
    found = load_answer_calibration(given) if isinstance(given, (str, os.PathLike)) else given
    found.require_same(asking.labels, {**_of(asking, options), "cells": found.of.get("cells", "")})
    if (found.normalise, found.log_prior is not None) != (
        options.normalise, options.prior_corrected,
    ):  # fmt: skip
        msg = (
            f"The calibration was fitted with `normalise={found.normalise!r}` and "
            f"`prior_corrected={found.log_prior is not None}`."
        )
        raise InputError(msg, hint="pass the same two, or fit a calibration for these.")
    return found


def _own_calibration(asking: Asking, options: PredictOptions) -> AnswerCalibration | None:
    """Take the calibration that came with the model, if it is of what is asked.

    Its temperature serves any set of labels; task, template, number of genes and correction are
    those that it was fitted with.
    """
    reading = reading_of(asking.lm)
    is_open = options.group_by is None and not options.best_only and not options.prior_corrected
    if reading is None or not is_open:
        return None
    asked = _of(asking, options)
    for path in sorted(reading.folder.glob("calibration*.json")):
        found = load_answer_calibration(path)
        same = all(
            found.of.get(name) == asked[name] for name in ("task", "template", "n_top_genes")
        )
        if same and found.normalise == options.normalise and found.log_prior is None:
            return replace(found, of={**found.of, "from": OF_MODEL, "cells": ""})
    return None


def refuse_calibration_cells(calibration: AnswerCalibration | None, rows: Rows) -> None:
    """Refuse to report cells that the temperature was fitted on: they would look too good.

    Raises
    ------
    InputError
        If there is one.
    """
    if calibration is None or not isinstance(rows, CellRows):
        return
    used = set(calibration.of.get("cells", "").split())
    met = [
        name
        for asked in pieces(rows)
        for name, mark in zip(asked.names, fingerprints(asked), strict=True)
        if mark in used
    ]
    if met:
        msg = (
            f"{len(met):,} of {rows.n_rows:,} cells were used to fit the calibration, such as "
            f"{met[0]!r}; their scores would look better than those of new cells."
        )
        raise InputError(msg, hint="leave them out, or calibrate on cells of another sample.")
