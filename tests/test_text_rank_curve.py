"""Rank curves: fitted by hand and by scipy, saved and loaded, version 1 readable for ever."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from celloquy.errors import InputError
from celloquy.text import RankedCells, Vocabulary
from celloquy.text._rank_curve import RankCurve, default_rank_curve, take_cells

SLOPE, INTERCEPT = -0.6756886579917628, 2.237853249084892


def ranked_cells(cells, *, cut=0):
    """Cells of given values, most expressed first; gene `i` stands at rank `i`."""
    values = np.array([value for cell in cells for value in cell], dtype=np.float32)
    genes = np.array([gene for cell in cells for gene in range(len(cell))], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, cells)]).astype(np.int64)
    names = tuple(f"G{i}" for i in range(max(map(len, cells), default=0)))
    return RankedCells(
        genes, offsets, values, np.full(len(cells), cut, np.int32), Vocabulary(names)
    )


def shallow_and_deep_cells(n_obs=40):
    """Cells of 20 and of 200 genes: shares of a small cell are larger at every rank."""
    small = [np.linspace(5.0, 3.0, 20)] * n_obs
    large = [np.linspace(4.0, 1.0, 200)] * n_obs
    return ranked_cells([*small, *large])


AF15 = ranked_cells([[2, 1.5, 1], [1.8, 1.2, 0.9, 0.5]])


def test_af14_a_line_gives_the_published_values():
    line = RankCurve("linear_log_rank", "log10", slope=SLOPE, intercept=INTERCEPT)
    np.testing.assert_allclose(
        line.predict([0, 9, 99, 199, 999]),
        [2.2378533, 1.5621645, 0.8864759, 0.6830734, 0.2107873],
        atol=5e-8,
    )


def test_af15_the_fitted_line_is_the_known_one():
    line = RankCurve.fit(AF15, unit="log1p", kind="linear_log_rank")
    assert line.slope == pytest.approx(-2.170504, abs=5e-7)
    assert line.intercept == pytest.approx(1.940676, abs=5e-7)


def test_a_line_is_scipys_below_the_largest_log_rank():
    values = np.sort(np.random.default_rng(0).random(50))[::-1]
    line = RankCurve.fit(
        ranked_cells([values]), unit="log1p", kind="linear_log_rank", max_log_rank=1.0
    )
    expected = stats.linregress(np.log10(1 + np.arange(9)), values[:9])
    assert (line.slope, line.intercept) == pytest.approx((expected.slope, expected.intercept))


def test_a_monotone_curve_gives_back_means_that_already_fall():
    curve = RankCurve.fit(ranked_cells([[5, 3, 1], [3, 2, 1]]), unit="log1p")
    np.testing.assert_allclose(curve.predict([0, 1, 2]), [4.0, 2.5, 1.0])


def test_a_monotone_curve_pools_means_that_rise():
    curve = RankCurve.fit(ranked_cells([[5, 1, 3], [5, 1, 3]]), unit="log1p")
    np.testing.assert_allclose(curve.predict([0, 1, 2]), [5.0, 2.0, 2.0])


def test_beyond_the_last_known_rank_a_monotone_curve_stays_level():
    curve = RankCurve.fit(ranked_cells([[5, 3, 1]]), unit="log1p")
    assert curve.predict([2, 3, 10_000]).tolist() == [1.0, 1.0, 1.0]


def test_cells_of_few_genes_have_a_curve_of_their_own():
    curve = RankCurve.fit(shallow_and_deep_cells(), unit="log1p")
    assert curve.predict(0, n_expressed=20) == pytest.approx(5.0)
    assert curve.predict(0, n_expressed=200) == pytest.approx(4.0)
    assert curve.predict(0) == pytest.approx(4.5)
    halfway = float(np.sqrt(20 * 200))
    assert curve.predict(0, n_expressed=halfway) == pytest.approx(4.5, abs=1e-5)
    assert curve.predict([0, 0], n_expressed=[20, 200]) == pytest.approx([5.0, 4.0])


def test_genes_that_were_cut_count_as_expressed():
    cells = [np.linspace(5.0, 3.0, 20)] * 40 + [np.linspace(4.0, 1.0, 20)] * 40
    ranked = ranked_cells(cells)
    ranked.cut[40:] = 180
    curve = RankCurve.fit(ranked, unit="log1p")
    assert curve.predict(0, n_expressed=200) == pytest.approx(4.0)


def test_too_few_cells_give_one_curve_for_all_lengths():
    curve = RankCurve.fit(shallow_and_deep_cells(n_obs=15), unit="log1p")
    assert len(curve.log_lengths) == 0
    assert curve.predict(0, n_expressed=20) == curve.predict(0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_fitted_monotone_curve_never_rises_whatever_the_values(data):
    lengths = data.draw(st.lists(st.integers(2, 60), min_size=1, max_size=60))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    curve = RankCurve.fit(ranked_cells([rng.exponential(size=n) for n in lengths]), unit="log1p")
    for n_expressed in (None, 1, 17, 10**6):
        predicted = curve.predict(np.arange(200), n_expressed=n_expressed)
        assert (np.diff(predicted) <= 1e-12).all()


def test_at_most_the_asked_for_cells_are_read_and_the_seed_chooses_them():
    cells = ranked_cells(np.sort(np.random.default_rng(0).random((50, 9)))[:, ::-1])
    first = RankCurve.fit(cells, unit="log1p", max_obs=10, seed=1)
    again = RankCurve.fit(cells, unit="log1p", max_obs=10, seed=1)
    other = RankCurve.fit(cells, unit="log1p", max_obs=10, seed=2)
    assert first.fitted_on["n_obs"] == 10
    assert first.as_dict() == again.as_dict()
    assert first.values.tolist() != other.values.tolist()


def test_cells_can_be_taken_in_any_order():
    taken = take_cells(ranked_cells([[3, 2], [], [9]]), np.array([2, 1, 0]))
    assert [list(cell) for cell in taken] == [["G0"], [], ["G0", "G1"]]
    assert taken.values.tolist() == [9, 3, 2]


@pytest.mark.parametrize("kind", ["linear_log_rank", "monotone"])
def test_a_saved_curve_is_loaded_as_it_was(tmp_path, kind):
    curve = RankCurve.fit(shallow_and_deep_cells(), unit="log10", kind=kind, fitted_on={"of": "x"})
    curve.save(tmp_path / "curve.json")
    back = RankCurve.load(tmp_path / "curve.json")
    assert back.as_dict() == curve.as_dict()
    assert back.fitted_on["of"] == "x"
    ranks = np.arange(300)
    assert back.predict(ranks, n_expressed=60).tolist() == (
        curve.predict(ranks, n_expressed=60).tolist()
    )


def test_an_existing_file_is_not_overwritten_unasked(tmp_path):
    line = RankCurve("linear_log_rank", "log1p", slope=-1.0, intercept=2.0)
    line.save(tmp_path / "curve.json")
    with pytest.raises(InputError, match="exists already"):
        line.save(tmp_path / "curve.json")


VERSION_1 = {
    "linear": (
        '{"schema": "celloquy.rank_curve", "version": 1, "kind": "linear_log_rank", '
        '"unit": "log10", "slope": -0.5, "intercept": 2.0, "fitted_on": {"n_obs": 3}}'
    ),
    "monotone": (
        '{"schema": "celloquy.rank_curve", "version": 1, "kind": "monotone", "unit": "log1p", '
        '"log_ranks": [0.0, 1.0], "values": [2.0, 1.0], "log_lengths": [1.0, 2.0], '
        '"values_by_length": [[3.0, 2.0], [1.0, 0.0]], "fitted_on": {}}'
    ),
}


def test_version_1_files_are_read_for_ever(tmp_path):
    for name, text in VERSION_1.items():
        (tmp_path / name).write_text(text)
    line = RankCurve.load(tmp_path / "linear")
    assert (line.unit, line.fitted_on) == ("log10", {"n_obs": 3})
    assert line.predict([0, 9]).tolist() == [2.0, 1.5]
    curve = RankCurve.load(tmp_path / "monotone")
    assert curve.predict([0, 9]).tolist() == [2.0, 1.0]
    assert curve.predict([0, 9], n_expressed=10).tolist() == [3.0, 2.0]
    assert curve.predict([0, 9], n_expressed=100).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other"}, "its schema is not 'celloquy.rank_curve'"),
        ({"version": 2}, "has version 2; 1 is known"),
        ({"kind": "spline"}, "'linear_log_rank' or 'monotone', got 'spline'"),
        ({"values": [1.0, 2.0]}, "must have finite, falling values"),
        ({"values": [2.0]}, "must have finite, falling values"),
        ({"values_by_length": [[3.0, 2.0]]}, "must have finite, falling values"),
        ({"values": [2.0, None]}, "must have finite, falling values"),
        ({"values": ["a", "b"]}, "The rank curve is damaged"),
        ({"unit": None, "fitted_on": None, "values": {}}, "The rank curve is damaged"),
    ],
)
def test_files_that_are_no_known_rank_curve_are_refused(tmp_path, change, message):
    path = tmp_path / "curve.json"
    path.write_text(json.dumps(json.loads(VERSION_1["monotone"]) | change))
    with pytest.raises(InputError, match=message):
        RankCurve.load(path)


def test_missing_files_missing_fields_and_other_formats_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file") as refusal:
        RankCurve.load(tmp_path / "none.json")
    assert refusal.value.hint == "name a file that `RankCurve.save` wrote."
    (tmp_path / "text").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        RankCurve.load(tmp_path / "text")
    (tmp_path / "list").write_text("[1]")
    with pytest.raises(InputError, match="This is no rank curve"):
        RankCurve.load(tmp_path / "list")
    plain = json.loads(VERSION_1["monotone"])
    del plain["unit"]
    with pytest.raises(InputError, match="The rank curve is damaged: 'unit'"):
        RankCurve.from_dict(plain)


def test_lines_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="is not finite"):
        RankCurve("linear_log_rank", "log1p", slope=float("nan"))


@pytest.mark.parametrize("kind", ["linear_log_rank", "monotone"])
def test_cells_with_fewer_than_two_ranks_give_no_curve(kind):
    for cells in ([], [[]], [[1.0], [2.0]]):
        with pytest.raises(InputError, match="needs values at two ranks"):
            RankCurve.fit(ranked_cells(cells), unit="log1p", kind=kind)


def test_the_packaged_curve_falls_and_names_the_studies_it_was_fitted_on():
    curve = default_rank_curve()
    assert (curve.kind, curve.unit) == ("monotone", "log1p")
    assert "10x PBMC 3k" in curve.fitted_on["studies"]
    assert (np.diff(curve.predict(np.arange(5_000), n_expressed=1_000)) <= 1e-12).all()
    assert curve.predict(0, n_expressed=500) > curve.predict(0, n_expressed=5_000)
