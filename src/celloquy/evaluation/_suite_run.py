"""A suite measured case by case: each number is a file of its own, so a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import Progress, atomic_path
from celloquy.errors import InputError
from celloquy.evaluation._annotation import measure_annotation
from celloquy.evaluation._methods import Method, method_named, method_that_asks, methods_of_lm
from celloquy.evaluation._suite_cells import Case, SuiteCells
from celloquy.evaluation._suite_lms import LmOptions, SuiteModels
from celloquy.learn import fit_reference, measure_reliability

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.evaluation._suite import Suite
    from celloquy.evaluation._suite_cells import Pool
    from celloquy.lm import LanguageModel

SCHEMA = 1
CELLS = "cells"
"""Folder of the results with one file a method and case."""


def run_suite(
    suite: Suite,
    folder: Path,
    *,
    out: str | os.PathLike[str],
    lms: Sequence[str | LanguageModel] = (),
    options: LmOptions | None = None,
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Measure what is not measured yet, and give all results of the suite.

    Parameters
    ----------
    suite
        The suite.
    folder
        The data folder.
    out
        Folder of the results, made if it is missing; a run that was killed goes on from it.
    lms
        Language models to measure beside: each as an encoder, and by asking it where it scores.
    options
        How the language models run.
    overwrite
        Whether results of other cells, settings or versions are measured anew.

    Returns
    -------
    One record a method and case.

    Raises
    ------
    InputError
        If the folder holds results of other cells, settings or versions, or the suite cannot
        be measured.
    """
    cells = SuiteCells(suite, folder)
    models = SuiteModels(
        [*suite.lms, *lms], n_top_genes=suite.n_top_genes, task=suite.task, options=options
    )
    stamp = {
        "cells": hashlib.sha256((suite.digest() + json.dumps(cells.record())).encode()).hexdigest(),
        "celloquy": version("celloquy"),
        "precision": models.options.precision,
    }
    place = Path(out) / CELLS
    place.mkdir(parents=True, exist_ok=True)
    plan = _plan(suite, cells.cases(), _methods(suite, models))
    paths = [place / _file(case, method) for case, method in plan]
    known = [_known(path, stamp, overwrite=overwrite) for path in paths]
    with Progress(len(plan), unit="results") as progress:
        for i, (case, method) in enumerate(plan):
            if known[i] is None:
                known[i] = _measured(cells, case, method, models=models) | {"made_of": stamp}
                _write(paths[i], known[i])
                progress.advance(1)
    return [record for record in known if record is not None]


def _methods(suite: Suite, models: SuiteModels) -> list[Method]:
    """List the methods of a suite: those of each language model by what it can do."""
    made = [method_named(name) for name in suite.methods]
    for lm in models.names:
        if models.can(lm, "embed"):
            made += methods_of_lm(lm, suite.lm_methods or ("1-nn", "logistic"))
        if suite.task is not None and models.can(lm, "score"):
            made.append(method_that_asks(lm))
    return made


def _plan(
    suite: Suite, cases: Sequence[Case], methods: Sequence[Method]
) -> list[tuple[Case, Method]]:
    """Say which methods are measured on which cases: draw by draw, quick methods first.

    Methods that read sentences are measured on the first seeds only.
    """
    slow = set(suite.seeds[: suite.lm_seeds])
    place = {seed: i for i, seed in enumerate(suite.seeds)}
    pairs = [(c, m) for c in cases for m in methods if not m.lm or c.seed in slow]
    return sorted(
        pairs, key=lambda pair: (place[pair[0].seed], bool(pair[1].lm), pair[1].role == "control")
    )


def _file(case: Case, method: Method) -> str:
    """Name the file of a result: readable, and its own whatever the names hold."""
    key = hashlib.sha256(f"{method.name}\x1f{case.name}".encode()).hexdigest()[:12]
    said = re.sub(r"[^a-z0-9]+", "-", f"{method.name} {case.query}".lower()).strip("-")
    return f"{said[-60:]}-{key}.json"


