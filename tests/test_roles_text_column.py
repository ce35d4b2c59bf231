"""What a language model reads: texts that cells carry (CE-10), gene texts, references."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from celloquy.errors import InputError
from celloquy.learn import Recipe, load_reference, save_reference
from celloquy.lm import load_lm
from celloquy.roles import (
    AnnotateOptions,
    EncodeOptions,
    TextSource,
    annotate,
    encode,
    encode_genes,
    load_or_fit,
)
from labelled_cells import labelled_cells


@pytest.fixture(scope="module")
def lm():
    return load_lm("st:minilm", device="cpu")


@pytest.fixture
def adata() -> AnnData:
    made = AnnData(np.array([[3.0, 0.0, 1.0], [0.0, 2.0, 1.0]]))
    made.var_names = ["CD3E", "MS4A1", "ACTB"]
    made.obs["cell_sentence"] = ["a T cell of the lung", "a B cell"]
    return made


def test_a_column_of_texts_is_embedded_instead_of_sentences(adata, lm):
    options = EncodeOptions(text=TextSource(lm=lm, text_column="cell_sentence"))
    vectors = encode(adata, options=options).vectors
    np.testing.assert_allclose(vectors, lm.embed(["a T cell of the lung", "a B cell"]), atol=1e-6)
    assert adata.uns["X_celloquy"]["text_column"] == "cell_sentence"


def test_a_column_of_texts_that_is_not_there_is_named(adata, lm):
    options = EncodeOptions(text=TextSource(lm=lm, text_column="sentence"))
    with pytest.raises(InputError, match="'sentence'"):
        encode(adata, options=options)


def test_a_text_that_does_not_fit_the_model_is_refused(adata, lm):
    adata.obs["cell_sentence"] = ["gene " * 400, "a B cell"]
    options = EncodeOptions(text=TextSource(lm=lm, text_column="cell_sentence"))
    with pytest.raises(InputError, match="token"):
        encode(adata, options=options)


def test_gene_texts_that_are_cut_are_counted_aloud(lm):
    said = {"CD3E": "part of the T cell receptor " * 80, "MS4A1": "a B cell surface molecule"}
    with pytest.warns(UserWarning, match="1 of 2 gene texts are longer than the model reads"):
        vectors = encode_genes(["CD3E", "MS4A1"], gene_texts=said, text=TextSource(lm=lm))
    assert np.isfinite(vectors.to_numpy()).all()


def test_a_saved_reference_knows_how_its_cells_were_read(lm, tmp_path):
    recipe, read_alike = Recipe("text", "knn", n_neighbours=1), TextSource(lm=lm, n_top_genes=5)
    known = labelled_cells(4, seed=1)
    fitted = load_or_fit(known, label_key="cell_type", recipe=recipe, text=read_alike)
    save_reference(fitted, tmp_path / "saved")
    saved, query = load_reference(tmp_path / "saved"), labelled_cells(2, seed=2)
    told = annotate(query, reference=saved, options=AnnotateOptions(text=read_alike))
    assert len(told.labels) == 6
    other = AnnotateOptions(text=TextSource(lm=lm, n_top_genes=6))
    with pytest.raises(InputError, match=r"read with n_top_genes 5, and the query .* with 6"):
        annotate(query, reference=saved, key_added="again", options=other)
