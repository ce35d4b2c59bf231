"""The compat functions give what the prior systems gave: facts AF-1..10, AF-25, CE, GP.

The expected values are the `compat` column of the acceptance facts: outputs of the prior
systems themselves, or arithmetic by hand. The compiled order is compared with NumPy's own
`RandomState`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from celloquy.errors import InputError
from celloquy.text import compat
from celloquy.text.compat import Cell2SentenceOrder

BOTH = pytest.mark.parametrize("compiled", [True, False])
AF1 = [[0, 0, 3], [3, 0, 1], [0, 1, 0], [1, 1, 0], [3, 2, 1]]
CE = [[0, 5, 2, 9, 0, 1], [0, 0, 0, 3, 0, 0], [0] * 6, [4] * 6]
CE_NAMES = ["CD3E", "MS4A1", "NKG7", "LYZ", "GNLY", "CD8A"]


def written(rows, names, *, compiled, seed=42, dtype=np.float32):
    order = Cell2SentenceOrder(seed=seed, compiled=compiled)
    matrix = rows if sp.issparse(rows) else sp.csr_matrix(np.array(rows, dtype=dtype))
    return compat.cell2sentence_sentences(matrix, names, order=order)


@BOTH
def test_af1_three_genes_give_the_known_vocabulary_and_sentences(compiled):
    matrix = sp.csr_matrix(np.array(AF1, dtype=np.float32))
    assert list(compat.cell2sentence_vocabulary(matrix, names=["g1", "g2", "g3"]).items()) == [
        ("G1", 3),
        ("G2", 3),
        ("G3", 3),
    ]
    assert written(AF1, ["g1", "g2", "g3"], compiled=compiled) == [
        "G3",
        "G1 G3",
        "G2",
        "G1 G2",
        "G1 G2 G3",
    ]


@BOTH
def test_af2_a_further_gene_changes_the_ties_of_a_cell_that_lacks_it(compiled):
    rows = [[*row, last] for row, last in zip(AF1, [2, 1, 0, 0, 1], strict=True)]
    assert written(rows, ["g1", "g2", "g3", "g4"], compiled=compiled) == [
        "G3 G4",
        "G1 G3 G4",
        "G2",
        "G2 G1",
        "G1 G2 G3 G4",
    ]


@BOTH
@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (42, ["A B F C E D", "D A B C F E", "E B A D F C"]),
        (0, ["F C B D A E", "B D E A C F", "D F B C E A"]),
    ],
)
def test_af3_equal_values_stand_in_the_order_of_the_random_stream(compiled, seed, expected):
    assert written(np.ones((3, 6)), list("abcdef"), compiled=compiled, seed=seed) == expected


@BOTH
@pytest.mark.parametrize(
    ("n_genes", "first_order"),
    [(2, [1, 0]), (3, [0, 1, 2]), (4, [1, 3, 0, 2]), (5, [1, 4, 2, 0, 3])],
)
def test_af4_the_first_shuffle_at_seed_42_is_the_known_one(compiled, n_genes, first_order):
    columns, _ = Cell2SentenceOrder(compiled=compiled).order(sp.csr_matrix(np.ones((1, n_genes))))
    assert columns.tolist() == first_order


@BOTH
def test_af4_the_global_random_state_stays_untouched(compiled):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 (that it is not used is the test)
    Cell2SentenceOrder(compiled=compiled).order(sp.csr_matrix(np.ones((2, 30))))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@BOTH
def test_af5_stored_zeros_and_negatives_become_words(compiled):
    matrix = sp.csr_matrix(
        (np.array([5, 0, -1], np.float32), np.array([0, 1, 2]), np.array([0, 3])), shape=(1, 3)
    )
    assert written(matrix, list("abc"), compiled=compiled) == ["A B C"]
    assert compat.cell2sentence_vocabulary(matrix, names=list("abc")) == {"A": 1, "B": 0, "C": 0}


@BOTH
def test_af6_an_empty_cell_is_an_empty_sentence_and_nan_comes_last(compiled):
    assert written([[0, 0, 0], [np.nan, 2, 1]], list("abc"), compiled=compiled) == ["", "B C A"]


@BOTH
def test_af7_names_that_collide_shift_later_names_or_run_out(compiled):
    names = ["Gene1", "GENE1", "B"]
    assert written([[1, 5, 0]], names, compiled=compiled) == ["B GENE1"]
    with pytest.raises(IndexError, match=r"Column 2 has no name: upper-casing leaves 2 of 3"):
        written([[1, 2, 3]], names, compiled=compiled)


@BOTH
def test_af8_small_unsigned_integers_are_ordered_and_booleans_refused(compiled):
    assert written([[1, 5, 3]], list("abc"), compiled=compiled, dtype=np.uint8) == ["B C A"]
    with pytest.raises(TypeError, match="Booleans have no negative") as refusal:
        written([[1, 0, 1]], list("abc"), compiled=compiled, dtype=bool)
    assert isinstance(refusal.value, InputError)


def test_af9_vocabularies_join_in_the_order_of_first_sight():
    joined = compat.concatenate_vocabularies([{"A": 1, "B": 2}, {"B": 3, "C": 4}])
    assert list(joined.items()) == [("A", 1), ("B", 5), ("C", 4)]


def test_af10_both_normalisations_give_the_known_values():
    counts = sp.csr_matrix(np.array([[1, 0, 3], [2, 6, 0]]))
    legacy = compat.cell2sentence_normalise(counts, target=1e4).toarray()
    assert legacy.round(5).tolist() == [[3.39811, 0, 3.87512], [3.39811, 3.87512, 0]]
    tutorial = compat.cell2sentence_normalise(counts).toarray()
    assert tutorial.round(5).tolist() == [[0.39794, 0, 0.74036], [0.39794, 0.74036, 0]]


def test_af10_cells_without_counts_stay_empty():
    assert compat.cell2sentence_normalise(sp.csr_matrix((2, 3))).nnz == 0


def test_af25_the_data_set_has_the_known_columns_and_reserved_names_are_refused():
    obs = pd.DataFrame({"tissue": ["lung"], "cell_name": ["x"]}, index=["cell"])
    table = compat.cell2sentence_table(["A B"], obs=obs, label_columns=["tissue"])
    assert table.to_pydict() == {
        "cell_name": ["cell"],
        "cell_sentence": ["A B"],
        "tissue": ["lung"],
    }
    with pytest.raises(InputError, match="'cell_name' is reserved"):
        compat.cell2sentence_table(["A B"], obs=obs, label_columns=["cell_name"])
    with pytest.raises(InputError, match="obs has no column 'organ'"):
        compat.cell2sentence_table(["A B"], obs=obs, label_columns=["organ"])
    with pytest.raises(InputError, match="2 sentences and 1 cells"):
        compat.cell2sentence_table(["A", "B"], obs=obs)


def test_af25_formatted_examples_have_the_known_columns():
    table = compat.cell2sentence_examples(["ask"], ["T cell."], task="cell_type_prediction")
    assert table.column_names == ["sample_type", "model_input", "response"]
    assert table.to_pylist() == [
        {"sample_type": "cell_type_prediction", "model_input": "ask", "response": "T cell."}
    ]
    with pytest.raises(InputError, match="1 prompts and 2 answers"):
        compat.cell2sentence_examples(["ask"], ["a", "b"], task="x")


DTYPES = ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


@st.composite
def stored_rows(draw):
    """A CSR matrix as it may be stored: any dtype, zeros, ties, signs, NaN, empty rows."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    lengths = draw(st.lists(st.integers(0, 70), min_size=0, max_size=12))
    elements = hnp.from_dtype(dtype) if draw(st.booleans()) else st.sampled_from([0, 1, 2])
    data = draw(hnp.arrays(dtype, sum(lengths), elements=elements))
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    indices = np.concatenate([np.arange(n) for n in [0, *lengths]][1:] or [[]]).astype(np.int32)
    return sp.csr_matrix((data, indices, indptr), shape=(len(lengths), 70))


