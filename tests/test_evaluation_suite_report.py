"""What a suite's report says: means, intervals, differences, and a page that stands alone."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from celloquy.evaluation import load_suite, make_report, write_report
from celloquy.evaluation._report_axis import axis_of
from celloquy.evaluation._suite_answers import what_lms_add
from celloquy.evaluation._suite_job import Metric
from celloquy.evaluation._suite_labels import LabelsJob
from celloquy.evaluation._suite_perturbation import PerturbationJob
from celloquy.evaluation._suite_summary import Results, result_table, unit_interval
from suite_cells import write_suite


def result(method, case, macro_f1, *, role="baseline", lm="", unit="u", seed=0):
    """Make a result by hand: four cells, of which the last is wrong."""
    reference, query = case
    return {
        "method": {"name": method, "title": f"title of {method}", "role": role, "lm": lm},
        "case": {"name": f"{reference} to {query}, seed {seed}", "reference": reference,
                 "query": query, "kind": "independent studies", "unit": unit, "seed": seed},
        "metrics": {"macro_f1": macro_f1, "accuracy": 0.75, "balanced_accuracy": 0.75,
                    "cohen_kappa": 0.5, "coverage": 1.0, "accuracy_answered": None,
                    "calibration_error": 0.1},
        "seconds": 1.0, "n_obs": 4, "n_left_out": 2, "too_few": {"NK": 3},
        "labels": ["B", "T"], "truth": [0, 0, 1, 1],
        "prediction": [0, 0, 1, 0], "score": [0.9, 0.9, 0.9, 0.6],
        "made_of": {"precision": "fp32"},
    }  # fmt: skip


def table_of(records, metrics=LabelsJob.metrics):
    return Results(result_table(records, metrics), metrics)


CASES = [("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")]


def results(method, values, **settings):
    """Make one result a value, each on a unit of its own."""
    return [result(method, case, value, unit=" to ".join(case), **settings)
            for case, value in zip(CASES[: len(values)], values, strict=True)]  # fmt: skip


def test_a_mean_is_over_cases_and_its_interval_over_units():
    rows = table_of(results("logistic", [0.2, 0.5, 0.8])).summary()
    assert rows["macro_f1"].tolist() == pytest.approx([0.5])
    assert rows["n_units"].tolist() == [3]
    assert rows["low"].item() == pytest.approx(0.2, abs=0.11)
    assert rows["high"].item() == pytest.approx(0.8, abs=0.11)


def test_draws_are_averaged_first_and_their_spread_is_told():
    records = results("logistic", [0.2, 0.4, 0.6]) + results("logistic", [0.4, 0.6, 0.8], seed=1)
    rows = table_of(records).summary()
    assert rows["macro_f1"].item() == pytest.approx(0.5)
    assert rows["sd"].item() == pytest.approx(np.std([0.4, 0.6], ddof=1))
    assert (rows["n_cases"].item(), rows["n_draws"].item()) == (3, 2)


def test_a_unit_comes_with_all_its_cases():
    # the first unit has three cases of 0, the other one of 1: resamples are 0, 1/4 or 1
    values, units = np.array([0, 0, 0, 1.0]), ["a", "a", "a", "b"]
    assert str(unit_interval(values, units)) == "[0.000, 1.000]"
    assert unit_interval(values, ["a"] * 4) is None


def test_the_best_method_comes_first():
    records = results("low", [0.1, 0.1, 0.1]) + results("high", [0.9, 0.9, 0.9])
    assert table_of(records).summary()["method"].tolist() == ["high", "low"]


def test_a_difference_is_taken_on_the_cases_that_both_were_measured_on():
    records = results("one", [0.5, 0.6, 0.7])[:2] + results("other", [0.4, 0.7, 0.1])
    found = table_of(records).difference("one", "other", kind="independent studies")
    assert found.difference == pytest.approx(0.0)
    assert (found.n_cases, found.n_better, found.n_units, found.n_units_better) == (2, 1, 2, 1)
    assert found.verdict == "too few"
    assert table_of(records).difference("one", "none", kind="independent studies") is None


@pytest.mark.parametrize(
    ("gaps", "begins", "short"),
    [
        # all of six units on one side: 2 of 64 choices of signs are as extreme, p = 0.031
        ([0.1, 0.2, 0.3, 0.15, 0.25, 0.35], "It adds: ", "adds ("),
        ([-0.1, -0.2, -0.3, -0.15, -0.25, -0.35], "It adds nothing: ", "adds nothing ("),
        # the interval leaves out 0, but 4 of 64 are as extreme, p = 0.062
        ([-0.01, 0.2, 0.3, 0.15, 0.25, 0.35], "No difference is shown: ", "no difference is shown"),
        ([0.01, -0.2, -0.3, -0.15, -0.25, -0.35], "No difference is shown: ", "no difference"),
        ([0.3, -0.3, 0.2, -0.25, 0.1, -0.05], "No difference is shown: ", "no difference is shown"),
        # of five units p cannot be below 2 / 32
        ([0.1, 0.2, 0.3, 0.15, 0.25], "Too few units to say: ", "too few units to say ("),
        ([-0.1, -0.2, -0.3, -0.15, -0.25], "Too few units to say: ", "too few units to say ("),
    ],
)
def test_whether_a_language_model_adds_anything_follows_from_interval_p_and_units(
    gaps, begins, short
):
    of_lm = [0.5 + gap for gap in gaps]
    records = [
        *results("logistic", [0.5] * len(gaps)),
        *results("majority", [0.1] * len(gaps)),
        *results("X logistic", of_lm, role="language model", lm="X"),
        *results("X shuffled", [0.01] * len(gaps), role="control", lm="X"),
    ]
    answer = what_lms_add(table_of(records), LabelsJob)[0]
    assert answer.sentences()[0].startswith(begins)
    assert answer.short.startswith(short)
    assert answer.over_best.second == "title of logistic"
    assert answer.more["order"][1].difference == pytest.approx(np.mean(of_lm) - 0.01)
    assert "names" not in answer.more


GAINS = [0.1, 0.2, 0.3, 0.15, 0.25, 0.35]


@pytest.mark.parametrize("control", ["shuffled", "renamed"])
def test_what_its_own_control_does_as_well_is_not_what_a_language_model_adds(control):
    of_lm = [0.5 + gain for gain in GAINS]
    as_well = [value + gap for value, gap in zip(of_lm, [0, 0.1, -0.1, 0.05, -0.2, 0], strict=True)]
    worse = {"shuffled": [0.3] * 6, "renamed": [0.3] * 6, control: as_well}
    records = [
        *results("default", [0.5] * 6, role="default"),
        *results("X logistic", of_lm, role="language model", lm="X"),
        *results("X with-default", [value + 0.01 for value in of_lm], role="language model",
                 lm="X"),
        *results("X shuffled", worse["shuffled"], role="control", lm="X"),
        *results("X renamed", worse["renamed"], role="control", lm="X"),
    ]  # fmt: skip
    answer = what_lms_add(table_of(records), LabelsJob)[0]
    assert (answer.over_best.verdict, answer.verdict) == ("ahead", "control")
    assert answer.controls == ("order", "names")
    assert answer.sentences()[0].startswith("It is ahead, but not shown to be ahead of its own con")
    assert answer.short.startswith("ahead, but not shown to be ahead of its own control (+0.2")
    assert answer.to_dict()["verdict"] == "control"


def test_a_control_speaks_for_the_methods_that_read_the_same():
    records = [
        *results("mean", [0.5] * 6),
        *results("X ridge", [0.5 + gain for gain in GAINS], role="language model", lm="X"),
        *results("X shuffled", [0.5] * 6, role="control", lm="X"),
        *results("X summaries-ridge", [0.5] * 6, role="language model", lm="X"),
        *results("X summaries-shuffled", [0.5] * 6, role="control", lm="X"),
    ]
    answer = what_lms_add(table_of(records), PerturbationJob)[0]
    assert (answer.verdict, answer.controls) == ("ahead", ("names",))
    assert answer.more["paragraphs"][1].difference == 0


def test_a_model_whose_controls_were_not_measured_says_so():
    records = [
        *results("logistic", [0.5] * 6),
        *results("shuffled", [0.9] * 6, role="control"),  # of co-expression, not of the model
        *results("X ridge", [0.5 + gain for gain in GAINS], role="language model", lm="X"),
    ]
    answer = what_lms_add(table_of(records), PerturbationJob)[0]
    assert (answer.verdict, answer.controls, answer.more) == ("ahead", (), {})
    assert answer.sentences()[-1].startswith("No control of its own was measured")


def test_a_difference_has_as_many_digits_as_its_metric():
    metrics = (Metric("macro_f1", "cells a second", digits=0),)
    records = results("one", [2000.4, 2100, 2200]) + results("other", [1000.0, 1100, 1200])
    gap = table_of(records, metrics).difference("one", "other", kind="independent studies")
    assert gap.short == "+1000 [1000, 1000]"


LOW = (Metric("error", "error", "low"), Metric("macro_f1", "macro-F1"))


def with_errors(records):
    for found in records:
        found["metrics"]["error"] = 1 - found["metrics"]["macro_f1"]
    return records


def test_where_low_is_better_the_lowest_comes_first_and_is_ahead():
    records = with_errors([
        *results("good", [0.9, 0.8, 0.9, 0.9, 0.8, 0.9]),
        *results("bad", [0.1, 0.2, 0.2, 0.1, 0.2, 0.2]),
        *results("X embedding", [0.3] * 6, role="language model", lm="X"),
    ])  # fmt: skip
    found = table_of(records, LOW)
    assert found.summary()["method"].tolist() == ["good", "X embedding", "bad"]
    gap = found.difference("good", "bad", kind="independent studies")
    assert gap.difference == pytest.approx(-0.7)
    assert (gap.verdict, gap.n_better, gap.n_units_better) == ("ahead", 6, 6)
    assert found.difference("bad", "good", kind="independent studies").verdict == "behind"
    answer = what_lms_add(found, LabelsJob)[0]
    assert answer.over_best.second == "title of good"
    assert answer.sentences()[0].startswith("It adds nothing")


def test_the_headline_of_a_kind_is_the_first_metric_that_has_a_number_there():
    records = results("one", [0.2, 0.3, 0.4])
    found = table_of(records, LOW)  # none of them has an error
    assert found.headline("independent studies").name == "macro_f1"
    assert found.summary()["headline"].tolist() == ["macro_f1"]


def test_a_paired_test_over_units_stands_beside_the_difference():
    records = [
        *results("default", [0.7, 0.8, 0.9], role="default"),
        *results("logistic", [0.6, 0.6, 0.6]),
    ]
    rows = table_of(records).summary().set_index("method")
    # all of three units are lower: 2 of the 8 choices of signs are as extreme
    assert rows.loc["logistic", "wilcoxon_p"] == 0.25
    assert np.isnan(rows.loc["default", "wilcoxon_p"])
    assert rows.loc["logistic", "against_default"].startswith("-0.200 [")


def test_a_ceiling_and_a_control_never_stand_for_the_best_without_a_language_model():
    records = [
        *results("halves", [0.9, 0.9, 0.9], role="ceiling"),
        *results("noise", [0.8, 0.8, 0.8], role="control"),
        *results("mean", [0.5, 0.5, 0.5]),
        *results("X vectors", [0.6, 0.7, 0.6], role="language model", lm="X"),
    ]
    answer = what_lms_add(table_of(records), LabelsJob)[0]
    assert answer.over_best.second == "title of mean"


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 0.4, np.nan], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ([-0.3, 0.9], (-0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ([0.0, 3.0], (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)),
        ([2.0, 3000.0], (1.0, 10.0, 100.0, 1000.0, 10000.0)),
        ([np.nan], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ([-2.0, -2.0], (-2.0, -1.5, -1.0, -0.5, 0.0)),
    ],
)
def test_an_axis_holds_all_numbers_and_writes_few(values, ticks):
    axis = axis_of(values)
    assert axis.ticks == pytest.approx(ticks)
    assert axis.place(axis.ticks[0]) == 0
    assert axis.place(axis.ticks[-1]) == pytest.approx(1)


def test_one_unit_gives_no_answer():
    records = [
        *results("logistic", [0.5, 0.5, 0.6])[:1],
        *results("X logistic", [0.8, 0.8, 0.9], role="language model", lm="X")[:1],
    ]
    answer = what_lms_add(table_of(records), LabelsJob)[0]
    assert answer.over_best.verdict == "untold"
    assert "no interval, and so no answer" in answer.sentences()[0]


@pytest.fixture
def report(tmp_path):
    records = [
        *results("default", [0.7, 0.8, 0.6], role="default"),
        *results("logistic", [0.5, 0.5, 0.6]),
        *results("X logistic", [0.6, 0.6, 0.5], role="language model", lm="X<b>"),
    ]
    suite = load_suite(write_suite(tmp_path / "small.toml"))
    sets = [{"name": "one", "study": "first", "origin": "<i>nowhere</i>", "sha256": "0" * 64}]
    return make_report(suite, records, sets=sets, command="celloquy benchmark small")


class _Reader(HTMLParser):
    """Checks that tags close in their order, and notes what would be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.tables = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in {"src", "href"}]
        self.tables += tag == "table"
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_fetches_nothing_and_escapes_names(report, tmp_path):
    paths = write_report(report, tmp_path)
    assert [path.name for path in paths] == ["report.html", "report.md", "report.json"]
    page = paths[0].read_text(encoding="utf-8")
    reader = _Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.fetched == []
    assert reader.tables >= 6
    assert set(re.findall(r"https?://[^\"' <]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert "Labels &lt;of&gt; small cells" in page
    assert "<i>nowhere</i>" not in page
    assert "X&lt;b&gt;" in page
    assert "Does the language model add anything?" in page
    assert "over 6 units or more" in page


def test_the_markdown_holds_every_method_and_case(report):
    text = str(report)
    assert "| **title of default** | 0.700 |" in text
    assert "| a | b | 0.700 | 0.600 | 0.500 |" in text
    assert "- Too few units to say: its best method (title of X logistic)" in text
    assert '"It adds" is said only where, over 6 units or more' in text
    assert "With 5 units p cannot be below 0.062" in text


def test_the_json_is_strict_and_holds_no_nan(report, tmp_path):
    write_report(report, tmp_path)

    def refuse(name):
        raise AssertionError(name)

    found = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert len(found["results"]) == 9
    assert found["language_models"][0]["over_best"]["verdict"] == "too few"
    per_label = found["details"]["independent studies"][0]["per_label"]
    # of 6 T cells 3 are called B: recall 1/2; all 6 B are found among 9 called B: precision 2/3
    assert per_label[0]["precision"] == pytest.approx(2 / 3)
    assert per_label[1]["recall"] == pytest.approx(1 / 2)
