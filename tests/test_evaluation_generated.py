"""Generated cells judged: counted by hand, beside controls with a known answer, and bad input."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.evaluation._generated import GeneratedOptions, evaluate_generated
from celloquy.evaluation._generated_baselines import drawn_by_gene, resampled, shuffled
from celloquy.evaluation._generated_cells import LabelledCells, three_parts
from celloquy.evaluation._generated_metrics import Judge
from celloquy.evaluation._generated_words import measure_words
from celloquy.learn import CellBlock
from celloquy.text import Vocabulary
from labelled_cells import labelled_cells, log1p_of

QUICK = GeneratedOptions(n_splits=1, max_obs=100)


def cells_of(values, labels, *, kind="log1p"):
    matrix = sp.csr_matrix(np.array(values, dtype=np.float64))
    names = tuple(f"g{i}" for i in range(matrix.shape[1]))
    block = CellBlock(matrix, kind, Vocabulary(names))
    return LabelledCells(block, np.array(labels, dtype=object))


def as_they_are(block):
    """Give expression itself as the embedding."""
    return np.asarray(block.expression.toarray(), dtype=np.float32)


def test_words_are_counted_as_generation_counts_them():
    made = cells_of([[1, 0, 2], [0, 0, 0]], ["", ""])
    obs = pd.DataFrame({"n_genes_named": [2, 0], "n_unknown": [1, 1], "n_repeated": [0, 1]})
    found = measure_words(made, obs, known={"g0", "g2"})
    # five words: two genes, two that are none, one said again
    assert found == {
        "validity": pytest.approx(3 / 5), "uniqueness": pytest.approx(4 / 5), "length": 1.0,
        "empty_cells": 0.5,
    }  # fmt: skip


def test_without_words_each_expressed_gene_counts():
    made = cells_of([[1, 0, 2], [0, 3, 0]], ["", ""])
    found = measure_words(made, pd.DataFrame(index=["a", "b"]), known={"g0", "g2"})
    assert found == {"validity": pytest.approx(2 / 3), "length": 1.5, "empty_cells": 0.0}


def test_labels_are_voted_by_real_cells_and_by_other_new_cells():
    # the third new cell was asked for as T and lies among the B
    real = cells_of([[0, 1], [0, 2], [9, 1], [9, 2]] * 3, ["B", "B", "T", "T"] * 3)
    new = cells_of([[0, 1.5], [9, 1.5], [0, 1.4]] * 2, ["B", "T", "T"] * 2)
    _, rows = Judge(real, as_they_are, None, has_labels=True).measure(new)
    assert rows["knn_quality_5"].to_dict() == {"B": 1.0, "T": 0.5}
    # of the five other new cells, each B has one B and each misplaced T has one T nearby
    assert rows.loc["T", "knn_discriminability"] <= 0.5
    assert rows["n_new"].to_dict() == {"B": 2, "T": 4}


def test_changes_between_types_keep_their_direction_and_lose_their_size():
    real = cells_of([[4, 0, 1]] * 3 + [[0, 4, 1]] * 3, ["B"] * 3 + ["T"] * 3)
    new = cells_of([[3, 1, 1]] * 3 + [[1, 3, 1]] * 3, ["B"] * 3 + ["T"] * 3)
    # values as they are: change of B is (4, -4, 0), and (2, -2, 0) in the new cells
    for side in (real, new):
        side.block.__dict__["log_values"] = side.block.expression
    _, rows = Judge(real, as_they_are, None, has_labels=True).measure(new)
    assert rows["change_pearson"].tolist() == pytest.approx([1, 1])
    assert rows["change_slope"].tolist() == pytest.approx([0.5, 0.5])


def test_copies_of_training_cells_are_found():
    real = cells_of([[3, 2, 1], [1, 2, 3], [2, 3, 1]], [""] * 3)
    train = cells_of([[3.1, 1, 2], [2, 1, 3]], [""] * 2)
    new = cells_of([[3.1, 1, 2], [3.1, 1, 2], [0, 5, 1]], [""] * 3)
    found, _ = Judge(real, as_they_are, train, has_labels=False).measure(new)
    assert found["copied"] == pytest.approx(2 / 3)
    assert found["distinct_cells"] == pytest.approx(1 / 3)
    # two cells lie on a training cell, the third is nearer to (2, 3, 1) than to any of them
    assert found["nearer_to_training"] == pytest.approx(2 / 3)
    # (2, 0, 1) to (0, 2, 1): one gene of three changes; (0, 5, 1) names 1 2: one gene is missing
    assert found["edit_distance"] < 0.7


def test_baselines_have_the_wanted_labels_and_what_they_promise():
    known = cells_of(
        np.random.default_rng(0).poisson(5, (400, 4)) * [1, 2, 3, 0],
        ["B", "T"] * 200,
        kind="counts",
    )
    wanted = np.array(["T"] * 300 + ["B"] * 10, dtype=object)
    again = resampled(known, wanted, seed=0)
    assert again.labels.tolist() == wanted.tolist()
    mixed = shuffled(known, wanted, seed=0)
    lines = [side.block.expression.toarray() for side in (again, mixed)]
    assert np.array_equal(lines[0] > 0, lines[1] > 0)
    assert np.array_equal(np.sort(lines[0]), np.sort(lines[1]))
    assert not np.array_equal(*lines)
    drawn = drawn_by_gene(known, wanted, seed=0).block.expression.toarray()[:300]
    true = known.block.expression.toarray()[known.labels == "T"]
    np.testing.assert_allclose(drawn.mean(axis=0), true.mean(axis=0), rtol=0.1)
    np.testing.assert_allclose(drawn.var(axis=0), true.var(axis=0), rtol=0.35)
    assert drawn[:, 3].sum() == 0


def test_parts_are_disjoint_and_no_donor_is_in_both_halves():
    labels = np.array(["B"] * 20 + ["T"] * 10, dtype=object)
    aside, first, second = three_parts(labels, groups=None, seed=0)
    assert sorted([*aside, *first, *second]) == list(range(30))
    assert (len(aside), len(first), len(second)) == (10, 10, 10)
    assert abs((labels[first] == "T").sum() - (labels[second] == "T").sum()) <= 1
    donors = np.array(list("abcde") * 6, dtype=object)
    _, first, second = three_parts(labels, groups=donors, seed=0)
    assert not set(donors[first]) & set(donors[second])
    with pytest.raises(InputError, match="All real cells are of the group 'a'"):
        three_parts(labels, groups=np.full(30, "a", dtype=object), seed=0)
    with pytest.raises(InputError, match="There are 5 real cells; comparing takes 6 or more"):
        three_parts(labels[:5], groups=None, seed=0)


@pytest.mark.slow
def test_real_cells_are_at_the_ceiling_and_shuffled_ones_far_below():
    new, real, train = (labelled_cells(n, seed=seed) for n, seed in ((40, 1), (90, 2), (60, 3)))
    report = evaluate_generated(new, real=real, train=train, options=QUICK)
    found, ceiling, worst = report.metrics, report.ceiling, report.baselines["genes shuffled"]
    assert abs(found["knn_quality_5"] - ceiling["knn_quality_5"]) < 0.1
    assert found["mmd"] < worst["mmd"] / 3
    assert found["energy_distance"] < worst["energy_distance"] / 3
    assert abs(found["nearer_to_training"] - 0.5) < 0.12
    assert abs(found["real_or_new"] - 0.5) < 0.12
    assert worst["real_or_new"] > 0.7
    assert worst["change_slope"] < 0.8 * found["change_slope"]
    assert (found["copied"], report.baselines["real cells again"]["copied"]) == (0, 1)
    # half of the training cells stand against as many real ones, so half of the copies are found
    assert report.baselines["real cells again"]["nearer_to_training"] > 0.65
    assert found["validity"] == 1
    said = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert {row["label"] for row in said["per_label"]} == {"B", "NK", "T"}
    assert "change_slope" in said["intervals"]
    assert "NB by gene" in str(report)


@pytest.mark.slow
def test_sentences_are_compared_with_sentences():
    real, new = labelled_cells(90, seed=2), log1p_of(labelled_cells(40, seed=1))
    values = new.X.toarray()
    order = np.argsort(-values, axis=1, kind="stable")
    np.put_along_axis(values, order[:, 15:], 0, axis=1)  # the first 15 genes of each
    new.X = sp.csr_matrix(values)
    whole = evaluate_generated(new, real=real, options=QUICK)
    assert any("`n_top_genes=15` compares sentence with sentence" in one for one in whole.notes)
    short = GeneratedOptions(n_top_genes=15, n_splits=1, max_obs=100)
    report = evaluate_generated(new, real=real, options=short)
    assert report.metrics["real_or_new"] < 0.7 < whole.metrics["real_or_new"]


@pytest.mark.slow
def test_labels_that_no_real_cell_has_are_left_out_and_named():
    real, new = labelled_cells(60, seed=2), labelled_cells(20, seed=1)
    new.obs["cell_type"] = new.obs["cell_type"].astype(str).replace("NK", "platelet")
    report = evaluate_generated(new, real=real, options=QUICK)
    assert any("20 new cells have labels of no real cell" in note for note in report.notes)
    only = new[:1].copy()
    with pytest.raises(InputError, match="1 generated cells have a label of both halves"):
        evaluate_generated(only, real=real, options=QUICK)
    alone = evaluate_generated(new, real=log1p_of(real), label_key=None, options=QUICK)
    assert "knn_quality_5" not in alone.metrics
    assert any("There is one label or none" in note for note in alone.notes)
    assert any("'NB by gene' needs counts" in note for note in alone.notes)
    few = new[[0, 1, 2, 3, 50]].copy()
    told = evaluate_generated(few, real=real, options=QUICK).notes
    assert any("Labels with fewer than 5 cells on a side: B, T" in note for note in told)


def renamed(adata):
    made = adata.copy()
    made.var_names = [f"X{i}" for i in range(made.n_vars)]
    return made


def with_value(adata, value):
    made = log1p_of(adata)
    made.X.data[0] = value
    return made


def other_label(adata):
    made = adata.copy()
    made.obs["cell_type"] = "platelet"
    return made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, "No gene is shared: one side names 'X0', the other 'GENE0'"),
        (lambda a: a[:0].copy(), "There is no generated cell"),
        (lambda a: with_value(a, np.nan), "1 generated values are infinite or missing"),
        (lambda a: with_value(a, 99.5), "A generated value is 99.5: too high for log1p"),
        (lambda a: with_value(a, -1.5), "A generated value is -1.5; expression is never negative"),
        (other_label, "No label is on both sides; new cells have 'platelet'"),
        (lambda a: ad.AnnData(a.X, var=a.var), "`obs` of the generated cells has no column"),
    ],
)
def test_cells_that_cannot_be_judged_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        evaluate_generated(change(labelled_cells(5)), real=labelled_cells(10, seed=1))


def test_options_below_one_are_refused():
    with pytest.raises(InputError, match="`n_splits` must be at least 1, got 0"):
        GeneratedOptions(n_splits=0)
