"""Cell2Sentence's repair and reconstruction, bit by bit: facts AF-11..15, `compat` column."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from celloquy.errors import InputError
from celloquy.text import compat
from celloquy.text.compat import RankLine

MARK = compat.NOT_A_GENE
SLOPE, INTERCEPT = -0.6756886579917628, 2.237853249084892
PUBLISHED = RankLine(SLOPE, INTERCEPT, 0.794836, 0.929959, 0.866874)


@pytest.mark.parametrize(
    ("sentence", "words", "n_marks"),
    [
        ("A B C A", ["B", "A", "C"], 0),
        ("A B A B", ["A", "B"], 0),
        ("A A A B C", ["B", "A", "C"], 0),
        ("C A B A B A", ["C", "B", "A"], 0),
        ("A X b", ["A", MARK, "B"], 1),
        ("A  B", ["A", MARK, "B"], 1),
        ("", [MARK], 1),
        ("X A X", [MARK, "A", MARK], 2),
        ("A B C.", ["A", "B", MARK], 1),
    ],
)
def test_af11_af12_generated_words_are_repaired_as_known(sentence, words, n_marks):
    assert compat.cell2sentence_repair([sentence], names=list("ABC")) == [(words, n_marks)]


def test_af13_unknown_words_keep_their_slot():
    matrix = compat.cell2sentence_reconstruct(
        ["B A X C"], names=["A", "B", "C"], slope=-0.5, intercept=2.0
    )
    assert matrix.dtype == np.float32
    expected = np.array([[1.849485, 2.0, 1.69897]])
    np.testing.assert_allclose(matrix.toarray(), expected, atol=5e-7)


def test_af13_the_last_place_of_a_repeated_gene_wins():
    matrix = compat.cell2sentence_reconstruct(["A B A"], names=["A", "B"], slope=-0.5, intercept=2)
    np.testing.assert_allclose(matrix.toarray(), [[1.7614393, 1.849485]], atol=5e-8)


def test_af13_no_sentences_and_empty_sentences_give_empty_rows():
    none = compat.cell2sentence_reconstruct([], names=["A"], slope=-1, intercept=1)
    empty = compat.cell2sentence_reconstruct(["", "X"], names=["A"], slope=-1, intercept=1)
    assert (none.shape, none.nnz, empty.shape, empty.nnz) == ((0, 1), 0, (2, 1), 0)


def test_af14_the_published_line_gives_the_known_values():
    np.testing.assert_allclose(
        PUBLISHED.predict([0, 9, 99, 199, 999]),
        [2.2378533, 1.5621645, 0.8864759, 0.6830734, 0.2107873],
        atol=5e-8,
    )
    names = [f"G{i}" for i in range(2_191)]
    cell = compat.cell2sentence_reconstruct(
        [" ".join(names)], names=names, slope=SLOPE, intercept=INTERCEPT
    ).toarray()[0]
    assert cell.astype(np.float64).sum().round(4) == 599.0824
    assert np.flatnonzero(cell < 0)[0] == 2050
    assert np.count_nonzero(cell < 0) == 141
    assert round(10 ** (-INTERCEPT / SLOPE) - 1, 2) == 2049.97


AF15 = sp.csr_matrix(np.array([[2, 1.5, 1, 0, 0], [0, 0.5, 1.8, 1.2, 0.9]]))


def test_af15_the_fitted_line_and_its_measures_are_the_known_ones():
    line = compat.cell2sentence_fit(AF15)
    found = [line.slope, line.intercept, line.r_squared, line.pearson, line.spearman]
    expected = [-2.170504, 1.940676, 0.938398, 0.968709, 0.972846]
    np.testing.assert_allclose(found, expected, atol=5e-7)


def test_af15_the_line_agrees_with_scikit_learn_where_ranks_are_cut_at_the_threshold():
    rng = np.random.default_rng(0)
    values = np.sort(rng.random((3, 40)), axis=1)[:, ::-1].copy()
    line = compat.cell2sentence_fit(sp.csr_matrix(values), threshold=1.0)
    x = np.tile(np.log10(1 + np.arange(40)), 3).reshape(-1, 1)
    y = values.ravel()
    low = x[:, 0] < 1.0
    model = LinearRegression().fit(x[low], y[low])
    assert line.slope == pytest.approx(model.coef_[0])
    assert line.r_squared == pytest.approx(r2_score(y, model.predict(x)))
    assert line.spearman == pytest.approx(stats.spearmanr(model.predict(x), y).statistic)


def test_the_line_is_fitted_on_a_seeded_sample():
    matrix = sp.csr_matrix(np.random.default_rng(0).poisson(2.0, (60, 30)).astype(float))
    first = compat.cell2sentence_fit(matrix, max_obs=20, seed=3)
    assert first == compat.cell2sentence_fit(matrix, max_obs=20, seed=3)
    assert first != compat.cell2sentence_fit(matrix, max_obs=20, seed=4)


def test_cells_with_one_gene_give_no_line():
    with pytest.raises(InputError, match=r"A line needs two ranks below log10 3\.0"):
        compat.cell2sentence_fit(sp.csr_matrix(np.eye(3)))
