"""Columns to genes, in every form a block may have."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from celloquy.errors import InputError
from celloquy.knowledge import GeneMap, MappingReport, collapse, map_genes

MAP = map_genes(["A", "B", "A", "", "C"], collisions="sum")  # columns 0, 1, 0, left out, 2
BLOCK = np.array([[1, 2, 4, 8, 0], [0, 0, 3, 5, 7], [0, 0, 0, 0, 0]])
BY_GENE = [[5, 2, 0], [3, 0, 7], [0, 0, 0]]


def given_map(columns, n_genes):
    report = MappingReport(to="keep", source="", n_vars=len(columns), n_names=n_genes)
    names = tuple(f"G{i}" for i in range(n_genes))
    return GeneMap(names, None, np.array(columns, dtype=np.int32), report)


def frozen(block):
    """Make a CSR whose arrays refuse to be written."""
    csr = sp.csr_matrix(block)
    for array in (csr.data, csr.indices, csr.indptr):
        array.flags.writeable = False
    return csr


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csr_array, np.asarray])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, np.uint8, np.float32, np.float64])
def test_columns_of_one_gene_are_added_and_others_go(make, dtype):
    result = collapse(make(BLOCK.astype(dtype)), MAP)
    assert type(result) is type(make(BLOCK))
    dense = result if isinstance(result, np.ndarray) else result.toarray()
    assert dense.tolist() == BY_GENE
    assert result.dtype == (np.int32 if np.dtype(dtype).itemsize < 4 else dtype)


def test_truth_values_are_added_as_counts():
    assert collapse(BLOCK[:, :5] > 0, MAP).tolist() == [[2, 1, 0], [1, 0, 1], [0, 0, 0]]


def test_small_integers_do_not_overflow():
    block = np.full((1, 5), 200, dtype=np.uint8)
    assert collapse(sp.csr_matrix(block), MAP).toarray().tolist() == [[400, 200, 200]]
    assert collapse(block, MAP).tolist() == [[400, 200, 200]]


@pytest.mark.parametrize("columns", [[0, 1, 0, -1, 2], [4, 2, 0, 1, 3], [-1, 0, 1, -1, 2]])
def test_the_block_given_is_never_written(columns):
    n_genes = max(columns) + 1
    result = collapse(frozen(BLOCK), given_map(columns, n_genes))
    expected = np.zeros((3, n_genes), dtype=int)
    for column, gene in enumerate(columns):
        if gene >= 0:
            expected[:, gene] += BLOCK[:, column]
    assert (result.toarray() == expected).all()
    assert (np.diff(result.indices[: result.indptr[1]]) > 0).all()


def test_names_that_stay_share_memory_with_the_block():
    csr = sp.csr_matrix(BLOCK)
    same = collapse(csr, map_genes("ABCDE"))
    assert np.shares_memory(same.data, csr.data)
    assert np.shares_memory(same.indices, csr.indices)
    assert collapse(BLOCK, map_genes("ABCDE")) is BLOCK


def test_unsorted_and_repeated_entries_are_put_in_order():
    csr = sp.csr_matrix((np.array([1, 2, 4]), np.array([2, 0, 2]), np.array([0, 3])), shape=(1, 3))
    result = collapse(csr, map_genes("ABC"))
    assert (result.indices.tolist(), result.data.tolist()) == ([0, 2], [2, 5])
    assert csr.data.tolist() == [1, 2, 4]


def test_log_values_are_added_as_what_they_are_logarithms_of():
    counts = np.array([[3.0, 1.0, 4.0, 9.0, 0.0], [0.0, 0.0, 0.5, 0.0, 2.5]])
    expected = np.log1p([[7.0, 1.0, 0.0], [0.5, 0.0, 2.5]])
    logged = np.log1p(counts).astype(np.float32)
    for block in (sp.csr_matrix(logged), logged):
        result = collapse(block, MAP, kind="log1p")
        assert result.dtype == np.float32
        dense = result if isinstance(result, np.ndarray) else result.toarray()
        np.testing.assert_allclose(dense, expected, rtol=1e-6)


def test_a_layer_of_counts_is_added_as_counts_whatever_the_kind():
    result = collapse(sp.csr_matrix(BLOCK.astype(np.float32)), MAP, kind="log1p")
    assert result.toarray().tolist() == BY_GENE


@pytest.mark.parametrize("wrong", [0.5, np.nan])
@pytest.mark.parametrize("make", [sp.csr_matrix, np.asarray])
def test_values_that_are_not_counts_are_not_added(make, wrong):
    block = BLOCK.astype(float)
    block[1, 2] = wrong
    with pytest.raises(InputError, match=rf"hold values such as {wrong}, which are not") as refusal:
        collapse(make(block), MAP)
    assert 'kind="log1p"' in refusal.value.hint


def test_values_that_are_not_counts_stay_where_nothing_is_added():
    block = BLOCK.astype(float)
    block[0, 1] = 0.25
    assert collapse(sp.csr_matrix(block), MAP).toarray()[0].tolist() == [5, 0.25, 0]


def test_a_block_of_another_source_is_refused():
    with pytest.raises(InputError, match="The map has 5 columns, the block 4"):
        collapse(BLOCK[:, :4], MAP)


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="`kind` has no value 'scaled'"):
        collapse(BLOCK, MAP, kind="scaled")


def test_no_cells_and_no_genes_are_fine():
    assert collapse(sp.csr_matrix((0, 5)), MAP).shape == (0, 3)
    assert collapse(np.zeros((0, 5)), MAP).shape == (0, 3)
    assert collapse(sp.csr_matrix((2, 0)), map_genes([])).shape == (2, 0)
    nothing = map_genes(["", ""])
    assert collapse(sp.csr_matrix(np.ones((2, 2))), nothing).shape == (2, 0)
    assert collapse(np.ones((2, 2)), nothing).shape == (2, 0)


@given(data=st.data())
def test_a_cells_expression_is_preserved_and_dense_is_sparse(data):
    n_vars = data.draw(st.integers(0, 8))
    names = data.draw(st.lists(st.sampled_from("ABCD"), min_size=n_vars, max_size=n_vars))
    block = data.draw(hnp.arrays(np.int32, (data.draw(st.integers(0, 4)), n_vars),
                                 elements=st.integers(0, 1_000)))  # fmt: skip
    found = map_genes(names, collisions="sum")
    sparse = collapse(sp.csr_matrix(block), found)
    assert (block.sum(axis=1) == sparse.sum(axis=1).A1).all()
    assert (sparse.toarray() == collapse(block, found)).all()
    for gene, name in enumerate(found.names):
        columns = [column for column, own in enumerate(names) if own == name]
        assert (sparse.toarray()[:, gene] == block[:, columns].sum(axis=1)).all()
