"""Metrics of annotation: worked by hand, and compared with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from celloquy.errors import InputError
from celloquy.evaluation import measure_annotation, stratified_splits

LABELS = st.sampled_from(["B", "NK", "T"])


def test_unknown_is_wrong_but_not_a_label():
    # B: precision 1/1, recall 1/2, F1 2/3; T: precision 1/1, recall 1/2, F1 2/3
    metrics = measure_annotation(["B", "B", "T", "T"], ["B", "unknown", "T", "unknown"])
    assert metrics.accuracy == 0.5
    assert metrics.macro_f1 == pytest.approx(2 / 3)
    assert metrics.coverage == 0.5
    assert metrics.accuracy_answered == 1.0
    assert metrics.n_obs == 4


def test_a_label_that_does_not_occur_in_the_truth_only_costs_the_cells_it_took():
    metrics = measure_annotation(["B", "B"], ["B", "T"])
    assert metrics.macro_f1 == pytest.approx(2 / 3)


def test_without_any_answer_the_accuracy_of_the_answered_is_unknown():
    assert np.isnan(measure_annotation(["B"], ["unknown"]).accuracy_answered)


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_metrics_agree_with_scikit_learn_where_all_is_answered(pairs):
    truth, prediction = [list(side) for side in zip(*pairs, strict=True)]
    metrics = measure_annotation(truth, prediction)
    assert metrics.accuracy == pytest.approx(accuracy_score(truth, prediction))
    expected = f1_score(
        truth, prediction, labels=sorted(set(truth)), average="macro", zero_division=0
    )
    assert metrics.macro_f1 == pytest.approx(expected)


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="0 true labels and 0 predictions"):
        measure_annotation([], [])
    with pytest.raises(InputError, match="1 true labels and 2 predictions"):
        measure_annotation(["B"], ["B", "T"])


def test_every_cell_is_tested_once_and_every_part_holds_every_label():
    labels = ["B"] * 10 + ["T"] * 25
    tested = []
    for train, test in stratified_splits(labels, n_splits=5):
        assert not set(train) & set(test)
        assert sum(labels[i] == "B" for i in test) == 2
        tested.extend(test)
    assert sorted(tested) == list(range(35))


def test_the_same_seed_cuts_the_same_way():
    labels = ["B", "T"] * 10
    first = [test.tolist() for _, test in stratified_splits(labels, seed=3)]
    assert first == [test.tolist() for _, test in stratified_splits(labels, seed=3)]
    assert first != [test.tolist() for _, test in stratified_splits(labels, seed=4)]


def test_a_label_with_too_few_cells_for_the_parts_is_refused():
    with pytest.raises(InputError, match="Label 'rare' has 2 cells, fewer than 5 parts") as refusal:
        list(stratified_splits(["B"] * 9 + ["rare"] * 2))
    assert "n_splits=2" in refusal.value.hint
