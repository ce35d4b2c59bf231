"""Representations of celloquy.learn: by hand, against scikit-learn, and the laws."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from celloquy.errors import InputError
from celloquy.learn import (
    CellBlock,
    Compressed,
    Fusion,
    LogValues,
    RankBag,
    SpecificBag,
    TextVectors,
    TfidfBag,
)
from celloquy.learn._representation import dense, representation_from_state
from celloquy.text import Vocabulary

GENES = Vocabulary(tuple(f"GENE{i}" for i in range(30)))
CODES = np.arange(40) % 3


@pytest.fixture
def cells():
    rng = np.random.default_rng(7)
    counts = rng.poisson(rng.gamma(0.5, 2.0, size=30), size=(40, 30)).astype(np.float32)
    counts[3] = 0
    text = rng.standard_normal((40, 6)).astype(np.float32)
    return CellBlock(sp.csr_matrix(counts), "counts", GENES, text=text)


def every():
    return {
        "bag": RankBag(n_top_genes=5),
        "tfidf": TfidfBag(n_top_genes=5),
        "specific": SpecificBag(n_top_genes=5),
        "log": LogValues(),
        "pca": Compressed(LogValues(), n_components=4, centred=True),
        "svd": Compressed(TfidfBag(n_top_genes=5), n_components=4),
        "text": TextVectors(),
        "fusion": Fusion([TextVectors(), Compressed(LogValues(), n_components=3, centred=True)]),
    }


def test_the_bag_weighs_a_rank_by_one_less_its_log_share():
    block = CellBlock(sp.csr_matrix([[2.0, 9.0, 5.0]]), "counts", Vocabulary(("A", "B", "C")))
    raw = np.array([1 - np.log(3) / np.log(4), 1.0, 1 - np.log(2) / np.log(4)])
    expected = raw / np.sqrt((raw**2).sum())
    np.testing.assert_allclose(RankBag(n_top_genes=3).transform(block).toarray()[0], expected)


def test_a_genes_level_is_its_mean_and_a_floor_over_the_squared_spread_between_labels():
    names = Vocabulary(("ACTB", "CD3E", "MS4A1"))
    cells = [[6000.0, 4000.0, 0.0], [6000.0, 4000.0, 0.0], [6000.0, 0.0, 4000.0]]
    fitted = SpecificBag().fit(
        CellBlock(sp.csr_matrix(cells), "counts", names), np.array([0, 0, 1])
    )
    spread = np.log(4001) / 2  # of log(1 + 4000) and log(1 + 0)
    expected = [np.nan, 2005 / spread**2, 2005 / spread**2]
    np.testing.assert_allclose(fitted.levels, expected, rtol=1e-5)


def test_the_specific_bag_leaves_out_what_all_labels_have_alike():
    names = Vocabulary(("ACTB", "CD3E", "MS4A1"))
    cells = CellBlock(sp.csr_matrix([[6.0, 4.0, 0.0], [6.0, 0.0, 4.0]]), "counts", names)
    bag = SpecificBag().fit(cells, np.array([0, 1])).transform(cells)
    assert bag.toarray().tolist() == [[0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("kind", ["counts", "log1p", "log2"])
def test_the_specific_bag_ranks_logarithms_as_the_counts_that_they_are_of(kind):
    forward = {"counts": np.asarray, "log1p": np.log1p, "log2": lambda x: np.log2(x + 1)}[kind]
    counts = np.random.default_rng(3).poisson(4.0, (20, 30)).astype(np.float64)
    fitted = SpecificBag(n_top_genes=8).fit(CellBlock(sp.csr_matrix(counts), "counts", GENES),
                                            np.arange(20) % 2)  # fmt: skip
    told = fitted.transform(CellBlock(sp.csr_matrix(forward(counts)), kind, GENES))
    expected = fitted.transform(CellBlock(sp.csr_matrix(counts), "counts", GENES))
    np.testing.assert_allclose(told.toarray(), expected.toarray())


def test_the_specific_bag_needs_labels(cells):
    with pytest.raises(InputError, match="'specific-bag' learns from labels, and none"):
        SpecificBag().fit(cells)


def test_tfidf_is_that_of_scikit_learn_on_the_same_words(cells):
    names = [" ".join(names) for names in cells.top(5)]
    vectoriser = TfidfVectorizer(
        lowercase=False, vocabulary=list(GENES.names), token_pattern=r"\S+"
    )
    expected = vectoriser.fit_transform(names).toarray()
    ours = TfidfBag(n_top_genes=5).fit(cells).transform(cells).toarray()
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_tfidf_by_hand():
    block = CellBlock(sp.csr_matrix([[2.0, 0.0], [1.0, 3.0]]), "counts", Vocabulary(("A", "B")))
    idf = TfidfBag(n_top_genes=2).fit(block).idf
    np.testing.assert_allclose(idf, [np.log(3 / 3) + 1, np.log(3 / 2) + 1], rtol=1e-6)


def test_pca_is_that_of_scikit_learn(cells):
    ours = Compressed(LogValues(), n_components=4, centred=True).fit(cells)
    theirs = PCA(4, svd_solver="full").fit(cells.log_values.toarray().astype(np.float64))
    signs = np.sign(np.sum(ours.components * theirs.components_, axis=1))
    expected = theirs.transform(cells.log_values.toarray()) * signs
    np.testing.assert_allclose(ours.transform(cells), expected, atol=2e-4)


def test_svd_is_that_of_scikit_learn(cells):
    bag = RankBag(n_top_genes=5)
    ours = Compressed(bag, n_components=4).fit(cells)
    theirs = TruncatedSVD(4, algorithm="arpack").fit(bag.transform(cells).astype(np.float64))
    signs = np.sign(np.sum(ours.components * theirs.components_, axis=1))
    np.testing.assert_allclose(ours.components, theirs.components_ * signs[:, None], atol=2e-5)


def test_every_component_has_its_largest_entry_positive(cells):
    components = Compressed(LogValues(), n_components=5).fit(cells).components
    assert (components[np.arange(5), np.abs(components).argmax(axis=1)] > 0).all()


def test_components_are_no_more_than_cells_or_features(cells):
    few = cells.rows(np.array([0, 1, 2]))
    fitted = Compressed(LogValues(), n_components=50).fit(few)
    assert fitted.transform(cells).shape == (40, 3)


@pytest.mark.parametrize("name", list(every()))
def test_a_cell_alone_has_the_vector_it_has_among_others(cells, name):
    fitted = every()[name].fit(cells, CODES)
    together = dense(fitted.transform(cells))
    for i in (0, 3, 39):
        alone = dense(fitted.transform(cells.rows(np.array([i]))))
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)


@pytest.mark.parametrize("name", ["bag", "tfidf", "specific", "log", "pca", "svd"])
def test_the_order_of_genes_does_not_matter(cells, name):
    order = np.random.default_rng(1).permutation(30)
    turned = cells.genes(order)
    straight = dense(every()[name].fit(cells, CODES).transform(cells))
    other = dense(every()[name].fit(turned, CODES).transform(turned))
    if name in {"pca", "svd"}:  # what components span, and the distances in it
        np.testing.assert_allclose(other @ other.T, straight @ straight.T, atol=1e-2)
    else:
        np.testing.assert_allclose(other, straight[:, order], atol=1e-6)


@pytest.mark.parametrize("name", list(every()))
def test_what_was_saved_transforms_as_what_was_fitted(cells, name):
    fitted = every()[name].fit(cells, CODES)
    again = representation_from_state(fitted.state())
    np.testing.assert_array_equal(dense(again.transform(cells)), dense(fitted.transform(cells)))


def test_the_same_seed_gives_the_same_components_and_global_randomness_is_untouched(cells):
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one = Compressed(LogValues(), n_components=4, seed=3).fit(cells).components
    two = Compressed(LogValues(), n_components=4, seed=3).fit(cells).components
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_the_parts_of_a_fusion_weigh_the_same(cells):
    louder = CellBlock(cells.expression, "counts", GENES, text=cells.text * 1_000)
    parts = [TextVectors(), Compressed(LogValues(), n_components=3, centred=True)]
    vectors = Fusion(parts).fit(louder).transform(louder)
    lengths = [np.mean(np.sum(vectors[:, :6] ** 2, 1)), np.mean(np.sum(vectors[:, 6:] ** 2, 1))]
    np.testing.assert_allclose(lengths, [1, 1], rtol=1e-4)


def test_a_part_without_spread_does_not_break_a_fusion(cells):
    flat = CellBlock(cells.expression, "counts", GENES, text=np.ones((40, 2), dtype=np.float32))
    assert np.isfinite(Fusion([TextVectors()]).fit(flat).transform(flat)).all()


def test_text_vectors_that_are_missing_are_asked_for(cells):
    bare = CellBlock(cells.expression, "counts", GENES)
    with pytest.raises(InputError, match="needs the cells' text vectors"):
        TextVectors().transform(bare)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RankBag(n_top_genes=0), "`n_top_genes` must be at least 1, got 0"),
        (lambda: Compressed(LogValues(), n_components=0), "`n_components` must be at least 1"),
        (lambda: Fusion([]), "at least one part"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_cell_without_expression_is_zero_in_every_bag(cells):
    for bag in (RankBag(), TfidfBag()):
        assert bag.fit(cells).transform(cells)[3].nnz == 0
