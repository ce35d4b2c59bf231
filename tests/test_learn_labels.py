"""celloquy.learn._labels: labels as codes, and the choice of cells."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.learn import choose_cells, label_codes


def test_categories_without_a_cell_are_left_out():
    labels = pd.Series(pd.Categorical(["NK", "B"], categories=["B", "DC", "NK"]))
    names, codes = label_codes(labels)
    assert names == ("B", "NK")
    assert codes.tolist() == [1, 0]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "", "  "])
def test_cells_without_a_label_are_refused_and_counted(missing):
    with pytest.raises(InputError, match="2 of 4 reference cells have no label") as refusal:
        label_codes(["B", missing, "NK", missing])
    assert "leave those cells out" in refusal.value.hint


def test_no_cells_are_refused():
    with pytest.raises(InputError, match="no labelled cell"):
        label_codes([])


def test_a_reference_that_fits_is_taken_whole():
    assert choose_cells(np.array([0, 1, 0]), max_cells=3).tolist() == [0, 1, 2]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.integers(1, 60))
def test_the_choice_is_as_even_over_labels_as_they_allow(labels, max_cells):
    codes = np.array(labels)
    chosen = choose_cells(codes, max_cells=max_cells)
    assert len(chosen) == min(len(codes), max_cells)
    assert (np.diff(chosen) > 0).all()
    before, after = np.bincount(codes, minlength=5), np.bincount(codes[chosen], minlength=5)
    cut = after < before
    if cut.any():  # a label that lost cells has as many as the largest, but for one
        assert after[cut].min() >= after.max() - 1


def test_the_choice_follows_the_seed_alone():
    codes = np.arange(100) % 3
    one, two = (choose_cells(codes, max_cells=20, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.tolist() != choose_cells(codes, max_cells=20, seed=5).tolist()


def test_a_choice_of_none_is_refused():
    with pytest.raises(InputError, match="`max_cells` must be at least 1, got 0"):
        choose_cells(np.array([0]), max_cells=0)
