from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from celloquy.apps.cli import app
from celloquy.errors import InputError
from training_runs import write_setting

READY = ("--vllm-ready", "--gguf-ready")


def call(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_presets_are_listed_and_shown_with_their_command():
    assert "c2s" in call("train", "--presets").stdout.splitlines()
    assert (
        "# Command: celloquy train recipe.toml --out run/" in call("train", "--show", "c2s").stdout
    )


def test_a_run_needs_a_recipe_and_a_folder():
    with pytest.raises(InputError, match="A run needs a recipe and a folder"):
        raise call("train").exception


@pytest.mark.slow
def test_a_recipe_is_trained_and_merged_into_a_model_that_is_asked(tmp_path):
    more = "optimiser = { learning_rate = 3e-3, batch_size = 8, epochs = 1 }\n"
    recipe = write_setting(tmp_path, more=more, n=16)
    done = call("train", recipe, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"2 steps; the model is in {tmp_path / 'run' / 'model'}")
    assert "macro_f1 of cell_type" in done.stdout
    again = call("train", recipe, "--out", tmp_path / "run", "--json")
    assert json.loads(again.stdout)["steps"] == 2
    merged = call("merge", tmp_path / "run", "--out", tmp_path / "model", *READY)
    assert merged.exit_code == 0, merged.output
    told = call("lm", "show", f"hf:{tmp_path / 'model'}")
    assert "generate, score" in told.stdout


@pytest.mark.slow
def test_a_model_that_a_server_does_not_know_is_refused_and_nothing_is_left(tmp_path):
    more = "optimiser = { learning_rate = 3e-3, batch_size = 8, epochs = 1 }\n"
    recipe = write_setting(tmp_path, family="t5", more=more, n=8)
    assert call("train", recipe, "--out", tmp_path / "run").exit_code == 0
    with pytest.raises(InputError, match="vLLM is not known to read 'T5ForConditionalGeneration'"):
        raise call("merge", tmp_path / "run", "--out", tmp_path / "model", *READY).exception
    assert not (tmp_path / "model").exists()
    merged = call("merge", tmp_path / "run", "--out", tmp_path / "model", "--gguf-ready")
    assert merged.exit_code == 0, merged.output


@pytest.mark.slow
def test_of_several_processes_the_first_tells_the_end(tmp_path, monkeypatch):
    more = "optimiser = { batch_size = 8, epochs = 1 }\n"
    recipe = write_setting(tmp_path, more=more, n=8)
    call("train", recipe, "--out", tmp_path / "run")
    monkeypatch.setenv("RANK", "1")
    assert call("train", recipe, "--out", tmp_path / "run").stdout == ""
