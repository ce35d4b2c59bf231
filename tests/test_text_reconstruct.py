"""Sentences back to expression: exact with values, in the same order without."""

from __future__ import annotations

from itertools import pairwise

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from celloquy.errors import InputError
from celloquy.text import Vocabulary, rank_cells
from celloquy.text._rank_curve import RankCurve
from celloquy.text._reconstruct import (
    ReconstructOptions,
    reconstruct,
    strictly_falling,
    with_rank_curve,
)
from celloquy.text._sentence_words import find_places
from celloquy.text._sentences import sentences

LINE = RankCurve("linear_log_rank", "log1p", slope=-0.5, intercept=2.0)
STEEP = RankCurve("linear_log_rank", "log1p", slope=-2.0, intercept=1.0)
LEVEL = RankCurve("monotone", "log1p", log_ranks=np.array([0.0, 4.0]), values=np.array([1.0, 1.0]))
ABC = ["A", "B", "C"]


def values_of(adata):
    return adata.X.toarray().tolist()


def test_af13_unknown_words_keep_their_slot_and_are_counted():
    back = reconstruct(["B A X C"], vocabulary=ABC, rank_curve=LINE)
    np.testing.assert_allclose(back.X.toarray(), [[1.849485, 2.0, 1.69897]], atol=5e-7)
    assert back.X.dtype == np.float32
    assert back.obs["n_unknown"].tolist() == [1]
    assert back.uns["celloquy_reconstruct"]["n_unknown"] == 1


def test_af12_one_full_stop_at_the_end_is_no_part_of_the_last_gene():
    back = reconstruct(["A B C.", "A B C . "], vocabulary=ABC, rank_curve=LINE)
    assert back.obs["n_unknown"].tolist() == [0, 0]
    assert values_of(back)[0] == values_of(back)[1]


@pytest.mark.parametrize(
    ("duplicates", "places"),
    [("first", {"A": 0, "B": 1, "C": 3}), ("mean", {"A": 1, "B": 1, "C": 3})],
)
def test_a_gene_named_twice_takes_its_first_or_its_mean_place(duplicates, places):
    found = find_places(["A B A C"], Vocabulary(tuple(ABC)), duplicates=duplicates)
    named = [ABC[gene] for gene in found.genes]
    assert dict(zip(named, found.places.tolist(), strict=True)) == places
    assert (found.n_words.tolist(), found.n_repeated.tolist()) == ([4], [1])


def test_a_repeated_gene_is_refused_where_that_is_asked():
    options = ReconstructOptions(duplicates="refuse")
    with pytest.raises(InputError, match="Sentence 1 names 'B' 2 times"):
        reconstruct(["A", "B A B"], vocabulary=ABC, rank_curve=LINE, options=options)
    back = reconstruct(["A B"], vocabulary=ABC, rank_curve=LINE, options=options)
    assert back.obs["n_repeated"].tolist() == [0]


def test_an_unknown_way_with_duplicates_is_refused():
    with pytest.raises(InputError, match="'first', 'mean' or 'refuse', got 'last'"):
        find_places(["A"], Vocabulary(("A",)), duplicates="last")


def test_nothing_is_negative_by_default_and_every_named_gene_stays_expressed():
    names = [f"G{i}" for i in range(50)]
    back = reconstruct([" ".join(names)], vocabulary=names, rank_curve=STEEP).X
    assert back.nnz == 50
    assert back.min() > 0
    assert (np.diff(back.toarray()[0]) < 0).all()
    assert back.toarray()[0, 20:].max() < 2e-6


def test_a_line_may_go_below_zero_where_that_is_asked():
    options = ReconstructOptions(may_be_negative=True)
    back = reconstruct(["A B C"], vocabulary=ABC, rank_curve=STEEP, options=options)
    expected = 1 - 2 * np.log10([1, 2, 3])
    np.testing.assert_allclose(back.X.toarray()[0], expected, atol=1e-6)
    assert back.X.min() == pytest.approx(0.0457575, abs=1e-6)
    deep = reconstruct(["X X X X A"], vocabulary=ABC, rank_curve=STEEP, options=options)
    assert deep.X.data.tolist() == pytest.approx([1 - 2 * np.log10(5)])


