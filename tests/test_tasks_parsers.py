"""What reads answers: closed sets, lists of genes, JSON, and words that are denied."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.tasks import METRICS, PARSERS, Asked, load_task
from celloquy.text import Vocabulary

CELLS = ["B cell", "T cell", "NK cell", "CD4+ T cell"]
YES_NO = Asked(("Yes", "No"))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("B cell", "B cell"),
        (" B cell.\n", "B cell"),
        ('"B cell".', "B cell"),
        ('"B cell."', "B cell"),
        ("“T cell”", "T cell"),
        ("**NK cell**", "NK cell"),
        ("b CELL", "B cell"),
        ("cd4+ t cell.", "CD4+ T cell"),
    ],
)
def test_a_label_is_read_without_what_stands_around_it(text, label):
    assert load_task("cell_type").parse(text, allowed=CELLS).value == label


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("It is a B cell", "'It is a B cell' is none of 4 labels"),
        ("B cells", "'B cells' is none of 4 labels; the closest is 'B cell'"),
        ("B cell or T cell", "is none of 4 labels"),
        ("B cell..", r"'B cell\.\.' is none of 4 labels"),
        ("not a B cell", "is none of 4 labels"),
        ("", "'' is none of 4 labels"),
        ("x" * 200, "…' is none of 4 labels"),
    ],
)
def test_a_label_is_never_guessed(text, why):
    read = load_task("cell_type").parse(text, allowed=CELLS)
    assert (read.value, read.is_valid) == (None, False)
    assert re.search(why, read.why)


def test_two_labels_that_differ_in_capitals_only_need_their_capitals():
    task = load_task("cell_type")
    assert task.parse("Treg", allowed=["Treg", "TREG"]).value == "Treg"
    read = task.parse("treg", allowed=["Treg", "TREG"])
    assert not read.is_valid
    assert read.why == "'treg' could be any of 'Treg', 'TREG'"


def test_genes_of_a_vocabulary_can_be_labels():
    known = Vocabulary(("CD3E", "IL7R"))
    assert load_task("cell_type").parse("IL7R.", allowed=known).value == "IL7R"


def test_without_a_closed_set_a_label_is_what_stands_on_one_line():
    task = load_task("cell_type")
    assert task.parse('"Paneth cell".').value == "Paneth cell"
    assert task.parse("Paneth cell\nbecause").why == "'Paneth cell because' is no label on one line"
    assert not task.parse("").is_valid


@given(st.text(max_size=200))
def test_an_answer_of_a_closed_set_is_a_label_or_nothing(text):
    assert load_task("cell_type").parse(text, allowed=CELLS).value in {*CELLS, None}
    assert load_task("gene_disease").parse(text).value in {"Yes", "No", None}
    assert load_task("perturbation_effect").parse(text).value in {"up", "down", "none", None}
    assert load_task("t_cell_reactivity").parse(text).value in {"Reactive", "Non-Reactive", None}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Yes", "Yes"), ("yes.", "Yes"), ("**No**", "No"), ("No, they do not interact.", "No"),
        ("Yes: both bind STAT1", "Yes"), ("Answer: no", "No"), ("No. No evidence is known", "No"),
        ("The answer is: yes", "Yes"), ("Yes, yes", "Yes"),
        ("Yes and no", None), ("Yes. No.", None), ("No, wait. Yes.", None), ("Not yes", None),
        ("No doubt they interact", None), ("There is no interaction", None), ("", None),
        ("Yes or no", None), ("Nope", None), ("yesterday", None), ("I cannot say no", None),
        ("It is not a no", None),
    ],
)  # fmt: skip
def test_yes_and_no_are_read_where_they_stand_alone_at_the_beginning(text, value):
    read = PARSERS["choice"](text, YES_NO)
    assert read.value == value
    assert read.is_valid == (value is not None) == (not read.why)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("up", "up"), ("Increased.", "up"), ("The gene goes up", "up"),
        ("It is down-regulated after the knock-out", "down"), ("no change", "none"),
        ("Its expression does not change", "none"), ("It stays the same.", "none"),
        ("upregulated, not downregulated", "up"), ("not up", None), ("It isn't increased", None),
        ("up or down", None), ("up or not", None), ("it never goes down", None),
        ("The expression is unlikely to be reduced", None), ("not unchanged", None),
        ("The cells were set up", None), ("upstream", None),
        ("None of it goes up", None), ("It neither rises nor falls", None), ("?", None),
        ("not only increased but higher", None),
    ],
)  # fmt: skip
def test_a_direction_is_read_unless_it_is_denied(text, value):
    assert load_task("perturbation_effect").parse(text).value == value


def test_words_that_fit_no_label_are_refused():
    asked = Asked(("up", "down"), options={"words": {"upp": ["raised"]}})
    with pytest.raises(InputError, match="name 'raised' for 'upp'; it fits no or two labels"):
        PARSERS["choice"]("up", asked)
    twice = Asked(("up", "down"), options={"words": {"up": ["moved"], "down": ["moved"]}})
    with pytest.raises(InputError, match="name 'moved' for 'down'"):
        PARSERS["choice"]("up", twice)


@pytest.mark.parametrize(
    ("text", "value", "counts"),
    [
        ("CD3E IL7R LYZ", ("CD3E", "IL7R", "LYZ"), (3, 0, 0)),
        ("CD3E, IL7R; LYZ.", ("CD3E", "IL7R", "LYZ"), (3, 0, 0)),
        ("CD3E CD3E IL7R CD3E", ("CD3E", "IL7R"), (2, 0, 2)),
        ("cd3e IL7R", ("IL7R",), (1, 1, 0)),
        ("CD3E XYZ XYZ IL7R", ("CD3E", "IL7R"), (2, 2, 0)),
        ("RP11-34P13.3 AC1.", ("RP11-34P13.3", "AC1."), (2, 0, 0)),
        ("IL7R .", ("IL7R",), (1, 0, 0)),
    ],
)
def test_genes_are_read_and_what_is_left_out_is_counted(text, value, counts):
    known = Vocabulary(("CD3E", "IL7R", "LYZ", "RP11-34P13.3", "AC1."))
    read = load_task("pseudo_cell").parse(text, allowed=known)
    assert read.value == value
    assert tuple(read.counts.values()) == counts
    for unordered in (set(known.names), list(known.names), known.names):
        assert load_task("pseudo_cell").parse(text, allowed=unordered) == read


def test_what_was_left_out_of_genes_is_said():
    known = ["CD3E", "IL7R"]
    read = load_task("pseudo_cell").parse("CD3E XYZ CD3E", allowed=known)
    assert read.why == "1 unknown and 1 repeated left out"
    assert load_task("pseudo_cell").parse("X Y", allowed=known).why == (
        "none of 2 words is a known gene"
    )
    assert load_task("pseudo_cell").parse(" ", allowed=known).why == "the answer is empty"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("CD3E IL7R", "the cells are not numbered 'Cell 1:', 'Cell 2:' and so on"),
        ("Cell 1:\nCD3E.\nCell 3:\nLYZ.", "are not numbered"),
        ("Sure!\nCell 1:\nCD3E.", "are not numbered"),
        ("Cell 1:\nCD3E.", "there are 1 cells and not 2"),
        ("Cell 1:\nCD3E.\nCell 2:\nXYZ.", "cell 2: none of 1 words is a known gene"),
        ("Cell 1:\nCD3E.\nCell 2:", "cell 2: the answer is empty"),
    ],
)
def test_cells_that_cannot_be_told_apart_are_invalid(text, why):
    read = load_task("tissue_sample").parse(text, allowed=["CD3E", "LYZ"], n=2)
    assert not read.is_valid
    assert why in read.why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"Cell 1": "B cell", "Cell 2": "T c', "the JSON breaks off after 35 characters"),
        ('{"Cell 1": "B cell",', "the JSON breaks off after 20 characters"),
        ("", "the answer is empty"),
        ("Cell 1 is a B cell", "the answer is no JSON object but 'Cell 1 is a B cell'"),
        ('["B cell", "T cell"]', "the JSON is no mapping"),
        (
            '{"Cell 1": "B cell" "Cell 2": 1}',
            "the JSON is broken at character 21",
        ),
        ('{"Cell 1": "B cell", "Cell 2": "B cell"}', "'B cell' is named 2 times and not 1"),
        ('{"Cell 1": "B cell"}', "1 of 2 cells have no label, such as Cell 2"),
        ('{"Cell 1": "B cell", "cell 2": "T cell"}', "no cell 'cell 2'; the closest is 'Cell 2'"),
        ('{"Cell 1": "B cell", "Cell 3": "T cell"}', "there is no cell 'Cell 3'"),
        ('{"Cell 1": "B cell", "Cell 01": "T cell"}', "there is no cell 'Cell 01'"),
        ('{"Cell 1": "B cell", "Cell 2": "Plasma"}', "Cell 2: 'Plasma' is none of 2 labels"),
        ('{"Cell 1": "B cell", "Cell 2": null}', "Cell 2 has no label but null"),
        ('{"Cell 1": "B cell", "Cell 1": "T cell"}', "'Cell 1' is named twice"),
        ('{"Cell 1": "B cell", "Cell 2": "T cell"} Done', "the JSON is broken at character 42"),
        ("[" * 100_000, "the answer is no JSON object"),
        ('{"a":' * 100_000, "the JSON is nested too deep"),
    ],
)
def test_half_a_json_is_invalid_and_says_why(text, why):
    read = load_task("assign_labels").parse(text, allowed=["B cell", "T cell"])
    assert (read.value, read.is_valid) == (None, False)
    assert why in read.why


@pytest.mark.parametrize(
    "text",
    [
        '{"Cell 1": "T cell", "Cell 2": "B cell"}',
        '{"Cell 2": "b cell.", "Cell 1": "T cell"}',
        '```json\n{"Cell 1": "T cell", "Cell 2": "B cell"}\n```',
    ],
)
def test_an_assignment_is_read(text):
    read = load_task("assign_labels").parse(text, allowed=["B cell", "T cell"])
    assert read.value == {"Cell 1": "T cell", "Cell 2": "B cell"}
    assert list(read.value) == ["Cell 1", "Cell 2"]


def test_a_label_may_come_as_often_as_declared():
    text = '{"Cell 1": "B cell", "Cell 2": "B cell", "Cell 3": "T cell"}'
    task = load_task("assign_labels")
    assert task.parse(text, allowed={"B cell": 2, "T cell": 1}).is_valid
    read = task.parse(text, allowed={"B cell": 1, "T cell": 2})
    assert read.why == "'B cell' is named 2 times and not 1"


def test_without_a_closed_set_an_assignment_has_any_labels():
    read = PARSERS["assignment"]('{"Cell 1": "x "}', Asked())
    assert read.value == {"Cell 1": "x"}
    assert PARSERS["assignment"]("{}", Asked()).why == "no cell has a label"


@given(st.text(max_size=100), st.sampled_from(list(PARSERS)))
def test_no_answer_makes_a_parser_fail(text, name):
    read = PARSERS[name](text, Asked(("Yes", "No"), options={"each": "once", "mentions": True}))
    assert read.is_valid == (read.value is not None)
    assert read.is_valid or read.why


def test_a_very_long_answer_is_read_in_a_moment():
    for long in ("not " * 20_000 + "up", "<output>" * 20_000, "not reactive " * 2_000):
        for name in PARSERS:
            PARSERS[name](long, Asked(("up", "down"), options={"mentions": True}))


def test_free_text_is_whatever_is_not_empty():
    assert load_task("abstract").parse("  A study. ").value == "A study."
    assert load_task("abstract").parse(" \n").why == "the answer is empty"


TRUTH = ["B", "T", "T", "T"]
TOLD = ["B", "T", None, "B"]


@pytest.mark.parametrize(
    ("name", "truth", "told", "value"),
    [
        ("accuracy", TRUTH, TOLD, 2 / 4),
        ("balanced_accuracy", TRUTH, TOLD, (1 + 1 / 3) / 2),
        ("macro_f1", TRUTH, TOLD, (2 / 3 + 1 / 2) / 2),
        ("weighted_f1", TRUTH, TOLD, (2 / 3 + 3 * 1 / 2) / 4),
        ("cohen_kappa", ["T", "T", "T", "B"], ["T", "T", "B", "B"], (3 / 4 - 1 / 2) / (1 / 2)),
        ("cohen_kappa", ["T", "T"], ["T", "T"], 0.0),
        ("roc_auc", [1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], 3 / 4),
        ("gene_set_f1", [["A", "B"], ["C"]], [["B", "X"], None], (1 / 2 + 0) / 2),
        ("sample_gene_f1", [[["A"], ["B"]]], [None], 0.0),
        ("gene_order", [["A", "B", "C"]], [["C", "B", "A"]], -1.0),
        ("gene_order", [["A", "B"], ["A"], ["A"]], [None, ["A"], ["B"]], (0 + 1 - 1) / 3),
        ("assigned_share", [{"Cell 1": "B", "Cell 2": "T"}], [{"Cell 1": "B"}], 1 / 2),
        ("word_f1", ["a b", ""], ["A, c", None], (1 / 2 + 0) / 2),
    ],
)
def test_a_metric_is_what_a_hand_counts(name, truth, told, value):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.measure(truth, told) == pytest.approx(value)
    assert metric.lowest <= metric.measure(truth, told) <= metric.highest
    assert metric.best == metric.highest == 1.0


def test_answers_outside_the_set_lower_the_weighted_f1_af_31():
    truth = ["resistant", "resistant", "sensitive", "sensitive"]
    told = ["resistant", "sensitive", "sensitive", "resistan"]
    assert METRICS["accuracy"].measure(truth, told) == 0.5
    assert round(100 * METRICS["weighted_f1"].measure(truth, told), 2) == 58.33
    assert METRICS["balanced_accuracy"].measure(truth, told) == 0.5


@pytest.mark.parametrize("name", [name for name in METRICS if name != "roc_auc"])
def test_predictions_of_other_questions_are_refused(name):
    with pytest.raises(InputError, match="There are 0 true answers and 0 predictions"):
        METRICS[name].measure([], [])


def test_a_metric_or_parser_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no metric 'macrof1'; the closest is 'macro_f1'"):
        METRICS["macrof1"]
    with pytest.raises(InputError, match="no parser 'labl'; the closest is 'label'"):
        PARSERS["labl"]
