"""Corpora that cannot be made: each refusal says what was found and what to do."""

from __future__ import annotations

import numpy as np
import pytest

from celloquy.errors import InputError
from celloquy.training import build_corpus, make_corpus_recipe
from corpora import cells, recipe, source


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "one.h5ad"
    cells().write_h5ad(path)
    return path


def refused(asked, tmp_path, message):
    with pytest.raises(InputError, match=message) as refusal:
        build_corpus(asked, tmp_path / "out")
    assert not (tmp_path / "out" / "corpus.json").exists()
    return refusal.value.hint


def test_a_word_from_the_answers_own_column_is_refused(file, tmp_path):
    part = source(file)
    part["columns"] = {"cell_type": "type", "tissue": "type"}
    hint = refused(
        recipe([part], ["cell_type_choice"]),
        tmp_path,
        r"'cell_type_choice' would be told its answer: 'tissue' and 'cell_type' of 'one.h5ad' are "
        r"the same column 'type'",
    )
    assert hint == "leave 'tissue' out of the source's `columns`."


def test_a_word_that_says_the_label_is_refused(tmp_path):
    adata = cells(30)
    adata.obs["site"] = [f"sorted {label}s of blood" for label in adata.obs["type"]]
    adata.obs["site"] = adata.obs["site"].str.replace("cells", "cell")
    adata.write_h5ad(tmp_path / "a.h5ad")
    part = source(tmp_path / "a.h5ad")
    part["columns"] = {"cell_type": "type", "tissue": "site"}
    refused(
        recipe([part], ["cell_type_choice"]),
        tmp_path,
        r"would be told its answer: of 10 cells of 'a.h5ad' 'cell_type' is 'B cell', and 'tissue' "
        r"says 'sorted B cell of blood'",
    )


def test_a_split_with_too_few_groups_is_refused(file, tmp_path):
    refused(
        recipe([source(file)], ["cell_type"], split={"test": 0.1}),
        tmp_path,
        r"1 of study \('one'\) cannot be dealt to 2 parts",
    )


def test_a_group_that_no_cell_is_of_is_refused(file, tmp_path):
    hint = refused(
        recipe([source(file)], ["cell_type"], split={"by": "donor", "test": ["d44"]}),
        tmp_path,
        r"`corpus.split.test` names the donor 'd44', and no cell is of it; the closest is 'd4'",
    )
    assert "d0, d1, d2, d3, d4" in hint


def test_a_split_that_leaves_nothing_to_train_on_is_refused(file, tmp_path):
    refused(
        recipe([source(file)], ["cell_type"], split={"test": ["one"]}),
        tmp_path,
        r"Every study is held out",
    )


def test_a_split_by_a_word_that_a_source_lacks_is_refused(file, tmp_path):
    refused(
        recipe([source(file)], ["cell_type"], split={"by": "donors", "test": 0.1}),
        tmp_path,
        r"split by 'donors', and 'one.h5ad' has no such word; the closest is 'donor'",
    )


def test_names_of_groups_do_not_fit_a_split_by_cell(file, tmp_path):
    refused(
        recipe([source(file)], ["cell_type"], split={"by": "cell", "test": ["a"]}),
        tmp_path,
        r"A split by cell takes shares, and `validation` or `test` names groups",
    )


def test_cells_of_one_name_and_study_in_two_parts_are_refused_or_reported(file, tmp_path):
    again = cells()
    again.obs["donor"] = again.obs["donor"].cat.rename_categories(lambda name: f"other {name}")
    again.write_h5ad(tmp_path / "two.h5ad")
    parts = [source(file, study="s"), source(tmp_path / "two.h5ad", study="s")]
    split = {"by": "donor", "test": ["other d0"]}
    refused(
        recipe(parts, ["cell_type"], split=split),
        tmp_path,
        r"The split by donor leaks: 18 cells of one name and study are in train and in test",
    )
    told = build_corpus(
        recipe(parts, ["cell_type"], split={**split, "leaks": "report"}), tmp_path / "told"
    )
    assert told.record["n_shared_names"] == {"train and test": 18}
    by_cell = build_corpus(
        recipe(parts, ["cell_type"], split={"by": "cell", "test": 0.3}), tmp_path / "cell"
    )
    train = {e.row for e in by_cell.examples("train")}
    assert not train & {e.row for e in by_cell.examples("test")}  # a cell keeps its part in both


