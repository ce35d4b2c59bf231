"""Predicted effects of perturbations: numbers worked by hand and by cell-eval, and bad input."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import mannwhitneyu

from celloquy.errors import InputError
from celloquy.evaluation._perturbation import evaluate_perturbation
from celloquy.evaluation._perturbation_baselines import baseline_predictions, mean_of_others
from celloquy.evaluation._perturbation_cells import Cells, contexts_of, rank_sum_p_values

GENES = ["A", "g1", "g2", "g3", "g4"]
NAMES = ["control"] * 4 + ["A"] * 3 + ["B"] * 3 + ["C"] * 3
REAL = [
    [4, 5, 9, 7, 6], [11, 7, 7, 10, 3], [7, 6, 5, 4, 7], [9, 7, 6, 5, 5], [7, 5, 3, 7, 8],
    [1, 11, 6, 8, 6], [4, 7, 8, 9, 4], [8, 12, 6, 5, 8], [4, 4, 5, 1, 7], [5, 7, 5, 4, 8],
    [8, 5, 2, 6, 6], [7, 5, 7, 6, 3], [3, 7, 7, 5, 5],
]  # fmt: skip
PREDICTED = [
    *REAL[:4], *REAL[10:], [6, 10, 4, 8, 5], [5, 5, 6, 6, 6], [8, 6, 4, 6, 4], [10, 6, 3, 8, 8],
    [10, 7, 8, 9, 7], [4, 10, 9, 5, 6],
]  # fmt: skip


def cells(values, names, *, genes=GENES, **columns):
    obs = pd.DataFrame({"perturbation": names, **columns}, dtype=object)
    obs.index = [f"cell-{i}" for i in range(len(obs))]
    return ad.AnnData(
        sp.csr_matrix(values, dtype=np.float64), obs=obs, var=pd.DataFrame(index=genes)
    )


def one_context(values, names, genes):
    contexts = np.full(len(names), "", dtype=object)
    real = Cells(sp.csr_matrix(values), tuple(genes), np.array(names, dtype=object), contexts)
    return contexts_of(real, control="control")[0]


def drawn(n_obs=12, *, seed=0, **columns):
    """Counts of three perturbations: A raises g1, B raises g2, C does nothing."""
    rng = np.random.default_rng(seed)
    names = np.repeat(["control", "A", "B", "C"], n_obs)
    counts = rng.poisson(20, (len(names), 5))
    counts[names == "A", 1] += rng.poisson(60, n_obs)
    counts[names == "B", 2] += rng.poisson(60, n_obs)
    return cells(counts, names, **columns)


def test_effects_are_those_of_cell_eval():
    # pearson_delta, mae_delta and discrimination_score (l1) of cell-eval 0.8.2 on these cells
    report = evaluate_perturbation(cells(PREDICTED, NAMES), real=cells(REAL, NAMES))
    rows = report.per_perturbation.set_index("perturbation")
    assert rows["pearson_delta"].to_dict() == pytest.approx(
        {"A": 0.731229681946612, "B": 0.013163689143026897, "C": 0.8789087989588045}, abs=1e-6
    )
    assert rows["mae_delta"].to_dict() == pytest.approx(
        {"A": 0.23804508313718298, "B": 0.3354432008488093, "C": 0.0475262541052011}, abs=1e-6
    )
    assert rows["discrimination"].to_dict() == pytest.approx({"A": 2 / 3, "B": 1 / 3, "C": 1.0})
    assert report.metrics["discrimination"] == pytest.approx(2 / 3)
    assert report.n == {"perturbations": 3, "real cells": 9}


def test_changed_genes_are_tested_as_scipy_does():
    rng = np.random.default_rng(0)
    values = rng.poisson([0.1, 1, 5, 50, 0], (30, 5)).astype(float)
    values[:12, 2] += 4
    expected = mannwhitneyu(values[:12], values[12:], method="asymptotic").pvalue
    found = rank_sum_p_values(values, n_first=12)
    np.testing.assert_allclose(found, np.nan_to_num(expected, nan=1.0), rtol=1e-9)


def test_a_perfect_prediction_has_the_best_of_everything():
    real = drawn()
    report = evaluate_perturbation(real, real=real)
    found = report.metrics
    best = ["pearson_delta", "pearson_centred", "discrimination", "centroid_accuracy"]
    assert [found[name] for name in best] == pytest.approx([1, 1, 1, 1])
    assert (found["direction_match"], found["de_overlap"], found["mae_delta"]) == (1, 1, 0)
    low, high = report.intervals["mae_delta"].low, report.intervals["mae_delta"].high
    assert (low, high, report.intervals["mae_delta"].n_groups) == (0, 0, 3)


def test_the_target_gene_does_not_help_to_tell_perturbations_apart():
    # "A" names the first gene, which alone would point to the right profile
    names = ["control", "control", "A", "B"]
    real = cells([[10, 10], [10, 10], [0, 10], [10, 10]], names, genes=["A", "g"])
    told = cells([[0.0, 5.5], [9.0, 5.5]], ["A", "B"], genes=["A", "g"])
    rows = evaluate_perturbation(told, real=real).per_perturbation.set_index("perturbation")
    # of gene g, A has log1p(10,000) and B has log1p(5,000): the predicted 5.5 is nearer to B
    assert rows.loc["A", "discrimination"] == 0.5


def test_baselines_are_the_means_worked_by_hand():
    names = ["control", "A", "B", "A+B"]
    context = one_context([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0], [5.0, 5.0]], names, ["x", "y"])
    assert context.perturbations == ("A", "A+B", "B")
    found = baseline_predictions(context, np.array([0, 1]), separator="+", elsewhere={})
    # only B was not asked for, so that is the mean of what a model may have been trained on
    assert found["perturbation mean"].tolist() == [[0.0, 3.0], [0.0, 3.0]]
    assert found["no change"].tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert found["matching mean"].tolist() == [[0.0, 3.0], [1.0, 2.0]]  # the mean of A and B
    assert found["additive"][1].tolist() == [2.0, 3.0]  # control + (2, 0) + (0, 2)
    assert np.isnan(found["additive"][0]).all()


def test_the_mean_of_others_leaves_out_the_one_that_is_asked_for():
    means = np.array([[0.0], [3.0], [9.0]])
    found = mean_of_others(means, np.arange(3), control=np.zeros(1))
    assert found.ravel().tolist() == [6.0, 4.5, 1.5]
    rest = mean_of_others(means, np.array([0]), control=np.zeros(1))
    assert rest.ravel().tolist() == [6.0]
    alone = mean_of_others(means[:1], np.array([0]), control=np.array([7.0]))
    assert alone.ravel().tolist() == [7.0]


def test_the_same_perturbation_in_another_context_is_a_baseline():
    lines = np.tile(np.repeat(["one", "two"], 6), 4)
    real = drawn(line=lines)
    report = evaluate_perturbation(real, real=real, context_key="line")
    found = report.baselines["same perturbation, other contexts"]
    assert found["discrimination"] == 1
    assert report.n == {"perturbations": 3, "contexts": 2, "real cells": 36}
    assert found["pearson_delta"] > report.baselines["perturbation mean"]["pearson_delta"]


def test_the_ceiling_of_real_effects_is_high_and_no_guess_reaches_it():
    real = drawn(40)
    keep = real.obs["perturbation"] != "C"
    report = evaluate_perturbation(real[keep], real=real[keep])
    assert report.ceiling["pearson_delta"] > 0.9
    assert report.ceiling["direction_match"] > 0.9
    assert report.baselines["no change"]["direction_match"] == 0
    assert report.baselines["perturbation mean"]["pearson_delta"] < report.ceiling["pearson_delta"]


def test_doubles_are_judged_beside_what_adds_up():
    rng = np.random.default_rng(0)
    names = np.repeat(["control", "A", "B", "A+B"], 10)
    counts = rng.poisson(30, (40, 5))
    counts[(names == "A") | (names == "A+B"), 1] += 60
    counts[(names == "B") | (names == "A+B"), 2] += 60
    real = cells(counts, names)
    report = evaluate_perturbation(real, real=real)
    assert report.baselines["additive"]["pearson_delta"] > 0.95
    assert any("'additive' answers 1 of 3" in note for note in report.notes)


def test_a_report_says_everything_to_people_and_machines():
    real = drawn()
    report = evaluate_perturbation(real, real=real)
    said = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert said["baselines"]["no change"]["pearson_delta"] is None  # a flat change has none
    assert said["meanings"]["mae_delta"]["best"] == 0
    assert len(said["per_perturbation"]) == 3
    text = str(report)
    assert "3 perturbations, 36 real cells" in text
    assert "noise ceiling" in text
    assert "leave one out" in text
    assert "change no gene" in text  # C


def test_what_was_not_measured_is_named():
    real = drawn()
    told = drawn(seed=1)
    told.obs["perturbation"] = told.obs["perturbation"].replace("C", "D")
    report = evaluate_perturbation(told, real=real)
    assert "1 predicted perturbations were not measured: D." in report.notes
    assert not any("leave one out" in note for note in report.notes)  # C may have been trained on


def test_a_perturbation_of_one_cell_has_no_ceiling_and_is_told():
    real = drawn()
    kept = real[np.r_[0:24, 24]].copy()
    report = evaluate_perturbation(kept, real=kept)
    assert len(report.per_perturbation) == 2
    assert any("fewer than 10 cells, one 1 cells" in note for note in report.notes)
    only = real[np.r_[0:12, 12]].copy()
    lonely = evaluate_perturbation(only, real=only)
    assert lonely.ceiling == {}
    assert lonely.intervals == {}  # one perturbation: no interval over perturbations
    assert np.isnan(lonely.metrics["discrimination"])  # nothing to tell it from


def test_one_perturbation_has_a_ceiling_but_nothing_to_tell_it_from():
    real = drawn()
    only = real[:24].copy()
    report = evaluate_perturbation(only, real=only)
    assert report.ceiling["pearson_delta"] > 0.5
    assert np.isnan([report.ceiling["discrimination"], report.ceiling["pearson_centred"]]).all()


def test_a_small_control_is_told():
    real = drawn()
    notes = evaluate_perturbation(real, real=real).notes
    assert any("A control has 12 cells only" in note for note in notes)


def test_a_context_without_control_is_left_out():
    lines = np.repeat(["one", "two"], 24)
    real = drawn(line=lines)  # controls and A are in line one, B and C in line two
    report = evaluate_perturbation(real, real=real, context_key="line")
    assert report.per_perturbation["perturbation"].tolist() == ["A"]
    with pytest.raises(InputError, match="No context has both control cells"):
        evaluate_perturbation(real, real=moved(real), context_key="line")


def moved(real):
    """Put the controls into a line of their own."""
    made = real.copy()
    made.obs["line"] = np.where(made.obs["perturbation"] == "control", "none", "two")
    return made


def renamed(adata):
    made = adata.copy()
    made.var_names = [f"X{i}" for i in range(made.n_vars)]
    return made


def doubled(adata):
    made = adata.copy()
    made.var_names = ["A", "A", "g2", "g3", "g4"]
    return made


def without(adata):
    made = adata.copy()
    made.obs = made.obs.rename(columns={"perturbation": "perturbations"})
    return made


def with_value(adata, value):
    made = adata.copy()
    made.X = made.X.astype(float)
    made.X.data[3] = value
    return made


def relabelled(adata, name):
    made = adata.copy()
    made.obs["perturbation"] = pd.Series([name] * made.n_obs, index=made.obs_names, dtype=object)
    return made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, "No gene is shared: one side names 'X0'"),
        (without, "has no column 'perturbation'; the closest is 'perturbations'"),
        (lambda a: with_value(a, np.nan), "1 predicted values are infinite or missing"),
        (lambda a: with_value(a, 25.5), "A predicted value is .*: too high for log1p"),
        (lambda a: relabelled(a, "Z"), "No perturbation is on both sides; predicted are Z"),
        (lambda a: relabelled(a, None), "48 of 48 predicted cells have no 'perturbation'"),
        (doubled, "Gene names must be unique; 1 repeat, such as 'A'"),
    ],
)
def test_a_prediction_that_cannot_be_used_is_refused(change, message):
    real = drawn()
    with pytest.raises(InputError, match=message):
        evaluate_perturbation(change(real), real=real)


def test_real_cells_without_the_control_are_refused():
    real = drawn()
    with pytest.raises(
        InputError, match="No real cell has the perturbation 'controls'; the closest"
    ):
        evaluate_perturbation(real, real=real, control="controls")


@pytest.mark.data
@pytest.mark.slow
def test_norman_singles_and_doubles_have_a_ceiling_above_their_mean(data_folder):
    file = data_folder / "cells" / "perturb_perturbench_devel_norman19_mcfaline23_500genes.h5ad"
    real = ad.read_h5ad(file)
    real = real[real.obs["dataset"] == "norman19"].copy()
    names = real.obs["perturbation"].astype(str).to_numpy()
    told = real[np.random.default_rng(0).permutation(real.n_obs)].copy()
    told.obs["perturbation"] = names  # cells of any perturbation: knows nothing
    report = evaluate_perturbation(told, real=real)
    assert report.n["perturbations"] == 33
    assert report.ceiling["discrimination"] > 0.9
    assert report.metrics["discrimination"] == pytest.approx(0.5, abs=0.12)
    assert report.baselines["additive"]["pearson_delta"] > 0.7
    assert report.baselines["perturbation mean"]["pearson_delta"] > 0.3
    assert report.baselines["no change"]["discrimination"] == pytest.approx(0.5, abs=0.05)
