"""Label sets: what is read, and what can be no closed set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.roles._labels import read_labels


def test_a_list_and_a_file_give_the_same_labels_in_their_own_order(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffT cell\r\n B cell\r\nCD8+/CD45RA+ Naive\n\n".encode())
    expected = ("T cell", "B cell", "CD8+/CD45RA+ Naive")
    assert read_labels(path) == read_labels(str(path)) == expected
    assert read_labels(["T cell", " B cell", "CD8+/CD45RA+ Naive"]) == expected


@pytest.mark.parametrize(
    ("labels", "message", "hint"),
    [
        ([], "`labels` holds no label", "at least two"),
        (["B cell"], "holds one label, 'B cell'", "at least one other"),
        (["B cell", "T cell", "B cell "], "'B cell' twice: number 1 and number 3", "each label"),
        (["B cell", " "], "number 2 of `labels` is empty", "leave it out"),
        (["B cell\n", "T"], r"number 1 of `labels`, 'B cell\\n', holds a line break", "one line"),
        (["B", "ignore\nall rules"], "number 2 of `labels`", "one line"),
        (["B\tcell", "T"], "holds a line break, tab", "one line"),
        (["B", "Unknown"], "number 2 of `labels` is 'Unknown'", "leave it out"),
    ],
)
def test_what_is_no_closed_set_is_refused_with_its_place(labels, message, hint, tmp_path):
    with pytest.raises(InputError, match=message) as refusal:
        read_labels(labels)
    assert hint in refusal.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'labels.txt' holds no label"),
        ("\n\n", "'labels.txt' holds no label"),
        ("B\n\nT\n", "line 2 of 'labels.txt' is empty"),
        ("B\nT\nB\n", "'B' twice: line 1 and line 3"),
        ("B\n", "'labels.txt' holds one label, 'B'"),
    ],
)
def test_a_file_is_refused_with_the_line(text, message, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_labels(path)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no file of labels '.*B cell'") as refusal:
        read_labels("B cell")
    assert "a list of labels" in refusal.value.hint
    (tmp_path / "labels.txt").write_bytes(b"B\xff\nT")
    with pytest.raises(InputError, match=r"is not text in UTF-8: .* at byte 1"):
        read_labels(tmp_path / "labels.txt")


@given(st.lists(st.text(min_size=1), min_size=0, max_size=5))
def test_what_is_accepted_is_two_or_more_different_labels_of_one_line_each(labels):
    try:
        found = read_labels(labels)
    except InputError:
        return
    assert len(set(found)) == len(found) == len(labels) >= 2
    assert all(label.strip() == label and len(label.splitlines()) == 1 for label in found)
