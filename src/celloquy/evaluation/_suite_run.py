"""A suite measured case by case: each number is a file of its own, so a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import re
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import Progress, atomic_path
from celloquy.errors import InputError
from celloquy.evaluation._suite_job import JOBS, NotApplicable
from celloquy.evaluation._suite_lms import LmOptions, SuiteModels
from celloquy.evaluation._suite_stamp import differing, stamp_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from celloquy.evaluation._methods import Method
    from celloquy.evaluation._suite import Suite
    from celloquy.evaluation._suite_cells import Case
    from celloquy.evaluation._suite_job import Job
    from celloquy.evaluation._suite_stamp import Stamp
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
        Whether results of other cells, settings, versions or code are measured anew.

    Returns
    -------
    One record a method and case; where a method has nothing to say, `not_applicable` of the
    record is the reason, and there are no metrics.

    Raises
    ------
    InputError
        If the folder holds results of other cells, settings, versions or code, or the suite
        cannot be measured.
    """
    models = SuiteModels(
        [*suite.lms, *lms], n_top_genes=suite.n_top_genes, task=suite.task, options=options
    )
    job = JOBS[suite.measures](suite, folder, models)
    stamp = stamp_of(job)
    place = Path(out) / CELLS
    place.mkdir(parents=True, exist_ok=True)
    plan = _unseen(job, _plan(suite, job.cases(), job.methods()))
    paths = [place / _file(case, method) for case, method in plan]
    known = [_known(path, stamp, overwrite=overwrite) for path in paths]
    with Progress(len(plan), unit="results") as progress:
        for i, (case, method) in enumerate(plan):
            if known[i] is None:
                known[i] = _measured(job, case, method) | {"made_of": stamp}
                _write(paths[i], known[i])
                progress.advance(1)
        n_not = sum(record is not None and "not_applicable" in record for record in known)
        if n_not:
            progress.note(f"{n_not:,} not applicable")
    return [record for record in known if record is not None]


def _unseen(job: Job, plan: Sequence[tuple[Case, Method]]) -> list[tuple[Case, Method]]:
    """Leave out what a language model was taught on, and say how many cases those are."""
    seen = {
        lm: {case for case, method in plan if method.lm == lm and job.has_learned(lm, case)}
        for lm in job.models.names
    }
    for lm, cases in seen.items():
        if cases:
            msg = f"'{lm}' learned from the study that {len(cases):,} cases judge: they are left "
            warnings.warn(msg + "out for it.", UserWarning, stacklevel=3)
    return [(case, method) for case, method in plan if case not in seen.get(method.lm, ())]


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


def _known(path: Path, stamp: Stamp, *, overwrite: bool) -> dict[str, Any] | None:
    """Read a result of an earlier run; `None` where it is to be measured.

    Raises
    ------
    InputError
        If it is broken, or of other cells, settings or code, or of another version.
    """
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        says = differing(found["made_of"], stamp)
        is_known = found["schema"] == SCHEMA
    except (ValueError, KeyError, TypeError, AttributeError):
        found, says, is_known = {}, "", False
    if is_known and not says:
        return found
    if overwrite:
        return None
    what = f"is a result of {says}" if says else "is broken, or no result of this version"
    msg = f"'{path}' {what}."
    raise InputError(msg, hint="name another folder with `--out`, or pass `--overwrite`.")


def _write(path: Path, found: dict[str, Any] | None) -> None:
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")


def _measured(job: Job, case: Case, method: Method) -> dict[str, Any]:
    """Measure one method on one case, and write down everything that is known of it."""
    began = time.perf_counter()
    found = job.measure(case, method)
    known = {
        "schema": SCHEMA,
        "suite": job.suite.name,
        "method": {"name": method.name, "title": method.title, "role": method.role,
                   "representation": method.representation, "head": method.head, "lm": method.lm},
        "case": {"name": case.name, "reference": case.reference, "query": case.query,
                 "kind": case.kind, "unit": case.unit, "seed": case.seed},
    }  # fmt: skip
    if isinstance(found, NotApplicable):
        return known | {"not_applicable": found.why}
    return known | {
        "metrics": {name: float(v) if np.isfinite(v) else None
                    for name, v in found.metrics.items()},
        "seconds": time.perf_counter() - began if found.seconds is None else found.seconds,
        "n_obs": found.n_obs,
        **found.more,
    }  # fmt: skip
