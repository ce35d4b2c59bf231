"""The verb ``tasks``: listing, showing, checking and importing."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from celloquy.apps.cli import app
from celloquy.errors import InputError
from celloquy.tasks import list_tasks, load_task


def run(*words):
    return CliRunner().invoke(app, ["tasks", *map(str, words)], catch_exceptions=False)


def test_every_task_is_listed_with_what_it_asks():
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list_tasks()
    assert any(line.endswith("Name the type of a cell from its genes.") for line in lines)
    found = json.loads(run("list", "--json").stdout)
    assert [one["name"] for one in found] == list_tasks()
    assert found[0]["sha256"] == load_task(found[0]["name"]).sha256


def test_what_is_shown_is_a_file_that_can_be_used(tmp_path):
    shown = run("show", "assign_labels").stdout
    (tmp_path / "mine.yaml").write_text(shown, "utf-8")
    task = load_task(tmp_path / "mine.yaml")
    assert task.sha256 == load_task("assign_labels").sha256
    assert shown.startswith(f"# sha256 {task.sha256}\n")
    found = json.loads(run("show", "assign_labels", "--json").stdout)
    assert found["sha256"] == task.sha256
    assert found["templates"] == list(task.templates)


def test_a_users_own_file_is_checked(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(run("show", "gene_disease").stdout, "utf-8")
    said = run("validate", path).stdout
    assert said == f"{path}: fine · gene_disease · 10 templates · asks about gene, disease\n"
    assert json.loads(run("validate", path, "--json").stdout)["templates"] == 10
    path.write_text(path.read_text("utf-8").replace("{disease}", "{desease}", 1), "utf-8")
    with pytest.raises(InputError, match=r"mine\.yaml:\d+:\d+: Template 0 has the gap \{desease\}"):
        run("validate", path)


def test_files_of_another_project_are_imported(tmp_path):
    prompts = {"model_input": ["{cell_sentence}.\nType:"], "response": ["{cell_type}."]}
    (tmp_path / "types.json").write_text(json.dumps(prompts), "utf-8")
    out = tmp_path / "out"
    out.mkdir()
    said = run("import", tmp_path, "--out", out).stdout
    assert said == f"types.json (cell2sentence): 1 template → {out / 'types.yaml'}\n"
    with pytest.raises(InputError, match="exists already"):
        run("import", tmp_path, "--out", out)
    found = json.loads(run("import", tmp_path, "--out", out, "--overwrite", "--json").stdout)
    assert found[0]["form"] == "cell2sentence"
    assert load_task(out / "types.yaml").answer_text("B cell") == "B cell."


def test_a_task_that_is_not_there_is_told_with_the_closest():
    with pytest.raises(InputError, match="no task 'celltype'; the closest is 'cell_type'"):
        run("show", "celltype")
