"""``celloquy benchmark`` as a user meets it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from celloquy.apps.cli import app
from celloquy.errors import InputError
from celloquy.evaluation import known_suites
from suite_cells import LEFT_OUT, write_cells, write_suite


def ask(*words):
    return CliRunner().invoke(app, ["benchmark", *map(str, words)])


def test_suites_are_listed_with_their_titles():
    shown = ask("--list").stdout
    assert all(name in shown for name in known_suites())
    assert "Labels across studies of blood cells" in shown


def test_a_suite_and_a_folder_are_needed(tmp_path):
    found = ask("pbmc-transfer")
    assert isinstance(found.exception, InputError)
    assert "needs a suite and a folder" in str(found.exception)
    assert isinstance(ask("--out", tmp_path).exception, InputError)


def test_a_suite_is_measured_and_reported(tmp_path):
    write_cells(tmp_path)
    suite = write_suite(tmp_path / "s.toml", LEFT_OUT)
    found = ask(suite, "--data", tmp_path, "--out", tmp_path / "out")
    assert found.exception is None, found.exception
    assert "without one donor, macro-F1: Means over 3 cases. Intervals draw 3 units" in found.stdout
    assert "too few to say much" in found.stdout
    assert "majority class" in found.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["command"].startswith("celloquy benchmark ")
    assert len(report["results"]) == 6
    again = ask(suite, "--data", tmp_path, "--out", tmp_path / "out")
    assert again.stdout == found.stdout
    assert "6 done before" in again.stderr


@pytest.mark.slow
def test_the_small_form_measures_less(tmp_path):
    write_cells(tmp_path)
    suite = write_suite(tmp_path / "s.toml", LEFT_OUT + "\n[small]\nn_cells = 5\nn_groups = 2\n")
    assert ask(suite, "--small", "--data", tmp_path, "--out", tmp_path / "out").exception is None
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {row["n_obs"] for row in report["results"]} <= {3, 4, 5}
    assert len(report["results"]) == 4
    assert "--small" in report["command"]


def test_all_suites_are_looked_for_before_anything_is_measured(tmp_path):
    (tmp_path / "cells").mkdir()
    found = ask("all", "--small", "--data", tmp_path, "--out", tmp_path / "out")
    assert isinstance(found.exception, InputError)
    assert "are not there" in str(found.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.data
@pytest.mark.slow
def test_the_small_form_of_every_suite_is_measured_and_one_page_says_what_was_found(
    data_folder, tmp_path
):
    found = ask("all", "--small", "--data", data_folder, "--out", tmp_path)
    assert found.exception is None, found.exception
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["command"] == "celloquy benchmark all --data FOLDER --out RESULTS --small"
    assert sorted({line["suite"] for line in report["lines"]}) == known_suites()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for name in known_suites():
        assert f'href="{name}/report.html"' in page
        assert (tmp_path / name / "report.html").exists()


@pytest.mark.slow
def test_a_language_model_is_measured_as_an_encoder(tmp_path):
    write_cells(tmp_path)
    suite = write_suite(tmp_path / "s.toml", LEFT_OUT.replace("n_cells = 15", "n_cells = 5"))
    found = ask(suite, "--data", tmp_path, "--out", tmp_path / "out", "--lm", "st:minilm")
    assert found.exception is None, found.exception
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {row["lm"] for row in report["results"]} == {"", "st:minilm"}
    assert report["language_models"][0]["lm"] == "st:minilm"
