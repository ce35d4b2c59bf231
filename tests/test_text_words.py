"""Words are found as Python finds them, and placed as a plain reading of the rules places them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.text import Vocabulary, compat
from celloquy.text._sentence_words import find_places
from celloquy.text._words import WordTable

NAMES = ("A", "B", "CD3E", "HLA-DRA", "ΔNP63", "IL7R", "A.1")
WORDS = st.sampled_from([*NAMES, "", "X", "a", "\u00df", "\ud800", "A\n", "CD3", "IL7RA", "\u3000"])
TEXTS = st.lists(st.lists(WORDS, max_size=12), max_size=6)


@settings(max_examples=60, deadline=None)
@given(cells=TEXTS, delimiter=st.sampled_from([" ", ", ", "--", "é"]))
def test_words_are_found_as_split_and_a_dictionary_find_them(cells, delimiter):
    texts = [delimiter.join(words) for words in cells]
    words, offsets = WordTable.of(NAMES).find(texts, delimiter=delimiter)
    wanted = [text.split(delimiter) for text in texts]
    assert np.diff(offsets).tolist() == [len(one) for one in wanted]
    position = {name: i for i, name in enumerate(NAMES)}
    assert words.tolist() == [position.get(word, -1) for one in wanted for word in one]


def test_thirty_thousand_names_are_each_found_and_others_are_not():
    names = [f"G{i}" for i in range(30_000)]
    table = WordTable.of(names)
    assert len(table) == 30_000
    assert table.find([" ".join(names)])[0].tolist() == list(range(30_000))
    assert set(table.find([" ".join(f"H{i}" for i in range(5_000))])[0].tolist()) == {-1}


def test_no_texts_and_no_names_are_no_mistake():
    assert [one.tolist() for one in WordTable.of([]).find(["A B", ""])] == [[-1, -1, -1], [0, 2, 3]]
    assert [one.tolist() for one in WordTable.of(["A"]).find([])] == [[], [0]]


def test_of_equal_names_the_last_counts():
    assert WordTable.of(["A", "B", "A"]).find(["A"])[0].tolist() == [2]


def test_an_empty_delimiter_is_refused():
    with pytest.raises(InputError, match="Nothing stands between two words"):
        WordTable.of(["A"]).find(["A"], delimiter="")


def plainly(sentence):
    """AF-11 in words: mark strangers, then move each repeat to the floor of its mean place."""
    words = [w if w in NAMES else compat.NOT_A_GENE for w in sentence.upper().split(" ")]
    for word in dict.fromkeys(words):
        at = [i for i, other in enumerate(words) if other == word]
        if len(at) > 1 and word != compat.NOT_A_GENE:
            words = [other for other in words if other != word]
            words.insert(sum(at) // len(at), word)
    return words, words.count(compat.NOT_A_GENE)


@settings(max_examples=60, deadline=None)
@given(cells=TEXTS)
@example(cells=[["A", "B", "A", "A", "A"]])  # the mean place is past the words that stay
def test_af11_repair_is_that_of_the_rules_read_plainly(cells):
    texts = [" ".join(words) for words in cells]
    assert compat.cell2sentence_repair(texts, names=NAMES) == [plainly(text) for text in texts]


@settings(max_examples=60, deadline=None)
@given(cells=TEXTS)
@example(cells=[["A", "B", "A", "A", "A"]])  # the mean place is past the words that stay
def test_af13_one_step_is_repair_and_reconstruction_one_after_the_other(cells):
    texts = [" ".join(words) for words in cells]
    line = {"slope": -0.7, "intercept": 2.25}
    matrix, n_marks = compat.cell2sentence_expression(texts, names=Vocabulary(NAMES), **line)
    repaired = compat.cell2sentence_repair(texts, names=NAMES)
    again = compat.cell2sentence_reconstruct(
        [" ".join(words) for words, _ in repaired], names=NAMES, **line
    )
    assert n_marks.tolist() == [n for _, n in repaired]
    assert (matrix != again).nnz == 0
    for row, (words, _) in enumerate(repaired):
        dense = matrix[[row]].toarray()[0]
        for place, word in enumerate(words):
            if word in NAMES:
                wanted = np.float32(2.25 - 0.7 * np.log10(1 + place))
                assert dense[NAMES.index(word)] == wanted


def test_a_vocabulary_that_holds_the_mark_takes_it_for_a_mark():
    names = ["A", compat.NOT_A_GENE]
    wanted = ([compat.NOT_A_GENE, "A", compat.NOT_A_GENE], 2)
    assert compat.cell2sentence_repair([f"{compat.NOT_A_GENE} a x"], names=names) == [wanted]


def placed(text, delimiter, duplicates):
    """Give each gene its first or mean place, by rising place, as its rule is written."""
    text = text.strip().removesuffix(".")
    words = [word.strip() for word in text.split(delimiter)] if text else []
    at = {}
    for place, word in enumerate(words):
        if word in NAMES:
            at.setdefault(word, []).append(place)
    kept = {w: p[0] if duplicates == "first" else sum(p) / len(p) for w, p in at.items()}
    return words, sorted(kept.items(), key=lambda item: item[1])


@settings(max_examples=60, deadline=None)
@given(
    cells=TEXTS,
    form=st.sampled_from([(None, " "), (" ", " "), (",", " , "), (None, "\n")]),
    duplicates=st.sampled_from(["first", "mean"]),
    stop=st.sampled_from(["", ".", " ."]),
)
def test_places_are_those_of_the_rule_read_plainly(cells, form, duplicates, stop):
    delimiter, between = form
    texts = [between.join(words) + stop for words in cells]
    found = find_places(texts, Vocabulary(NAMES), delimiter=delimiter, duplicates=duplicates)
    for cell, text in enumerate(texts):
        words, wanted = placed(text, delimiter, duplicates)
        here = slice(found.offsets[cell], found.offsets[cell + 1])
        assert [NAMES[gene] for gene in found.genes[here]] == [name for name, _ in wanted]
        assert found.places[here].tolist() == [place for _, place in wanted]
        n_known = sum(word in NAMES for word in words)
        assert (found.n_words[cell], found.n_unknown[cell], found.n_repeated[cell]) == (
            len(words), len(words) - n_known, n_known - len(wanted),
        )  # fmt: skip
