"""What cannot be predicted is refused before anything is asked, with the way out."""

from __future__ import annotations

import pytest

from asked_cells import ask, rule_model
from celloquy.errors import BackendError, InputError
from celloquy.io import write_h5ad
from celloquy.lm import ScriptedModel
from celloquy.roles import PredictOptions
from labelled_cells import labelled_cells


@pytest.fixture
def adata():
    return labelled_cells(10, seed=2)


@pytest.fixture
def path(adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.mark.parametrize(
    ("task", "message", "hint"),
    [
        ("cell_typ", "no task 'cell_typ'; the closest is 'cell_type'", "choose one of"),
        ("perturbation_response", "answered with genes, and `predict`", "celloquy generate"),
        ("abstract", "answered with text", "celloquy generate"),
        ("gene_property", "asks about no cell", "tasks show"),
        ("multicell_tissue", "asks about several cells", "--group-by"),
    ],
)
def test_a_task_that_cannot_be_predicted_is_refused(adata, task, message, hint):
    with pytest.raises(InputError, match=message) as refusal:
        ask(adata, task)
    assert hint in refusal.value.hint


def test_a_task_about_one_cell_takes_no_groups(adata):
    with pytest.raises(InputError, match="asks about one cell, and `group_by`"):
        ask(adata, options={"group_by": "cell_type"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": {"organsm": "human"}}, "no input 'organsm'; the closest is 'organism'"),
        ({"fields": {"cell_sentence": "A B"}}, "'cell_sentence' .* is the cells themselves"),
        ({"obs_fields": {"organism": "speces"}}, "no column 'speces'; the closest is 'species'"),
        ({"template": 99}, "has templates 0 to"),
    ],
)
def test_inputs_that_the_task_does_not_have_are_refused_before_anything_is_asked(
    adata, options, message
):
    adata.obs["species"] = "human"
    lm = rule_model()
    with pytest.raises(InputError, match=message):
        ask(adata, lm=lm, options=options)
    assert lm.n_asked == 0


def test_an_input_without_a_value_is_asked_for(adata):
    with pytest.raises(InputError, match="needs a value for 'drug'") as refusal:
        ask(adata, "drug_sensitivity", labels=None)
    assert "--set drug=" in refusal.value.hint


def test_a_task_without_labels_asks_for_them(adata):
    with pytest.raises(InputError, match="'cell_type' has no labels of its own, and neither has"):
        ask(adata, labels=None)
    with pytest.raises(InputError, match="The task has no label 'B'"):
        ask(adata, "drug_sensitivity", options={"fields": {"drug": "x"}})


def test_a_model_that_cannot_score_is_refused(adata):
    lm = ScriptedModel(capabilities=["embed"])
    with pytest.raises(InputError, match="cannot score answers; it can embed"):
        ask(adata, lm=lm)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_top_genes": 0}, "`n_top_genes` must be at least 1"),
        ({"min_score": 1.5}, "`min_score` is a probability"),
        ({"fields": {"a": "1"}, "obs_fields": ["a"]}, "one value for all cells, and a column"),
        ({"best_only": True, "probabilities": True}, "`best_only` gives no probabilities"),
    ],
)
def test_options_that_contradict_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        PredictOptions(**options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no table of parents"),
        ("child\tparents\na\tb\n", "no column 'parent'; the closest is 'parents'"),
        ("child\tparent\na\t\n", "Line 2 of 'parents.tsv' has no parent"),
        ("child\tparent\nB\tx\nx\tB\n", "in a circle"),
        ("a\tb\nc\td\te\tf\n", "no tab-separated table|no column 'child'"),
    ],
)
def test_a_table_of_parents_that_is_none_is_refused(adata, text, message, tmp_path):
    if text is not None:
        (tmp_path / "parents.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        ask(adata, options={"parents": tmp_path / "parents.tsv"})


def test_what_exists_is_not_written_over(adata, path, tmp_path):
    ask(adata)
    lm = rule_model()
    with pytest.raises(InputError, match="`obs` has 'cell_type_celloquy' already"):
        ask(adata, lm=lm)
    assert lm.n_asked == 0
    (tmp_path / "out.h5ad").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        ask(path, lm=lm, out=tmp_path / "out.h5ad")
    assert lm.n_asked == 0


def test_a_failure_of_the_model_names_the_cell(adata):
    class Failing(ScriptedModel):
        def score(self, prompts, answers, **options):
            message = "Row 12: the server gave up"
            raise BackendError(message, hint="wait.", retryable=True)

    with pytest.raises(BackendError, match="Cell 'cell2-12': the server") as failure:
        ask(adata, lm=Failing())
    assert failure.value.hint == "wait."
    assert failure.value.retryable
