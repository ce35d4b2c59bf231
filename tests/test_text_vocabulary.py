from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.text import RankedCells, Vocabulary, tie_key

NAMES = st.lists(st.text(min_size=1, max_size=6), unique=True, max_size=40)


def test_the_key_of_a_name_is_its_blake2b_in_eight_bytes():
    assert tie_key("CD3E") == hashlib.blake2b(b"CD3E", digest_size=8).digest()


@settings(deadline=None)
@given(names=NAMES)
def test_places_follow_the_key_then_the_name(names):
    place = Vocabulary(tuple(names)).place
    expected = sorted(names, key=lambda name: (tie_key(name), name))
    assert [names[i] for i in np.argsort(place)] == expected


@settings(deadline=None)
@given(names=NAMES, data=st.data())
def test_other_genes_and_their_order_move_no_gene_past_another(names, data):
    kept = data.draw(st.permutations(names))[: len(names) // 2]
    full, part = Vocabulary(tuple(names)), Vocabulary(tuple(kept))
    in_full = sorted(kept, key=lambda name: full.place[full.positions[name]])
    assert sorted(kept, key=lambda name: part.place[part.positions[name]]) == in_full


def test_find_gives_positions_and_minus_one_for_strangers():
    vocabulary = Vocabulary(("CD3E", "MS4A1"))
    assert vocabulary.find(["MS4A1", "cd3e", "CD3E"]).tolist() == [1, -1, 0]
    assert vocabulary.find([]).dtype == np.int32


def test_the_fingerprint_changes_with_the_order():
    assert Vocabulary(("A", "B")).fingerprint != Vocabulary(("B", "A")).fingerprint
    assert Vocabulary(("A", "B")).fingerprint == Vocabulary(("A", "B"), ids=("", "")).fingerprint


def test_a_repeated_name_is_refused_and_the_way_out_is_told():
    with pytest.raises(InputError, match="each gene once; 'A' repeats") as refusal:
        Vocabulary(("A", "B", "A"))
    assert "collisions='sum'" in refusal.value.hint


def test_a_gene_without_a_name_is_refused():
    with pytest.raises(InputError, match="Gene 1 of the vocabulary has no name"):
        Vocabulary(("A", ""))


def test_ids_of_another_length_are_refused():
    with pytest.raises(InputError, match="2 names and 1 ids"):
        Vocabulary(("A", "B"), ids=("ENSG1",))


def two_cells() -> RankedCells:
    return RankedCells(
        np.array([2, 0, 1, 1], np.int32),
        np.array([0, 3, 4]),
        np.array([9, 3, 1, 5], np.float32),
        np.array([0, 2], np.int32),
        Vocabulary(("CD3E", "MS4A1", "IL7R")),
    )


def test_the_top_of_ranked_cells_counts_what_it_cuts():
    top = two_cells().top(2)
    assert list(top) == [["IL7R", "CD3E"], ["MS4A1"]]
    assert top.cut.tolist() == [1, 2]
    assert top.values.tolist() == [9, 3, 5]
    assert list(two_cells().top(np.array([0, 1]))) == [[], ["MS4A1"]]


def test_ranked_cells_put_end_to_end_keep_their_order():
    both = RankedCells.concatenate([two_cells(), two_cells().top(1)])
    assert list(both) == [["IL7R", "CD3E", "MS4A1"], ["MS4A1"], ["IL7R"], ["MS4A1"]]
    assert both.cut.tolist() == [0, 2, 2, 2]
    assert len(both) == 4


def test_the_places_of_the_same_names_are_found_once_and_cannot_be_changed():
    first, again = (Vocabulary(tuple(f"GENE{i}" for i in range(5))).place for _ in range(2))
    keys = sorted(range(5), key=lambda i: (tie_key(f"GENE{i}"), f"GENE{i}"))
    assert np.argsort(first).tolist() == keys
    assert again is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1
