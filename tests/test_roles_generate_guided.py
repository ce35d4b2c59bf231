"""Guided cells: drawn away from a cell of any type, as the user or the model says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from celloquy.errors import InputError
from celloquy.lm import load_lm
from celloquy.roles import GenerateOptions, generate, plan_generation
from celloquy.tasks import load_task, write_task
from decoder_models import write_decoder
from generating import LINE, OPTIONS, made, says
from labelled_cells import TYPES
from mini_folder import write_mini


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return load_lm(f"hf:{write_decoder(tmp_path_factory.mktemp('lm'), family='gpt2')}")


def test_cells_at_guidance_scale_0_are_those_of_the_contrast(lm):
    plain = made(lm, "random_cell", {}, n=4)
    guided = made(lm, n=4, guidance_scale=0)
    assert list(guided.obs["answer"]) == list(plain.obs["answer"])
    assert list(made(lm, n=4, guidance_scale=50).obs["answer"]) != list(plain.obs["answer"])


def test_guidance_is_recorded_and_keeps_to_different_genes(lm):
    cells = made(lm, n=3, guidance_scale=2.5)
    assert cells.uns["celloquy_generate"]["limits"]["guidance_scale"] == 2.5
    assert set(cells.obs["n_genes_named"]) == {6}
    assert "guidance_scale" not in made(lm, n=1).uns["celloquy_generate"]["limits"]
    assert list(made(lm, n=2, guidance_scale=1).obs["answer"]) == list(made(lm, n=2).obs["answer"])


def test_the_surest_of_several_guided_cells_is_kept(lm):
    fields = {"cell_type": ["B cell", "T cell"]}
    two = made(lm, fields=fields, guidance_scale=2.0, n_candidates=2)
    six = made(lm, fields=fields, guidance_scale=2.0, n_candidates=6)
    assert (six.obs["p_asked"] >= two.obs["p_asked"]).all()
    assert six.obs["p_asked"].sum() > two.obs["p_asked"].sum()


def test_a_dry_run_shows_what_cells_are_guided_away_from(lm):
    options = GenerateOptions(guidance_scale=2.0, **OPTIONS)
    told = plan_generation("pseudo_cell", {"cell_type": "B cell"}, lm=lm, options=options)
    own, other = told.split("guided (scale 2) away from:")
    assert "B cell" in own
    assert "of any type" in other
    assert "B cell" not in other


def test_a_task_without_a_contrast_cannot_be_guided(lm):
    with pytest.raises(InputError, match="'random_cell' names no contrast, so that its cells"):
        made(lm, "random_cell", {}, guidance_scale=2.0)


def with_contrast(folder, contrast):
    """Give the file of a task like `pseudo_cell` that names another contrast."""
    path = folder / "mine.yaml"
    write_task(replace(load_task("pseudo_cell"), contrast=contrast), path)
    return path


@pytest.mark.parametrize(
    ("contrast", "message"),
    [
        ("random_cel", r"'random_cel' of task 'pseudo_cell' cannot be read: There is no task"),
        ("other.yaml", r"'other.yaml' of task 'pseudo_cell' cannot be read: There is no file"),
        ("pseudo_cell", r"'pseudo_cell' of task 'pseudo_cell' asks in the same words"),
        (
            "cell_type",
            r"'cell_type' of task 'pseudo_cell' is answered with a label, and not with genes",
        ),
        ("perturbation_response", r"needs a value for 'cell_sentence', which is no input"),
    ],
)
def test_a_contrast_that_cannot_be_asked_is_refused(lm, tmp_path, contrast, message):
    with pytest.raises(InputError, match=message):
        made(lm, with_contrast(tmp_path, contrast), guidance_scale=2.0)


def test_a_contrast_is_found_beside_its_task_and_another_one_is_another_run(lm, tmp_path):
    whole = load_task("random_cell")
    write_task(whole, tmp_path / "other.yaml")
    task = with_contrast(tmp_path, "other.yaml")
    cells = made(lm, task, guidance_scale=2.0)
    said = {"name": "random_cell", "sha256": whole.sha256, "template": 0}
    assert cells.uns["celloquy_generate"]["contrast"] == said
    write_task(replace(whole, note="changed"), tmp_path / "other.yaml", overwrite=True)
    other = made(lm, task, guidance_scale=2.0).uns["celloquy_generate"]
    assert other["contrast"]["sha256"] != said["sha256"]
    assert other["task"] == cells.uns["celloquy_generate"]["task"]


def test_a_rule_cannot_be_guided_and_a_dry_run_says_so():
    with pytest.raises(InputError, match=r"'fake:rule' cannot be guided .`guidance_scale=2`"):
        made(says("CD3E"), guidance_scale=2.0)
    options = GenerateOptions(guidance_scale=2.0, **OPTIONS)
    with pytest.raises(InputError, match="'fake:rule' cannot be guided"):
        plan_generation("pseudo_cell", {"cell_type": "B"}, lm=says("CD3E"), options=options)


def test_a_model_says_how_its_cells_are_drawn_and_the_user_wins(tmp_path):
    drawing = {"pseudo_cell": {"temperature": 0.5, "guidance_scale": 2.0}}
    told = {"cell_type": 0, "pseudo_cell": 0, "random_cell": 0}
    mini = load_lm(f"hf:{write_mini(tmp_path / 'm', drawing=drawing, templates=told)}")
    limits = {"guidance_scale": 2.0, "temperature": 0.5}
    fields = {"cell_type": TYPES[0], "organism": "human"}
    curve = {"rank_curve": LINE}
    as_told = generate("pseudo_cell", fields, n=2, lm=mini, options=GenerateOptions(**curve))
    assert limits.items() <= as_told.uns["celloquy_generate"]["limits"].items()
    same = generate("pseudo_cell", fields, n=2, lm=mini, options=GenerateOptions(**limits, **curve))
    assert list(same.obs["answer"]) == list(as_told.obs["answer"])
    alone = GenerateOptions(guidance_scale=1.0, temperature=1.0, **curve)
    own = generate("pseudo_cell", fields, n=2, lm=mini, options=alone)
    assert own.uns["celloquy_generate"]["limits"]["temperature"] == 1.0
    assert "guidance_scale" not in own.uns["celloquy_generate"]["limits"]


def test_a_model_that_was_never_taught_the_contrast_is_told(tmp_path):
    mini = load_lm(f"hf:{write_mini(tmp_path / 'm')}")
    fields = {"cell_type": TYPES[0], "organism": "human"}
    options = GenerateOptions(guidance_scale=2.0, rank_curve=LINE)
    with pytest.warns(UserWarning, match="never taught the task 'random_cell', which guides"):
        generate("pseudo_cell", fields, n=1, lm=mini, options=options)
