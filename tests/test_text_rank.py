from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.io import RowChunk, open_stream
from celloquy.text import (
    RankBuffers,
    RankedCells,
    RankOptions,
    Vocabulary,
    rank_cells,
    tie_key,
)


def ranked_by_hand(cells, names, *, columns=None, n_top_genes=None, minimum=0.0):
    """Names and cut of each cell, by Python's own sort."""
    answer = []
    for row in np.atleast_2d(np.asarray(cells.todense() if sp.issparse(cells) else cells)):
        values = {}
        for column, value in enumerate(row.tolist()):
            gene = column if columns is None else int(columns[column])
            if gene >= 0:
                values[gene] = values.get(gene, 0) + value
        expressed = [(value, names[gene]) for gene, value in values.items() if value > minimum]
        expressed.sort(key=lambda pair: (-pair[0], tie_key(pair[1])))
        kept = [name for _, name in expressed][:n_top_genes]
        answer.append((kept, len(expressed) - len(kept)))
    return answer


def as_pairs(ranked: RankedCells) -> list:
    return list(zip(ranked, ranked.cut.tolist(), strict=True))


def genes(n: int) -> Vocabulary:
    return Vocabulary(tuple(f"G{i}" for i in range(n)))


def in_tie_order(*names: str) -> list[str]:
    return sorted(names, key=tie_key)


def random_cells(n_obs, n_vars, *, density=0.3, seed=0, values="counts") -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    cells = sp.random(n_obs, n_vars, density=density, format="csr", rng=rng)
    counts = rng.geometric(0.5, cells.nnz)
    drawn = {"counts": counts, "logs": np.log1p(counts * 1.7), "any": rng.gamma(1, 1, cells.nnz)}
    cells.data = drawn[values].astype(np.float32)
    return cells


# --- the facts of the reference, with ties by name ------------------------------------------


def test_genes_are_named_from_the_most_to_the_least_expressed():
    ranked = rank_cells(sp.csr_matrix([[0, 0, 3], [3, 0, 1], [0, 1, 0], [3, 2, 1]]), genes(3))
    assert list(ranked) == [["G2"], ["G0", "G2"], ["G1"], ["G0", "G1", "G2"]]
    assert ranked.values.tolist() == [3, 3, 1, 1, 3, 2, 1]
    assert ranked.values.dtype == np.float32
    assert ranked.genes.dtype == np.int32
    assert ranked.offsets.tolist() == [0, 1, 3, 4, 7]
    assert ranked.cut.tolist() == [0, 0, 0, 0]


def test_ties_follow_the_name_alone_whatever_other_rows_or_columns_hold():
    ones = rank_cells(sp.csr_matrix(np.ones((3, 6))), Vocabulary(tuple("ABCDEF")))
    assert list(ones) == [in_tie_order(*"ABCDEF")] * 3
    fewer = rank_cells(sp.csr_matrix(np.ones((1, 2))), Vocabulary(("F", "A")))
    assert list(fewer) == [in_tie_order("A", "F")]


def test_stored_zeros_have_no_rank():
    cells = sp.csr_matrix((np.array([5.0, 0.0, 1.0]), [0, 1, 2], [0, 3]), shape=(1, 3))
    ranked = rank_cells(cells, Vocabulary(("A", "B", "C")))
    assert as_pairs(ranked) == [(["A", "C"], 0)]


def test_minus_zero_is_zero():
    cells = sp.csr_matrix((np.float32([5, -0.0, 1]), [0, 1, 2], [0, 3]), shape=(1, 3))
    assert list(rank_cells(cells, genes(3))) == [["G0", "G2"]]


def test_a_cell_without_expression_has_no_genes():
    assert as_pairs(rank_cells(sp.csr_matrix((2, 3)), genes(3))) == [([], 0), ([], 0)]


def test_no_cells_give_no_ranks():
    ranked = rank_cells(sp.csr_matrix((0, 3)), genes(3))
    assert ranked.n_obs == 0
    assert len(ranked.genes) == 0


def test_no_genes_give_empty_cells():
    assert list(rank_cells(sp.csr_matrix((2, 0)), Vocabulary(()))) == [[], []]


def test_one_gene_is_ranked():
    assert list(rank_cells(sp.csr_matrix([[2.0], [0.0]]), genes(1))) == [["G0"], []]


# --- against Python's own sort ---------------------------------------------------------------


