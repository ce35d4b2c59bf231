"""celloquy.learn._predictions and _calibration: "unknown", majority, temperature."""

import numpy as np
import pytest

from celloquy.errors import InputError
from celloquy.learn import Predictions, Thresholds, majority
from celloquy.learn._calibration import fit_temperature, folds, tempered


def predictions(**more):
    probabilities = np.array([[0.9, 0.1], [0.45, 0.55], [0.2, 0.8], [0.5, 0.5]])
    distance = np.array([0.1, 0.2, 5.0, 1.0])
    thresholds = Thresholds(min_score=0.5, max_distance=1.0)
    return Predictions(("B", "NK"), probabilities, distance, thresholds, **more)


def test_a_cell_is_unknown_below_half_or_farther_than_the_reference():
    told = predictions()
    assert told.names.tolist() == ["B", "NK", "unknown", "B"]
    assert told.is_far.tolist() == [False, False, True, False]
    assert told.coverage == 0.75
    three = np.array([[0.4, 0.35, 0.25]])
    unsure = Predictions(("a", "b", "c"), three, np.array([0.0]), Thresholds())
    assert unsure.names.tolist() == ["unknown"]
    assert unsure.is_unsure.tolist() == [True]


def test_the_score_of_an_unknown_cell_is_still_told():
    assert predictions().score.tolist() == [0.9, 0.55, 0.8, 0.5]
    assert predictions().codes.tolist() == [0, 1, 1, 0]


def test_a_cell_with_nothing_to_judge_by_is_unknown_whatever_its_score():
    empty = np.array([True, False, False, False])
    told = predictions(is_empty=empty)
    assert told.names.tolist() == ["unknown", "NK", "unknown", "B"]
    joined = Predictions.concatenate([told, told])
    assert joined.names.tolist() == told.names.tolist() * 2


def test_no_cells_have_no_coverage():
    none = Predictions(("a",), np.empty((0, 1)), np.empty(0), Thresholds())
    assert np.isnan(none.coverage)


def test_predictions_of_chunks_are_those_of_the_whole():
    joined = Predictions.concatenate([predictions(calibrated=True)] * 2)
    assert joined.names.tolist() == predictions().names.tolist() * 2
    assert joined.calibrated


def test_a_cluster_takes_the_label_of_most_of_its_cells():
    voted = majority(["B", "B", "NK", "unknown", "NK"], ["x", "x", "x", "y", "y"])
    assert voted.names.tolist() == ["B", "B", "B", "NK", "NK"]
    np.testing.assert_allclose(voted.share, [2 / 3] * 3 + [1 / 2] * 2)


def test_a_cluster_without_a_clear_majority_is_unknown():
    voted = majority(["B", "B", "NK"], [1, 1, 1], min_share=0.7)
    assert voted.names.tolist() == ["unknown"] * 3


def test_a_cluster_of_unknown_cells_stays_unknown():
    voted = majority(["unknown", "unknown"], [1, 1], min_share=0.0)
    assert voted.names.tolist() == ["unknown"] * 2
    assert voted.share.tolist() == [0, 0]


def test_a_cell_without_a_cluster_keeps_its_own_label():
    voted = majority(["B", "NK", "NK"], [np.nan, 1, 1])
    assert voted.names.tolist() == ["B", "NK", "NK"]


def test_equal_votes_go_to_the_label_that_sorts_first():
    assert majority(["NK", "B"], [1, 1]).names.tolist() == ["B", "B"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["B"], "clusters": [1, 2]}, "1 labels and 2 clusters"),
        ({"names": ["B"], "clusters": [1], "min_share": 2}, "between 0 and 1, got 2"),
    ],
)
def test_a_majority_that_cannot_be_counted_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        majority(arguments.pop("names"), arguments.pop("clusters"), **arguments)


def test_the_temperature_undoes_confidence_that_was_put_on_top():
    rng = np.random.default_rng(0)
    honest = 0.98 * rng.dirichlet([1, 1, 1], size=4_000) + 0.02 / 3
    truth = np.array([rng.choice(3, p=row) for row in honest])
    boastful = tempered(honest, 1 / 3)
    assert fit_temperature(boastful, truth) == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(tempered(boastful, 3.0), honest, atol=1e-6)


def test_a_probability_of_zero_stays_zero_and_rows_sum_to_one():
    warm = tempered(np.array([[0.0, 0.3, 0.7]]), 5.0)
    assert warm[0, 0] == 0
    assert warm.sum() == pytest.approx(1)


def test_folds_spread_every_label_evenly():
    codes = np.repeat([0, 1, 2], [50, 7, 1])
    fold = folds(codes)
    for label, n in enumerate([50, 7, 1]):
        cells = np.bincount(fold[codes == label], minlength=5)
        assert cells.max() - cells.min() <= 1
        assert cells.sum() == n
