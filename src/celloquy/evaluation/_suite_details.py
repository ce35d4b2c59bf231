"""What lies behind a suite's means: labels, confusions and confidences of chosen methods."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy.evaluation._label_counts import count_labels
from celloquy.evaluation._suite_summary import LM_ROLE, Results
from celloquy.learn import Reliability, measure_reliability

if TYPE_CHECKING:
    from collections.abc import Sequence


def shown_methods(results: Results, kind: str) -> list[str]:
    """Choose what is shown in detail: the default, the best without and with a language model."""
    table = results.table
    lms = [str(name) for name in table["lm"].unique() if name]
    chosen = [
        results.default,
        results.best(["baseline"], kind=kind),
        *(results.best([LM_ROLE], kind=kind, lm=lm) for lm in lms),
    ]
    return list(dict.fromkeys(name for name in chosen if name))


def not_applicable(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count what was not measured: one row a kind, method and reason, in the order it was met.

    Parameters
    ----------
    records
        What :func:`run_suite` gave.
    """
    counted = Counter(
        (found["case"]["kind"], found["method"]["title"], found["not_applicable"])
        for found in records
        if "not_applicable" in found
    )
    return [
        {"kind": kind, "title": title, "n_cases": n, "why": why}
        for (kind, title, why), n in counted.items()
    ]


def cells_of(records: Sequence[dict[str, Any]], *, method: str, kind: str) -> pd.DataFrame:
    """Put the cells of all cases of a method end to end: truth, prediction and score.

    Records of other jobs than labels hold none of these, and the table is empty.
    """
    held: dict[str, list[Any]] = {"truth": [], "prediction": [], "score": []}
    for found in records:
        of_method = found["method"]["name"] == method and found["case"]["kind"] == kind
        if of_method and "prediction" in found:
            labels = np.array(found["labels"], dtype=object)
            held["truth"] += labels[found["truth"]].tolist()
            held["prediction"] += labels[found["prediction"]].tolist()
            held["score"] += found["score"]
    return pd.DataFrame(held)


def label_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Give precision, recall and F1 of each label over all cells, with their number."""
    counted = count_labels(cells["truth"], cells["prediction"])
    hits = np.diagonal(counted.total)
    of_truth, told = counted.total.sum(axis=1), counted.total.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = pd.DataFrame(
            {
                "precision": hits / told,
                "recall": hits / of_truth,
                "f1": 2 * hits / (of_truth + told),
                "n_obs": of_truth,
            },
            index=pd.Index(counted.labels, name="label"),
        )
    kept: pd.DataFrame = table[of_truth > 0]
    return kept


def confusion_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Give the share of each true label's cells by prediction; rows sum to 1."""
    counts: pd.DataFrame = pd.crosstab(cells["truth"], cells["prediction"])
    shares: pd.DataFrame = counts.div(counts.sum(axis=1), axis=0)
    return shares


def reliability_of(cells: pd.DataFrame) -> Reliability:
    """Give accuracy by confidence over all cells."""
    return measure_reliability(
        np.clip(cells["score"], 0, 1), (cells["truth"] == cells["prediction"]).to_numpy()
    )
