"""Baselines: by hand, and against scikit-learn; what is scrambled for controls."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from celloquy.evaluation._baselines import (
    MajorityClass,
    NearestCentroid,
    StandardisedLogistic,
    plain_logistic,
)
from celloquy.evaluation._methods import (
    HEADS_OF_LM,
    METHODS_WITHOUT_LM,
    lm_title,
    method_named,
    methods_of_lm,
)
from celloquy.evaluation._suite_lms import scrambled
from celloquy.learn import CellBlock
from celloquy.text import Vocabulary
from labelled_cells import labelled_cells


def block_of(counts):
    names = tuple(f"GENE{i}" for i in range(np.shape(counts)[1]))
    return CellBlock(
        sp.csr_matrix(np.asarray(counts, dtype=np.float32)), "counts", Vocabulary(names)
    )


@pytest.fixture(scope="module")
def cells():
    adata = labelled_cells(20)
    names = tuple(adata.var_names)
    codes = np.unique(adata.obs["cell_type"], return_inverse=True)[1]
    return CellBlock(sp.csr_matrix(adata.X), "counts", Vocabulary(names)), codes


def test_the_majority_class_gives_the_shares_of_the_reference():
    block = block_of([[1, 0], [0, 1], [0, 1], [0, 1]])
    told = MajorityClass().fit(block, np.array([0, 1, 1, 1]), n_labels=2).probabilities(block)
    assert told.tolist() == [[0.25, 0.75]] * 4


def test_the_nearest_centroid_is_nearest_by_cosine():
    block = block_of([[9, 0, 0], [0, 9, 0]])
    fitted = NearestCentroid().fit(block, np.array([0, 1]), n_labels=3)
    asked = block_of([[5, 5, 0], [0, 2, 0], [0, 0, 4]])
    told = fitted.probabilities(asked)
    # the third label has no cells, and the third cell shares no gene with any label
    assert told[0] == pytest.approx([0.5, 0.5, 0])
    assert told[1] == pytest.approx([0, 1, 0])
    assert told[2] == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_the_celltypist_style_model_is_scikit_learns_pipeline(cells):
    block, codes = cells
    dense = block.log_values.toarray()
    scaler = StandardScaler().fit(dense)
    scaled = np.minimum(scaler.transform(dense), 10)
    expected = LogisticRegression(C=1.0, max_iter=300).fit(scaled, codes).predict_proba(scaled)
    told = StandardisedLogistic().fit(block, codes, n_labels=3).probabilities(block)
    assert told == pytest.approx(expected, abs=2e-3)


def test_plain_logistic_regression_does_not_balance_labels(cells):
    block, codes = cells
    rows = np.flatnonzero((codes != 2) | (np.arange(len(codes)) % 20 == 0))
    dense = block.rows(rows).log_values.toarray()
    expected = LogisticRegression(C=0.1, max_iter=300).fit(dense, codes[rows])
    told = plain_logistic().fit(block.rows(rows), codes[rows], n_labels=3).probabilities(block)
    whole = expected.predict_proba(block.log_values.toarray())
    assert told == pytest.approx(whole, abs=2e-3)


@pytest.mark.parametrize("name", [name for name in METHODS_WITHOUT_LM if name != "pca-trees"])
def test_every_method_gives_probabilities_that_sum_to_one(name, cells):
    block, codes = cells
    told = method_named(name).make().fit(block, codes, n_labels=3).probabilities(block)
    assert told.shape == (60, 3)
    assert told.sum(axis=1) == pytest.approx(1)


def test_methods_of_a_language_model_carry_its_name():
    made = methods_of_lm("hf:/models/mine", HEADS_OF_LM)
    assert [method.name for method in made] == [f"hf:/models/mine {n}" for n in HEADS_OF_LM]
    assert {method.lm for method in made} == {"hf:/models/mine"}
    assert made[0].title == "mine, 1-NN (CELLama's flow)"
    assert {m.name.split()[-1] for m in made if m.role == "control"} == {"shuffled", "renamed"}
    assert lm_title("hf:owner/name@0123abc") == "name"
    assert lm_title("fake:x") == "fake:x"


def test_any_order_keeps_the_genes_of_every_cell_and_does_not_depend_on_the_others(cells):
    ranked = cells[0].top(30)
    mixed = scrambled(ranked, "order")
    assert mixed.offsets.tolist() == ranked.offsets.tolist()
    for one, other in zip(ranked, mixed, strict=True):
        assert sorted(one) == sorted(other)
    assert sum(one != other for one, other in zip(ranked, mixed, strict=True)) > 55
    alone = scrambled(cells[0].rows(np.array([7])).top(30), "order")
    assert alone.names(0) == mixed.names(7)


def test_other_names_are_the_same_for_every_cell(cells):
    ranked = cells[0].top(30)
    renamed = scrambled(ranked, "names")
    pairs = {(a, b) for one, other in zip(ranked, renamed, strict=True)
             for a, b in zip(one, other, strict=True)}  # fmt: skip
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert sum(a != b for a, b in pairs) > 0.9 * len(pairs)
    assert scrambled(ranked, "") is ranked
