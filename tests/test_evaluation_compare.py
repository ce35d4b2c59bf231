"""Methods side by side on one split: numbers worked by hand, and only shared genes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.evaluation import METHODS, TEXT_METHODS, compare_across, compare_within, summarise
from celloquy.evaluation._compare import DEFAULT, MAJORITY
from celloquy.learn import CellBlock, Recipe
from celloquy.roles import read_block
from celloquy.text import Vocabulary
from labelled_cells import labelled_cells

ONE = {"knn on PCA": Recipe("pca", "knn", n_neighbours=3, n_components=5)}


def study(n_each, *, seed):
    adata = labelled_cells(n_each, seed=seed)
    return read_block(adata)[0], adata.obs["cell_type"].astype(str).tolist()


def without(block, labels, *, label, kept):
    """Leave out all cells of a label but some."""
    rows = [i for i, name in enumerate(labels) if name != label]
    rows += [i for i, name in enumerate(labels) if name == label][:kept]
    return block.rows(np.array(rows)), [labels[i] for i in rows]


def test_the_majority_class_stands_beside_every_method_with_its_share():
    # 10 B, 10 NK and 5 T in 5 parts: each test holds 2, 2 and 1, and B is the usual label
    block, labels = without(*study(10, seed=1), label="T", kept=5)
    table, _ = compare_within(block, labels, methods=ONE)
    usual = table[table["method"] == MAJORITY]
    assert usual["split"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(usual["accuracy"], 2 / 5)
    # F1 of B is 2 · 0.4 · 1 / 1.4 = 4/7 and of the other two 0
    np.testing.assert_allclose(usual["macro_f1"], 4 / 21)
    np.testing.assert_array_equal(usual["coverage"], 1)
    assert table["method"].tolist() == [MAJORITY, "knn on PCA"] * 5


def test_every_cell_is_held_out_once_and_keeps_its_row():
    block, labels = study(10, seed=1)
    table, kept = compare_within(block, labels, methods=ONE, n_splits=2)
    assert kept.index.tolist() == list(range(30))
    assert kept["truth"].tolist() == labels
    assert kept["score"].between(0, 1).all()
    answered = kept["prediction"] != "unknown"
    right = (kept["prediction"] == kept["truth"])[answered].mean()
    rows = table[table["method"] == "knn on PCA"]
    assert rows["n_obs"].sum() == 30
    assert np.average(rows["coverage"], weights=rows["n_obs"]) == pytest.approx(answered.mean())
    assert right > 0.9


def test_the_same_seed_gives_the_same_table():
    block, labels = study(10, seed=1)
    first, _ = compare_within(block, labels, methods=ONE, n_splits=2, seed=3)
    again, _ = compare_within(block, labels, methods=ONE, n_splits=2, seed=3)
    pd.testing.assert_frame_equal(first, again)


def test_one_study_is_judged_from_the_genes_that_both_measure():
    known, told = study(20, seed=1)
    asked, truth = study(10, seed=2)
    shared = [*range(60, 9, -1), *range(100, 150)]  # another order, and neither markers of B
    query = asked.genes(np.array(shared))
    table, kept = compare_across(
        known, query, reference_labels=told, query_labels=truth, methods=ONE, n_splits=2
    )
    cut, _ = compare_across(
        known.genes(np.array(sorted(shared))),
        query,
        reference_labels=told,
        query_labels=truth,
        methods=ONE,
        n_splits=2,
    )
    pd.testing.assert_frame_equal(table, cut)
    assert kept["truth"].tolist() == truth
    assert len(kept) == 30
    # 10 of 30 cells have the first of three equally frequent labels
    np.testing.assert_allclose(table[table["method"] == MAJORITY]["accuracy"], 1 / 3)


def test_studies_that_share_too_few_genes_are_not_compared():
    known, told = study(5, seed=1)
    other = CellBlock(
        sp.csr_matrix(known.expression[:, :49]),
        "counts",
        Vocabulary(known.vocabulary.names[:49]),
    )
    with pytest.raises(InputError, match="share 49 genes") as refusal:
        compare_across(known, other, reference_labels=told, query_labels=told, methods=ONE)
    assert "Ensembl ids" in refusal.value.hint


def test_a_label_rarer_than_the_parts_is_refused():
    block, labels = without(*study(10, seed=1), label="T", kept=2)
    with pytest.raises(InputError, match="Label 'T' has 2 cells, fewer than 5 parts"):
        compare_within(block, labels, methods=ONE)


def test_a_summary_is_mean_and_standard_deviation_in_the_order_of_methods():
    metrics = ["accuracy", "macro_f1", "coverage", "accuracy_answered"]
    rows = [
        {"method": name, "split": split, **dict.fromkeys(metrics, value)}
        for split, values in enumerate([(0.5, 1.0), (0.7, 1.0), (0.9, 0.4)])
        for name, value in zip(["zebra", "ant"], values, strict=True)
    ]
    summary = summarise(pd.DataFrame(rows))
    assert summary.index.tolist() == ["zebra", "ant"]
    for metric in metrics:
        assert summary.loc["zebra", (metric, "mean")] == pytest.approx(0.7)
        assert summary.loc["zebra", (metric, "std")] == pytest.approx(0.2)
        assert summary.loc["ant", (metric, "mean")] == pytest.approx(0.8)
        # deviations 0.2, 0.2, -0.4: squares 0.24 over two
        assert summary.loc["ant", (metric, "std")] == pytest.approx(np.sqrt(0.12))


def test_the_default_stands_first_beside_what_the_design_asks_for():
    assert next(iter(METHODS)) == DEFAULT
    assert METHODS[DEFAULT] == Recipe()
    made = {(recipe.representation, recipe.head) for recipe in METHODS.values()}
    assert made >= {("pca", "knn"), ("log", "logistic"), ("tfidf-svd", "knn")}
    assert {recipe.representation for recipe in TEXT_METHODS.values()} == {"text"}
