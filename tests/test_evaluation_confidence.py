"""What confidences are worth, worked by hand and beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from celloquy.errors import InputError
from celloquy.evaluation import brier_score, coverage_curve, evaluate_confidence

CELLS = st.lists(
    st.tuples(st.sampled_from("BT"), st.sampled_from("BT"), st.floats(0, 1)),
    min_size=1,
    max_size=30,
)


@settings(max_examples=20)
@given(CELLS)
def test_the_brier_score_is_scikit_learns_of_being_right(cells):
    truth, told, sure = (list(side) for side in zip(*cells, strict=True))
    right = [a == b for a, b in zip(truth, told, strict=True)]
    expected = brier_score_loss(right, sure, labels=[False, True])
    assert brier_score(truth, told, confidence=sure) == pytest.approx(expected)


@settings(max_examples=20)
@given(CELLS)
def test_the_curve_ends_at_all_answers_and_falls_in_threshold(cells):
    truth, told, sure = (list(side) for side in zip(*cells, strict=True))
    curve = coverage_curve(truth, told, confidence=sure)
    assert curve["coverage"].iloc[-1] == 1
    assert curve["accuracy"].iloc[-1] == pytest.approx(
        np.mean([a == b for a, b in zip(truth, told, strict=True)])
    )
    assert (np.diff(curve["threshold"]) < 0).all()


def test_unknown_cells_are_never_answered_and_need_no_confidence():
    curve = coverage_curve(["B", "T"], ["B", "unknown"], confidence=[0.9, np.nan])
    assert curve["coverage"].tolist() == [0.5]
    assert curve["accuracy"].tolist() == [1.0]
    assert brier_score(["B", "T"], ["B", "unknown"], confidence=[0.9, np.nan]) == pytest.approx(
        0.01
    )


def test_intervals_draw_groups_and_agree_with_resampling_cells_of_whole_groups():
    rng = np.random.default_rng(0)
    groups = np.repeat([f"d{i}" for i in range(12)], 30)
    truth = rng.choice(["B", "T"], 360)
    told = np.where(rng.random(360) < 0.8, truth, "B")
    sure = rng.uniform(0.5, 1, 360).round(2)
    report = evaluate_confidence(truth, told, confidence=sure, groups=groups, n_resamples=300)
    by_group = [brier_score(truth[groups == g], told[groups == g], confidence=sure[groups == g])
                for g in np.unique(groups)]  # fmt: skip
    draws = [np.mean(rng.choice(by_group, 12)) for _ in range(3000)]  # groups of one size
    interval = report.intervals["brier_score"]
    assert interval.low == pytest.approx(np.quantile(draws, 0.025), abs=0.01)
    assert interval.high == pytest.approx(np.quantile(draws, 0.975), abs=0.01)
    assert report.intervals["calibration_error"].low >= 0


def test_saying_the_accuracy_itself_is_the_baseline():
    # 3 of 4 right: 3/4 · 1/4
    report = evaluate_confidence(list("BBTT"), list("BBTB"), confidence=[0.9, 0.9, 0.9, 0.1])
    assert report.baselines["always the accuracy"]["brier_score"] == pytest.approx(3 / 16)
    assert report.metrics["brier_score"] == pytest.approx((3 * 0.01 + 0.01) / 4)
    assert report.metrics["calibration_error"] == pytest.approx((3 * 0.1 + 0.1) / 4)
    assert report.n == {"answered cells": 4}


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    sure = np.linspace(0.01, 1, 1000)
    report = evaluate_confidence(["B"] * 1000, ["B"] * 1000, confidence=sure)
    assert len(report.curve) == 200
    assert report.curve["coverage"].iloc[[0, -1]].tolist() == [0.001, 1.0]


def test_one_confidence_for_all_is_told():
    report = evaluate_confidence(["B", "T"], ["B", "B"], confidence=[0.5, 0.5])
    assert report.notes == ("Every answered cell has the same confidence, 0.5.",)


def test_confidences_that_are_none_are_refused():
    with pytest.raises(
        InputError, match=r"1 of 2 confidences .* not in \[0, 1\]; the first is 1.5"
    ):
        brier_score(["B", "T"], ["B", "T"], confidence=[0.5, 1.5])
    with pytest.raises(InputError, match=r"the first is nan"):
        brier_score(["B", "T"], ["B", "T"], confidence=[0.5, np.nan])
    with pytest.raises(InputError, match="2 predictions and 1 confidences"):
        brier_score(["B", "T"], ["B", "T"], confidence=[0.5])
    with pytest.raises(InputError, match=r"Confidences are numbers in \[0, 1\]"):
        brier_score(["B", "T"], ["B", "T"], confidence=["high", "low"])
    with pytest.raises(InputError, match="None of 2 cells got an answer"):
        evaluate_confidence(["B", "T"], ["unknown"] * 2, confidence=[0.5, 0.5])