@pytest.mark.parametrize("values", ["counts", "logs", "any"])
@pytest.mark.parametrize("n_top_genes", [None, 1, 30, 200, 1_000])
def test_the_kernel_agrees_with_sorting_by_value_then_key(values, n_top_genes):
    cells, vocabulary = random_cells(5, 3_000, values=values), genes(3_000)
    ranked = rank_cells(cells, vocabulary, options=RankOptions(n_top_genes=n_top_genes))
    assert as_pairs(ranked) == ranked_by_hand(cells, vocabulary.names, n_top_genes=n_top_genes)


def test_more_genes_than_sixteen_bits_can_number_are_ranked_alike():
    cells, vocabulary = random_cells(2, 70_000, density=0.05), genes(70_000)
    assert as_pairs(rank_cells(cells, vocabulary)) == ranked_by_hand(cells, vocabulary.names)


def test_many_cells_on_several_threads_agree_with_one_cell_at_a_time():
    cells, vocabulary = random_cells(400, 1_000), genes(1_000)
    together = list(rank_cells(cells, vocabulary, buffers=RankBuffers(n_threads=3)))
    alone = rank_cells(cells, vocabulary, buffers=RankBuffers(n_threads=1))
    assert together == list(alone)
    assert together == [next(iter(rank_cells(cells[i], vocabulary))) for i in range(400)]


SMALL = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@settings(max_examples=60, deadline=None)
@given(rng=SMALL, n_vars=st.integers(1, 300), n_top_genes=st.none() | st.integers(1, 150))
def test_random_cells_columns_and_types_agree_with_sorting(rng, n_vars, n_top_genes):
    dtype = rng.choice(["bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"])
    dense = rng.poisson(rng.gamma(0.5, 2, (4, n_vars))).astype(dtype)
    columns = rng.integers(-1, n_vars, n_vars).astype(np.int32)  # some merged, some left out
    wide = dense.astype(float if dtype[0] == "f" else int)
    ranked = rank_cells(
        sp.csr_matrix(dense),
        genes(n_vars),
        columns=columns,
        options=RankOptions(n_top_genes=n_top_genes),
    )
    assert as_pairs(ranked) == ranked_by_hand(
        wide, genes(n_vars).names, columns=columns, n_top_genes=n_top_genes
    )


@settings(max_examples=30, deadline=None)
@given(rng=SMALL, n_vars=st.integers(1, 200))
def test_order_of_columns_and_of_cells_changes_nothing(rng, n_vars):
    dense = rng.poisson(0.8, (5, n_vars)).astype(np.float32)
    names = np.array([f"G{i}" for i in range(n_vars)])
    columns, cells = rng.permutation(n_vars), rng.permutation(5)
    straight = list(rank_cells(sp.csr_matrix(dense), Vocabulary(tuple(names.tolist()))))
    shuffled = rank_cells(
        sp.csr_matrix(dense[cells][:, columns]), Vocabulary(tuple(names[columns].tolist()))
    )
    assert list(shuffled) == [straight[cell] for cell in cells]


@settings(max_examples=30, deadline=None)
@given(rng=SMALL, n_top_genes=st.integers(1, 400))
def test_the_top_is_the_beginning_of_the_full_order(rng, n_top_genes):
    cells = sp.csr_matrix(rng.poisson(0.7, (3, 500)).astype(np.float32))
    full = rank_cells(cells, genes(500))
    top = rank_cells(cells, genes(500), options=RankOptions(n_top_genes=n_top_genes))
    for cell in range(3):
        assert top.names(cell) == full.names(cell)[:n_top_genes]
        assert top.cut[cell] == full.lengths[cell] - top.lengths[cell]


@pytest.mark.parametrize("chunk_size", [1, 3, 7])
def test_chunk_size_and_reused_buffers_change_nothing(chunk_size):
    cells, vocabulary, buffers = random_cells(7, 400), genes(400), RankBuffers()
    written = []
    for start in range(0, 7, chunk_size):
        block = cells[start : start + chunk_size]
        chunk = RowChunk(
            block.indptr, block.indices, block.data, 400, start, pd.DataFrame(index=range(7))
        )
        written += as_pairs(rank_cells(chunk, vocabulary, buffers=buffers))
    assert written == as_pairs(rank_cells(cells, vocabulary))


