"""Spatial neighbours as words and counts."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from celloquy.errors import InputError
from celloquy.text._sentences import sentences
from celloquy.text._spatial import (
    SpatialOptions,
    find_neighbours,
    neighbour_labels,
    summarise_niches,
)

LINE = [[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [7.0, 0.0]]
LABELS = ["T cell", "B cell", "Fibroblast", None]


def make(points=LINE, labels=LABELS, **obs) -> ad.AnnData:
    frame = pd.DataFrame({"cell_type": labels, **obs}, index=[f"c{i}" for i in range(len(points))])
    adata = ad.AnnData(np.ones((len(points), 1)), obs=frame)
    adata.obsm["spatial"] = np.array(points, dtype=float)
    return adata


def test_labels_come_nearest_first_with_commas_and_without_the_cell_itself():
    found = neighbour_labels(make(), label_key="cell_type", options=SpatialOptions(n_neighbours=3))
    assert found.text.to_dict() == {
        "c0": "B cell,Fibroblast,unknown",
        "c1": "T cell,Fibroblast,unknown",
        "c2": "B cell,T cell,unknown",
        "c3": "Fibroblast,B cell,T cell",
    }
    assert found.counts.loc["c3"].to_dict() == {
        "B cell": 1, "Fibroblast": 1, "T cell": 1, "unknown": 0,
    }  # fmt: skip


def test_counts_average_to_niches():
    found = neighbour_labels(make(), label_key="cell_type", options=SpatialOptions(n_neighbours=1))
    groups = pd.Series(["a", "a", "b", "b"], index=["c0", "c1", "c2", "c3"])
    summary = summarise_niches(found, groups)
    assert summary.loc["B cell"].to_dict() == {"a": 0.5, "b": 0.5}
    assert summary.loc["Fibroblast"].to_dict() == {"a": 0.0, "b": 0.5}
    with pytest.raises(InputError, match="`groups` lacks 1 cells, such as 'c0'"):
        summarise_niches(found, groups[1:])


def test_a_radius_and_sections_limit_who_is_a_neighbour():
    near = neighbour_labels(make(), label_key="cell_type", options=SpatialOptions(radius=2))
    assert near.text.to_dict() == {
        "c0": "B cell",
        "c1": "T cell,Fibroblast",
        "c2": "B cell",
        "c3": "",
    }
    apart = neighbour_labels(
        make(slide=["x", "y", "x", "y"]),
        label_key="cell_type",
        options=SpatialOptions(section_key="slide"),
    )
    assert apart.text.tolist() == ["Fibroblast", "unknown", "T cell", "B cell"]


def test_the_text_goes_into_a_sentence():
    adata = make()
    adata.var_names = ["LYZ"]
    adata.obs["nearest_cells"] = neighbour_labels(adata, label_key="cell_type").text
    text = sentences(adata, style="cellama", obs_features=["nearest_cells"]).text["c0"]
    assert text == "nearest_cells of this cell is B cell,Fibroblast,unknown. Top gene is LYZ."


def test_distances_are_those_of_scikit_learn():
    points = np.random.default_rng(0).random((300, 3))
    found = find_neighbours(make(points, ["x"] * 300), options=SpatialOptions(n_neighbours=7))
    distances, cells = NearestNeighbors(n_neighbors=7).fit(points).kneighbors()
    assert np.array_equal(found.cells.reshape(300, 7), cells)
    np.testing.assert_allclose(found.distances.reshape(300, 7), distances)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12), st.data()
)
def test_the_order_of_rows_changes_nothing_even_among_ties(points, data):
    adata = make(points, [f"t{i % 3}" for i in range(len(points))])
    order = data.draw(st.permutations(range(len(points))))
    options = SpatialOptions(n_neighbours=2)
    plain = neighbour_labels(adata, label_key="cell_type", options=options).text
    moved = neighbour_labels(adata[order].copy(), label_key="cell_type", options=options).text
    assert moved.to_dict() == plain.to_dict()


def test_one_cell_has_no_neighbours():
    assert neighbour_labels(make(LINE[:1], ["T"]), label_key="cell_type").text.tolist() == [""]


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="no column 'celltype'; the closest is 'cell_type'"):
        neighbour_labels(make(), label_key="celltype")
    with pytest.raises(InputError, match="no array 'spatal'; the closest is 'spatial'"):
        find_neighbours(make(), options=SpatialOptions(spatial_key="spatal"))
    with pytest.raises(InputError, match="coordinates of cell 'c1' are not finite"):
        find_neighbours(make([[0, 0], [np.nan, 0]], ["a", "b"]))
    adata = make()
    adata.obs_names = ["a", "a", "b", "c"]
    with pytest.raises(InputError, match="'a' repeats"):
        find_neighbours(adata)
    with pytest.raises(InputError, match="`n_neighbours` must be at least 1, got 0"):
        SpatialOptions(n_neighbours=0)
    with pytest.raises(InputError, match="`radius` must be above 0, got -1"):
        SpatialOptions(radius=-1)
    adata = make()
    adata.obsm["spatial"] = np.zeros((4, 1, 2))
    with pytest.raises(InputError, match="has shape"):
        find_neighbours(adata)
