"""Markers of clusters: the right genes, with numbers that scikit-learn agrees with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from celloquy.errors import InputError
from celloquy.learn import CellBlock, cluster_markers
from celloquy.text import Vocabulary


def block_of(counts):
    names = tuple(f"G{i}" for i in range(np.shape(counts)[1]))
    return CellBlock(
        sp.csr_matrix(np.asarray(counts, dtype=np.float32)), "counts", Vocabulary(names)
    )


def test_a_marker_is_higher_inside_and_its_numbers_are_those_worked_by_hand():
    # 10,000 molecules a cell: the values are the counts themselves
    counts = [[9_000, 1_000, 0], [8_000, 1_000, 1_000], [0, 10_000, 0], [0, 9_000, 1_000]]
    table = cluster_markers(block_of(counts), ["a", "a", "b", "b"])
    assert table[["cluster", "gene"]].to_numpy().tolist() == [["a", "G0"], ["b", "G1"]]
    first = table.iloc[0]
    assert (first["auroc"], first["share_inside"], first["share_outside"]) == (1.0, 1.0, 0.0)
    assert first["log2_fold_change"] == pytest.approx(np.log2(8_500.1 / 0.1), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int64, (9, 4), elements=st.integers(0, 5)),
    st.lists(st.sampled_from("ab"), min_size=9, max_size=9).filter(lambda c: len(set(c)) == 2),
)
def test_the_order_is_that_of_the_roc_curve_of_scikit_learn(counts, clusters):
    block = block_of(counts + np.array([[1, 0, 0, 0]]))
    table = cluster_markers(block, clusters, n_markers=4, min_share=0, min_log2_fold_change=-np.inf)
    values = block.log_values.toarray()
    for row in table.itertuples():
        member = np.array(clusters) == row.cluster
        expected = roc_auc_score(member, values[:, int(row.gene[1:])])
        assert row.auroc == pytest.approx(expected)
    for _, some in table.groupby("cluster"):
        assert (some["auroc"].diff().dropna() <= 0).all()


def test_markers_depend_on_no_order_and_cells_without_a_cluster_are_left_out():
    rng = np.random.default_rng(0)
    counts = rng.poisson(2, (40, 12))
    counts[:20, :3] += 4
    clusters = np.repeat(["1", "2"], 20).astype(object)
    expected = cluster_markers(block_of(counts), clusters)
    shuffled = rng.permutation(40)
    again = cluster_markers(block_of(counts[shuffled]), clusters[shuffled])
    pd.testing.assert_frame_equal(again, expected)
    genes = rng.permutation(12)
    moved = CellBlock(
        sp.csr_matrix(counts[:, genes].astype(np.float32)), "counts",
        Vocabulary(tuple(f"G{i}" for i in genes)),
    )  # fmt: skip
    assert cluster_markers(moved, clusters)["gene"].tolist() == expected["gene"].tolist()
    with_lone = np.vstack([counts, 50 * np.ones((1, 12), dtype=int)])
    lone = cluster_markers(block_of(with_lone), [*clusters, np.nan])
    pd.testing.assert_frame_equal(lone, expected)


def test_genes_may_be_kept_from_being_markers_and_few_are_taken():
    counts = [[5, 4, 3, 1], [5, 4, 3, 1], [0, 0, 0, 9], [0, 0, 0, 9]]
    usable = np.array([False, True, True, True])
    table = cluster_markers(block_of(counts), list("aabb"), usable=usable, n_markers=1)
    assert set(table["gene"]) <= {"G1", "G2", "G3"}
    assert table["cluster"].tolist() == ["a", "b"]


def test_one_cluster_and_lists_of_other_lengths_are_refused():
    with pytest.raises(InputError, match="there is 1 cluster"):
        cluster_markers(block_of([[1, 2], [2, 1]]), ["a", "a"])
    with pytest.raises(InputError, match="2 cells and 1 clusters"):
        cluster_markers(block_of([[1, 2], [2, 1]]), ["a"])
