"""The fidelity report: against scikit-learn and scipy, on cells that no curve saw."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.metrics import r2_score, root_mean_squared_error

from celloquy.errors import InputError
from celloquy.io import open_stream
from celloquy.text import Vocabulary, rank_cells
from celloquy.text._fidelity import fidelity, log_values, measure_reconstruction
from celloquy.text._rank_curve import RankCurve


def counts(n_obs=120, n_vars=300, seed=0):
    """Counts of cells of different depth, with labels and donors."""
    rng = np.random.default_rng(seed)
    share = rng.lognormal(0, 2, n_vars)
    depth = rng.integers(200, 3_000, n_obs)
    drawn = np.stack([rng.multinomial(n, share / share.sum()) for n in depth])
    obs = pd.DataFrame(
        {
            "cell_type": rng.choice(["B cell", "T cell"], n_obs),
            "donor": rng.choice(["d1", "d2", "d3", "d4"], n_obs),
        },
        index=[f"c{i}" for i in range(n_obs)],
    )
    return ad.AnnData(sp.csr_matrix(drawn.astype(np.float32)), obs=obs)


def test_the_measures_are_those_of_scikit_learn_and_scipy():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 9, 200).astype(float)
    predicted = truth + rng.normal(size=200).round(1)
    found = measure_reconstruction(truth, predicted)
    assert found["r2"] == pytest.approx(r2_score(truth, predicted))
    assert found["pearson"] == pytest.approx(stats.pearsonr(truth, predicted).statistic)
    assert found["spearman"] == pytest.approx(stats.spearmanr(truth, predicted).statistic)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted))


def test_measures_that_are_not_defined_are_nan():
    assert np.isnan(list(measure_reconstruction(np.empty(0), np.empty(0)).values())).all()
    level = measure_reconstruction(np.ones(3), np.arange(3.0))
    assert np.isnan([level["r2"], level["pearson"], level["spearman"]]).all()


def test_af15_line_and_measures_on_the_fitted_cells_are_the_known_ones():
    rows = np.array([[2, 1.5, 1, 0, 0], [0, 0.5, 1.8, 1.2, 0.9]])
    ranked = rank_cells(sp.csr_matrix(rows), Vocabulary(tuple("abcde")))
    line = RankCurve.fit(ranked, unit="log1p", kind="linear_log_rank")
    found = measure_reconstruction(ranked.values.astype(float), line.predict([0, 1, 2, 0, 1, 2, 3]))
    assert found["r2"] == pytest.approx(0.938398, abs=5e-7)
    assert found["pearson"] == pytest.approx(0.968709, abs=5e-7)
    assert found["spearman"] == pytest.approx(0.972846, abs=5e-7)


def test_counts_become_log1p_of_ten_thousand():
    ranked = rank_cells(sp.csr_matrix([[1.0, 3.0], [0.0, 0.0]]), Vocabulary(("a", "b")))
    expected = np.log1p([7_500, 2_500])
    np.testing.assert_allclose(log_values(ranked).values, expected, rtol=1e-6)
    with pytest.raises(InputError, match="1 cells were cut, so their totals are not known"):
        log_values(ranked.top(1))


def test_held_out_cells_are_measured_and_not_fitted():
    report = fidelity(counts())
    everything = report.table[report.table["cell_type"] == "all"]
    fit = everything[everything["split"] == "fit"].set_index("curve")
    held_out = everything[everything["split"] == "held_out"].set_index("curve")
    assert (fit["n_obs"] + held_out["n_obs"]).tolist() == [120, 120]
    for name, curve in report.curves.items():
        assert curve.fitted_on["n_values"] == fit.loc[name, "n_values"]
    assert report.unit == "log1p"


def test_the_monotone_curve_beats_the_line_on_held_out_cells():
    held_out = fidelity(counts()).table.query("split == 'held_out'").set_index("curve")
    assert held_out.loc["monotone", "r2"] > held_out.loc["linear", "r2"] + 0.02
    assert held_out.loc["monotone", "spearman"] > held_out.loc["linear", "spearman"]


def test_points_and_lines_are_what_the_measures_were_made_from():
    report = fidelity(counts(n_obs=30))
    row = report.table.set_index(["curve", "split"]).loc[("monotone", "held_out")]
    points = report.points
    assert len(points) == row["n_values"]
    assert r2_score(points["expression"], points["monotone"]) == pytest.approx(row["r2"])
    assert (points.groupby("rank")["linear"].nunique() == 1).all()
    assert report.lines.columns.tolist() == ["rank", "linear", "monotone"]
    assert report.lines["rank"].iloc[0] == 0
    assert (np.diff(report.lines["monotone"]) <= 0).all()
    assert report.reconstruction("linear")["reconstructed"].tolist() == points["linear"].tolist()


def test_at_most_20000_points_are_kept_for_drawing():
    assert len(fidelity(counts(n_obs=400)).points) == 20_000


def test_every_cell_type_is_measured_by_itself():
    adata = counts()
    adata.obs.loc["c0", "cell_type"] = np.nan
    table = fidelity(adata, label_key="cell_type").table
    by_type = table[(table["cell_type"] != "all") & (table["curve"] == "linear")]
    assert set(by_type["cell_type"]) >= {"B cell", "T cell"}
    whole = table.query("split == 'held_out' and cell_type == 'all' and curve == 'linear'")
    assert by_type["n_values"].sum() == whole["n_values"].item()


def test_a_donor_is_on_one_side_only():
    adata = counts()
    table = fidelity(adata, group_key="donor").table
    sizes = adata.obs["donor"].value_counts()
    held_out = table.query("split == 'held_out'")["n_obs"].iloc[0]
    sums = {sum(part) for n in range(1, 4) for part in _choices(sizes.tolist(), n)}
    assert held_out in sums
    with pytest.raises(InputError, match="two values of 'donor' at least, and there are 1"):
        fidelity(adata[adata.obs["donor"] == "d1"], group_key="donor")


def _choices(sizes, n):
    from itertools import combinations

    return combinations(sizes, n)


def test_a_given_curve_is_measured_on_the_held_out_cells():
    line = RankCurve("linear_log_rank", "log1p", slope=-2.0, intercept=6.0)
    report = fidelity(counts(), rank_curve=line)
    given = report.table[report.table["curve"] == "given"]
    assert given["split"].tolist() == ["held_out"]
    assert "given" in report.points.columns


def test_the_same_seed_gives_the_same_report_and_another_seed_another():
    adata = counts()
    first, again, other = (fidelity(adata, seed=seed).table for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert first["r2"].tolist() != other["r2"].tolist()


def test_file_stream_and_layer_give_the_same_report(tmp_path):
    adata = counts(n_obs=40)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    expected = fidelity(adata).table
    pd.testing.assert_frame_equal(fidelity(tmp_path / "cells.h5ad").table, expected)
    adata.layers["counts"] = adata.X.copy()
    with open_stream(adata, layer="counts") as stream:
        pd.testing.assert_frame_equal(fidelity(stream).table, expected)


def test_log_values_must_be_named_as_such():
    adata = counts(n_obs=40)
    adata.X = adata.X.log1p()
    with pytest.raises(InputError, match="The values are not whole numbers") as refusal:
        fidelity(adata)
    assert "unit='log1p'" in refusal.value.hint
    assert fidelity(adata, unit="log1p of counts").unit == "log1p of counts"


def test_empty_cells_are_passed_over_and_too_few_cells_refused():
    adata = counts(n_obs=20)
    empty = ad.AnnData(sp.csr_matrix((5, adata.n_vars), dtype=np.float32))
    table = fidelity(ad.concat([adata, empty])).table
    assert table.query("curve == 'linear'")["n_obs"].sum() == 20
    with pytest.raises(InputError, match="two cells with expression at least, and there are 0"):
        fidelity(empty)


def test_a_missing_column_is_refused_and_the_closest_named():
    with pytest.raises(InputError, match="no column 'celltype'; the closest is 'cell_type'"):
        fidelity(counts(n_obs=5), label_key="celltype")


def test_the_summary_states_each_curve_in_one_line():
    lines = fidelity(counts()).summary().splitlines()
    assert [line.split(":")[0] for line in lines] == ["linear", "monotone"]
    assert "held-out cells (log1p)" in lines[0]


@pytest.mark.data
def test_on_real_blood_cells_the_monotone_curve_explains_a_third_more_of_what_the_line_misses(
    data_folder,
):
    table = fidelity(data_folder / "cells" / "pbmc3k_10x_v1.h5ad", max_obs=600).table
    r2 = table.query("split == 'held_out'").set_index("curve")["r2"]
    assert 1 - r2["monotone"] < (1 - r2["linear"]) * 2 / 3
