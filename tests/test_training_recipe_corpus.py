"""Recipes of corpora: what they may say, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from celloquy.errors import InputError
from celloquy.training import build_corpus
from celloquy.training._recipe import digest
from celloquy.training._recipe_corpus import make_corpus_recipe, read_corpus_recipe

LEAST = {"source": [{"path": "a.h5ad"}], "task": [{"name": "cell_type"}]}


def test_a_recipe_needs_a_source_and_a_task_only():
    recipe = make_corpus_recipe(LEAST)
    assert (recipe.seed, recipe.n_top_genes, recipe.split.by) == (0, 200, "study")
    assert recipe.split.held == {}


def test_equal_recipes_have_one_hash_and_another_seed_another():
    assert digest(make_corpus_recipe(LEAST)) == digest(make_corpus_recipe({**LEAST, "seed": 0}))
    assert digest(make_corpus_recipe(LEAST)) != digest(make_corpus_recipe({**LEAST, "seed": 1}))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({**LEAST, "sed": 1}, r"\[corpus\] has no key 'sed'; the closest is 'seed'"),
        ({"source": LEAST["source"]}, r"\[corpus\] needs `task`, which is missing"),
        ({"task": LEAST["task"]}, r"\[corpus\]: there is no \[\[corpus.source\]\]"),
        ({**LEAST, "task": []}, r"`corpus.task` is \[\]: tuple should have at least 1 item"),
        (
            {**LEAST, "task": [{"name": "cell_type"}, {"weights": 2}]},
            r"\[\[corpus.task\]\] 2 needs `name`, which is missing",
        ),
        (
            {**LEAST, "task": [{"name": "cell_type", "weights": 2}]},
            r"\[\[corpus.task\]\] 1 has no key 'weights'; the closest is 'weight'",
        ),
        (
            {**LEAST, "split": {"bye": "donor"}},
            r"\[corpus.split\] has no key 'bye'; the closest is 'by'",
        ),
        ({**LEAST, "split": {"leaks": "no"}}, r"`corpus.split.leaks` is 'no': input should be"),
        (
            {**LEAST, "split": {"validation": 0.5, "test": ["a"]}},
            r"\[corpus.split\]: `validation` and `test` are both shares of the cells, or both",
        ),
        (
            {**LEAST, "split": {"validation": 0.5, "test": 0.5}},
            r"\[corpus.split\]: `validation` and `test` are shares that leave some to train on",
        ),
        (
            {**LEAST, "augment": {"n_genes": [200, 100]}},
            r"\[corpus.augment\]: `n_genes` goes from the fewest to the most, not \[200, 100\]",
        ),
        (
            {**LEAST, "source": [{"path": "a", "columns": {"x": "y"}, "values": {"x": "z"}}]},
            r"\[\[corpus.source\]\] 1: 'x' stands in `columns` and in `values`",
        ),
        (
            {**LEAST, "source": [{"path": "a", "columns": {"drug": "d"}, "match": ["drugs"]}]},
            r"'drugs' is no word of `columns`; the closest is 'drug'",
        ),
        ({**LEAST, "rank_by": "specificity"}, r"\[corpus\]: `rank_by = \"specificity\"` needs"),
        (
            {**LEAST, "medians": "g.tsv", "source": [{"path": "a", "to": "symbol"}]},
            r"\[corpus\]: `to` of 'a' has no say: `medians` tells names",
        ),
        (
            {**LEAST, "augment": {"depth": [1.0, 0.2]}},
            r"\[corpus.augment\]: `depth` goes from the lowest to the highest, not \[1.0, 0.2\]",
        ),
        (
            {**LEAST, "task": [{"name": "cell_type", "balance": "label"}]},
            r"`balance = \"label\"` of 'cell_type' draws some cells again, so `n_train` is needed",
        ),
    ],
)
def test_a_mistake_is_told_with_its_table_and_the_closest_key(said, message):
    with pytest.raises(InputError, match=message):
        make_corpus_recipe(said)


def test_paths_are_taken_from_the_folder_of_the_recipe(tmp_path):
    text = (
        '[corpus]\nmedians = "g.tsv"\n[[corpus.source]]\npath = "cells/a.h5ad"\n'
        '[[corpus.task]]\nname = "mine.yaml"\n[model]\nbase = "b"\n'
    )
    (tmp_path / "r.toml").write_text(text)
    recipe = read_corpus_recipe(tmp_path / "r.toml")
    assert recipe.source[0].path == str(tmp_path / "cells" / "a.h5ad")
    assert recipe.task[0].name == str(tmp_path / "mine.yaml")
    assert recipe.medians == str(tmp_path / "g.tsv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[corpsu]\n", r"r\.toml: it has no table \[corpsu\]; the closest is 'corpus'"),
        ("[model]\n", r"r\.toml: it needs the table \[corpus\], which is missing"),
        ("[corpus\n", r"r\.toml' is not TOML: Expected"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_corpus_recipe(tmp_path / "r.toml")


def test_a_missing_recipe_is_told(tmp_path):
    with pytest.raises(InputError, match=r"There is no recipe '.*r\.toml'"):
        read_corpus_recipe(tmp_path / "r.toml")
    with pytest.raises(InputError, match="is a folder, and a recipe is a TOML file"):
        read_corpus_recipe(tmp_path)


RECIPES = sorted((Path(__file__).parents[1] / "docs" / "recipes").glob("corpus*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_of_a_corpus_in_the_docs_is_one_and_says_how_it_is_run(path):
    text = path.read_text()
    assert text.startswith("# ")
    assert f"celloquy corpus {path.name} --out" in text
    assert read_corpus_recipe(path).task


@pytest.mark.slow
@pytest.mark.data
def test_the_recipe_of_blood_makes_a_corpus_of_the_real_studies(data_folder, tmp_path):
    recipe = read_corpus_recipe(next(path for path in RECIPES if "blood" in path.name))
    for name in (*recipe.source, *recipe.table, *recipe.graph):
        found = next(data_folder.rglob(Path(name.path).name))
        (tmp_path / found.name).symlink_to(found)
    text = (RECIPES[0].parent / "corpus-blood.toml").read_text()
    (tmp_path / "recipe.toml").write_text(text.replace("n_train = 20_000", "n_train = 2_000"))
    corpus = build_corpus(tmp_path / "recipe.toml", tmp_path / "corpus")
    assert len(corpus.counts["train"]) == len(recipe.task)
    assert {e.group for e in corpus.examples("test") if e.task == "cell_type"} == {"Zheng 2017"}
    assert {e.group for e in corpus.examples("train")} == {"10x PBMC 3k", "Kang 2018", None}
    assert all(found["n"] == 0 for found in corpus.record["near_duplicates"]["found"])