def test_the_same_sentence_in_two_parts_is_refused_whatever_the_cells_are_called(tmp_path):
    adata = cells(40)
    rng = np.random.default_rng(0)
    wide = np.concatenate([adata.X, rng.poisson(2.0, (40, 140)).astype(np.float32)], axis=1)
    import anndata as ad
    import pandas as pd

    one = ad.AnnData(wide, adata.obs, pd.DataFrame(index=[f"GENE{i}" for i in range(200)]))
    one.write_h5ad(tmp_path / "a.h5ad")
    one.obs_names = [f"renamed {name}" for name in one.obs_names]
    one.write_h5ad(tmp_path / "b.h5ad")
    parts = [source(tmp_path / f"{name}.h5ad", study=name) for name in "ab"]
    asked = recipe(parts, ["cell_type"], split={"test": ["b"]})
    refused(
        asked.model_copy(update={"n_top_genes": 120}),
        tmp_path,
        r"The split by study leaks: near-duplicate sentence: \d+ between train and test",
    )


def test_a_task_without_examples_says_what_each_source_lacks(file, tmp_path):
    hint = refused(
        recipe([source(file)], ["disease", "cell_type"]),
        tmp_path,
        r"No training example is left for task 'disease': 'one.h5ad' has no word 'disease'",
    )
    assert "it needs disease of each cell" in hint


def test_a_task_whose_cells_are_all_left_out_is_refused(file, tmp_path):
    left_out = {"cell_type": ["B cell", "NK cell", "T cell"]}
    refused(
        recipe([source(file, leave_out=left_out)], ["cell_type"]),
        tmp_path,
        r"is left for task 'cell_type': all 90 cells of 'one.h5ad' are held out or left out",
    )


def test_a_task_whose_cells_are_all_too_short_is_refused(file, tmp_path):
    hint = refused(
        recipe([source(file)], ["cell_type"], min_genes=61),
        tmp_path,
        r"No training example is left for task 'cell_type': 90 had fewer than 61 genes",
    )
    assert hint.startswith("lower `min_genes`")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("masked_node", r"task 'masked_node': there is no \[\[corpus.graph\]\]"),
        ("gene_property", r"task 'gene_property': there is no \[\[corpus.table\]\] of it"),
        ("perturbation_response", r"does not say which cells are controls"),
    ],
)
def test_a_task_without_its_kind_of_source_is_refused(file, tmp_path, task, message):
    refused(recipe([source(file)], [task]), tmp_path, message)


def test_organisms_are_not_mixed_unasked(tmp_path):
    human = [f"ABC{i}" for i in range(60)]
    mouse = [f"Abc{i}" for i in range(60)]
    cells(30, genes=human).write_h5ad(tmp_path / "human.h5ad")
    cells(30, genes=mouse, prefix="m").write_h5ad(tmp_path / "mouse.h5ad")
    parts = [source(tmp_path / f"{name}.h5ad", values={}) for name in ("human", "mouse")]
    refused(
        recipe(parts, ["cell_type"]),
        tmp_path,
        r"several organisms: human \('human.h5ad'\) and mouse \('mouse.h5ad'\)",
    )
    built = build_corpus(recipe(parts, ["cell_type"], mixed_organisms=True), tmp_path / "both")
    assert built.n() == 60
    wrong = source(tmp_path / "mouse.h5ad", values={"organism": "human"})
    refused(
        recipe([wrong], ["cell_type"]),
        tmp_path,
        r"'mouse.h5ad' says organism = 'human', and its genes are mouse, such as 'Abc0'",
    )


def test_a_value_that_no_cell_has_is_told(file, tmp_path):
    refused(
        recipe([source(file, leave_out={"cell_type": ["T cel"]})], ["cell_type"]),
        tmp_path,
        r"No cell of 'one.h5ad' has cell_type = 'T cel'; the closest is 'T cell'",
    )


def test_a_missing_column_is_told(file, tmp_path):
    part = source(file)
    part["columns"] = {"cell_type": "types"}
    refused(
        recipe([part], ["cell_type"]), tmp_path, r"has no column 'types'; the closest is 'type'"
    )


def test_a_task_is_named_once_and_tables_are_of_named_tasks(file, tmp_path):
    refused(
        recipe([source(file)], ["cell_type", "cell_type"]),
        tmp_path,
        r"names the task 'cell_type' twice",
    )
    said = {
        "source": [source(file)],
        "task": [{"name": "cell_type"}],
        "table": [{"path": "t.csv", "task": "gene_set_name"}],
    }
    refused(
        make_corpus_recipe(said),
        tmp_path,
        r"is of the task 'gene_set_name', and no \[\[corpus.task\]\] names it",
    )


def test_a_task_that_no_source_can_answer_is_refused(file, tmp_path):
    text = """version: 1
name: odd
summary: Ask about a cell and some genes.
inputs:
  cell_sentence: {kind: cell}
  markers: {kind: genes}
answer: {kind: label, template: "{label}"}
metrics: [accuracy]
templates:
  - "Is {markers} in {cell_sentence}?"
"""
    (tmp_path / "odd.yaml").write_text(text)
    refused(
        recipe([source(file)], [str(tmp_path / "odd.yaml")]),
        tmp_path,
        r"The task 'odd' asks about cell, genes and is answered by label; no source has such",
    )
