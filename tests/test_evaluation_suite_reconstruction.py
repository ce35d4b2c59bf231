"""The suite of reconstruction: text alone decides, and numbers worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from celloquy.evaluation import load_suite, run_suite
from celloquy.evaluation._suite_job import NotApplicable
from celloquy.evaluation._suite_lms import SuiteModels
from celloquy.evaluation._suite_reconstruction import LENGTHS, ReconstructionJob
from celloquy.evaluation._suite_reconstruction_methods import (
    METHODS,
    dense,
    filled,
    fit_foreign,
    from_counted,
    from_names,
    from_text,
    halve,
    is_named,
    texts_of,
)
from celloquy.learn import CellBlock
from celloquy.text import RankCurve, RankedCells, Vocabulary, reconstruct
from labelled_cells import labelled_cells

SUITE = """
name = "small"
title = "Back to expression"
summary = "Two studies."
measures = "reconstruction"
n_cells = 40
seeds = [0]
methods = ["line", "line-all", "curve", "counted", "foreign", "filled", "mean", "named-mean", "values", "values-filled"]

[[sets]]
name = "one"
study = "first"
file = "one.h5ad"
label = ""
origin = "nowhere"

[[sets]]
name = "two"
study = "second"
file = "two.h5ad"
label = ""
origin = "nowhere"
"""  # noqa: E501 (a list of TOML)
LINE = RankCurve("linear_log_rank", "log1p", slope=-1.0, intercept=2.0)
NAMES = Vocabulary(("A", "B", "C", "D"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("data")
    (made / "cells").mkdir()
    labelled_cells(20, seed=1).write_h5ad(made / "cells" / "one.h5ad")
    labelled_cells(20, seed=2).write_h5ad(made / "cells" / "two.h5ad")
    return made


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "small.toml"
    path.write_text(SUITE, encoding="utf-8")
    return load_suite(path)


@pytest.fixture(scope="module")
def job(suite, folder):
    return ReconstructionJob(suite, folder, SuiteModels([], n_top_genes=10))


def measured(job, method, kind):
    """Measure a method on the first set."""
    case = next(c for c in job.cases() if c.pool == ("one",) and c.kind == kind)
    return job.measure(case, next(m for m in job.methods() if m.name == method))


def ranked_cells(values=(9.0, 5.0, 3.0, 8.0, 1.0)):
    """Give two cells: one expresses C, A and D, the other B and A."""
    return RankedCells(
        np.array([2, 0, 3, 1, 0], dtype=np.int32),
        np.array([0, 3, 5]),
        np.array(values, dtype=np.float32),
        np.array([0, 0], dtype=np.int32),
        NAMES,
    )


@pytest.mark.parametrize("n_top_genes", [None, 2])
def test_other_values_in_the_same_order_come_back_the_same(n_top_genes):
    pair = ranked_cells(), ranked_cells(values=(900.0, 2.5, 2.4, 0.02, 0.01))
    if n_top_genes:
        pair = tuple(cells.top(n_top_genes) for cells in pair)
    told = [
        from_text(texts_of(cells), vocabulary=NAMES, curve=LINE, is_complete=n_top_genes is None)
        for cells in pair
    ]
    np.testing.assert_array_equal(*told)
    np.testing.assert_array_equal(*(from_counted(cells, LINE) for cells in pair))
    learnt = np.ones((1, 4))
    np.testing.assert_array_equal(*(from_names(cells, learnt) for cells in pair))
    kept = [dense(reconstruct(cells)) for cells in pair]
    assert not np.allclose(*kept)  # where values are kept beside, they do come back


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"values", "values-filled"}))
def test_no_method_but_the_ceiling_sees_the_values_of_what_it_gives_back(job, method):
    case = next(c for c in job.cases() if c.pool == ("one",) and c.kind == "the first 50 genes")
    named = next(m for m in job.methods() if m.name == method)
    halves = job._halves("one", 0)
    before = job._given_back(halves, case, named)
    rows = np.repeat(np.isin(np.arange(halves.ranked.n_obs), halves.held), halves.ranked.lengths)
    values = np.where(rows, halves.ranked.values**2 + 7, halves.ranked.values).astype(np.float32)
    other = replace(halves, ranked=replace(halves.ranked, values=values), curves={})
    assert not np.allclose(other.truth, halves.truth)
    np.testing.assert_array_equal(job._given_back(other, case, named), before)


def test_a_line_gives_each_gene_the_value_of_its_rank():
    found = from_text(["C A D", "B"], vocabulary=NAMES, curve=LINE, is_complete=True)
    second, third = 2 - np.log10(2), 2 - np.log10(3)
    np.testing.assert_allclose(found, [[second, 0, 2, third], [0, 2, 0, 0]], rtol=1e-6)


def test_a_line_may_go_below_zero_and_a_curve_may_not():
    steep = RankCurve("linear_log_rank", "log1p", slope=-10.0, intercept=2.0)
    said = {"vocabulary": NAMES, "curve": steep, "is_complete": True}
    assert from_text(["A B"], is_line=True, **said)[0, 1] == pytest.approx(2 - 10 * np.log10(2))
    assert 0 < from_text(["A B"], **said)[0, 1] < 1e-5


def test_names_alone_give_the_mean_of_a_gene_where_it_is_expressed():
    learnt = np.array([[2.0, 0.0, 1.0, 0.0], [4.0, 0.0, 0.0, 0.0]])
    found = from_names(ranked_cells(), learnt)
    # A: (2 + 4) / 2, C: 1, and B and D, which no cell expresses: (2 + 4 + 1) / 3
    assert found.tolist() == [[3.0, 0.0, 1.0, 7 / 3], [3.0, 7 / 3, 0.0, 0.0]]


def test_genes_that_are_not_named_get_their_mean_but_no_more_than_the_least_named_one():
    written = ranked_cells().top(1)  # C, and B
    told = np.array([[0.0, 0.0, 5.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    found = filled(told, written, np.array([[3.0, 0.5, 9.0, 0.0], [1.0, 0.5, 9.0, 0.0]]))
    assert found.tolist() == [[2.0, 0.5, 5.0, 0.0], [1.0, 1.0, 1.0, 0.0]]
    assert is_named(written, 4).sum(axis=1).tolist() == [1, 1]


def test_values_are_logarithms_of_ten_thousand_molecules_and_halves_share_no_cell():
    counts = sp.csr_matrix([[3.0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [2, 0, 6, 0], [5, 0, 5, 0]])
    halves = halve(CellBlock(counts, "counts", NAMES), seed=0)
    assert halves.ranked.vocabulary.names == ("A", "C")  # the others are expressed by no cell
    assert sorted([*halves.fitted, *halves.held]) == [0, 2, 3, 4]  # the empty cell is left out
    expected = np.log1p(1e4 * counts.toarray()[halves.held][:, [0, 2]]
                        / counts.toarray()[halves.held].sum(axis=1, keepdims=True))  # fmt: skip
    np.testing.assert_allclose(halves.truth, expected, rtol=1e-6)


def test_a_curve_of_other_studies_reads_no_gene():
    one = ranked_cells()
    other = replace(one, genes=one.genes[::-1].copy())
    found = [fit_foreign([cells, cells]).predict([0, 1, 2]) for cells in (one, other)]
    np.testing.assert_array_equal(*found)
    # the means at ranks 0, 1 and 2: (9 + 8) / 2, (5 + 1) / 2 and 3
    np.testing.assert_allclose(found[0], [8.5, 3.0, 3.0])


def test_a_full_sentence_with_its_values_is_whole_and_a_cut_one_lacks_what_it_does_not_name(job):
    whole = measured(job, "values", "full sentences").metrics
    perfect = ("pearson_cell", "r2", "r2_named", "spearman", "genes_given_back",
               "molecules_given_back")  # fmt: skip
    assert [whole[name] for name in perfect] == pytest.approx([1] * 6)
    cut = measured(job, "values", "the first 50 genes")
    assert cut.metrics["r2_named"] == 1
    halves = job._halves("one", 0)
    counts = np.expm1(halves.truth)
    top = np.sort(counts, axis=1)[:, -50:]
    share = (top.sum(axis=1) / counts.sum(axis=1)).mean()
    assert cut.metrics["molecules_given_back"] == pytest.approx(share, rel=1e-5)
    n_expressed = (counts > 0).sum()
    assert cut.metrics["genes_given_back"] == pytest.approx(50 * len(halves.held) / n_expressed)
    assert cut.n_obs == 20


def test_filling_leaves_named_genes_as_they_are(job):
    for alone, with_means in (("values", "values-filled"), ("curve", "filled")):
        found = [measured(job, name, "the first 50 genes").metrics for name in (alone, with_means)]
        assert found[0]["r2_named"] == found[1]["r2_named"]
        assert found[0]["genes_invented"] == 0 < found[1]["genes_invented"]
        assert found[0]["genes_given_back"] < found[1]["genes_given_back"]


def test_the_order_of_genes_says_more_than_their_names_and_the_mean(job):
    found = {
        name: measured(job, name, "full sentences").metrics["r2"]
        for name in ("curve", "line", "foreign", "named-mean", "mean")
    }
    assert found["curve"] > 0.9
    assert min(found.values()) == found["mean"]
    assert found["named-mean"] < min(found[name] for name in ("curve", "line", "foreign"))


def test_a_full_sentence_needs_no_number_of_genes_beside_and_no_filling(job):
    same = NotApplicable("of a full sentence it says what another method says")
    assert measured(job, "counted", "full sentences") == same
    assert measured(job, "filled", "full sentences") == same
    assert measured(job, "values-filled", "full sentences") == same
    for kind in LENGTHS:
        assert measured(job, "curve", kind).metrics


@pytest.mark.slow
def test_a_run_of_the_suite_keeps_every_result(suite, folder, tmp_path):
    found = run_suite(suite, folder, out=tmp_path)
    # two sets: seven methods of full sentences, ten of cut ones
    with_numbers = [r for r in found if "metrics" in r]
    assert len(found) == 2 * (10 + 10 + 10)
    assert len(with_numbers) == 2 * (7 + 10 + 10)
    assert {r["case"]["unit"] for r in found} == {"first", "second"}
    assert all(r["n_learnt_from"] == r["n_obs"] == 20 for r in with_numbers)


@pytest.mark.data
@pytest.mark.slow
def test_on_blood_cells_values_are_before_the_curve_before_the_line(data_folder, tmp_path):
    suite = load_suite("reconstruction").smaller()
    few = suite.model_copy(update={"sets": suite.sets[:1], "methods": ("values", "curve", "line")})
    found = run_suite(few, data_folder, out=tmp_path)
    r2 = {
        r["method"]["name"]: r["metrics"]["r2"]
        for r in found
        if r["case"]["kind"] == "full sentences"
    }
    assert r2["values"] == pytest.approx(1)
    assert 1 > r2["curve"] > r2["line"] > 0.8