def _known(path: Path, made_of: dict[str, str], *, overwrite: bool) -> dict[str, Any] | None:
    """Read a result of an earlier run; `None` where it is to be measured.

    Raises
    ------
    InputError
        If it is broken, or of other cells or another version.
    """
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        same = found["made_of"] == made_of and found["schema"] == SCHEMA
    except (ValueError, KeyError, TypeError):
        found, same = {}, False
    if same:
        return found
    if overwrite:
        return None
    msg = f"'{path}' is a result of other cells or settings, or of another version."
    raise InputError(msg, hint="name another folder with `--out`, or pass `--overwrite`.")


def _write(path: Path, found: dict[str, Any] | None) -> None:
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")


def _measured(
    cells: SuiteCells, case: Case, method: Method, *, models: SuiteModels
) -> dict[str, Any]:
    """Measure one method on one case.

    Raises
    ------
    InputError
        If no cell has a label that is learnt.
    """
    pool = cells.pool(case)
    train, test = cells.rows(case, pool)
    labels, codes = np.unique(pool.cells.labels[train].astype(str), return_inverse=True)
    truth = pool.cells.labels.astype(str)
    judged = test[np.isin(truth[test], labels)]
    if not len(judged):
        msg = f"{case.reference!r} and {case.query!r} share no label."
        raise InputError(msg, hint="map the labels to common ones, or leave out one of the sets.")
    if method.lm and method.make is not None:
        models.vectors(method, pool)  # read once for all heads, so no head's time holds it
    began = time.perf_counter()
    told, answered = _told(pool, train, judged, codes=codes, labels=labels, method=method,
                           models=models)  # fmt: skip
    seconds = time.perf_counter() - began
    prediction, score = told.argmax(axis=1), told.max(axis=1)
    metrics = measure_annotation(truth[judged], labels[prediction]).to_dict()
    metrics.pop("n_obs")
    metrics |= {"coverage": 1.0, "accuracy_answered": metrics["accuracy"]}
    if answered is not None:
        withheld = measure_annotation(truth[judged], answered)
        metrics |= {"coverage": withheld.coverage, "accuracy_answered": withheld.accuracy_answered}
    is_right = labels[prediction] == truth[judged]
    metrics["calibration_error"] = measure_reliability(score, is_right).error
    return {
        "schema": SCHEMA,
        "suite": cells.suite.name,
        "method": {"name": method.name, "title": method.title, "role": method.role,
                   "representation": method.representation, "head": method.head, "lm": method.lm},
        "case": {"name": case.name, "reference": case.reference, "query": case.query,
                 "kind": case.kind, "unit": case.unit, "seed": case.seed},
        "metrics": {name: None if np.isnan(v) else float(v) for name, v in metrics.items()},
        "seconds": seconds,
        "n_train": len(train),
        "n_obs": len(judged),
        "n_left_out": len(test) - len(judged),
        "too_few": pool.too_few,
        "n_genes": len(pool.cells.block.vocabulary),
        "labels": labels.tolist(),
        "truth": np.searchsorted(labels, truth[judged]).tolist(),
        "prediction": prediction.tolist(),
        "score": np.round(score, 4).tolist(),
    }  # fmt: skip


def _told(
    pool: Pool,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    *,
    codes: NDArray[np.int64],
    labels: NDArray[np.str_],
    method: Method,
    models: SuiteModels,
) -> tuple[NDArray[np.float64], NDArray[np.object_] | None]:
    """Give the probability of every label; of the default also what it answers or withholds."""
    block = pool.cells.block
    if method.make is None:
        return models.ask(method.lm, block.rows(test), labels), None
    if method.lm:
        block = replace(block, text=models.vectors(method, pool))
    if method.name == "default":
        found = fit_reference(block.rows(train), labels[codes].tolist()).annotate(block.rows(test))
        return found.probabilities, found.names
    fitted = method.make().fit(block.rows(train), codes, n_labels=len(labels))
    return fitted.probabilities(block.rows(test)), None
