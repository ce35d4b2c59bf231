"""Drug response by patient or line: by hand, beside scikit-learn, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from celloquy.errors import InputError
from celloquy.evaluation import EvaluateOptions, evaluate_drug_response
from celloquy.evaluation._drug import MAJORITY, SHUFFLED
from celloquy.evaluation._drug_metrics import group_metrics, shuffled_metrics

CLASS, SCORE = st.sampled_from([0, 1]), st.sampled_from([0.1, 0.5, 0.6, 0.9])
CELLS = st.lists(st.tuples(CLASS, CLASS, SCORE), min_size=2, max_size=25)


def table(truth, told, patient, **more):
    return pd.DataFrame({"truth": truth, "told": told, "patient": patient, **more}, dtype=object)


def judged(cells, **more):
    return evaluate_drug_response(cells, truth="truth", prediction="told", groups="patient", **more)


def drawn(n=120, *, signal=0.0, seed=0, patients=4):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    chance = np.clip(0.5 + signal * (truth - 0.5) + rng.normal(0, 0.2, n), 0, 1)
    names = np.array(["resistant", "sensitive"])
    return table(
        names[truth], names[(chance > 0.5).astype(int)], np.arange(n) % patients, chance=chance
    )


@settings(max_examples=30)
@given(CELLS)
def test_the_metrics_of_a_group_are_those_of_scikit_learn(cells):
    truth, told, score = (np.array(side) for side in zip(*cells, strict=True))
    codes = [side.astype(np.int8) for side in (truth[None], told)]
    found = group_metrics(*codes, n_classes=2, score=score, positive=1)
    assert found["accuracy"][0] == pytest.approx((truth == told).mean())
    if len(set(truth)) == 2:
        assert found["balanced_accuracy"][0] == pytest.approx(balanced_accuracy_score(truth, told))
        assert found["auroc"][0] == pytest.approx(roc_auc_score(truth, score))
        assert found["auprc"][0] == pytest.approx(average_precision_score(truth, score))
    else:
        assert np.isnan(found["auroc"][0])
        assert np.isnan(found["auprc"][0])


def test_every_patient_has_the_same_say_whatever_its_cells():
    # p: 3 of 4 right; q: 0 of 1
    cells = table(list("aabba"), list("aabab"), list("ppppq"))
    report = judged(cells)
    assert report.metrics["accuracy"] == pytest.approx((3 / 4 + 0) / 2)
    assert report.pooled["accuracy"] == pytest.approx(3 / 5)
    assert report.per_group["n_obs"].tolist() == [4, 1]
    assert report.intervals["accuracy"].n_groups == 2


def test_the_majority_is_learned_from_the_other_patients():
    # p is mostly a, q mostly b: either is told the other's majority
    cells = table(list("aabbba"), list("aabbba"), list("pppqqq"))
    cells["truth"] = list("aab") + list("bba")
    report = judged(cells)
    assert report.baselines[MAJORITY]["accuracy"] == pytest.approx(1 / 3)


def test_a_prediction_without_signal_does_no_better_than_shuffled_labels():
    report = judged(drawn(), positive="sensitive", probability="chance")
    assert report.baselines[SHUFFLED]["auroc"] == pytest.approx(0.5, abs=0.02)
    assert report.shuffle_p["auroc"] > 0.05


def test_a_prediction_with_signal_does_better_than_every_shuffle():
    report = judged(drawn(signal=0.8), positive="sensitive", probability="chance")
    assert report.shuffle_p["auroc"] == pytest.approx(1 / 201)
    assert report.metrics["auroc"] > 0.9 > report.baselines[SHUFFLED]["auroc"]
    assert report.baselines[MAJORITY]["auroc"] == pytest.approx(0.5)


def test_the_same_seed_shuffles_the_same_way_and_parts_of_shuffles_change_nothing(monkeypatch):
    first = judged(drawn()).baselines
    assert first == judged(drawn()).baselines
    assert first != judged(drawn(), options=EvaluateOptions(seed=1)).baselines
    truth, told = np.array([0, 1, 1, 0], np.int8), np.array([0, 1, 0, 0], np.int8)
    given = {"n_classes": 2, "score": None, "positive": 1, "n_shuffles": 7}
    monkeypatch.setattr("celloquy.evaluation._drug_metrics._AT_ONCE", 8)
    found = shuffled_metrics(truth, told, rng=np.random.default_rng(0), **given)
    assert found["accuracy"].shape == (7,)


def test_af_31_an_answer_outside_the_classes_is_wrong_counted_and_shown():
    cells = table(
        ["resistant", "resistant", "sensitive", "sensitive"],
        ["resistant", "sensitive", "sensitive", "resistan"],
        list("pppp"),
    )
    report = judged(cells)
    assert report.pooled == pytest.approx(
        {"accuracy": 0.5, "weighted_precision": 0.75, "weighted_recall": 0.5,
         "weighted_f1": 7 / 12}
    )  # fmt: skip
    assert "1 prediction of 4 outside the classes ('resistan'), which count as wrong" in str(report)


def test_groups_with_one_class_or_one_cell_and_a_single_group_are_told():
    said = "\n".join(judged(table(list("aab"), list("aab"), list("ppq"))).notes)
    assert "Of 2 groups 2 lack a class ('p', 'q')" in said
    assert "Of 2 groups 1 with one cell each" in said
    assert "Intervals draw 2 groups (patient) again" in said
    alone = judged(table(list("aa"), list("ab"), list("pp")))
    assert "The truth holds one response, 'a'" in "\n".join(alone.notes)
    assert "All cells are of one patient" in "\n".join(alone.notes)
    assert alone.intervals == {}
    one_class_a_line = table(list("aabb"), list("abab"), list("ppqq"), chance=[0.1, 0.2, 0.3, 0.4])
    said = judged(one_class_a_line, positive="a", probability="chance").to_dict()
    assert said["metrics"]["auroc"] is said["shuffle_p"]["auroc"] is None


def test_the_report_reads_well_and_is_plain_json():
    report = judged(drawn(), positive="sensitive", probability="chance")
    told = str(report)
    assert "4 groups (patient)" in told
    assert "share of shuffles that do as well: accuracy" in told
    read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert read["per_group"][0]["n_obs"] == 30
    assert "n_sensitive" in read["per_group"][0]


def test_probabilities_need_two_classes_a_positive_one_and_numbers():
    cells = drawn()
    with pytest.raises(InputError, match="'chance' is a probability of one of two classes"):
        judged(cells, probability="chance")
    with pytest.raises(
        InputError, match="the true response 'Sensitive'; the closest is 'sensitive'"
    ):
        judged(cells, positive="Sensitive", probability="chance")
    cells.loc[0, "chance"] = 1.5
    with pytest.raises(InputError, match=r"1 of 120 probabilities .* such as 1\.5"):
        judged(cells, positive="sensitive", probability="chance")
    cells["chance"] = "high"
    with pytest.raises(InputError, match="'chance' holds no probabilities"):
        judged(cells, positive="sensitive", probability="chance")
