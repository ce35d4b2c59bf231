"""Answers as a tree of tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.lm._trie import TokenTrie

END = 9
answer_sets = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=12, unique_by=tuple
)


def test_what_answers_begin_with_stands_in_the_tree_once():
    trie = TokenTrie.of([[1, 2, 3], [1, 2, 4], [5]])
    assert trie.tokens.tolist() == [1, 2, 3, 4, 5]
    assert trie.parents.tolist() == [-1, 0, 1, 1, -1]
    assert trie.depths.tolist() == [1, 2, 3, 3, 1]
    assert trie.ends.tolist() == [2, 3, 4]
    assert trie.inner.tolist() == [0, 1]
    assert [trie.children(node).tolist() for node in (-1, 0, 1, 2)] == [[0, 4], [1], [2, 3], []]


def test_an_answer_that_begins_another_ends_at_an_inner_node():
    trie = TokenTrie.of([[1, 2], [1], [1, 2, 3]])
    assert trie.way(1).tolist() == [0]
    assert trie.way(2).tolist() == [0, 1, 2]
    assert trie.answer_at.tolist() == [1, 0, 2]


def test_with_an_end_no_answer_begins_another():
    trie = TokenTrie.of([[1, END], [1, 2, END]])
    assert not np.isin(trie.ends, trie.inner).any()


def test_one_answer_is_a_tree_without_branches():
    trie = TokenTrie.of([[4, 4, 2]])
    assert (trie.tokens.tolist(), trie.parents.tolist()) == ([4, 4, 2], [-1, 0, 1])
    assert trie.n_tokens.tolist() == [3]


def test_a_thousand_answers_share_what_they_begin_with():
    trie = TokenTrie.of([[i // 100, i // 10 % 10, i % 10, END] for i in range(1000)])
    assert len(trie) == 10 + 100 + 1000 + 1000
    assert len(trie.inner) == 1110


def test_log_probabilities_add_up_along_the_way():
    trie = TokenTrie.of([[1, 2, 3], [1, 2, 4], [5]])
    total = trie.add_up(np.array([[-1.0, -2.0, -3.0, -4.0, -5.0]]))
    assert total[:, trie.ends].tolist() == [[-6.0, -7.0, -5.0]]


@given(answer_sets)
def test_the_way_to_an_answer_spells_the_answer(answers):
    trie = TokenTrie.of(answers)
    assert [trie.tokens[trie.way(i)].tolist() for i in range(len(answers))] == answers
    assert trie.n_tokens.tolist() == [len(answer) for answer in answers]
    assert (trie.parents < np.arange(len(trie))).all()
    begins = {tuple(answer[:n]) for answer in answers for n in range(1, len(answer) + 1)}
    assert len(trie) == len(begins)


@given(answer_sets, st.randoms())
def test_the_order_of_answers_does_not_change_the_tree(answers, random):
    shuffled = random.sample(answers, len(answers))
    one, other = TokenTrie.of(answers), TokenTrie.of(shuffled)
    assert one.tokens.tolist() == other.tokens.tolist()
    assert one.parents.tolist() == other.parents.tolist()


def test_answers_with_the_same_tokens_are_refused_and_both_are_named():
    with pytest.raises(InputError, match=r"Answers 1 and 3 have the same tokens \(1, 2\)"):
        TokenTrie.of([[1, 2], [3], [1, 2]])
    with pytest.raises(InputError, match=r"0, 1, 2, 3, 4, 5, 6, 7, \.\.\.\)"):
        TokenTrie.of([range(12), np.arange(12, dtype=np.int32)])


def test_an_answer_without_tokens_is_refused():
    with pytest.raises(InputError, match=r"Answer 2 of 2 has no tokens"):
        TokenTrie.of([[1], []])


def test_a_set_without_answers_is_refused():
    with pytest.raises(InputError, match=r"There is no answer to choose from"):
        TokenTrie.of([])
