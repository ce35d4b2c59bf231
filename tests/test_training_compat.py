"""Splits and mixes of prior systems, as the facts say."""

from __future__ import annotations

import pytest

from celloquy.errors import InputError
from celloquy.training.compat import cell2sentence_split, chatcell_split, chatcell_tasks


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(10, (8, 1, 1)), (100, (80, 10, 10)), (29_773, (23_847, 2_948, 2_978))],
)
def test_af_22_sizes_of_cell2sentences_split(n, sizes):
    split = cell2sentence_split(n, seed=None)
    assert tuple(map(len, split.values())) == sizes
    assert sorted(row for rows in split.values() for row in rows) == list(range(n))


def test_af_22_the_first_version_of_cell2sentence_drew_these_rows():
    assert cell2sentence_split(10) == {
        "train": [5, 9, 1, 6, 0, 2, 7, 4],
        "validation": [3],
        "test": [8],
    }


def test_af_27_chatcells_split():
    split = chatcell_split(10)
    assert [row for rows in split.values() for row in rows] == [7, 3, 2, 8, 5, 6, 9, 4, 0, 1]
    for n, sizes in ((10, (8, 1, 1)), (2_739, (2_191, 273, 275)), (1_302, (1_041, 130, 131))):
        assert tuple(map(len, chatcell_split(n).values())) == sizes


def test_af_28_chatcells_mix_of_tasks():
    names = ("pseudo_cell", "random_cell", "cell_type")
    drawn = [2, 0, 0, 2, 1, 0, 0, 0, 2, 0]
    assert chatcell_tasks(10) == [names[i] for i in drawn]


@pytest.mark.parametrize("split", [cell2sentence_split, chatcell_split])
def test_too_few_rows_are_refused(split):
    with pytest.raises(InputError, match=r"2 rows cannot be split into three parts"):
        split(2)
