"""Splits: whole groups, shares, seeds, files with a hash."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.evaluation import (
    Split,
    cell_folds,
    group_folds,
    hold_out,
    leave_one_group_out,
    load_split,
    save_split,
    split_by_cell,
    split_by_group,
)

DONORS = ["a"] * 3 + ["b"] * 2 + ["c"] * 1 + ["d"] * 4
GROUPS = st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=60)


@settings(max_examples=25, deadline=None)
@given(GROUPS, st.integers(0, 5))
def test_no_group_lies_in_two_parts_and_every_row_in_one(groups, seed):
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    if len(set(groups)) < 3:
        with pytest.raises(InputError, match="cannot be dealt to 3 parts"):
            split_by_group(groups, by="donor", shares=shares, seed=seed)
        return
    split = split_by_group(groups, by="donor", shares=shares, seed=seed)
    held = [set(np.array(groups)[rows]) for rows in split.parts.values()]
    assert sum(map(len, held)) == len(set().union(*held)) == len(set(groups))
    assert sorted(np.concatenate(list(split.parts.values()))) == list(range(len(groups)))
    assert {part: set(keys) for part, keys in split.groups.items()} == dict(
        zip(split.parts, held, strict=True)
    )


def test_ten_donors_of_one_size_are_dealt_by_the_shares():
    donors = [f"donor {i}" for i in range(10) for _ in range(7)]
    split = split_by_group(donors, by="donor", seed=3)
    assert split.sizes == {"train": 56, "validation": 7, "test": 7}
    assert str(split) == "by donor: by donor; train 56, validation 7, test 7 of 70 rows"


def test_the_seed_decides_and_nothing_else():
    donors = [f"donor {i}" for i in range(12)]
    one, same, other = (split_by_group(donors, by="donor", seed=seed) for seed in (1, 1, 2))
    assert one.sha256 == same.sha256
    assert one.groups != other.groups


def test_each_fold_is_tested_once():
    folds = group_folds(DONORS, by="donor", n_folds=3)
    assert len(folds) == 3
    tested = np.concatenate([fold["test"] for fold in folds])
    assert sorted(tested) == list(range(10))
    for fold in folds:
        assert not set(fold.groups["train"]) & set(fold.groups["test"])


def test_each_donor_is_left_out_once():
    splits = leave_one_group_out(DONORS, by="donor")
    assert [split.groups["test"] for split in splits] == [("a",), ("b",), ("c",), ("d",)]
    assert splits[1]["test"].tolist() == [3, 4]
    assert splits[1].name == "without donor b"


def test_named_groups_are_held_out():
    split = hold_out(DONORS, {"validation": ["b"], "test": ["d", "c"]}, by="study")
    assert split.sizes == {"train": 3, "validation": 2, "test": 5}
    assert split.groups["test"] == ("c", "d")
    assert hold_out(pd.Series([1, 2, 2]), [2], by="batch")["test"].tolist() == [1, 2]


def test_a_split_by_cell_keeps_the_shares_of_labels_and_says_that_it_is_by_cell():
    labels = ["B"] * 20 + ["T"] * 10
    split = split_by_cell(labels, shares={"train": 0.7, "test": 0.3})
    assert split.by == "cell"
    assert split.groups is None
    assert [sum(labels[i] == "B" for i in rows) for rows in split.parts.values()] == [14, 6]
    assert split_by_cell(n_obs=10, shares={"train": 0.5, "test": 0.5}).sizes == {
        "train": 5,
        "test": 5,
    }


def test_a_label_of_three_cells_is_in_each_of_three_parts():
    split = split_by_cell(["rare"] * 3)
    assert split.sizes == {"train": 1, "validation": 1, "test": 1}


def test_folds_by_cell_hold_every_label():
    labels = ["B"] * 6 + ["T"] * 9
    for fold in cell_folds(labels, n_folds=3):
        assert sum(labels[i] == "B" for i in fold["test"]) == 2
        assert fold.by == "cell"


def test_what_was_saved_is_loaded(tmp_path):
    names = [f"cell {i}" for i in range(10)]
    split = split_by_group(DONORS, by="donor", names=names)
    save_split(split, tmp_path / "split.json")
    again = load_split(tmp_path / "split.json")
    assert again.sha256 == split.sha256
    assert again["train"].tolist() == split["train"].tolist()
    assert again.groups == split.groups
    again.refuse_other_rows(names)
    with pytest.raises(InputError, match="exists already"):
        save_split(split, tmp_path / "split.json")


def test_the_first_form_of_file_is_read_for_ever(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(
        '{"schema": 1, "name": "one", "by": "donor", "seed": null, "n_obs": 2, '
        '"rows_sha256": null, "groups": {"train": ["a"], "test": ["b"]}, '
        '"parts": {"train": [0], "test": [1]}, '
        '"sha256": "FIRST"}\n'.replace("FIRST", FIRST)
    )
    assert load_split(path)["test"].tolist() == [1]


FIRST = "7aab17d3e587a24d36c3e0c6a8d7ccc3a96440746495d16b94b3b69e7e5e077a"
"""SHA-256 of the record with sorted keys and without spaces, by sha256sum."""


def test_a_file_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "split.json"
    save_split(split_by_group(DONORS, by="donor"), path)
    record = json.loads(path.read_text())
    record["parts"]["train"], record["parts"]["test"] = (
        record["parts"]["test"],
        record["parts"]["train"],
    )
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="is not as it was written"):
        load_split(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as a split"),
        ("[]", "holds no JSON object"),
        ('{"schema": 9}', "form 9, and this version reads 1"),
        ('{"schema": 1, "groups": null}', "is no split: 'name'"),
        ("[" * 100_000, "cannot be read as a split"),
    ],
)
def test_a_file_that_is_no_split_is_refused(tmp_path, text, said):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        load_split(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read as a split"):
        load_split(tmp_path / "none.json")


def test_other_rows_are_refused():
    split = split_by_group(["a", "b"], by="donor", names=["x", "y"], shares=HALVES)
    with pytest.raises(InputError, match="is of 2 rows, and here are 3"):
        split.refuse_other_rows(["x", "y", "z"])
    with pytest.raises(InputError, match="other names, or another order"):
        split.refuse_other_rows(["y", "x"])


HALVES = {"train": 0.5, "test": 0.5}


def test_splits_that_cannot_be_made_are_refused():
    with pytest.raises(InputError, match=r"1 of donor \('a'\) cannot be dealt to 2 parts"):
        split_by_group(["a", "a"], by="donor", shares=HALVES)
    with pytest.raises(InputError, match=r"2 of donor \('a', 'b'\) cannot be dealt to 5") as told:
        group_folds(["a", "b"], by="donor")
    assert "more than 2 groups" in told.value.hint
    with pytest.raises(InputError, match="cannot be dealt to 2 parts"):
        leave_one_group_out(["a", "a"], by="donor")
    with pytest.raises(InputError, match="1 of 2 rows have no donor, the first is row 1"):
        leave_one_group_out(["a", None], by="donor")
    with pytest.raises(InputError, match="no row to split by donor"):
        leave_one_group_out([], by="donor")
    with pytest.raises(InputError, match="`n_folds` must be at least 2, got 1"):
        group_folds(["a", "b"], by="donor", n_folds=1)
    with pytest.raises(InputError, match=r"sum to 1; here: train 0\.8, test 0\.3"):
        split_by_group(["a", "b"], by="donor", shares={"train": 0.8, "test": 0.3})
    with pytest.raises(InputError, match="Label 'T' has 1 cells, fewer than 2 parts"):
        split_by_cell(["B", "B", "T"], shares=HALVES)
    with pytest.raises(InputError, match="neither labels nor a number"):
        split_by_cell()


def test_held_out_names_that_are_wrong_are_refused():
    with pytest.raises(InputError, match="no study 'kang'; the closest is 'Kang'"):
        hold_out(["Kang", "Zheng"], ["kang"], by="study")
    with pytest.raises(InputError, match="'a' is held out twice"):
        hold_out(["a", "b", "c"], {"validation": ["a"], "test": ["a"]}, by="study")
    with pytest.raises(InputError, match="Every study is held out"):
        hold_out(["a", "b"], ["a", "b"], by="study")


def test_parts_that_are_no_split_are_refused():
    with pytest.raises(InputError, match="here: train 2"):
        Split("one", "cell", {"train": [0, 1]}, n_obs=2)
    with pytest.raises(InputError, match="here: train 1, test 0"):
        Split("one", "cell", {"train": [0], "test": []}, n_obs=2)
    with pytest.raises(InputError, match="names row 2, and there are 2 rows"):
        Split("one", "cell", {"train": [0], "test": [2]}, n_obs=2)
    with pytest.raises(InputError, match="Row 0 is in two parts of the split 'one'"):
        Split("one", "cell", {"train": [0], "test": [0, 1]}, n_obs=2)
    with pytest.raises(InputError, match="no part 'tset'; the closest is 'test'"):
        Split("one", "cell", {"train": [0], "test": [1]}, n_obs=2)["tset"]
