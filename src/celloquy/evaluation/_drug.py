"""How well the response to a drug was predicted, patient by patient or line by line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from celloquy._runtime import closest, rng_for
from celloquy.errors import InputError
from celloquy.evaluation._annotation_cells import Columns, judged_cells, several
from celloquy.evaluation._annotation_cells import EvaluateOptions as Options
from celloquy.evaluation._drug_metrics import NONE, group_metrics, shuffled_metrics
from celloquy.evaluation._intervals import group_notes, mean_interval
from celloquy.evaluation._label_counts import count_labels
from celloquy.evaluation._measured import Meaning, Measured, mean_of
from celloquy.learn import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from celloquy.evaluation._annotation_cells import Cells, JudgedCells

N_SHUFFLES = 200
SHUFFLED, MAJORITY = "labels shuffled in each group", "majority class of the other groups"
MEANINGS = {
    "accuracy": Meaning("mean over groups of the share of right cells", "definition"),
    "balanced_accuracy": Meaning(
        "mean over groups of the mean over classes of the share found", "Brodersen et al., 2010"
    ),
    "auroc": Meaning(
        "mean over groups: a positive cell has the higher probability", "Hanley & McNeil, 1982"
    ),
    "auprc": Meaning(
        "mean over groups: average precision of the positive class", "scikit-learn's definition"
    ),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class DrugReport(Measured):
    """Metrics of each group, and their means with every group's say the same."""

    meanings: ClassVar[Mapping[str, Meaning]] = MEANINGS
    title: ClassVar[str] = "mean of groups"

    per_group: pd.DataFrame
    """Cells, positive cells and metrics of each group."""
    shuffle_p: dict[str, float]
    """Share of shuffles whose mean over groups is as high as the prediction's, by metric."""
    pooled: dict[str, float] = field(default_factory=dict)
    """Accuracy and weighted precision, recall and F1 of all cells, as tables of drug response
    usually give them; groups with many cells and frequent classes decide these."""

    def to_dict(self) -> dict[str, Any]:
        """Give everything for machines; what is no number is `None`."""
        rows = self.per_group.reset_index().astype(object)
        said = rows.where(rows.notna(), None).to_dict("records")
        return super().to_dict() | {
            "per_group": said,
            "shuffle_p": {
                name: p if np.isfinite(p) else None for name, p in self.shuffle_p.items()
            },
            "pooled": self.pooled,
        }

    def __str__(self) -> str:
        """Write the means beside the baselines, every group, and the notes."""
        bare, *notes = super().__str__().split("\nnote: ")
        shown = self.per_group.rename_axis(None)
        tested = ", ".join(f"{name} {p:.3f}" for name, p in self.shuffle_p.items())
        all_cells = ", ".join(f"{name} {value:.3f}" for name, value in self.pooled.items())
        lines = [
            bare.rstrip(), "", f"share of shuffles that do as well: {tested}",
            f"all cells at once: {all_cells}", "",
            shown.to_string(float_format="{:.3f}".format, na_rep="–"),
        ]  # fmt: skip
        return "\n".join([*lines, *(f"\nnote: {note.strip()}" for note in notes)])


