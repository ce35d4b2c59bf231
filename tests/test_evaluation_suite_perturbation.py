"""The suite of perturbations: what is held out, what a guess has, and numbers worked by hand."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from celloquy.evaluation import load_suite, run_suite
from celloquy.evaluation._gene_vectors import nearest_predictions
from celloquy.evaluation._perturbation_cells import Context
from celloquy.evaluation._perturbation_metrics import measure_effects
from celloquy.evaluation._suite_job import NotApplicable
from celloquy.evaluation._suite_lms import SuiteModels
from celloquy.evaluation._suite_perturbation import PerturbationJob
from celloquy.evaluation._suite_perturbation_folds import Fold
from celloquy.evaluation._suite_perturbation_methods import (
    predict_by_vectors,
    predict_plainly,
    predict_with_mean,
)
from labelled_cells import labelled_cells

SUITE = """
name = "small"
title = "Perturbations"
summary = "Two lines."
measures = "perturbation"
n_cells = 12
n_folds = 2
seeds = [0, 1]
methods = ["no-change", "mean", "matching", "additive", "filled", "ridge", "nearest", "shuffled", "elsewhere", "halves"]
lm_methods = ["ridge", "summaries-nearest"]

[[sets]]
name = "screen"
study = "one"
file = "screen.h5ad"
label = "perturbation"
group = "line"
control = "none"
origin = "nowhere"

[[sets]]
name = "blood"
study = "two"
file = "blood.h5ad"
label = ""
origin = "nowhere"
"""  # noqa: E501 (a list of TOML)
SINGLES = ["GENE1", "GENE2", "GENE3", "GENE4", "GENE11", "GENE12"]
PAIRS = ["GENE1+GENE2", "GENE3+GENE4", "GENE1+GENE99"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two lines of ten controls, six single perturbations and three pairs of nine cells each."""
    made = tmp_path_factory.mktemp("data")
    (made / "cells").mkdir()
    names = np.repeat(["none", *SINGLES, *PAIRS], [10, *[9] * 9])
    rng = np.random.default_rng(0)
    counts = rng.poisson(20, (2 * len(names), 40))
    for row, name in enumerate(np.tile(names, 2)):
        for part in name.split("+"):
            if part != "none":
                counts[row, SINGLES.index(part) if part in SINGLES else 7] += 60
    obs = pd.DataFrame(
        {"perturbation": np.tile(names, 2), "line": np.repeat(["a", "b"], len(names))}, dtype=object
    )
    obs.index = [f"cell{i}" for i in range(len(obs))]
    screen = ad.AnnData(sp.csr_matrix(counts.astype(np.float32)), obs=obs)
    screen.var_names = [f"GENE{i}" for i in range(40)]
    screen.write_h5ad(made / "cells" / "screen.h5ad")
    labelled_cells(20).write_h5ad(made / "cells" / "blood.h5ad")
    return made


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "small.toml"
    path.write_text(SUITE, encoding="utf-8")
    return load_suite(path)


@pytest.fixture(scope="module")
def job(suite, folder):
    made = PerturbationJob(suite, folder, SuiteModels([], n_top_genes=10))
    made.cases()
    return made


@pytest.fixture(scope="module")
def table(job):
    """Give one row a method and case."""
    rows = []
    for case in job.cases():
        for method in job.methods():
            found = job.measure(case, method)
            if not isinstance(found, NotApplicable):
                told = {"kind": case.kind, "seed": case.seed, "n_obs": found.n_obs}
                rows.append({"method": method.name, **told, **found.metrics})
    return pd.DataFrame(rows)


def test_a_perturbation_is_held_out_in_all_contexts_once_a_seed(job):
    held = {}
    for case, (context, name) in job.held_out.asked.items():
        fold = job.held_out.fold(case)
        assert name in fold.names
        learnt = {fold.context.perturbations[i] for i in fold.learnt}
        assert learnt <= set(SINGLES)
        assert not learnt & set(fold.names)
        held.setdefault((case.seed, context), []).append(name)
        assert case.unit == name  # the lines of a perturbation are drawn together
    assert sorted(held) == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    for names in held.values():
        assert sorted(names) == sorted([*SINGLES, *PAIRS])


def test_lines_share_their_folds_and_seeds_do_not(job):
    folds = {}
    for case, (context, name) in job.held_out.asked.items():
        folds.setdefault((case.seed, context), {})[name] = case.fold
    assert folds[0, "a"] == folds[0, "b"]
    assert folds[0, "a"] != folds[1, "a"]


