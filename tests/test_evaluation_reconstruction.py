"""Reconstructed against real cells: worked by hand, beside the mean of each gene, and bad input."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.evaluation._reconstruction import evaluate_reconstruction
from celloquy.text import RankCurve, reconstruct, sentences
from labelled_cells import labelled_cells, log1p_of


def made_of(values, *, genes=("A", "B", "C", "D")):
    made = ad.AnnData(sp.csr_matrix(np.array(values, dtype=np.float64)))
    made.var_names = list(genes)
    made.obs_names = [f"cell{i}" for i in range(made.n_obs)]
    return made


COUNTS = [[1.0, 3.0, 0.0, 6.0], [5.0, 0.0, 5.0, 0.0], [2.0, 2.0, 2.0, 2.0]]


def test_what_comes_back_whole_is_perfect():
    real = made_of(COUNTS)
    found = evaluate_reconstruction(log1p_of(real), real=real).metrics
    assert [found[name] for name in ("r2", "pearson", "spearman")] == pytest.approx([1, 1, 1])
    assert (found["genes_given_back"], found["genes_invented"]) == (1, 0)
    assert found["rmse"] == pytest.approx(0, abs=1e-6)


def test_a_gene_too_few_and_one_too_many_are_counted():
    real = made_of(COUNTS)
    told = log1p_of(real).X.toarray()
    told[0] = [told[0, 0], told[0, 1], 2.0, 0.0]  # C is invented, D has not come back
    found = evaluate_reconstruction(made_of(told), real=real)
    assert found.n["values"] == 9
    assert found.metrics["genes_given_back"] == pytest.approx(8 / 9)
    assert found.metrics["genes_invented"] == pytest.approx(1 / 9)
    lost = np.log1p(6 / 10 * 1e4)
    assert found.metrics["rmse"] == pytest.approx(np.sqrt(lost**2 / 9), rel=1e-5)


def test_true_ranks_beat_the_mean_of_each_gene():
    real = labelled_cells()
    report = evaluate_reconstruction(log1p_of(real), real=real, group_key="cell_type")
    ranks, means = report.baselines["curve on the true ranks"], report.baselines["mean of the gene"]
    assert ranks["spearman"] > 0.8 > means["spearman"]
    assert means["pearson_cell"] < 1 == pytest.approx(report.metrics["pearson_cell"])
    assert report.intervals["pearson_cell"].n_groups == 3
    assert "120 cells, 200 genes" in str(report)


def test_cells_of_other_names_are_refused_and_missing_ones_told():
    real = made_of(COUNTS)
    told = log1p_of(real)
    report = evaluate_reconstruction(told[:2].copy(), real=real)
    assert report.notes == ("2 cells are on both sides, of 2 reconstructed and 3 real.",)
    told.obs_names = ["x", "y", "z"]
    with pytest.raises(
        InputError, match="No cell is on both sides: one names 'x', the other 'cell0'"
    ):
        evaluate_reconstruction(told, real=real)
    with pytest.raises(InputError, match="No gene is shared"):
        evaluate_reconstruction(made_of(COUNTS, genes="WXYZ"), real=real)


@pytest.mark.parametrize("side", ["reconstructed", "real"])
def test_cells_whose_names_repeat_are_refused(side):
    sides = {"reconstructed": log1p_of(made_of(COUNTS)), "real": made_of(COUNTS)}
    sides[side].obs_names = ["cell0", "cell1", "cell0"]
    with pytest.raises(
        InputError, match=f"{side} cells must be unique; 1 repeat, such as 'cell0'"
    ) as caught:
        evaluate_reconstruction(sides["reconstructed"], real=sides["real"])
    assert "obs_names_make_unique" in caught.value.hint


def test_no_cell_at_all_is_refused():
    real = made_of(COUNTS)
    with pytest.raises(InputError, match="There are no reconstructed cells"):
        evaluate_reconstruction(log1p_of(real)[:0].copy(), real=real)
    with pytest.raises(InputError, match="has no cells"):
        evaluate_reconstruction(log1p_of(real), real=real[:0].copy())


def test_a_sample_of_many_cells_is_drawn_and_told():
    real = labelled_cells()
    report = evaluate_reconstruction(log1p_of(real), real=real, max_obs=30)
    assert (report.n["cells"], report.notes) == (30, ("30 of 120 shared cells were drawn.",))


def test_values_that_were_only_kept_are_told_from_those_made_of_ranks():
    real = labelled_cells(5)
    cells = log1p_of(real)
    ranked = sentences(cells, n_top_genes=None).ranked
    curve = RankCurve.fit(ranked, unit="log1p")
    kept = evaluate_reconstruction(reconstruct(ranked, obs=real.obs), real=real)
    assert kept.metrics["r2"] == pytest.approx(1)
    assert "kept beside the names and given back" in str(kept)
    made = evaluate_reconstruction(reconstruct(ranked, obs=real.obs, rank_curve=curve), real=real)
    assert made.metrics["r2"] < 1
    assert made.notes == ()
