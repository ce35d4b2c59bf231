"""Probabilities over a set of answers, their calibration, and how often they are right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from celloquy.errors import CheckpointError, InputError
from celloquy.learn import (
    AnswerCalibration,
    answer_predictions,
    answer_probabilities,
    fit_answer_calibration,
    load_answer_calibration,
    measure_reliability,
    save_answer_calibration,
    top_answers,
)

FIRST_VERSION = Path(__file__).parent / "data" / "answer_calibration_1.json"
LOGP = np.log([[0.06, 0.02], [0.01, 0.04]])
N_TOKENS = np.array([[1, 2], [1, 2]])


def test_probabilities_are_shares_of_the_answers():
    found = answer_probabilities(LOGP, N_TOKENS)
    np.testing.assert_allclose(found, [[0.75, 0.25], [0.2, 0.8]])


def test_with_lengths_corrected_a_score_is_the_mean_of_a_token():
    found = answer_probabilities(LOGP, N_TOKENS, normalise="tokens")
    roots = np.array([[0.06, 0.02**0.5], [0.01, 0.2]])
    np.testing.assert_allclose(found, roots / roots.sum(axis=1, keepdims=True))


def test_a_prior_divides_what_the_model_likes_anyway():
    found = answer_probabilities(LOGP, N_TOKENS, log_prior=np.log([0.6, 0.1]))
    np.testing.assert_allclose(found[0], [1 / 3, 2 / 3])
    same = answer_probabilities(LOGP, N_TOKENS, log_prior=np.log([[0.6, 0.1]] * 2))
    np.testing.assert_allclose(found, same)


def test_a_prior_is_taken_off_before_lengths_are_corrected():
    found = answer_probabilities(LOGP, N_TOKENS, log_prior=LOGP[0], normalise="tokens")
    np.testing.assert_allclose(found[0], [0.5, 0.5])


def test_a_temperature_flattens():
    found = answer_probabilities(LOGP, N_TOKENS, temperature=2.0)
    np.testing.assert_allclose(found, softmax(LOGP / 2, axis=1))


def test_answers_that_a_prompt_does_not_have_are_impossible():
    logp, n_tokens = np.array([[-3.0, -np.inf, -3.0]]), np.array([[2, 0, 1]])
    prior = np.array([[-1.0, np.nan, -1.0]])
    found = answer_probabilities(logp, n_tokens, log_prior=prior, temperature=3.0)
    assert found.tolist() == [[0.5, 0.0, 0.5]]


def test_scores_far_apart_and_far_down_do_not_underflow():
    found = answer_probabilities(np.array([[-5000.0, -5001.0]]), np.array([[9, 9]]))
    np.testing.assert_allclose(found, softmax([[0.0, -1.0]], axis=1))


def test_rows_without_probabilities_stay_without():
    found = answer_probabilities(np.array([[np.nan, np.nan], [-1.0, -1.0]]), N_TOKENS)
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [0.5, 0.5]
    assert top_answers(found).codes.tolist() == [[-1, -1], [0, 1]]


def test_no_rows_give_no_rows():
    assert answer_probabilities(np.empty((0, 3)), np.empty((0, 3))).shape == (0, 3)


@given(
    st.lists(st.lists(st.floats(-500, 0), min_size=3, max_size=3), min_size=1, max_size=6),
    st.floats(0.1, 10),
)
def test_rows_sum_to_one_and_a_temperature_keeps_their_order(rows, temperature):
    logp, n_tokens = np.array(rows), np.ones((len(rows), 3), dtype=np.int32)
    found = answer_probabilities(logp, n_tokens, temperature=temperature)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    lines = np.arange(len(rows))
    np.testing.assert_allclose(found[lines, logp.argmax(axis=1)], found.max(axis=1))


def test_the_likeliest_answers_come_first_and_equals_in_their_order():
    found = top_answers(np.array([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]]), 3)
    assert found.codes.tolist() == [[1, 0, 2], [0, -1, -1]]
    assert found.probabilities[0].tolist() == [0.5, 0.25, 0.25]
    assert np.isnan(found.probabilities[1, 1:]).all()


def test_an_answer_that_is_not_likely_enough_is_unknown():
    probabilities = np.array([[0.49, 0.3, 0.21], [0.5, 0.3, 0.2]])
    found = answer_predictions(["B", "T", "NK"], probabilities)
    assert found.names.tolist() == ["unknown", "B"]
    assert found.coverage == 0.5
    assert not found.calibrated
    lax = answer_predictions(["B", "T", "NK"], probabilities, min_score=0.4)
    assert lax.names.tolist() == ["B", "B"]


def cells_of_known_confidence(factor):
    """4,000 cells whose true answer is drawn with the probabilities that the scores stand for."""
    rng = np.random.default_rng(3)
    logits = rng.normal(scale=2.0, size=(4000, 4))
    chances = softmax(logits, axis=1).cumsum(axis=1)
    codes = (chances > rng.random((4000, 1))).argmax(axis=1)
    return factor * logits, [f"type {code}" for code in codes]


@pytest.mark.parametrize("factor", [0.2, 1.0, 30.0])
def test_the_temperature_undoes_too_much_or_too_little_confidence(factor):
    logp, truth = cells_of_known_confidence(factor)
    labels = [f"type {i}" for i in range(4)]
    n_tokens = np.ones(logp.shape, dtype=np.int32)
    fitted = fit_answer_calibration(logp, n_tokens, truth=truth, labels=labels)
    assert fitted.temperature == pytest.approx(factor, rel=0.08)
    assert fitted.n_cells == 4000
    found = answer_predictions(labels, fitted.probabilities(logp, n_tokens), is_calibrated=True)
    is_right = np.array(labels)[found.codes] == truth
    assert measure_reliability(found.score, is_right).error < 0.03
    assert found.calibrated


def test_reliability_is_measured_by_bins_of_confidence():
    found = measure_reliability([0.95, 0.85, 0.85, 0.15], [True, True, False, False])
    assert found.n_cells.tolist() == [1, 2, 1]
    assert found.accuracy.tolist() == [0.0, 0.5, 1.0]
    assert found.error == pytest.approx((0.15 + 2 * 0.35 + 0.05) / 4)


def test_a_calibration_reads_as_it_was_written(tmp_path):
    made = AnswerCalibration(
        ("B cell", "T cell"), 1.3, 20, normalise="tokens", log_prior=(-1.0, -2.0), of={"lm": "x"}
    )
    save_answer_calibration(made, tmp_path / "one.json")
    save_answer_calibration(made, tmp_path / "two.json")
    assert load_answer_calibration(tmp_path / "one.json") == made
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        save_answer_calibration(made, tmp_path / "one.json")


def test_the_first_version_of_a_calibration_is_read_for_ever():
    assert load_answer_calibration(FIRST_VERSION) == AnswerCalibration(
        labels=("B cell", "T cell, naïve"),
        temperature=1.75,
        n_cells=40,
        normalise="tokens",
        log_prior=(-1.5, -2.25),
        of={"lm": "hf:tiny", "task": "cell_type"},
    )


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"format": "other"}, r"'c.json' is no calibration of answers"),
        ({"schema": 2}, r"'c.json' was written in schema 2; this version reads up to 1"),
        ({"temperature": 0}, r"damaged: its temperature is 0.0"),
        ({"normalise": "words"}, r"damaged: it normalises by 'words'"),
        ({"log_prior": [0.0]}, r"damaged: it has 1 priors for 2 labels"),
        ({"labels": None}, r"The calibration 'c.json' is damaged"),
    ],
)
def test_a_damaged_calibration_is_refused(tmp_path, change, refusal):
    record = json.loads(FIRST_VERSION.read_text(encoding="utf-8")) | change
    (tmp_path / "c.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match=refusal):
        load_answer_calibration(tmp_path / "c.json")


def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no calibration"):
        load_answer_calibration(tmp_path / "c.json")
    (tmp_path / "c.json").write_bytes(b"\xff{")
    with pytest.raises(CheckpointError, match=r"'c.json' cannot be read as JSON"):
        load_answer_calibration(tmp_path / "c.json")


def test_a_calibration_is_not_used_for_other_labels_or_another_model():
    made = AnswerCalibration(("B", "T"), 2.0, 9, of={"lm": "a"})
    made.require_same(["B", "T"], {"lm": "a"})
    with pytest.raises(InputError, match=r"is of 2 labels; 2 are asked, such as 'NK'"):
        made.require_same(["B", "NK"], {"lm": "a"})
    with pytest.raises(InputError, match=r"2 are asked, in another order or number"):
        made.require_same(["T", "B"], {"lm": "a"})
    with pytest.raises(InputError, match=r"was fitted with lm 'a'; 'b' is asked"):
        made.require_same(["B", "T"], {"lm": "b"})


def test_scores_that_give_no_probabilities_are_refused():
    with pytest.raises(InputError, match=r"scores of shape \(2, 2\) and token counts of shape"):
        answer_probabilities(LOGP, N_TOKENS[:1])
    with pytest.raises(InputError, match=r"`normalise` is 'none' or 'tokens', got 'words'"):
        answer_probabilities(LOGP, N_TOKENS, normalise="words")
    with pytest.raises(InputError, match=r"1 answers have no score \(`-inf`\), 1 rows") as refusal:
        answer_probabilities(np.array([[0.0, -np.inf]]), N_TOKENS[:1])
    assert "best_only" in refusal.value.hint
    with pytest.raises(InputError, match=r"`temperature` must be above 0, got -1"):
        answer_probabilities(LOGP, N_TOKENS, temperature=-1)
    with pytest.raises(InputError, match=r"The prior has shape \(3,\), the scores have \(2, 2\)"):
        answer_probabilities(LOGP, N_TOKENS, log_prior=[0, 0, 0])
    with pytest.raises(InputError, match=r"log-prior of an answer is not a finite number"):
        answer_probabilities(LOGP, N_TOKENS, log_prior=[0, np.nan])


def test_what_does_not_fit_the_answers_is_refused():
    with pytest.raises(InputError, match=r"There are 1 labels for 2 columns"):
        answer_predictions(["B"], np.ones((1, 2)) / 2)
    with pytest.raises(InputError, match=r"`min_score` is a probability between 0 and 1, got 2"):
        answer_predictions(["B", "T"], np.ones((1, 2)) / 2, min_score=2)
    with pytest.raises(InputError, match=r"`n` must be at least 1, got 0"):
        top_answers(np.ones((1, 2)) / 2, 0)


def test_cells_that_cannot_calibrate_are_refused():
    with pytest.raises(InputError, match=r"There are 0 labelled cells, 2 labels"):
        fit_answer_calibration(LOGP[:0], N_TOKENS[:0], truth=[], labels=["B", "T"])
    with pytest.raises(InputError, match=r"1 of 2 true labels are none of the answers: 'NK'"):
        fit_answer_calibration(LOGP, N_TOKENS, truth=["B", "NK"], labels=["B", "T"])
    with pytest.raises(InputError, match=r"2 of 2 cells have no scores \(NaN\)"):
        fit_answer_calibration(LOGP * np.nan, N_TOKENS, truth=["B", "T"], labels=["B", "T"])


def test_confidences_that_cannot_be_measured_are_refused():
    with pytest.raises(InputError, match=r"There are 1 confidences and 2 outcomes"):
        measure_reliability([0.5], [True, False])
    with pytest.raises(InputError, match=r"A confidence lies outside \[0, 1\]"):
        measure_reliability([1.5], [True])