def evaluate_drug_response(
    source: Cells,
    *,
    truth: str,
    prediction: str,
    groups: str,
    positive: str | None = None,
    probability: str | None = None,
    truth_source: Cells | None = None,
    options: Options | None = None,
) -> DrugReport:
    """Judge predicted drug response by patient or cell line, never over all cells at once.

    Cells of one patient are alike, so each patient gives one number, and the mean over
    patients with its interval is the result. Beside it stand the class that is most frequent
    in the *other* groups, and the same prediction against labels shuffled inside each group.

    Parameters
    ----------
    source
        Cells with the predictions: an AnnData, its obs, a file of cells, or a table of obs.
    truth
        Column with the true response, such as ``"sensitive"`` or ``"resistant"``.
    prediction
        Column with the predicted response.
    groups
        Column with the patient or cell line.
    positive
        The class that `probability` is of, and whose precision counts.
    probability
        Column with the probability of the positive class; without it there is no ranking
        metric.
    truth_source
        Cells with the truth, if that is another file; joined by name.
    options
        What is left out, mapped and drawn; `ontology` has no say here.

    Returns
    -------
    The report; ``print`` shows it.

    Raises
    ------
    InputError
        If a column cannot be used, `positive` is no class, there are more classes than two for
        a probability, or a probability is not in [0, 1].

    Examples
    --------
    Patient p is right in 2 of 2 cells and q in 0 of 1: the mean is 1/2, not 2/3.

    >>> obs = pd.DataFrame({"truth": ["res", "sens", "res"], "told": ["res", "sens", "sens"],
    ...                     "patient": ["p", "p", "q"]})
    >>> report = evaluate_drug_response(obs, truth="truth", prediction="told", groups="patient")
    >>> report.metrics["accuracy"], round(report.pooled["accuracy"], 3)
    (0.5, 0.667)
    """
    options = options or Options()
    columns = Columns(truth, prediction, groups, probability)
    cells = judged_cells(source, columns, truth_source=truth_source, options=options)
    told = cells.predictions[prediction]
    counted = count_labels(cells.truth, told, groups=cells.groups)  # refuses what is missing
    classes = sorted(set(cells.truth))
    score = _score(cells, classes, positive=positive, column=probability)
    place = {name: code for code, name in enumerate(classes)}
    true = np.array([place[one] for one in cells.truth], dtype=np.int8)
    codes = np.array([place.get(one, NONE) for one in told], dtype=np.int8)
    where = np.asarray(cells.groups, dtype=object).astype(str)
    rows, null, usual = _by_group(
        true, codes, where, score=score, positive=place.get(str(positive), 0), options=options
    )
    names = [name for name in MEANINGS if name in rows]
    table = pd.DataFrame(rows, index=pd.Index(counted.groups, name="group"))
    if positive is not None:
        n_positive = [int((true[where == one] == place[positive]).sum()) for one in counted.groups]
        table.insert(1, f"n_{positive}", n_positive)
    means = mean_of(table[names])
    drawn = {"n_resamples": options.n_resamples, "seed": options.seed}
    intervals = {name: mean_interval(table[name], **drawn) for name in names}
    return DrugReport(
        metrics=means,
        intervals={name: one for name, one in intervals.items() if one is not None},
        baselines={MAJORITY: usual, SHUFFLED: {name: _mean(null[name]) for name in names}},
        n={"cells": len(told), f"groups ({groups})": len(table), "classes": len(classes)},
        notes=tuple(_notes(cells, told, table, classes=classes, named=groups)),
        per_group=table,
        shuffle_p={name: _p(null[name], means[name]) for name in names},
        pooled=_pooled(cells.truth, told),
    )


def _score(
    cells: JudgedCells, classes: list[str], *, positive: str | None, column: str | None
) -> NDArray[np.float64] | None:
    """Give the probability of the positive class.

    Raises
    ------
    InputError
        If there is no such class, there are not two, or a probability is not in [0, 1].
    """
    if positive is not None and positive not in classes:
        msg = f"No cell has the true response {positive!r}{closest(positive, classes)}."
        raise InputError(msg, hint=f"the classes are: {', '.join(classes)}.")
    if column is None:
        return None
    if positive is None or len(classes) != 2:
        told = f"the classes are: {', '.join(classes)}"
        msg = f"{column!r} is a probability of one of two classes; {told}."
        raise InputError(msg, hint="name that class: `positive=` (`--positive`).")
    try:
        score = np.asarray(cells.confidence, dtype=float)
    except (TypeError, ValueError) as error:
        msg = f"{column!r} holds no probabilities: {error}."
        raise InputError(msg, hint="name a column of numbers in [0, 1].") from error
    outside = ~((score >= 0) & (score <= 1))
    if outside.any():
        n, first = int(outside.sum()), score[outside.argmax()]
        msg = f"{n} of {len(score)} probabilities in {column!r} are not in [0, 1], such as {first}."
        raise InputError(msg, hint="name a column of numbers in [0, 1], without missing ones.")
    return score