def test_text_of_known_full_length_reads_the_curve_of_that_length():
    curve = RankCurve(
        "monotone",
        "log1p",
        log_ranks=np.array([0.0, 1.0]),
        values=np.array([2.0, 1.0]),
        log_lengths=np.log10([2.0, 4.0]),
        values_by_length=np.array([[4.0, 3.0], [2.0, 1.0]]),
    )
    cut = reconstruct(["A B"], vocabulary=ABC, rank_curve=curve)
    whole = reconstruct(
        ["A B"], vocabulary=ABC, rank_curve=curve, options=ReconstructOptions(is_complete=True)
    )
    assert (cut.X[0, 0], whole.X[0, 0]) == (2.0, 4.0)


def test_without_a_curve_text_takes_the_packaged_one_and_says_so():
    with pytest.warns(UserWarning, match="the packaged one is taken"):
        back = reconstruct(["A B"], vocabulary=ABC)
    record = back.uns["celloquy_reconstruct"]
    assert (record["values"], record["unit"]) == ("rank_curve", "log1p")
    assert "10x PBMC 3k" in record["rank_curve_fitted_on"]["studies"]


def test_a_delimiter_may_be_asked_for():
    options = ReconstructOptions(delimiter=",")
    back = reconstruct(["HLA A, B"], vocabulary=["HLA A", "B"], rank_curve=LINE, options=options)
    assert back.obs["n_unknown"].tolist() == [0]


def test_no_sentences_and_empty_ones_give_cells_without_expression():
    none = reconstruct([], vocabulary=ABC, rank_curve=LINE)
    empty = reconstruct(["", " ", "."], vocabulary=ABC, rank_curve=LINE)
    assert (none.shape, none.X.nnz) == ((0, 3), 0)
    assert (empty.shape, empty.X.nnz, empty.obs["n_unknown"].sum()) == ((3, 3), 0, 0)


def test_text_without_a_vocabulary_is_refused():
    with pytest.raises(InputError, match="need the vocabulary of genes that they may name"):
        reconstruct(["A B"], rank_curve=LINE)


def test_obs_rows_and_ids_are_given_back_and_a_wrong_number_is_refused(tmp_path):
    obs = pd.DataFrame({"donor": ["d1"]}, index=["cell"])
    vocabulary = Vocabulary(("A", "B"), ("ENSG1", ""))
    back = reconstruct(["A"], vocabulary=vocabulary, rank_curve=LINE, obs=obs)
    assert back.obs_names.tolist() == ["cell"]
    assert back.obs["donor"].tolist() == ["d1"]
    assert back.var["ensembl_id"].tolist() == ["ENSG1", ""]
    assert list(obs.columns) == ["donor"]
    with pytest.raises(InputError, match="2 sentences and 1 rows of obs"):
        reconstruct(["A", "B"], vocabulary=vocabulary, rank_curve=LINE, obs=obs)


def test_the_result_is_written_as_h5ad_and_read_back(tmp_path):
    LINE.save(tmp_path / "curve.json")
    back = reconstruct(["B X A A"], vocabulary=ABC, rank_curve=tmp_path / "curve.json")
    back.write_h5ad(tmp_path / "back.h5ad")
    again = ad.read_h5ad(tmp_path / "back.h5ad")
    assert values_of(again) == values_of(back)
    assert again.uns["celloquy_reconstruct"]["rank_curve"] == "linear_log_rank"


@pytest.fixture
def adata():
    """Two cells with an obs column."""
    expression = sp.csr_matrix(np.array([[0, 3, 1], [0, 0, 7]], dtype=np.float32))
    obs = pd.DataFrame({"tissue": ["lung", "liver"]}, index=["c1", "c2"])
    return ad.AnnData(expression, obs=obs, var=pd.DataFrame(index=ABC))


def test_sentences_give_their_values_and_obs_back(adata):
    back = reconstruct(sentences(adata), unit="counts")
    assert values_of(back) == [[0, 3, 1], [0, 0, 7]]
    assert back.obs["tissue"].tolist() == ["lung", "liver"]
    assert dict(back.uns["celloquy_reconstruct"]) == {"values": "stored", "unit": "counts"}


