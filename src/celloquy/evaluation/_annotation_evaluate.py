"""Judge predicted labels: intervals over groups, the majority class and other columns beside."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.evaluation._annotation import majority_of, metrics_of
from celloquy.evaluation._annotation_cells import (
    Columns,
    EvaluateOptions,
    JudgedCells,
    judged_cells,
    several,
)
from celloquy.evaluation._annotation_labels import map_labels
from celloquy.evaluation._annotation_report import (
    AnnotationReport,
    confusion_of,
    per_group_of,
    per_label_of,
)
from celloquy.evaluation._confidence import evaluate_confidence
from celloquy.evaluation._intervals import drawn_groups, group_notes, interval_of
from celloquy.evaluation._label_counts import count_labels
from celloquy.evaluation._ontology import read_ontology
from celloquy.evaluation._ontology_report import evaluate_ontology
from celloquy.evaluation._paired import PairedTest, paired_test
from celloquy.learn import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.evaluation._annotation import AnnotationMetrics
    from celloquy.evaluation._annotation_cells import Cells
    from celloquy.evaluation._intervals import Interval
    from celloquy.evaluation._label_counts import LabelCounts

_TESTED = ("accuracy", "macro_f1")


def evaluate_annotation(
    source: Cells,
    *,
    truth: str,
    prediction: str,
    groups: str | None = None,
    confidence: str | None = None,
    truth_source: Cells | None = None,
    beside: Sequence[str] = (),
    options: EvaluateOptions | None = None,
) -> AnnotationReport:
    """Judge predicted labels: metrics, intervals, each label, and the majority class beside.

    Only columns of obs are read, never the matrix. Cells of one donor are alike, so intervals
    are drawn over whole groups, never over cells: without groups there are none. Cells without
    a truth are left out, missing predictions count as "unknown", and the notes say how many.

    Parameters
    ----------
    source
        Cells with the predictions: an AnnData, its obs, a file of cells, or a ``.csv``,
        ``.tsv`` or ``.parquet`` table whose first column names the cells.
    truth
        Column with the labels held to be true.
    prediction
        Column with the predicted labels, or ``"unknown"``.
    groups
        Column with the donor, study, patient or cell line of each cell.
    confidence
        Column with the confidence of each prediction in [0, 1].
    truth_source
        Cells with the truth (and, if they are there, groups), if that is another file; joined
        by the names of cells, in any order. Different cells are refused.
    beside
        Columns with other predictions of the same cells, judged beside, and against which the
        first is tested over groups.
    options
        What is left out, mapped and drawn.

    Returns
    -------
    The report; ``print`` shows it.

    Raises
    ------
    InputError
        If a column or file cannot be used, the files hold different cells, no cell has a truth,
        or truth and prediction share no label.

    Examples
    --------
    Two of three cells are right. Of two donors, a resample holds one twice or both, so the
    interval goes from the 1/2 of the one to the 1 of the other.

    >>> import pandas as pd
    >>> obs = pd.DataFrame({"truth": ["B", "T", "T"], "told": ["B", "B", "T"],
    ...                     "donor": ["a", "a", "b"]})
    >>> report = evaluate_annotation(obs, truth="truth", prediction="told", groups="donor")
    >>> round(report.metrics["accuracy"], 3), str(report.intervals["accuracy"])
    (0.667, '[0.500, 1.000]')
    >>> {name: round(found["macro_f1"], 3) for name, found in report.baselines.items()}
    {'majority class (T)': 0.4}
    """
    options = options or EvaluateOptions()
    columns = Columns(truth, prediction, groups, confidence, tuple(beside))
    cells = judged_cells(source, columns, truth_source=truth_source, options=options)
    cells, mapped = _mapped(cells, options)
    told = cells.predictions[prediction]
    counted = count_labels(cells.truth, told, groups=cells.groups)
    _refuse_strangers(counted)
    weights = None
    if groups is not None and len(counted.groups) > 1:
        weights = drawn_groups(
            len(counted.groups), n_resamples=options.n_resamples, seed=options.seed
        )
    others = {
        name: count_labels(cells.truth, labels, groups=cells.groups)
        for name, labels in cells.predictions.items()
        if name != prediction
    }
    usual, majority = majority_of(counted)
    baselines = {f"majority class ({usual})": _numbers(majority)}
    baselines |= {f"column {name!r}": _numbers(metrics_of(one)) for name, one in others.items()}
    sure = None
    if cells.confidence is not None:
        sure = evaluate_confidence(
            cells.truth, told, confidence=cells.confidence, groups=cells.groups,
            n_resamples=options.n_resamples, seed=options.seed,
        )  # fmt: skip
    ontology = None
    if options.ontology:
        ontology = evaluate_ontology(counted, read_ontology(), weights=weights)
    n_groups = {} if groups is None else {f"groups ({groups})": len(counted.groups)}
    return AnnotationReport(
        metrics=_numbers(metrics_of(counted)),
        intervals=_intervals(counted, weights),
        baselines=baselines,
        n={"cells": len(told), "true labels": int((counted.of_truth > 0).sum())} | n_groups,
        notes=(*cells.notes, *_label_notes(counted), *_group_notes(counted, groups)),
        per_label=per_label_of(counted),
        confusion=confusion_of(counted),
        per_group=per_group_of(counted) if groups is not None else per_group_of(counted).iloc[:0],
        confidence=sure,
        ontology=ontology,
        mapped=mapped,
        tests=_tests(counted, others, options) if groups is not None else {},
    )


def _mapped(
    cells: JudgedCells, options: EvaluateOptions
) -> tuple[JudgedCells, pd.DataFrame | None]:
    """Map labels where that was asked for."""
    if options.labels_by is None:
        return cells, None
    told = np.concatenate(list(cells.predictions.values()))
    table = map_labels(cells.truth, told, by=options.labels_by)
    to = {
        side: dict(zip(rows["label"], rows["mapped_to"], strict=True))
        for side, rows in table.groupby("side")
    }
    predictions = {
        name: _renamed(labels, to.get("prediction", {}))
        for name, labels in cells.predictions.items()
    }
    judged = Counter(next(iter(cells.predictions.values())))  # not those of columns beside
    is_told = table["side"] == "prediction"
    table.loc[is_told, "n_obs"] = [judged[label] for label in table.loc[is_told, "label"]]
    moved = int((table["mapped_to"] != table["label"]).sum())
    note = f"{moved} of {several(len(table), 'label')} were mapped, as the table says."
    truth = _renamed(cells.truth, to["truth"])
    made = replace(cells, truth=truth, predictions=predictions, notes=(*cells.notes, note))
    return made, table


def _renamed(labels: NDArray[np.object_], to: dict[str, str]) -> NDArray[np.object_]:
    return np.array([to.get(label, label) for label in labels], dtype=object)


def _numbers(metrics: AnnotationMetrics) -> dict[str, float]:
    return {name: value for name, value in metrics.to_dict().items() if name != "n_obs"}


def _intervals(counted: LabelCounts, weights: NDArray[np.int64] | None) -> dict[str, Interval]:
    if weights is None:
        return {}
    drawn = counted.rates_of(weights)
    made = {name: interval_of(one, n_groups=len(counted.groups)) for name, one in drawn.items()}
    return {name: one for name, one in made.items() if one is not None}


def _tests(
    counted: LabelCounts, others: dict[str, LabelCounts], options: EvaluateOptions
) -> dict[str, dict[str, PairedTest]]:
    return {
        name: {
            metric: paired_test(
                counted.by_group[metric], other.by_group[metric],
                n_resamples=options.n_resamples, seed=options.seed,
            )
            for metric in _TESTED
        }
        for name, other in others.items()
    }  # fmt: skip


def _refuse_strangers(counted: LabelCounts) -> None:
    """Refuse predictions that share no label with the truth.

    Raises
    ------
    InputError
        If there are answers and none of them is a true label.
    """
    true, told = _sides(counted)
    if told and not set(true) & set(told):
        msg = (
            f"Truth and prediction share no label: the truth has {_few(true)}, "
            f"the prediction {_few(told)}."
        )
        hint = (
            "`labels_by` (`--labels-by`) makes labels one: a table, 'ontology' or 'blood'; "
            "what it maps is shown."
        )
        raise InputError(msg, hint=hint)


def _sides(counted: LabelCounts) -> tuple[list[str], list[str]]:
    """Name the true and the predicted labels."""
    labels = np.array(counted.labels, dtype=object)
    told = labels[counted.total.sum(axis=0) > 0]
    return labels[counted.of_truth > 0].tolist(), [one for one in told if one != UNKNOWN]


def _few(labels: Sequence[str], n: int = 5) -> str:
    return ", ".join(map(repr, labels[:n])) + (", …" if len(labels) > n else "")


def _label_notes(counted: LabelCounts) -> list[str]:
    """Say what the labels do to the numbers."""
    true, told = _sides(counted)
    notes = []
    if len(true) == 1:
        notes.append(
            f"The truth holds one label, {true[0]!r}: kappa says nothing, and the majority "
            "class is always right."
        )
    single = [one for one, n in zip(counted.labels, counted.of_truth, strict=True) if n == 1]
    if single:
        notes.append(
            f"Of {several(len(true), 'true label')} {len(single)} with one cell each "
            f"({_few(single)}): such a label is found or not, and is 1/{len(true)} of macro-F1."
        )
    strange = [one for one in told if one not in set(true)]
    if strange:
        n = sum(counted.total[:, counted.labels.index(one)].sum() for one in strange)
        notes.append(
            f"Not in the truth: {several(len(strange), 'predicted label')} ({_few(strange)}); "
            f"{several(int(n), 'cell')} with them count as wrong."
        )
    if not told:
        notes.append("No cell got an answer other than 'unknown'.")
    return notes


def _group_notes(counted: LabelCounts, groups: str | None) -> list[str]:
    """Say what the groups allow."""
    if groups is None:
        return ["No groups were named, so there are no intervals: cells of a donor are alike."]
    sizes = np.asarray(counted.counts.sum(axis=1)).ravel()
    single = [name for name, n in zip(counted.groups, sizes, strict=True) if n == 1]
    notes = list(group_notes(len(counted.groups), named=groups))
    if single:
        notes.append(
            f"Of {several(len(counted.groups), 'group')} {len(single)} with one cell each "
            f"({_few(single)}): in an interval or a test such a group counts like any other."
        )
    return notes