def test_pairs_stand_apart_by_whether_their_genes_were_seen(job):
    kinds = {name: case.kind for case, (_, name) in job.held_out.asked.items()}
    assert kinds["GENE1+GENE2"] == kinds["GENE3+GENE4"] == "screen, a pair of seen genes"
    assert kinds["GENE1+GENE99"] == "screen, a pair with unseen ones"
    assert kinds["GENE1"] == "screen, an unseen gene"


def test_at_most_as_many_cells_as_the_suite_says_are_read(suite, folder):
    few = suite.model_copy(update={"n_cells": 4})
    job = PerturbationJob(few, folder, SuiteModels([], n_top_genes=10))
    for context in job.held_out.contexts("screen"):
        assert {cells.shape[0] for cells in context.cells} == {4}
        assert context.control_cells.shape[0] == 4


def test_one_prediction_for_all_has_the_accuracy_of_a_guess_and_no_centred_correlation(table):
    for name in ("mean", "no-change"):
        rows = table[table["method"] == name]
        means = rows.groupby(["kind", "seed"])["centroid_accuracy"].mean().dropna()
        assert means.tolist() == pytest.approx([0.5] * 4)  # singles and seen pairs, two seeds
    assert (table.loc[table["method"] == "mean", "pearson_centred"] == 0).all()
    assert (table.loc[table["method"] == "no-change", "pearson_delta"] == 0).all()


def test_real_cells_tell_perturbations_apart_and_nobody_is_ahead_of_them(table):
    single = table[table["kind"] == "screen, an unseen gene"]
    means = single.groupby("method")["centroid_accuracy"].mean()
    assert means["halves"] == 1
    assert means["elsewhere"] == 1
    assert means.drop(["halves", "elsewhere"]).max() < 0.75


def test_methods_answer_only_where_they_have_something_of_their_own_to_say(table):
    kinds = table.groupby("method")["kind"].agg(set)
    single, seen, unseen = (
        f"screen, {said}" for said in ("an unseen gene", "a pair of seen genes",
                                       "a pair with unseen ones")
    )  # fmt: skip
    assert kinds["additive"] == {seen}
    assert kinds["matching"] == {seen, unseen}
    assert kinds["filled"] == {unseen}
    assert kinds["ridge"] == {single, unseen}
    assert kinds["halves"] == kinds["mean"] == {single, seen, unseen}


@pytest.mark.parametrize(
    ("name", "pair", "why"),
    [
        ("additive", False, "of a single perturbation it says no more than another method"),
        ("additive", True, "not all of its genes were perturbed alone"),
        ("ridge", True, "all of its genes were learnt from"),
    ],
)
def test_a_method_with_nothing_to_say_gives_the_reason(job, name, pair, why):
    method = next(one for one in job.methods() if one.name == name)
    told = {
        found.why
        for case in job.cases()
        if (case.fold < 0) == pair and isinstance(found := job.measure(case, method), NotApplicable)
    }
    assert told == {why}


def test_changes_that_add_up_are_found_by_adding(table):
    seen = table[table["kind"] == "screen, a pair of seen genes"]
    assert (seen.loc[seen["method"] == "additive", "centroid_accuracy"] == 1).all()
    assert (seen.loc[seen["method"] == "additive", "pearson_centred"] > 0.8).all()


def test_a_pair_alone_of_its_kind_is_not_told_apart(table):
    alone = table[table["kind"] == "screen, a pair with unseen ones"]
    assert alone["centroid_accuracy"].isna().all()
    assert (alone["n_obs"] == 9).all()


def fold_of(means, held):
    """Make a fold of one cell a perturbation; the control is (1, 1)."""
    names = tuple(sorted(means))
    cells = tuple(sp.csr_matrix([means[name]]) for name in names)
    control = np.ones(2)
    context = Context("", ("x", "y"), names, control, sp.csr_matrix([control]), cells)
    return Fold(context, np.array([names.index(name) for name in held]), {})


