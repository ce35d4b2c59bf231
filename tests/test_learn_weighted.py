"""Cell vectors from gene vectors: the two divisions that prior systems use."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.learn._weighted import weighted_gene_vectors

VECTORS = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
CELL = [[1.0, 0.0, 3.0]]


def test_gene_pt_divides_by_all_genes():
    found = weighted_gene_vectors(CELL, VECTORS, normalise_by="genes")
    np.testing.assert_allclose(found, [[4 / 3, 1.0]], rtol=1e-6)  # fact GP-1


def test_cell_hermes_divides_by_the_weights():
    found = weighted_gene_vectors(CELL, VECTORS, normalise_by="weights")
    np.testing.assert_allclose(found, [[1.0, 0.75]])  # fact CH-12


def test_a_gene_without_vector_adds_nothing_and_weighs_nothing():
    vectors = VECTORS.copy()
    vectors[0] = np.nan
    known = np.array([False, True, True])
    by_weight = weighted_gene_vectors(CELL, vectors, normalise_by="weights", is_known=known)
    np.testing.assert_allclose(by_weight, [[1.0, 1.0]])
    by_gene = weighted_gene_vectors(CELL, vectors, normalise_by="genes", is_known=known)
    np.testing.assert_allclose(by_gene, [[1.0, 1.0]])


def test_an_empty_cell_gets_zeros_and_no_cell_gets_no_vector():
    for how in ("genes", "weights"):
        assert weighted_gene_vectors([[0, 0, 0]], VECTORS, normalise_by=how).tolist() == [[0, 0]]
        none = weighted_gene_vectors(sp.csr_array((0, 3)), VECTORS, normalise_by=how)
        assert none.shape == (0, 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["genes", "weights"]))
def test_sparse_is_dense_and_the_order_of_genes_changes_nothing(seed, how):
    rng = np.random.default_rng(seed)
    dense = rng.poisson(0.5, (7, 11)).astype(np.float64)
    vectors = rng.standard_normal((11, 5)).astype(np.float32)
    divisor = 11 if how == "genes" else np.maximum(dense.sum(axis=1, keepdims=True), 1e-9)
    expected = np.where(dense.sum(axis=1, keepdims=True) > 0, dense @ vectors / divisor, 0)
    order = rng.permutation(11)
    for given_as in (dense, sp.csr_matrix(dense), sp.csc_array(dense), dense.astype(np.float32)):
        found = weighted_gene_vectors(given_as, vectors, normalise_by=how)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    found = weighted_gene_vectors(dense[:, order], vectors[order], normalise_by=how)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_cannot_be_weighed_is_refused():
    with pytest.raises(InputError, match="There is no normalisation 'weight'; the closest"):
        weighted_gene_vectors(CELL, VECTORS, normalise_by="weight")
    for value in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="negative, missing or infinite"):
            weighted_gene_vectors([[1.0, 0.0, value]], VECTORS, normalise_by="genes")
    with pytest.raises(InputError, match=r"has 2 genes; the vectors have shape \(3, 2\)"):
        weighted_gene_vectors([[1.0, 0.0]], VECTORS, normalise_by="genes")
    with pytest.raises(InputError, match="A gene vector is not finite"):
        weighted_gene_vectors(CELL, VECTORS * np.nan, normalise_by="genes")
