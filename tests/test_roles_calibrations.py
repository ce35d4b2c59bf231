"""Calibration on labelled cells: honest scores for other cells, asked in the same way."""

from __future__ import annotations

import math

import anndata as ad
import pytest

import celloquy as cq
from asked_cells import LABELS, ask, rule_model, type_of
from celloquy.errors import InputError
from celloquy.lm import ScriptedModel
from celloquy.roles import PredictOptions
from labelled_cells import TYPES, labelled_cells


@pytest.fixture
def adata():
    return labelled_cells(10, seed=2)


def sure_of_two(prompt, answer):
    """Find the right type 0.99 likely; for every third cell, the wrong one."""
    right = type_of(prompt)
    is_wrong = prompt.count("GENE1") % 3 == 0
    said = TYPES[(TYPES.index(right) + is_wrong) % 3]
    return math.log(0.99 if answer == said else 0.005)


def test_a_calibration_on_other_cells_makes_scores_honest(tmp_path):
    known, new = labelled_cells(60, seed=3), labelled_cells(60, seed=4)
    lm = ScriptedModel(logp=sure_of_two)
    options = PredictOptions(n_top_genes=30)
    file = tmp_path / "calibration.json"
    made = cq.roles.calibrate(
        known, "cell_type", lm=lm, labels=LABELS, label_key="cell_type", out=file, options=options
    )
    assert made.n_cells == 180
    assert made.temperature > 1
    raw = ask(new, lm=lm)
    found = ask(new, lm=lm, options={"calibration": file, "min_score": 0}, overwrite=True)
    right = (found.labels.astype(str) == new.obs["cell_type"].astype(str)).mean()
    assert abs(float(found.score.mean()) - right) < 0.1 < abs(float(raw.score.mean()) - right)
    assert found.record["calibrated"]
    assert found.record["temperature"] == pytest.approx(made.temperature)
    assert found.record["note"] == ""


def test_cells_that_a_calibration_was_fitted_on_are_refused(tmp_path):
    known = labelled_cells(20, seed=3)
    lm = rule_model()
    options = PredictOptions(n_top_genes=30)
    made = cq.roles.calibrate(
        known, "cell_type", lm=lm, labels=LABELS, label_key="cell_type", options=options
    )
    asked = lm.n_asked
    mixed = ad.concat([labelled_cells(5, seed=4), known[:3]])
    with pytest.raises(InputError, match=r"3 of 18 cells were used to fit .* 'cell3-0'"):
        ask(mixed, lm=lm, options={"calibration": made})
    assert lm.n_asked == asked
    same_names = labelled_cells(5, seed=4)
    same_names.obs_names = [f"cell3-{i}" for i in range(15)]  # barcodes meet by chance
    assert ask(same_names, lm=lm, options={"calibration": made}).record["calibrated"]


def test_a_calibration_for_something_else_is_refused(adata):
    known = labelled_cells(20, seed=3)
    made = cq.roles.calibrate(
        known, "cell_type", lm=rule_model(), labels=LABELS, label_key="cell_type",
        options=PredictOptions(n_top_genes=30),
    )  # fmt: skip
    for options, message in (
        ({"calibration": made, "n_top_genes": 20}, "fitted with n_top_genes '30'"),
        ({"calibration": made, "template": 1}, "fitted with template '0'"),
        ({"calibration": made, "normalise": "tokens"}, "fitted with `normalise='none'`"),
    ):
        with pytest.raises(InputError, match=message):
            ask(adata, options=options)
    with pytest.raises(InputError, match="calibration is of 3 labels; 2 are asked"):
        ask(adata, labels=["B", "T"], options={"calibration": made})


def test_a_calibration_needs_labelled_cells_and_probabilities(adata):
    more = {"lm": rule_model(), "labels": ["B cell", "T cell"], "label_key": "cell_type"}
    with pytest.raises(InputError, match=r"No cell of .* has one of the labels in 'cell_type'"):
        cq.roles.calibrate(adata, "cell_type", **more)
    more |= {"labels": LABELS, "lm": rule_model(has_logp=False)}
    with pytest.raises(InputError, match="cells have no scores"):
        cq.roles.calibrate(adata, "cell_type", **more)
    with pytest.raises(InputError, match="`prior_corrected` needs"):
        ask(adata, lm=more["lm"], options={"prior_corrected": True})
    with pytest.raises(InputError, match="`best_only` is set"):
        cq.roles.calibrate(adata, "cell_type", **more, options=PredictOptions(best_only=True))