@settings(max_examples=60, deadline=None)
@given(matrix=stored_rows(), seed=st.integers(0, 2**32 - 1))
def test_af4_the_compiled_order_equals_numpys_own_for_any_values(matrix, seed):
    plain = Cell2SentenceOrder(seed=seed, compiled=False).order(matrix)
    compiled = Cell2SentenceOrder(seed=seed).order(matrix)
    assert compiled[0].tolist() == plain[0].tolist()
    np.testing.assert_array_equal(compiled[1], plain[1])


@BOTH
def test_af4_rows_given_in_chunks_are_ordered_as_if_given_at_once(compiled):
    rows = sp.csr_matrix(np.random.default_rng(0).poisson(1.0, (40, 300)).astype(np.float32))
    whole, _ = Cell2SentenceOrder(compiled=compiled).order(rows)
    order = Cell2SentenceOrder(compiled=compiled)
    parts = [order.order(rows[start : start + 7])[0] for start in range(0, 40, 7)]
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_af4_long_rows_that_cross_the_generators_blocks_are_ordered_alike():
    rows = sp.csr_matrix(np.ones((3, 5_000), dtype=np.float32))
    plain, _ = Cell2SentenceOrder(compiled=False).order(rows)
    assert Cell2SentenceOrder().order(rows)[0].tolist() == plain.tolist()