def test_buffers_serve_other_genes_and_longer_rows_afterwards():
    buffers = RankBuffers()
    for n_vars in (10, 3_000, 50):
        cells, vocabulary = random_cells(3, n_vars), genes(n_vars)
        ranked = rank_cells(cells, vocabulary, buffers=buffers)
        assert as_pairs(ranked) == ranked_by_hand(cells, vocabulary.names)


def test_the_cells_are_not_changed():
    cells = random_cells(5, 100)
    before = cells.copy()
    rank_cells(cells, genes(100), columns=np.arange(100, dtype=np.int32) // 2)
    assert (cells.data == before.data).all()
    assert (cells.indices == before.indices).all()


def test_arrays_that_cannot_be_written_are_ranked():
    cells = random_cells(3, 100)
    expected = list(rank_cells(cells, genes(100)))
    for array in (cells.data, cells.indices, cells.indptr):
        array.flags.writeable = False
    assert list(rank_cells(cells, genes(100))) == expected


# --- bit patterns ----------------------------------------------------------------------------


def test_floats_keep_their_order_from_subnormal_to_largest():
    tiny, huge = np.float32(1e-45), np.finfo(np.float32).max
    row = np.array([[1.0, tiny, huge, np.nextafter(np.float32(1), 2), 2 * tiny]], np.float32)
    ranked = rank_cells(sp.csr_matrix(row), genes(5))
    assert ranked.names(0) == ["G2", "G3", "G0", "G4", "G1"]
    assert ranked.values.tolist() == sorted(row[0].tolist(), reverse=True)


@pytest.mark.parametrize(
    ("dtype", "low"),
    [
        ("i4", 2**24),
        ("u4", 2**31 + 5),
        ("i8", 2**31 + 5),
        ("i8", 2**60),
        ("u8", 2**63 + 5),
        ("f8", 2.0**40),
        ("f8", 1e-60),
        ("f8", 1.0),
    ],
)
def test_values_that_agree_as_float32_keep_their_own_order(dtype, low):
    next_one = np.nextafter(low, np.inf) if dtype == "f8" else low + 1
    names = in_tie_order("A", "B")  # the tie rule alone would put the first before the second
    for row in ([low, next_one, 0], [low, low, 7]):
        cells = sp.csr_matrix(np.array([row], dtype=dtype))
        ranked = rank_cells(cells, Vocabulary((*names, "C")))
        two = [name for name in ranked.names(0) if name != "C"]
        assert two == (names[::-1] if row[1] > row[0] else names)
        assert ranked.values[0] == pytest.approx(max(row))


def test_float64_logarithms_rank_as_their_own_values_say():
    cells, vocabulary = random_cells(4, 2_000, values="logs").astype(np.float64), genes(2_000)
    cells.data = np.log1p(np.round(np.expm1(cells.data)))  # not exact in float32
    assert as_pairs(rank_cells(cells, vocabulary)) == ranked_by_hand(cells, vocabulary.names)


# --- columns, minimum, specificity ------------------------------------------------------------


def test_columns_left_out_are_neither_ranked_nor_counted_as_cut():
    columns = np.array([0, -1, 1], dtype=np.int32)
    ranked = rank_cells(
        sp.csr_matrix([[1, 9, 2]]),
        Vocabulary(("CD3E", "NKG7")),
        columns=columns,
        options=RankOptions(n_top_genes=1),
    )
    assert as_pairs(ranked) == [(["NKG7"], 1)]


def test_columns_of_one_gene_are_summed_before_ranking():
    columns = np.array([0, 1, 0], dtype=np.int32)
    cells = sp.csr_matrix(np.array([[2, 3, 2], [200, 255, 200], [0, 1, 0]], dtype=np.uint8))
    ranked = rank_cells(cells, Vocabulary(("A", "B")), columns=columns)
    assert list(ranked) == [["A", "B"], ["A", "B"], ["B"]]
    assert ranked.values.tolist() == [4, 3, 400, 255, 1]


def test_a_sum_over_the_largest_float32_is_refused():
    cells = sp.csr_matrix(np.float32([[3e38, 3e38, 1]]))
    columns = np.array([0, 0, 1], dtype=np.int32)
    with pytest.raises(InputError, match=r"Cell 0 holds 6\..*e\+38 for 'A', which has no rank"):
        rank_cells(cells, Vocabulary(("A", "B")), columns=columns)


def test_repeated_entries_of_one_column_are_summed():
    cells = sp.csr_matrix((np.float32([2, 3, 2]), [0, 1, 0], [0, 3]), shape=(1, 2))
    ranked = rank_cells(cells, Vocabulary(("A", "B")))
    assert ranked.names(0) == ["A", "B"]
    assert ranked.values.tolist() == [4, 3]


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u1"])
def test_expression_must_exceed_the_minimum(dtype):
    cells = sp.csr_matrix(np.array([[1, 2, 3, 0]], dtype=dtype))
    ranked = rank_cells(cells, genes(4), options=RankOptions(minimum=2.0))
    assert as_pairs(ranked) == [(["G2"], 0)]
    assert list(rank_cells(cells, genes(4), options=RankOptions(minimum=1.5))) == [["G2", "G1"]]


def test_a_minimum_between_two_float32_values_is_exact():
    row = np.array([[0.1, 0.3, 0.5]])
    assert list(rank_cells(sp.csr_matrix(row), genes(3), options=RankOptions(minimum=0.1))) == [
        ["G2", "G1"]
    ]
    narrow = rank_cells(  # 0.1 as float32 is a little more than 0.1
        sp.csr_matrix(row.astype(np.float32)), genes(3), options=RankOptions(minimum=0.1)
    )
    assert list(narrow) == [["G2", "G1", "G0"]]


def test_a_minimum_above_all_values_keeps_nothing():
    cells = sp.csr_matrix([[1.0, 2.0]])
    assert list(rank_cells(cells, genes(2), options=RankOptions(minimum=1e300))) == [[]]


def test_specificity_ranks_value_over_median_and_keeps_values():
    options = RankOptions(rank_by="specificity", medians=np.array([10.0, 1.0, 2.0, np.nan]))
    ranked = rank_cells(sp.csr_matrix([[20, 3, 4, 9], [0, 0, 1, 0]]), genes(4), options=options)
    assert ranked.names(0)[0] == "G1"  # 20/10 = 4/2 = 2 < 3/1
    assert ranked.names(0)[1:] == in_tie_order("G0", "G2")
    assert dict(zip(ranked.names(0), ranked.values.tolist(), strict=False))["G0"] == 20
    assert ranked.cut.tolist() == [1, 0]  # G3 is expressed and has no median
    assert ranked.names(1) == ["G2"]


def test_the_total_of_a_cell_does_not_change_its_order_by_specificity():
    counts = random_cells(3, 200)
    scaled = sp.csr_matrix((counts.data * 4, counts.indices, counts.indptr), shape=(3, 200))
    options = RankOptions(
        rank_by="specificity", medians=2.0 ** np.random.default_rng(0).integers(-2, 3, 200)
    )
    by_counts = rank_cells(counts, genes(200), options=options)
    assert list(rank_cells(scaled, genes(200), options=options)) == list(by_counts)


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_value_without_rank_is_refused_with_its_cell_and_gene(value, dtype):
    block = sp.csr_matrix(np.array([[1, 2], [3, value]], dtype=dtype))
    chunk = RowChunk(block.indptr, block.indices, block.data, 2, 40, pd.DataFrame(index=range(2)))
    with pytest.raises(InputError, match=rf"Cell 41 holds {value} for 'MS4A1'") as refusal:
        rank_cells(chunk, Vocabulary(("CD3E", "MS4A1")))
    assert "layer='counts'" in refusal.value.hint


@pytest.mark.parametrize("dtype", ["i1", "i4", "i8"])
def test_negative_integers_are_refused(dtype):
    cells = sp.csr_matrix(np.array([[1, -2]], dtype=dtype))
    with pytest.raises(InputError, match="Cell 0 holds -2 for 'G1'"):
        rank_cells(cells, genes(2))


def test_a_negative_value_in_a_column_left_out_is_refused_too():
    with pytest.raises(InputError, match=r"Cell 0 holds -1\.0 for column 1"):
        rank_cells(
            sp.csr_matrix([[1.0, -1.0]]), genes(1), columns=np.array([0, -1], dtype=np.int32)
        )


def test_a_negative_value_is_refused_even_where_a_sum_would_hide_it():
    with pytest.raises(InputError, match=r"Cell 0 holds -1\.0 for 'G0'"):
        rank_cells(sp.csr_matrix([[3.0, -1.0]]), genes(1), columns=np.zeros(2, np.int32))


def test_a_chunk_that_is_a_view_of_longer_arrays_is_ranked():
    cells, vocabulary = random_cells(6, 300), genes(300)
    chunk = RowChunk(
        cells.indptr[2:5], cells.indices, cells.data, 300, 2, pd.DataFrame(index=range(2))
    )
    options = RankOptions(rank_by="specificity", medians=np.full(300, 2.0))
    straight = list(rank_cells(cells, vocabulary))[2:4]
    assert list(rank_cells(chunk, vocabulary)) == straight
    assert list(rank_cells(chunk, vocabulary, options=options)) == straight


def test_a_negative_value_is_refused_by_specificity():
    options = RankOptions(rank_by="specificity", medians=np.ones(2))
    with pytest.raises(InputError, match=r"holds -1\.0 for 'G1'"):
        rank_cells(sp.csr_matrix([[1.0, -1.0]]), genes(2), options=options)


def test_values_that_are_no_real_numbers_are_refused():
    with pytest.raises(InputError, match="type complex128 cannot be ranked"):
        rank_cells(sp.csr_matrix([[1j]]), genes(1))


@pytest.mark.parametrize("n_top_genes", [None, 1])
@pytest.mark.parametrize("column", [2, -1, 2**30])
def test_a_damaged_column_number_is_refused_not_followed(column, n_top_genes):
    chunk = RowChunk(
        np.array([0, 2]), np.int32([0, column]), np.float32([1, 1]), 2, 0, pd.DataFrame(index=[0])
    )
    with pytest.raises(InputError, match=f"value in column {column}, but there are 2 columns"):
        rank_cells(chunk, genes(2), options=RankOptions(n_top_genes=n_top_genes))


def test_damaged_row_ends_are_refused():
    chunk = RowChunk(
        np.array([0, 9]), np.int32([0, 1]), np.float32([1, 1]), 2, 0, pd.DataFrame(index=[0])
    )
    with pytest.raises(InputError, match="row ends of the matrix"):
        rank_cells(chunk, genes(2))


def test_a_chunk_that_names_a_column_twice_is_refused():
    columns = np.repeat(np.arange(100, dtype=np.int32), 2)
    chunk = RowChunk(
        np.array([0, 200]), columns, np.ones(200, np.float32), 100, 6, pd.DataFrame(index=[0])
    )
    with pytest.raises(InputError, match="Cell 6 names a column twice"):
        rank_cells(chunk, genes(100))


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="3 columns, but `vocabulary` has 2"):
        rank_cells(sp.csr_matrix((1, 3)), genes(2))
    with pytest.raises(InputError, match="3 columns, but `columns` has 1"):
        rank_cells(sp.csr_matrix((1, 3)), genes(2), columns=np.zeros(1, np.int32))
    with pytest.raises(InputError, match="outside the vocabulary of 2 genes"):
        rank_cells(sp.csr_matrix((1, 3)), genes(2), columns=np.arange(3, dtype=np.int32))


