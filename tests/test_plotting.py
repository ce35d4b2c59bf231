"""Figures: what they show is read back from the axes, what they save is opened again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from PIL import Image

import celloquy.plotting as pl
from celloquy.errors import InputError
from celloquy.plotting._figure import NEUTRAL, as_categories, palette


@pytest.fixture
def adata() -> AnnData:
    rng = np.random.default_rng(0)
    made = AnnData(np.array([[3.0, 0.0, 1.0], [2.0, 0.0, 1.0], [0.0, 4.0, 1.0]] * 8))
    made.var_names = ["CD3E", "MS4A1", "ACTB"]
    made.obs["cell_type"] = pd.Categorical(["T cell", "T cell", "B cell"] * 8)
    made.obs["donor"] = ["d1", "d2", "d1", "d2"] * 6
    made.obs["n_counts"] = np.arange(24.0)
    made.obsm["X_celloquy"] = rng.normal(size=(24, 5)) + 9 * (np.arange(24) % 3 == 2)[:, None]
    return made


@pytest.fixture
def laid_out(adata) -> AnnData:
    """Give cells whose layout is known, so that none has to be learnt."""
    adata.obsm["X_celloquy_umap"] = np.asarray(adata.obsm["X_celloquy"][:, :2], dtype=np.float32)
    return adata


def _texts(ax):
    return [text.get_text() for text in ax.texts]


def test_forty_categories_get_forty_different_colours_and_unknown_is_grey():
    colours = palette([f"type {i}" for i in range(40)] + ["unknown"])
    assert len(set(colours.values())) == 41
    assert colours["unknown"] == NEUTRAL


def test_missing_labels_become_their_own_category_and_the_order_of_categories_is_kept():
    column = pd.Series(pd.Categorical(["b", None, "a"], categories=["b", "a", "unused"]))
    read = as_categories(column)
    assert list(read) == ["b", "no label", "a"]
    assert list(read.categories) == ["b", "a", "no label"]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_umap_is_saved_in_every_format_from_the_kept_layout(laid_out, tmp_path, ending):
    path = tmp_path / f"Zellen-ü.{ending}"
    ax = pl.umap(laid_out, color="cell_type", save=path)
    assert path.stat().st_size > 1_000
    points = np.asarray(ax.collections[0].get_offsets())
    assert sorted(map(tuple, points)) == sorted(map(tuple, laid_out.obsm["X_celloquy_umap"]))
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["B cell (8)", "T cell (16)"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow  # umap-learn compiles itself
def test_a_layout_is_learnt_once_and_the_same_seed_gives_the_same(adata):
    pl.umap(adata, color="cell_type", seed=1)
    first = adata.obsm.pop("X_celloquy_umap")
    pl.umap(adata, color="cell_type", seed=1)
    np.testing.assert_array_equal(first, adata.obsm["X_celloquy_umap"])


def test_past_eight_categories_each_is_numbered_on_the_picture_and_in_the_legend(laid_out):
    laid_out.obs["many"] = [f"t{i % 12:02}" for i in range(24)]
    ax = pl.umap(laid_out, color="many")
    assert sorted(_texts(ax), key=int) == [str(i) for i in range(1, 13)]
    assert ax.get_legend().get_texts()[11].get_text() == "12  t11 (2)"


def test_numbers_are_drawn_with_a_scale(laid_out):
    ax = pl.umap(laid_out, color="n_counts")
    assert len(ax.figure.axes) == 2
    assert ax.get_legend() is None


def test_a_umap_without_the_embedding_says_how_to_make_one(adata):
    with pytest.raises(InputError, match="no embedding 'X_cellquy'; the closest is") as refusal:
        pl.umap(adata, color="cell_type", use_rep="X_cellquy")
    assert "cq.encode" in refusal.value.hint


def test_a_umap_of_two_cells_is_refused(adata):
    with pytest.raises(InputError, match="at least 3 cells; there are 2"):
        pl.umap(adata[:2].copy(), color="cell_type")


def test_a_missing_column_names_the_closest(adata):
    with pytest.raises(InputError, match="no column 'celltype'; the closest is 'cell_type'"):
        pl.umap(adata, color="celltype")


def test_a_figure_is_not_saved_under_an_unknown_ending_or_over_a_file(adata, tmp_path):
    with pytest.raises(InputError, match=r"cannot be saved as '\.gif'"):
        pl.composition(adata, label_key="cell_type", groupby="donor", save=tmp_path / "a.gif")
    (tmp_path / "a.png").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        pl.composition(adata, label_key="cell_type", groupby="donor", save=tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "mine"


def test_a_confusion_row_shows_the_shares_of_one_true_label():
    truth = ["B", "B", "B", "B", "T", "T"]
    ax = pl.confusion(truth, ["B", "B", "B", "unknown", "T", "B"])
    shares = ax.images[0].get_array()
    np.testing.assert_allclose(shares, [[0.75, 0.0, 0.25], [0.5, 0.5, 0.0]])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["B (4)", "T (2)"]
    assert sorted(_texts(ax)) == ["25", "50", "50", "75"]


def test_a_confusion_matrix_needs_pairs():
    with pytest.raises(InputError, match="2 true labels and 1 predictions"):
        pl.confusion(["a", "b"], ["a"])


def test_the_calibration_error_is_the_weighted_gap_of_the_bins():
    # bins [0, 0.5) and [0.5, 1]: gaps |1/2 - 0.2| = 0.3 of 2 cells, |2/2 - 0.9| = 0.1 of 2 cells
    ax = pl.reliability([0.1, 0.3, 0.8, 1.0], [True, False, True, True], n_bins=2)
    assert ax.get_title() == "calibration error 0.200, 4 cells"


def test_a_reliability_curve_refuses_what_is_no_confidence():
    with pytest.raises(InputError, match="outside"):
        pl.reliability([0.5, np.nan], [True, True])
    with pytest.raises(InputError, match="1 confidences and 2 outcomes"):
        pl.reliability([0.5], [True, True])


def test_composition_bars_of_a_group_end_at_one(adata):
    ax = pl.composition(adata, label_key="cell_type", groupby="donor")
    ends = [patch.get_x() + patch.get_width() for patch in ax.patches]
    np.testing.assert_allclose(ends[-2:], [1.0, 1.0])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["d1 (12)", "d2 (12)"]


def test_the_top_genes_of_a_label_are_those_that_mark_it(adata):
    ax = pl.top_genes(adata, label_key="cell_type", n_genes=1)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["MS4A1", "CD3E"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[1.0, 0.0], [0.0, 1.0]])


def test_top_genes_needs_a_gene():
    with pytest.raises(InputError, match="at least 1, got 0"):
        pl.top_genes(AnnData(np.ones((2, 2))), label_key="x", n_genes=0)


def test_rank_curves_are_drawn_over_the_points(tmp_path):
    points = pd.DataFrame({"rank": [0, 1, 9, 99], "expression": [4.0, 3.0, 2.0, 1.0]})
    curves = pd.DataFrame({"rank": [0, 99], "linear": [4.0, 1.0], "monotone": [4.0, 1.1]})
    ax = pl.rank_expression(points, curves=curves, save=tmp_path / "rank.png")
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [0.0, 2.0])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["linear", "monotone"]
    with Image.open(tmp_path / "rank.png") as picture:
        assert picture.width > 800


def test_reconstruction_is_drawn_beside_the_diagonal():
    ax = pl.reconstruction(pd.DataFrame({"measured": [1.0, 2.0], "reconstructed": [1.0, 3.0]}))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.0, 3.0])


def test_a_table_without_the_needed_column_or_rows_is_refused():
    with pytest.raises(InputError, match="no column 'expression'"):
        pl.rank_expression(pd.DataFrame({"rank": [1]}))
    with pytest.raises(InputError, match="has no row"):
        pl.reconstruction(pd.DataFrame({"measured": [], "reconstructed": []}))


def test_a_figure_can_be_drawn_on_axes_of_the_user(adata):
    first = pl.confusion(["a"], ["a"])
    assert pl.composition(adata, label_key="cell_type", groupby="donor", ax=first) is first