def test_the_change_of_an_unseen_gene_is_added_to_that_of_a_seen_one():
    means = {"A": [2.0, 1.0], "B": [1.0, 3.0], "C": [1.0, 5.0], "A+D": [9.0, 9.0]}
    fold = fold_of(means, ["A+D"])
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0], [0.1, 2.0]])
    genes = ["A", "B", "C", "D"]
    # D is nearest to B, whose change is (0, 2); A's is (1, 0); the control (1, 1)
    found = predict_by_vectors(fold, genes, vectors, nearest_predictions)
    assert found.tolist() == [[2.0, 3.0]]
    # the mean change is (1/3, 2)
    assert predict_with_mean(fold, genes).ravel().tolist() == pytest.approx([1 + 1 + 1 / 3, 3.0])
    assert predict_plainly(fold, "mean").ravel().tolist() == pytest.approx([4 / 3, 3.0])
    assert predict_plainly(fold, "no-change").tolist() == [[1.0, 1.0]]


def test_nothing_is_left_to_predict_where_both_genes_were_seen():
    fold = fold_of({"A": [2.0, 1.0], "B": [1.0, 3.0], "A+B": [2.0, 3.0]}, ["A+B"])
    assert np.isnan(predict_with_mean(fold, ["A", "B"])).all()
    assert predict_plainly(fold, "additive").tolist() == [[2.0, 3.0]]
    assert np.isnan(predict_plainly(fold, "elsewhere")).all()  # there is one context


def test_only_what_was_held_out_together_is_told_apart():
    real = np.array([[0.0, 0.0], [3.0, 0.0], [9.0, 0.0]])
    said = {
        "asked": np.array([1]), "control": np.zeros(2), "reference": np.array([[1.0, 1.0]]),
        "changed": np.array([[True, False]]), "targets": np.zeros((1, 2), dtype=bool),
    }  # fmt: skip
    told = np.array([[1.0, 0.0]])
    among_all = measure_effects(told, real, **said)
    assert among_all["centroid_accuracy"].tolist() == [0.5]  # of the others, 9 is further away
    among_two = measure_effects(told, real, among=np.array([1, 2]), **said)
    assert among_two["centroid_accuracy"].tolist() == [1.0]
    assert among_two["discrimination"].tolist() == [1.0]
    # centred, (0, -1) was told and (2, -1) is true: both fall from the first gene to the second
    assert among_two["pearson_centred"].tolist() == pytest.approx([1.0])
    assert among_two["mae_delta"].tolist() == [1.0]


@pytest.mark.slow
def test_a_language_model_describes_the_genes_and_paragraphs_are_read_where_they_are(
    suite, folder, tmp_path
):
    from celloquy.knowledge import data_add
    from lm_models import write_encoder

    lm = f"st:{write_encoder(tmp_path / 'lm')}"
    few = suite.model_copy(update={"methods": ("mean",)})
    found = run_suite(few, folder, out=tmp_path / "one", lms=[lm])
    titles = {r["method"]["title"] for r in found if r["method"]["lm"]}
    assert titles == {"lm, names of genes, ridge regression"}
    said = "\n".join(f"{gene}\t{i}\tgene number {i} ." for i, gene in enumerate(SINGLES))
    (tmp_path / "s.tsv").write_text(f"symbol\tentrez_id\trefseq_summary\n{said}\n", "utf-8")
    data_add("summaries", tmp_path / "s.tsv")
    found = run_suite(few, folder, out=tmp_path / "two", lms=[lm])
    read = [r for r in found if r["method"]["name"].endswith("summaries-nearest")]
    apart = [r for r in read if "not_applicable" in r]
    assert {r["not_applicable"] for r in apart} == {"all of its genes were learnt from"}
    measured = [r for r in read if "metrics" in r]
    assert len(measured) == 14  # six genes and a pair with an unseen one, in two lines
    assert {len(r["summaries"]) for r in measured} == {12}


@pytest.mark.data
@pytest.mark.slow
def test_norman_in_small_has_a_guess_at_one_half_and_a_ceiling_above_all(data_folder, tmp_path):
    found = run_suite(load_suite("perturbation").smaller(), data_folder, out=tmp_path)
    rows = pd.DataFrame(
        [
            {"method": r["method"]["name"], **r["case"], **r["metrics"]}
            for r in found
            if "metrics" in r
        ]
    )
    single = rows[rows["kind"] == "Norman 2019, an unseen gene"]
    means = single.groupby("method")["centroid_accuracy"].mean()
    assert means[["mean", "no-change"]].tolist() == pytest.approx([0.5, 0.5])
    assert means.idxmax() == "halves"
