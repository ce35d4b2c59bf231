"""Vectors of perturbed genes and what is predicted from them: worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from celloquy.evaluation._gene_vectors import (
    coexpression_vectors,
    gene_summaries,
    mean_predictions,
    nearest_predictions,
    ridge_predictions,
    shuffled_vectors,
    text_vectors,
)
from celloquy.knowledge import data_add
from celloquy.learn import CellBlock
from celloquy.lm import load_lm
from celloquy.text import Vocabulary
from lm_models import write_encoder

CHANGES = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 3.0]])


def test_a_gene_is_described_by_how_it_goes_along_with_the_cells_of_a_study():
    counts = sp.csr_matrix([[9.0, 0.0, 5.0], [0.0, 9.0, 5.0], [9.0, 0.0, 5.0], [0.0, 9.0, 5.0]])
    block = CellBlock(counts, "counts", Vocabulary(("X", "Y", "Z")))
    found = coexpression_vectors(["Y", "X", "Z", "W"], [block])
    # the first axis is X against Y; the others hold nothing, Z does not vary, W is not measured
    np.testing.assert_allclose(np.abs(found[:2, 0]), 1.0, atol=1e-6)
    assert found[0, 0] == pytest.approx(-found[1, 0], abs=1e-6)
    np.testing.assert_allclose(found[:2, 1:], 0, atol=1e-6)
    assert np.isnan(found[2:]).all()


def test_ridge_shrinks_the_change_and_a_gene_without_vector_gets_the_mean():
    known = np.array([[-1.0], [0.0], [1.0]])
    changes = np.array([[-2.0], [0.0], [2.0]]) + 7
    found = ridge_predictions(known, changes, np.array([[0.5], [np.nan]]))
    # lengths are scaled so that the sum of their squares is 3; the lowest penalty (0.01) wins
    assert found.ravel().tolist() == pytest.approx([7 + 2 * 0.5 * 3 / 3.01, 7.0])


def test_the_nearest_gene_lends_its_change():
    known = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    asked = np.array([[2.0, 0.1], [-0.3, -0.2], [np.nan, np.nan]])
    found = nearest_predictions(known, CHANGES, asked)
    assert found.tolist() == [[1.0, 0.0], [5.0, 3.0], [3.0, 1.0]]


def test_two_genes_are_too_few_to_learn_from():
    known = np.array([[1.0], [np.nan], [2.0]])
    for predict in (ridge_predictions, nearest_predictions):
        assert np.isnan(predict(known, CHANGES, np.array([[1.0]]))).all()
    assert mean_predictions(known, CHANGES, np.array([[1.0]])).tolist() == [[3.0, 1.0]]


def test_shuffling_deals_the_same_vectors_to_other_genes():
    vectors = np.array([[0.0], [1.0], [np.nan], [2.0], [3.0]])
    found = shuffled_vectors(vectors, seed=0)
    assert np.isnan(found[2])
    assert sorted(found[[0, 1, 3, 4], 0]) == [0, 1, 2, 3]
    assert found[[0, 1, 3, 4], 0].tolist() != [0, 1, 2, 3]
    np.testing.assert_array_equal(found, shuffled_vectors(vectors, seed=0))


def add_summaries(folder, *, ncbi=False):
    """Put two paragraphs into the cache: by symbol, or as NCBI writes them."""
    text = "symbol\tentrez_id\trefseq_summary\ng1\t1\tone .\ng2\t2\ttwo .\n"
    if ncbi:
        text = "#tax_id\tGeneID\tSource\tSummary\n9606\t1\tx\tone .\n10090\t1\tx\tmouse .\n"
    path = folder / "summaries.tsv"
    path.write_text(text, encoding="utf-8")
    data_add("summaries", path)


def test_paragraphs_are_found_by_symbol(tmp_path):
    add_summaries(tmp_path)
    assert gene_summaries(["g2", "g9"]) == {"g2": "two ."}


def test_paragraphs_of_ncbi_are_found_by_number(tmp_path):
    add_summaries(tmp_path, ncbi=True)
    assert gene_summaries(["g1"]) == {}  # without a table of genes no symbol is known
    path = tmp_path / "hgnc.tsv"
    columns = ["symbol", "ensembl_gene_id", "locus_group", "alias_symbol", "prev_symbol", "name",
               "entrez_id"]  # fmt: skip
    path.write_text("\t".join(columns) + "\ng1\tENSG1\tx\t\t\tx\t1\n", encoding="utf-8")
    data_add("hgnc", path)
    assert gene_summaries(["g1"]) == {"g1": "one ."}


@pytest.mark.slow
def test_a_language_model_reads_names_or_paragraphs(tmp_path):
    lm = load_lm(f"st:{write_encoder(tmp_path / 'lm')}")
    names = text_vectors(["g1", "g2", "g3"], lm, summaries=False)
    assert names.shape == (3, 64)
    add_summaries(tmp_path)
    said = text_vectors(["g1", "g2", "g3"], lm, summaries=True)
    assert np.isnan(said).all(axis=1).tolist() == [False, False, True]
    assert not np.allclose(said[0], names[0])
    assert np.isnan(text_vectors(["g3"], lm, summaries=True)).all()
