"""A decoder as the language model of a suite: it is embedded, and it is asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from celloquy.apps.cli import app
from suite_cells import LEFT_OUT, write_cells, write_suite
from suite_cells import SUITE as PAIRS

pytestmark = pytest.mark.slow

SUITE = LEFT_OUT.replace(
    "n_cells = 15",
    'n_cells = 4\nn_groups = 2\nn_top_genes = 5\ntask = "cell_type"\nlm_methods = ["1-nn"]',
)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    from decoder_models import write_decoder

    folder = tmp_path_factory.mktemp("data")
    write_cells(folder)
    lm = write_decoder(folder / "tiny-decoder")
    suite = write_suite(folder / "s.toml", SUITE)
    words = ["benchmark", str(suite), "--data", str(folder), "--out", str(folder / "out"),
             "--lm", f"hf:{lm}"]  # fmt: skip
    found = CliRunner().invoke(app, words)
    assert found.exception is None, found.exception
    return folder / "out"


def test_a_decoder_is_embedded_and_asked_on_every_case(out):
    report = json.loads((out / "report.json").read_text())
    of_lm = {(row["title"], row["query"]) for row in report["results"] if row["lm"]}
    assert of_lm == {
        (f"tiny-decoder, {head}", donor)
        for head in ("1-NN (CELLama's flow)", "asked, no reference")
        for donor in "ab"
    }
    answer = report["language_models"][0]
    assert answer["over_best"]["first"].startswith("tiny-decoder, ")
    assert answer["over_best"]["n_cases"] == 2


def test_what_a_decoder_was_asked_is_a_probability_of_each_label(out):
    records = [json.loads(path.read_text()) for path in (out / "cells").glob("*.json")]
    asked = [found for found in records if found["method"]["head"] == "asked, no reference"]
    assert len(asked) == 2
    for found in asked:
        scores = np.array(found["score"])
        assert (scores >= np.round(1 / len(found["labels"]), 4) - 1e-4).all()  # the largest of them
        assert (scores <= 1).all()
        assert len(set(scores.tolist())) > 1  # each cell was read


def test_a_model_is_not_judged_on_a_study_that_it_learned_from(tmp_path):
    from celloquy.lm import CellReading
    from decoder_models import write_decoder

    folder = tmp_path
    write_cells(folder)
    lm = write_decoder(folder / "taught-decoder")
    CellReading(n_top_genes=5, about={"sources": "two.h5ad, three.h5ad"}).write(lm)
    more = 'lm_methods = ["1-nn"]\n\n[small]'
    text = PAIRS.replace("seeds = [0, 1]", "seeds = [0]").replace("n_cells = 60", "n_cells = 12")
    suite = write_suite(folder / "s.toml", text.replace("[small]", more, 1))
    words = ["benchmark", str(suite), "--data", str(folder), "--out", str(folder / "out"),
             "--lm", f"hf:{lm}"]  # fmt: skip
    with pytest.warns(UserWarning, match="learned from the study that 2 cases judge: they are"):
        found = CliRunner().invoke(app, words)
    assert found.exception is None, found.exception
    report = json.loads((folder / "out" / "report.json").read_text())
    assert {row["query"] for row in report["results"] if row["lm"]} == {"one"}
    assert {row["query"] for row in report["results"]} == {"one", "two", "two again"}
