"""`celloquy corpus` from the command line."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from celloquy.apps.cli import app
from celloquy.training import Corpus
from corpora import cells

RECIPE = """[corpus]
n_top_genes = 20
[[corpus.source]]
path = "one.h5ad"
columns = { cell_type = "type", donor = "donor" }
[[corpus.task]]
name = "cell_type"
[corpus.split]
by = "donor"
test = ["d4"]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    cells(30).write_h5ad(tmp_path / "one.h5ad")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["corpus", *words])


def test_a_corpus_is_made_shown_exported_and_imported(folder):
    done = run("recipe.toml", "--out", "corpus", "--show", "2")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("--- cell_type (one.h5ad, row ") == 2
    assert "=> " in done.stdout
    assert "train: 24 examples (cell_type 24)" in done.stderr
    assert Corpus(folder / "corpus").n("test") == 6
    done = run("corpus", "--out", "there", "--export", "chat")
    assert done.exit_code == 0, done.output
    assert "train.jsonl" in done.stderr
    done = run("there", "--out", "back", "--import", "chat")
    assert done.exit_code == 0, done.output
    assert Corpus(folder / "back").n("train") == 24


def test_a_refusal_leaves_no_corpus(folder):
    (folder / "recipe.toml").write_text(RECIPE.replace("test =", "tset ="))
    done = run("recipe.toml", "--out", "corpus")
    assert done.exit_code != 0
    assert "[corpus.split] has no key 'tset'; the closest is 'test'" in str(done.exception)
    assert not (folder / "corpus").exists()