def test_a_file_of_sentences_with_values_gives_the_cells_back(adata, tmp_path):
    sentences(adata).write(tmp_path / "cells.parquet", values=True)
    back = reconstruct(tmp_path / "cells.parquet")
    assert values_of(back) == [[0, 3, 1], [0, 0, 7]]
    assert (back.obs_names.tolist(), back.var_names.tolist()) == (["c1", "c2"], ABC)
    assert back.obs["tissue"].tolist() == ["lung", "liver"]


def test_a_file_without_values_takes_the_curve_in_its_record(adata, tmp_path):
    with_rank_curve(sentences(adata), LINE).write(tmp_path / "cells.parquet")
    back = reconstruct(str(tmp_path / "cells.parquet"))
    expected = [[0, 2.0, 2 - 0.5 * np.log10(2)], [0, 0, 2.0]]
    np.testing.assert_allclose(back.X.toarray(), expected, rtol=1e-6)


def test_a_file_without_values_or_curve_takes_the_packaged_one_and_says_so(adata, tmp_path):
    sentences(adata).write(tmp_path / "cells.parquet")
    with pytest.warns(UserWarning, match="the packaged one is taken"):
        back = reconstruct(tmp_path / "cells.parquet")
    assert back.X[0, 1] > back.X[0, 2] > 0


def test_stored_values_come_before_a_recorded_curve_and_after_a_given_one(adata):
    both = with_rank_curve(sentences(adata), LINE)
    assert reconstruct(both).X[1, 2] == 7
    assert reconstruct(both, rank_curve=LINE).X[1, 2] == 2


expressions = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=30),
    elements=st.one_of(
        st.integers(0, 3).map(float), st.floats(0, 1e4, width=32, allow_subnormal=False)
    ),
)


@settings(max_examples=40, deadline=None)
@given(dense=expressions)
def test_with_stored_values_expression_comes_back_exactly(dense):
    vocabulary = Vocabulary(tuple(f"G{i}" for i in range(dense.shape[1])))
    ranked = rank_cells(sp.csr_matrix(dense), vocabulary)
    np.testing.assert_array_equal(reconstruct(ranked).X.toarray(), dense)


@settings(max_examples=40, deadline=None)
@given(
    dense=expressions,
    curve=st.sampled_from([LINE, STEEP, LEVEL]),
    n_top_genes=st.integers(1, 40),
)
def test_sentence_to_expression_to_sentence_gives_the_same_sentence(dense, curve, n_top_genes):
    vocabulary = Vocabulary(tuple(f"G{i}" for i in range(dense.shape[1])))
    ranked = rank_cells(sp.csr_matrix(dense), vocabulary).top(n_top_genes)
    from_ranked = reconstruct(ranked, rank_curve=curve)
    text = [" ".join(cell) for cell in ranked]
    from_text = reconstruct(text, vocabulary=vocabulary, rank_curve=curve)
    for back in (from_ranked, from_text):
        assert list(rank_cells(back.X, vocabulary)) == list(ranked)


@settings(max_examples=100, deadline=None)
@given(
    cells=st.lists(
        st.lists(st.floats(2**-20, 2**20, width=32), max_size=20).map(
            lambda cell: sorted(cell, reverse=True)
        ),
        max_size=8,
    )
)
def test_values_fall_strictly_and_are_raised_by_few_steps_only(cells):
    values = np.array([value for cell in cells for value in cell], dtype=np.float32)
    offsets = np.cumsum([0, *map(len, cells)]).astype(np.int64)
    raised = strictly_falling(values, offsets)
    assert (raised >= values).all()
    np.testing.assert_allclose(raised, values, rtol=20 * np.finfo(np.float32).eps)
    for start, stop in pairwise(offsets):
        assert (np.diff(raised[start:stop]) < 0).all()


def test_genes_take_their_typical_value_wherever_they_are_named():
    options = ReconstructOptions(typical=np.array([1.5, 0.5, 0.0], dtype=np.float32))
    back = reconstruct(["C A", "A B X"], vocabulary=ABC, options=options)
    np.testing.assert_allclose(back.X.toarray(), [[1.5, 0, 1e-6], [1.5, 0.5, 0]])
    assert back.uns["celloquy_reconstruct"]["values"] == "typical"
    assert back.obs["n_unknown"].tolist() == [0, 1]
    with pytest.raises(InputError, match="There are 3 typical values for 2 genes"):
        reconstruct(["A"], vocabulary=ABC[:2], options=options)
