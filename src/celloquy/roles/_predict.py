"""The verb predict: a task asked of a language model about every cell, answered from a set."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.io import Results, add_results, refuse_taken, write_annotated
from celloquy.learn import UNKNOWN, ancestry_of
from celloquy.roles._asking import Asking, prepare, said_of_server, told_where
from celloquy.roles._calibrations import calibration_for, refuse_calibration_cells
from celloquy.roles._cells import open_cells
from celloquy.roles._collect import collect, discard_parts
from celloquy.roles._parents import read_parents
from celloquy.roles._predict_options import PredictOptions
from celloquy.roles._predict_rows import Asked, Rows, pieces, rows_of
from celloquy.roles._prediction import (
    BEST_ONLY,
    NO_PROBABILITIES,
    UNCALIBRATED,
    Predicted,
    Reading,
    column_names,
    spread,
    table_of,
)
from celloquy.roles._targets import is_adata, path_of, refuse_targets
from celloquy.roles._taught import reading_of
from celloquy.roles._unknown import counted

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.learn import AnswerCalibration
    from celloquy.lm import LanguageModel, PromptPlan
    from celloquy.roles._cells import OpenCells
    from celloquy.roles._collect import Collected, Work
    from celloquy.roles._labels import Labels
    from celloquy.roles._targets import Source
    from celloquy.tasks import Task


def predict(
    source: Source,
    task: Task | str | os.PathLike[str],
    *,
    lm: LanguageModel | str | None = None,
    labels: Labels | None = None,
    out: str | os.PathLike[str] | None = None,
    key_added: str | None = None,
    overwrite: bool = False,
    options: PredictOptions | None = None,
) -> Predicted:
    """Ask a language model about every cell; each answer is one of a set of labels or "unknown".

    The probability of every label is computed and nothing is drawn, so the same cell always
    gets the same answer, alone or among others. With `out` the work is written in parts, and a
    run that was killed goes on from them.

    Parameters
    ----------
    source
        Cells: an AnnData, which gets the columns in place, or a file, which is streamed and
        left as it is.
    task
        What is asked: the name of a task (``celloquy tasks list``), the file of one, or a task.
    lm
        A loaded language model, or what :func:`celloquy.load_lm` takes; `None` takes
        celloquy-mini, which comes with this package.
    labels
        The labels to choose from, or a text file with one a line; `None` takes those of the
        checkpoint, else those of the task.
    out
        Copy of the file `source` to write with the columns added; only for files.
    key_added
        Name of the column of labels; `None` makes it ``<task>_celloquy``.
    overwrite
        Whether `out`, and columns and a record of the same name, are replaced.
    options
        Everything else.

    Returns
    -------
    Labels, probabilities and runners-up, and the record that also goes to ``uns[key_added]``.

    Raises
    ------
    InputError
        If the task does not ask for a label of cells, there is no set of labels, an input of
        the task has no value, a prompt does not fit, a slot or column cannot be used, or cells
        are those that the calibration was fitted on.
    """
    options = options or PredictOptions()
    asking = prepare(task, lm=lm, labels=labels, options=options)
    options = asking.options
    key = key_added or f"{asking.task.name}_celloquy"
    columns = column_names(key, min(max(2, options.top_n), len(asking.labels)))
    targets = {"obs": columns, "uns": [key]}
    if options.probabilities:
        targets["obsm"] = [f"{key}_probabilities"]
    refuse_targets(source, targets, out=out, overwrite=overwrite)
    with open_cells(
        source, verb="predict", read=options.read, needs="rankable", reading=reading_of(asking.lm)
    ) as cells:
        if out is not None:
            refuse_taken(cells.stream, targets, overwrite=overwrite)
        cells.warn_of_ensembl_ids(cells.reading)
        asking = asking.of_genes(cells.own_names)
        calibration = calibration_for(asking, options)
        rows = rows_of(cells, asking, options)
        if options.too_long == "refuse":
            refuse_cut(rows, asking)
        refuse_calibration_cells(calibration, rows)
        record = _record(asking, options, cells, calibration)
        announce(asking, rows)
        reading = _reading(asking, options, calibration)
        collected = collect(
            cells.stream, _asked(rows, asking, reading), out=out, config=record,
            overwrite=overwrite, shard_size=options.shard_size, n_rows=rows.n_rows,
        )  # fmt: skip
        names = cells.stream.obs().index
    table = table_of(key, reading, collected, names=names, rows=rows.row_of_cell)
    record |= _counts(table, key, collected, record)
    record["lm"] |= said_of_server(asking.lm)
    matrix = _matrix(collected, rows) if options.probabilities else None
    predicted = Predicted(key, table, record, asking.labels, matrix)
    _keep(source, predicted, out=out, overwrite=overwrite)
    return predicted


def _reading(
    asking: Asking, options: PredictOptions, calibration: AnswerCalibration | None
) -> Reading:
    ancestry = None
    if options.parents is not None:
        ancestry = ancestry_of(asking.labels, read_parents(options.parents))
    prior = None
    if calibration is not None and calibration.log_prior is not None:
        prior = np.array(calibration.log_prior)
    elif options.prior_corrected:
        prior = asking.log_prior()
    return Reading(
        asking.labels, options.min_score, options.top_n, options.probabilities,
        options.normalise, prior, 1.0 if calibration is None else calibration.temperature,
        ancestry, options.best_only,
    )  # fmt: skip


def _asked(rows: Rows, asking: Asking, reading: Reading) -> Work:
    """Ask about rows and read the answers."""
    answers, room = asking.answers, asking.n_answer_tokens()

    def work(start: int, stop: int) -> dict[str, NDArray[Any]]:
        asked = rows.read(start, stop)
        with told_where(asked.names):
            plan = asking.lm.plan(asked.prompts, n_answer_tokens=room)
            scores = asking.lm.score(plan, answers, best_only=reading.best_only)
        return {
            **reading.read(scores, is_empty=asked.is_empty),
            "n_cut": plan.n_names_cut.astype(np.int32),
            "n_tokens": plan.n_tokens.astype(np.int32),
        }

    return work


def announce(asking: Asking, rows: Rows) -> None:
    """Tell a server's model how much will be asked, so that it can say what leaves."""
    expect = getattr(asking.lm, "expect", None)
    if expect is not None:
        expect(rows.n_rows, fields=asking.columns)