def _by_group(
    true: NDArray[np.int8],
    told: NDArray[np.int8],
    where: NDArray[np.str_],
    *,
    score: NDArray[np.float64] | None,
    positive: int,
    options: Options,
) -> tuple[dict[str, list[float]], dict[str, NDArray[np.float64]], dict[str, float]]:
    """Measure every group: the prediction, the mean of each shuffle, and the majority class."""
    n_classes = int(true.max()) + 1
    rng = rng_for(options.seed, "shuffled responses")
    rows: dict[str, list[float]] = {"n_obs": []}
    nulls: dict[str, list[NDArray[np.float64]]] = {}
    usual: dict[str, list[float]] = {}
    for name in np.unique(where):
        inside = where == name
        ranks = None if score is None else score[inside]
        given = {"n_classes": n_classes, "score": ranks, "positive": positive}
        real = group_metrics(true[inside][None], told[inside], **given)  # type: ignore[arg-type]
        null = shuffled_metrics(
            true[inside], told[inside], n_shuffles=N_SHUFFLES, rng=rng, **given,  # type: ignore[arg-type]
        )  # fmt: skip
        others = true[~inside] if (~inside).any() else true
        constant = np.full(inside.sum(), np.bincount(others).argmax(), dtype=np.int8)
        flat = None if ranks is None else np.full(len(ranks), 0.5)
        beside = group_metrics(
            true[inside][None], constant, n_classes=n_classes, score=flat, positive=positive
        )
        rows["n_obs"].append(int(inside.sum()))
        for metric, value in real.items():
            rows.setdefault(metric, []).append(float(value[0]))
            nulls.setdefault(metric, []).append(null[metric])
            usual.setdefault(metric, []).append(float(beside[metric][0]))
    means = {metric: _mean(np.array(values)) for metric, values in usual.items()}
    return rows, {metric: _over_groups(values) for metric, values in nulls.items()}, means


def _over_groups(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Average each shuffle over the groups that have a number."""
    table = np.stack(values)
    has = np.isfinite(table)
    n = has.sum(axis=0)
    sums = np.where(has, table, 0).sum(axis=0)
    means = np.full(len(n), np.nan)
    np.divide(sums, n, out=means, where=n > 0)
    return means


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _p(null: NDArray[np.float64], found: float) -> float:
    """Give the share of shuffles as high as what was found, which counts as one of them."""
    if not np.isfinite(found):
        return float("nan")
    return float((1 + np.sum(null >= found - 1e-12)) / (1 + len(null)))


def _pooled(truth: NDArray[np.object_], told: NDArray[np.object_]) -> dict[str, float]:
    from sklearn.metrics import precision_recall_fscore_support

    true, pred = truth.astype(str), told.astype(str)
    parts = precision_recall_fscore_support(true, pred, average="weighted", zero_division=0.0)
    names = ("weighted_precision", "weighted_recall", "weighted_f1")
    found = {name: float(part) for name, part in zip(names, parts[:3], strict=True)}
    return {"accuracy": float((true == pred).mean())} | found


def _notes(
    cells: JudgedCells,
    told: NDArray[np.object_],
    table: pd.DataFrame,
    *,
    classes: list[str],
    named: str,
) -> list[str]:
    """Say what the numbers cannot: one class, one group, answers outside the classes."""
    notes = [*cells.notes, *group_notes(len(table), named=named)]
    strange = pd.Series(told)[~np.isin(told.astype(str), [*classes, UNKNOWN])].value_counts()
    if len(strange):
        shown = ", ".join(map(repr, strange.index[:5]))
        notes.append(
            f"{several(int(strange.sum()), 'prediction')} of {len(told):,} outside the classes "
            f"({shown}), which count as wrong."
        )
    if len(classes) == 1:
        notes.append(f"The truth holds one response, {classes[0]!r}: nothing can be told apart.")
    groups = np.asarray(cells.groups, dtype=object).astype(str)
    kinds = pd.Series(cells.truth).groupby(groups).nunique()
    alone = kinds.index[kinds < len(classes)].tolist()
    if alone and len(classes) > 1:
        notes.append(
            f"Of {several(len(table), 'group')} {len(alone)} lack a class "
            f"({', '.join(map(repr, alone[:5]))}): there the response cannot be told from "
            f"the {named}, and there is no AUROC."
        )
    if (table["n_obs"] == 1).any():
        n = int((table["n_obs"] == 1).sum())
        notes.append(f"Of {several(len(table), 'group')} {n} with one cell each.")
    return notes
