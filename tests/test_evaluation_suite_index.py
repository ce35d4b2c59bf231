"""One page of all suites: the headline of each, and whether a language model adds anything."""

from __future__ import annotations

import json

import pytest

from celloquy.evaluation import load_suite, make_report
from celloquy.evaluation._suite_index import make_index, write_index
from suite_cells import write_suite


def result(method, query, value, *, role="baseline", lm=""):
    return {
        "method": {"name": method, "title": f"title of {method}", "role": role, "lm": lm},
        "case": {"name": query, "reference": "all", "query": query, "kind": "donors", "unit": query,
                 "seed": 0},
        "metrics": {"macro_f1": value}, "seconds": 1.0, "n_obs": 40,
        "made_of": {"precision": "fp32"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    records = [
        found
        for query, gain in (("a", 0.0), ("b", 0.1))
        for found in (
            result("default", query, 0.6 + gain, role="default"),
            result("logistic", query, 0.5 + gain),
            result("majority", query, 0.1 + gain),
            result("best", query, 0.9 + gain, role="other"),
            result("X logistic", query, 0.3 + gain, role="language model", lm="X<b>"),
        )
    ]
    suite = load_suite(write_suite(tmp_path_factory.mktemp("suite") / "small.toml"))
    with_lm = make_report(suite, records, sets=[], command="c")
    without = make_report(suite, [f for f in records if not f["method"]["lm"]], sets=[],
                          command="c")  # fmt: skip
    return make_index({"one": with_lm, "two": without}, command="celloquy benchmark all")


def test_a_line_holds_the_default_the_best_baseline_and_the_best_with_a_language_model(index):
    line = index.lines[0]
    assert (line.suite, line.kind, line.headline) == ("one", "donors", "macro-F1 ↑")
    assert line.default == "0.650 [0.600, 0.700]"
    assert line.baseline == "0.550 [0.500, 0.600] title of logistic"
    assert line.lm == "0.350 [0.300, 0.400] title of X logistic"
    assert line.answer == "X<b>: too few units to say (-0.600 [-0.600, -0.600])"


def test_a_suite_without_a_language_model_says_so(index):
    assert index.lines[1].answer == "No language model was measured."
    assert index.lines[1].lm == ""


def test_the_pages_link_to_each_suite_and_escape_names(index, tmp_path):
    paths = write_index(index, tmp_path)
    assert [path.name for path in paths] == ["report.html", "report.md", "report.json"]
    page = paths[0].read_text(encoding="utf-8")
    assert '<a href="two/report.html">two</a>' in page
    assert "X&lt;b&gt;" in page
    assert "X<b>" not in page
    assert "over 6 units or more" in page
    assert "| [one](one/report.md) | donors | macro-F1 ↑ |" in paths[1].read_text(encoding="utf-8")
    found = json.loads(paths[2].read_text())
    assert found["lines"][0]["default"] == "0.650 [0.600, 0.700]"