def test_ranked_cells_hold_each_columns_own_value():
    matrix = sp.csr_matrix(np.array([[2.0, 0, 7.0], [0, 0, 0]], dtype=np.float32))
    ranked = compat.cell2sentence_rank(matrix, ["a", "b", "c"])
    assert list(ranked) == [["C", "A"], []]
    assert ranked.values.tolist() == [7.0, 2.0]
    assert ranked.cut.tolist() == [0, 0]


def test_dense_matrices_and_misfitting_names_are_refused():
    with pytest.raises(InputError, match="take a scipy CSR matrix, got ndarray"):
        compat.cell2sentence_rank(np.ones((1, 2)), ["a", "b"])
    with pytest.raises(InputError, match="2 columns and 1 gene names"):
        compat.cell2sentence_rank(sp.csr_matrix(np.ones((1, 2))), ["a"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_ce1_unexpressed_genes_are_named_too(dtype):
    matrix = sp.csr_matrix(np.array(CE, dtype=dtype))
    assert compat.cellama_sentences(matrix, CE_NAMES, n_top_genes=3)[:3] == [
        "Top genes are LYZ, MS4A1, and NKG7.",
        "Top genes are LYZ, CD3E, and MS4A1.",
        "Top genes are CD3E, MS4A1, and NKG7.",
    ]


def test_ce1_one_two_none_and_more_genes_than_there_are():
    row = sp.csr_matrix(np.array(CE[:1]))
    assert compat.cellama_sentences(row, CE_NAMES, n_top_genes=1) == ["Top gene is LYZ."]
    assert compat.cellama_sentences(row, CE_NAMES, n_top_genes=2) == [
        "Top genes are LYZ, and MS4A1."
    ]
    assert compat.cellama_sentences(row, CE_NAMES, n_top_genes=99) == [
        "Top genes are LYZ, MS4A1, NKG7, CD8A, CD3E, and GNLY."
    ]
    with pytest.raises(IndexError, match="`n_top_genes` must be at least 1, got 0"):
        compat.cellama_sentences(row, CE_NAMES, n_top_genes=0)


def test_ce1_obs_features_follow_and_absent_columns_are_skipped_unsaid():
    obs = pd.DataFrame(
        {"organ_tissue": ["Lung"], "condition": ["control"], "n": [1], "x": [np.nan]}
    )
    assert compat.cellama_sentences(
        sp.csr_matrix(np.array(CE[:1])),
        CE_NAMES,
        n_top_genes=3,
        obs=obs,
        obs_features=["organ_tissue", "missing", "condition", "n", "x"],
    ) == [
        "Top genes are LYZ, MS4A1, and NKG7. organ_tissue of this cell is Lung. "
        "condition of this cell is control. n of this cell is 1. x of this cell is nan."
    ]


def test_ce2_no_genes_give_no_sentence():
    assert compat.cellama_list_sentence([]) == ""


def test_ce8_niche_labels_are_joined_by_commas_nearest_first_without_the_cell_itself():
    places = np.array([[0.0, 0.0], [1.0, 0.0], [2.5, 0.0], [5.0, 0.0]])
    labels = ["Tumour", "T cell", "B cell", "Fibroblast"]
    assert compat.cellama_niche_labels(places, labels)[0] == "T cell,B cell,Fibroblast"
    assert compat.cellama_niche_labels(places, labels, n_neighbours=1)[3] == "B cell"


def test_ce8_cells_at_one_place_do_not_name_themselves():
    labels = compat.cellama_niche_labels(np.zeros((3, 2)), ["a", "b", "c"], n_neighbours=1)
    assert all(label != own for label, own in zip(labels, "abc", strict=True))
    assert compat.cellama_niche_labels(np.zeros((1, 2)), ["a"]) == [""]


def test_ce8_misfitting_labels_and_no_neighbours_are_refused():
    with pytest.raises(InputError, match="2 cells and 1 labels"):
        compat.cellama_niche_labels(np.zeros((2, 2)), ["a"])
    with pytest.raises(InputError, match="`n_neighbours` must be at least 1, got 0"):
        compat.cellama_niche_labels(np.zeros((1, 2)), ["a"], n_neighbours=0)


def test_ce10_a_column_of_sentences_is_taken_as_it_is():
    obs = pd.DataFrame({"cell_sentence": ["anything"]})
    row = sp.csr_matrix(np.array(CE[:1]))
    assert compat.cellama_sentences(row, CE_NAMES, obs=obs) == ["anything"]
    with pytest.raises(InputError, match="1 cells and obs has 2 rows"):
        compat.cellama_sentences(row, CE_NAMES, obs=pd.concat([obs, obs]))


def test_ce11_127_tokens_fit_and_135_are_cut_at_128():
    def count_words(sentence: str) -> int:
        return len(sentence.split()) + 2

    sentences = ["gene " * 125, "gene " * 133]
    assert compat.cellama_tokens_cut(sentences, count_tokens=count_words).tolist() == [0, 7]


def test_gp1_weighted_means_divide_by_all_genes_or_by_the_weights():
    expression = sp.csr_matrix(np.array([[1, 0, 3], [0, 0, 0]]))
    genes = np.array([[1, 0], [0, 1], [1, 1]])
    assert compat.genept_weighted(expression, genes).round(4).tolist() == [[1.3333, 1.0], [0, 0]]
    by_weights = compat.genept_weighted(expression, genes, divide_by="weights")
    assert by_weights.tolist() == [[1.0, 0.75], [0.0, 0.0]]
    with pytest.raises(InputError, match="`divide_by` is 'genes' or 'weights', got 'cells'"):
        compat.genept_weighted(expression, genes, divide_by="cells")
    with pytest.raises(InputError, match="3 genes and 2 embeddings"):
        compat.genept_weighted(expression, genes[:2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_gp2_sentences_name_expressed_genes_with_ties_reversed(dtype):
    prefix = "A cell with genes ranked by expression: "
    matrix = sp.csr_matrix(np.array(CE, dtype=dtype))
    assert compat.genept_sentences(matrix, CE_NAMES, n_top_genes=3) == [
        prefix + "LYZ MS4A1 NKG7",
        prefix + "LYZ",
        prefix,
        prefix + "CD8A GNLY LYZ",
    ]


def test_gp2_a_cut_at_all_genes_or_more_is_refused():
    with pytest.raises(IndexError, match="cuts at 6 genes, and the matrix has 6"):
        compat.genept_sentences(sp.csr_matrix(np.array(CE)), CE_NAMES, n_top_genes=6)
