"""The same split for every method: Celloquy's default beside the cheap ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.evaluation._annotation import measure_annotation, stratified_splits
from celloquy.learn import Recipe, fit_reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from celloquy.learn import CellBlock, Predictions

MIN_SHARED_GENES = 50
MAJORITY = "majority class"
DEFAULT = "celloquy (default)"

METHODS: dict[str, Recipe] = {
    DEFAULT: Recipe(),
    "logistic regression on log counts": Recipe("log", "logistic", n_markers=None),
    "15 nearest neighbours on PCA": Recipe("pca", "knn"),
    "same sentences, TF-IDF + SVD, 15-NN": Recipe("tfidf-svd", "knn"),
}
"""What every annotation stands beside, and needs no language model."""
TEXT_METHODS: dict[str, Recipe] = {
    "MiniLM, nearest neighbour": Recipe("text", "knn", n_neighbours=1),
    "MiniLM, logistic regression": Recipe("text", "logistic"),
}
"""What reads the same cells through the sentence encoder."""


def compare_within(
    cells: CellBlock,
    labels: Sequence[str],
    *,
    methods: Mapping[str, Recipe],
    n_splits: int = 5,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Annotate each part of one study from its other parts, by every method.

    The split is by cell: it says how well methods tell these cells apart, not how they do on
    a new donor or study.

    Parameters
    ----------
    cells
        Labelled cells of one study.
    labels
        Label of each cell; shape ``(n_obs,)``.
    methods
        Recipes by the name of the method; the majority class is added.
    n_splits
        Number of parts.
    seed
        Seed of the cut.

    Returns
    -------
    One row a method and split with the metrics; and, for the first method, the held-out
    prediction, score and truth of each cell.
    """
    truth = np.asarray(labels, dtype=object)
    rows: list[dict[str, object]] = []
    kept: list[pd.DataFrame] = []
    first = next(iter(methods))
    for split, (train, test) in enumerate(stratified_splits(labels, n_splits=n_splits, seed=seed)):
        inside, outside = cells.rows(train), cells.rows(test)
        rows.append(_majority_row(truth[train], truth[test]) | {"split": split})
        for name, recipe in methods.items():
            found = fit_reference(inside, truth[train].tolist(), recipe=recipe).annotate(outside)
            rows.append(_row(name, truth[test], found) | {"split": split})
            if name == first:
                kept.append(
                    pd.DataFrame(
                        {"truth": truth[test], "prediction": found.names, "score": found.score},
                        index=test,
                    )
                )
    return pd.DataFrame(rows), pd.concat(kept).sort_index()


def compare_across(
    reference: CellBlock,
    query: CellBlock,
    *,
    reference_labels: Sequence[str],
    query_labels: Sequence[str],
    methods: Mapping[str, Recipe],
    n_splits: int = 5,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Annotate one study from another, by every method, on the genes that both measure.

    Every split leaves out another part of the reference, so that the spread says how much a
    result hangs on which reference cells there were.

    Parameters
    ----------
    reference
        Cells of one study, to learn from.
    query
        Cells of another study.
    reference_labels
        Labels of the reference's cells.
    query_labels
        Labels of the query's cells, by the same names; they only judge.
    methods
        Recipes by the name of the method; the majority class is added.
    n_splits
        Parts of the reference, each left out once.
    seed
        Seed of the cut.

    Returns
    -------
    As :func:`compare_within`; the kept predictions are those of the first split.

    Raises
    ------
    InputError
        If fewer than 50 genes are shared.
    """
    shared = [name for name in reference.vocabulary.names if name in query.vocabulary.positions]
    if len(shared) < MIN_SHARED_GENES:
        msg = f"The two studies share {len(shared)} genes."
        raise InputError(msg, hint="compare their gene names: symbols, or Ensembl ids?")
    known = reference.genes(reference.vocabulary.find(shared).astype(np.int64))
    asked = query.genes(query.vocabulary.find(shared).astype(np.int64))
    told, truth = np.asarray(reference_labels, object), np.asarray(query_labels, object)
    rows: list[dict[str, object]] = []
    kept: pd.DataFrame | None = None
    for split, (train, _) in enumerate(
        stratified_splits(reference_labels, n_splits=n_splits, seed=seed)
    ):
        inside = known.rows(train)
        rows.append(_majority_row(told[train], truth) | {"split": split})
        for name, recipe in methods.items():
            found = fit_reference(inside, told[train].tolist(), recipe=recipe).annotate(asked)
            rows.append(_row(name, truth, found) | {"split": split})
            if kept is None:
                kept = pd.DataFrame(
                    {"truth": truth, "prediction": found.names, "score": found.score}
                )
    return pd.DataFrame(rows), kept if kept is not None else pd.DataFrame()


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Give mean and standard deviation over splits, methods in the order they came."""
    columns = ["accuracy", "macro_f1", "coverage", "accuracy_answered"]
    grouped = table.groupby("method", sort=False)[columns]
    return grouped.agg(["mean", "std"])


def _majority_row(train: NDArray[np.object_], truth: NDArray[np.object_]) -> dict[str, object]:
    usual = pd.Series(train).mode()[0]
    metrics = measure_annotation(truth, [usual] * len(truth))
    return {"method": MAJORITY, **metrics.to_dict()}


def _row(name: str, truth: NDArray[np.object_], found: Predictions) -> dict[str, object]:
    """Judge the likeliest label of every cell; "unknown" shows in the last two columns only.

    Baselines have no "unknown", so accuracy and macro-F1 compare like with like.
    """
    likeliest = measure_annotation(truth, np.array(found.labels, dtype=object)[found.codes])
    answered = measure_annotation(truth, found.names)
    return {
        "method": name,
        **likeliest.to_dict(),
        "coverage": answered.coverage,
        "accuracy_answered": answered.accuracy_answered,
    }