def plans_of(rows: Rows, asking: Asking) -> Iterator[tuple[Asked, PromptPlan]]:
    """Plan all prompts, some at a time; nothing is asked."""
    room = asking.n_answer_tokens()
    for asked in pieces(rows):
        with told_where(asked.names):
            yield asked, asking.lm.plan(asked.prompts, n_answer_tokens=room)


def refuse_cut(rows: Rows, asking: Asking) -> None:
    """Refuse cells whose genes do not all fit, before anything is asked.

    Raises
    ------
    InputError
        If there is one; the hint names the number of genes that fits all.
    """
    fitting: list[int] = []
    first = ""
    for asked, plan in plans_of(rows, asking):
        for row in np.flatnonzero(plan.n_names_cut):
            first = first or asked.names[row]
            n_cut = -(-int(plan.n_names_cut[row]) // len(asked.genes[row]))
            fitting.append(asked.n_genes(int(row)) - n_cut)
    if fitting:
        lm = asking.lm
        msg = (
            f"The genes of {len(fitting):,} of {rows.n_rows:,} cells do not all fit, such as those "
            f"of {first!r}: '{lm.name}' reads {lm.max_tokens:,} tokens, answer included."
        )
        raise InputError(msg, hint=f"`n_top_genes={min(fitting)}` fits every cell of this data.")


def _record(
    asking: Asking, options: PredictOptions, cells: OpenCells, calibration: AnswerCalibration | None
) -> dict[str, Any]:
    """Say what is done, in plain values; parts of another record are not gone on from."""
    calibrated: dict[str, Any] = {}
    if calibration is not None:
        calibrated = {
            "temperature": float(calibration.temperature),
            "n_cells_of_calibration": calibration.n_cells,
            "calibration": calibration.of.get("from", "given"),
        }
    given = asking.record()
    if options.parents is not None:
        parents = read_parents(options.parents)
        listed = sorted(f"{child}\t{one}" for child, above in parents.items() for one in above)
        given["parents"] = hashlib.sha256("\n".join(listed).encode()).hexdigest()
    return {
        "verb": "predict",
        "celloquy": version("celloquy"),
        "slot": cells.stream.slot,
        "kind": cells.kind.kind,
        **given,
        **cells.known_genes(),
        **options.record(),
        "calibrated": calibration is not None,
        **calibrated,
    }


def _counts(
    table: pd.DataFrame, key: str, collected: Collected, record: dict[str, Any]
) -> dict[str, Any]:
    """Count what came out, and say what the scores are."""
    score = table[f"{key}_score"].to_numpy()
    has_scores = bool(np.isfinite(score).any()) or not len(score)
    note = "" if record["calibrated"] else UNCALIBRATED
    if not has_scores:
        note = BEST_ONLY if record["best_only"] else NO_PROBABILITIES
    n_cut = list(collected.blocks("n_cut"))
    return {
        "n_obs": len(table),
        "coverage": float((table[key] != UNKNOWN).mean()) if len(table) else 0.0,
        "unknown_because": counted(table[f"{key}_why"]),
        "n_unanswered": int(((table[key] == UNKNOWN).to_numpy() & ~np.isfinite(score)).sum()),
        "has_probabilities": has_scores,
        "calibrated": bool(record["calibrated"]) and has_scores,
        "note": note,
        "n_prompts": int(sum(len(block) for block in n_cut)),
        "n_genes_cut": int(sum(int(block.sum()) for block in n_cut)),
        "n_prompts_cut": int(sum(int((block > 0).sum()) for block in n_cut)),
        "n_prompt_tokens": int(sum(int(b.sum()) for b in collected.blocks("n_tokens"))),
    }


def _matrix(collected: Collected, rows: Rows) -> NDArray[np.float32]:
    """Give the probability of every label for every cell."""
    found = np.concatenate(list(collected.blocks("probabilities")))
    return found if rows.row_of_cell is None else spread(found, rows.row_of_cell)


def _keep(
    source: Source, predicted: Predicted, *, out: str | os.PathLike[str] | None, overwrite: bool
) -> None:
    """Write results where they were asked for."""
    obsm = {}
    if predicted.probabilities is not None:
        obsm[f"{predicted.key}_probabilities"] = [predicted.probabilities]
    results = Results(
        obs={str(name): predicted.table[name] for name in predicted.table}, obsm=obsm,
        uns={predicted.key: predicted.record},
    )  # fmt: skip
    if out is not None:
        write_annotated(path_of(source), out, results=results, overwrite=overwrite)
        discard_parts(out)
    elif is_adata(source):
        add_results(source, results)
