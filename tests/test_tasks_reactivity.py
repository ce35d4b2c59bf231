"""The reward of a T cell's reactivity: CellHermes' table, and the reading that hears a "not"."""

from __future__ import annotations

import pytest

from celloquy.tasks import load_task, reactivity_reward
from celloquy.tasks._reactivity import reactivity_of
from celloquy.tasks.compat import (
    cell2sentence_template_draws,
    cellhermes_reward,
    chatcell_generated,
    chatcell_type,
)

R, N = "Reactive", "Non-Reactive"
FULL = "<reason>x</reason><output>Reactive</output>"
TABLE = [
    (FULL, R, 1.3, 0.3, 1, R, "output_tag"),
    ("<output>Reactive</output>", R, 1.0, 0, 1, R, "output_tag"),
    (FULL, N, 0.3, 0.3, 0, R, "output_tag"),
    ("<reason> </reason><output>Non-reactive</output>", N, 1.0, 0, 1, N, "output_tag"),
    ("Final answer: Non-Reactive", N, 1.0, 0, 1, N, "final_label"),
    ("I think Reactive. But no: Non-Reactive", R, 0.0, 0, 0, N, "last_label_mention"),
    ("", R, 0.0, 0, 0, "", "unparseable"),
    ("<reason>r</reason><output>Maybe</output>", R, 0.0, 0, 0, "", "unparseable"),
]
LAST = ("This is not reactive", N, 0.0, 0, 0, R, "last_label_mention")


def told(reward):
    return (reward.score, reward.format, reward.correct, reward.predicted, reward.origin)


@pytest.mark.parametrize("row", [*TABLE, LAST])
def test_the_reward_of_cellhermes_is_that_of_its_table_ch_11(row):
    text, truth, *expected = row
    assert told(cellhermes_reward(text, truth)) == tuple(expected)


@pytest.mark.parametrize("row", TABLE)
def test_the_corrected_reward_agrees_but_for_the_last_row_ch_11(row):
    text, truth, *expected = row
    assert told(reactivity_reward(text, truth)) == tuple(expected)


def test_not_reactive_is_not_read_as_reactive_ch_11():
    text, truth, *_ = LAST
    assert told(reactivity_reward(text, truth)) == (1.0, 0.0, 1.0, N, "last_label_mention")
    assert load_task("t_cell_reactivity").parse(text).value == N


def test_mentions_are_counted_ch_11():
    text = "I think Reactive. But no: Non-Reactive"
    assert cellhermes_reward(text, R).n_mentions == 2
    assert reactivity_reward(text, R).n_mentions == 2


def test_without_a_true_label_everything_is_zero_ch_11():
    for reward in (cellhermes_reward, reactivity_reward):
        assert told(reward(FULL, "perhaps"))[:4] == (0.0, 0.0, 0.0, "")
        assert sum(reward(FULL, "perhaps").confusion.values()) == 0


@pytest.mark.parametrize(
    ("text", "truth", "cell"),
    [
        (FULL, R, "cm_R_R"),
        (FULL, N, "cm_N_R"),
        ("<output>Non-Reactive</output>", R, "cm_R_N"),
        ("<output>Non-Reactive</output>", N, "cm_N_N"),
        ("", N, None),
    ],
)
def test_the_confusion_has_one_in_the_cell_of_truth_and_prediction_ch_11(text, truth, cell):
    for reward in (cellhermes_reward, reactivity_reward):
        found = reward(text, truth).confusion
        assert list(found) == ["cm_R_R", "cm_R_N", "cm_N_R", "cm_N_N"]
        assert [key for key, value in found.items() if value] == ([cell] if cell else [])


@pytest.mark.parametrize(
    "text",
    [
        "Non reactive", "nonreactive", "non-reactive.", "NON‐REACTIVE", "unreactive",
        "It is not reactive", "it isn't reactive", "The cell isn’t tumour reactive",
        "not clearly reactive", "neither activated nor reactive", "never reactive",
        "far from reactive", "failed to be reactive",
        "not <b>reactive", "<output>not reactive</output>", "Final label - not reactive",
        "Final prediction： Non-Reactive",
    ],
)  # fmt: skip
def test_what_is_denied_is_non_reactive(text):
    assert reactivity_of(text).predicted == N


@pytest.mark.parametrize(
    "text",
    [
        "reactive or not", "not non-reactive", "not only reactive", "no label",
        "not necessarily reactive", "Reactive? No.", "I am not sure it is reactive",
        "<output>Reactive</output><output>Non-Reactive</output>",
        "<output>Reactive or Non-Reactive</output>", "<output></output> Reactive", "proactive",
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_unusable(text):
    assert reactivity_of(text) == reactivity_of("") or not reactivity_of(text).predicted
    read = load_task("t_cell_reactivity").parse(text)
    assert read.why == "it does not say whether the cell is reactive"


def test_a_negation_of_another_clause_is_not_one_of_this():
    assert reactivity_of("Not exhausted. It is reactive").predicted == R
    assert reactivity_of("It is no bystander, but reactive").predicted == R


def test_templates_are_drawn_as_cell2sentence_draws_them_af_17():
    assert cell2sentence_template_draws(10, 10) == [1, 0, 4, 3, 3, 2, 1, 8, 1, 9]
    for n_templates in (14, 15):
        drawn = cell2sentence_template_draws(n_templates, 10)
        assert drawn == [10, 1, 0, 11, 4, 3, 3, 2, 11, 1]
    assert cell2sentence_template_draws(3, 10) == [2, 0, 0, 2, 1, 0, 0, 0, 2, 0]  # AF-28
    with pytest.raises(ValueError, match="at least 1 template, got 0"):
        cell2sentence_template_draws(0, 1)


def test_types_are_said_as_chatcell_says_them_af_29():
    labels = ("Basal", "IRS", "alowCD34+ bulge", "cell")
    said = [chatcell_type(label) for label in labels]
    assert said == ["a Basal", "an IRS", "an alowCD34+ bulge", "a cell"]


def test_generated_genes_are_counted_as_chatcell_counts_them_af_30():
    counts = chatcell_generated(["A B X", "a A  C"], {"A", "B", "C"})
    assert (counts.n_cells, counts.n_genes, counts.mean_length) == (2, 6, 3.0)
    assert (counts.n_valid, round(counts.validity, 2)) == (5, 83.33)
    assert (counts.n_unique, round(counts.uniqueness, 2)) == (5, 83.33)
    assert counts.delta_length() == 97.0
    with pytest.raises(ValueError, match="2 texts name no gene"):
        chatcell_generated(["", " "], {"A"})
