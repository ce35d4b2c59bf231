"""celloquy.learn._block: cells over one vocabulary, and their log values."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from celloquy.errors import InputError
from celloquy.learn import CellBlock, log_normalise
from celloquy.text import Vocabulary, rank_cells

GENES = Vocabulary(("CD3E", "MS4A1", "NKG7"))
COUNTS = np.array([[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]], dtype=np.float32)


def block(values=COUNTS, kind="counts", **more):
    return CellBlock(sp.csr_matrix(values), kind, GENES, **more)


def test_log_values_are_log1p_of_ten_thousand_scaled_counts():
    expected = [[np.log1p(2_500), 0, np.log1p(7_500)], [0, 0, 0]]
    np.testing.assert_allclose(block().log_values.toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "forward"),
    [
        ("cpm", lambda counts: counts * 250_000),
        ("log1p", lambda counts: np.log1p(counts * 2_500)),
        ("log2", lambda counts: np.log2(counts * 2_500 + 1)),
        ("log10", lambda counts: np.log10(counts * 2_500 + 1)),
    ],
)
def test_every_kind_gives_the_log_values_of_its_counts(kind, forward):
    given_values = block(forward(COUNTS.astype(np.float64)), kind)
    np.testing.assert_allclose(
        given_values.log_values.toarray(), block().log_values.toarray(), rtol=1e-5
    )


@given(arrays(np.float64, (4, 3), elements=st.integers(0, 50).map(float)), st.integers(1, 9))
def test_log_values_do_not_depend_on_depth_or_on_other_cells(counts, factor):
    together = log_normalise(sp.csr_matrix(counts), "counts").toarray()
    alone = [log_normalise(sp.csr_matrix(row[None]), "counts").toarray()[0] for row in counts]
    np.testing.assert_array_equal(together, alone)
    deeper = log_normalise(sp.csr_matrix(counts * factor), "counts").toarray()
    np.testing.assert_allclose(together, deeper, rtol=1e-6)


def test_reading_log_values_leaves_cells_whose_columns_are_in_no_order_as_they_were():
    turned = block().genes(np.array([2, 0, 1]))
    turned.log_values.expm1()
    assert turned.expression.toarray().tolist() == COUNTS[:, [2, 0, 1]].tolist()


def test_values_of_one_cell_and_gene_that_are_stored_twice_are_summed_before_the_logarithm():
    twice = sp.csr_matrix((np.float32([1, 2, 1]), [2, 2, 0], [0, 3, 3]), shape=(2, 3))
    found = log_normalise(twice, "counts").toarray()
    assert found.tolist() == block().log_values.toarray().tolist()


def test_scaled_values_are_refused_with_the_kinds_that_go():
    with pytest.raises(InputError, match="kind 'scaled' cannot be scaled") as refusal:
        log_normalise(sp.csr_matrix(COUNTS), "scaled")
    assert "counts, cpm, log1p" in refusal.value.hint


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_values_without_a_logarithm_are_refused(bad):
    values = COUNTS.copy()
    values[0, 0] = bad
    with pytest.raises(InputError, match="negative, infinite or missing"):
        log_normalise(sp.csr_matrix(values), "counts")


def test_columns_that_are_not_the_vocabulary_are_refused():
    with pytest.raises(InputError, match="2 columns and its vocabulary 3 genes"):
        CellBlock(sp.csr_matrix(COUNTS[:, :2]), "counts", GENES)


def test_text_of_other_cells_is_refused():
    with pytest.raises(InputError, match="2 cells and `text` has 5"):
        block(text=np.zeros((5, 4), dtype=np.float32))


def test_top_genes_are_those_of_rank_cells_or_of_the_ranks_that_were_given():
    ranked = rank_cells(sp.csr_matrix(COUNTS), GENES)
    assert list(block().top(1)) == list(block(ranked=ranked).top(1)) == [["NKG7"], []]


def test_kept_rows_and_genes_keep_their_values_and_text():
    text = np.arange(4, dtype=np.float32).reshape(2, 2)
    kept = block(text=text).rows(np.array([1, 0])).genes(np.array([2, 0]))
    assert kept.vocabulary.names == ("NKG7", "CD3E")
    assert kept.expression.toarray().tolist() == [[0, 0], [3, 1]]
    assert kept.text.tolist() == [[2, 3], [0, 1]]


def test_concatenated_blocks_are_the_whole():
    whole = block(text=np.ones((2, 1), dtype=np.float32))
    parts = [whole.rows(np.array([0])), whole.rows(np.array([1]))]
    joined = CellBlock.concatenate(parts)
    np.testing.assert_array_equal(joined.expression.toarray(), COUNTS)
    assert joined.text.shape == (2, 1)
