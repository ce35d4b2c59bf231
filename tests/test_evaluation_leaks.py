"""Leaks: the same cell, the same donor, the same content under two names."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.evaluation import Split, check_leaks, leave_one_group_out


def split_of(n_train: int, n_test: int) -> Split:
    rows = range(n_train + n_test)
    parts = {"train": rows[:n_train], "test": rows[n_train:]}
    return Split("one", "cell", parts, n_obs=n_train + n_test)


def test_the_same_cell_name_in_two_parts_is_a_leak():
    leaks = check_leaks(split_of(2, 2), names=["a", "b", "b", "c"])
    assert leaks.n == 1
    assert str(leaks) == "name: 1 between train and test, such as b"
    with pytest.raises(InputError, match="such as b") as refusal:
        leaks.refuse()
    assert refusal.value.hint == "split by what the parts share."


def test_a_split_by_donor_shares_no_donor_but_may_share_a_study():
    donors = ["1", "1", "2", "3"]
    split = leave_one_group_out(donors, by="donor")[0]
    leaks = check_leaks(split, groups={"donor": donors, "study": ["x", "x", "x", "y"]})
    assert leaks.table.set_index("kind")["n"].to_dict() == {"donor": 0, "study": 1}
    assert str(check_leaks(split, groups={"donor": donors})) == "no leak (donor)"
    check_leaks(split, groups={"donor": donors}).refuse()


def test_sentences_that_share_nine_of_ten_words_are_near_duplicates():
    words = [f"G{i}" for i in range(20)]
    sentences = [
        " ".join(words),
        "CD3E IL7R",
        " ".join([*words[1:], "OTHER"]),  # 19 of 21 words: 0.905
        " ".join([*words[2:], "ONE", "TWO"]),  # 18 of 22 with row 0: 0.82
        "",
    ]
    leaks = check_leaks(split_of(2, 3), sentences=sentences, similarity=0.9)
    assert leaks.table["n"].tolist() == [1]
    assert leaks.table["first"].tolist() == ["rows 0 and 2"]
    assert check_leaks(split_of(2, 3), sentences=sentences, similarity=1).n == 0


def test_each_row_of_the_test_counts_once_however_many_it_resembles():
    leaks = check_leaks(split_of(3, 2), sentences=["A B", "B A", "A B", "A B", "B A"])
    assert leaks.table["n"].tolist() == [2]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_every_copied_cell_is_found(seed):
    rng = np.random.default_rng(seed)
    counts = sp.random(20, 100, density=0.2, random_state=rng, format="csr")
    copied = rng.choice(20, 5, replace=False)
    both = sp.vstack([counts, counts[copied] * 2]).tocsr()
    assert check_leaks(split_of(20, 5), expression=both).table["n"].tolist() == [5]
    assert check_leaks(split_of(10, 10), expression=counts).n == 0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="nothing to compare"):
        check_leaks(split_of(1, 1))
    with pytest.raises(InputError, match="split is of 2 rows, and name has 1"):
        check_leaks(split_of(1, 1), names=["a"])
    with pytest.raises(InputError, match="is a share above 0, at most 1; got 2"):
        check_leaks(split_of(1, 1), names=["a", "b"], similarity=2)


@pytest.mark.data
@pytest.mark.slow
def test_three_hundred_real_cells_that_were_quantified_twice_are_found(data_folder):
    import anndata as ad

    sets = [
        ad.read_h5ad(data_folder / "cells" / f"{name}.h5ad")
        for name in ("pbmc3k_10x_v1", "pbmc_multistudy_unlabelled")
    ]
    other = set(sets[1].var_names)
    genes = [gene for gene in dict.fromkeys(sets[0].var_names) if gene in other]
    counts = sp.vstack([sp.csr_matrix(each[:, genes].X) for each in sets]).tocsr()
    split = split_of(*(each.n_obs for each in sets))
    repeated = np.flatnonzero(sets[1].obs["study"] == "GSE115189")
    leaks = check_leaks(split, expression=counts)
    assert leaks.n == len(repeated) == 300