def test_medians_of_another_length_are_refused():
    options = RankOptions(rank_by="specificity", medians=np.ones(3))
    with pytest.raises(InputError, match="`medians` has 3 values, the vocabulary 2 genes"):
        rank_cells(sp.csr_matrix((1, 2)), genes(2), options=options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_top_genes": 0}, "at least 1, got 0"),
        ({"rank_by": "mean"}, "must be 'value' or 'specificity', got 'mean'"),
        ({"minimum": -1.0}, r"at least 0, got -1\.0"),
        ({"minimum": float("nan")}, "at least 0, got nan"),
        ({"rank_by": "specificity"}, "was given without `medians`"),
        ({"medians": np.ones(2)}, "was given with `medians`"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        RankOptions(**options)


# --- real cells -------------------------------------------------------------------------------


@pytest.mark.data
def test_real_cells_rank_as_sorting_by_value_then_key_says(data_folder):
    with open_stream(data_folder / "cells" / "pbmc3k_10x_v1.h5ad") as stream:
        chunk = stream.rows(0, 12)
        names = tuple(dict.fromkeys(stream.var.index))
        columns = Vocabulary(names).find(stream.var.index)
    for n_top_genes in (None, 200, 30):
        options = RankOptions(n_top_genes=n_top_genes)
        ranked = rank_cells(chunk, Vocabulary(names), columns=columns, options=options)
        assert as_pairs(ranked) == ranked_by_hand(
            chunk.to_csr(), names, columns=columns, n_top_genes=n_top_genes
        )
