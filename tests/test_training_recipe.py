from __future__ import annotations

from pathlib import Path

import pytest

from celloquy.errors import InputError
from celloquy.training import list_presets, preset_text, read_recipe
from celloquy.training._recipe_train import changed_keys, make_recipe

RECIPES = [
    path
    for path in sorted(Path(__file__).parents[1].glob("docs/**/*.toml"))
    if "\n[model]" in path.read_text()
]
WHOLE = {"model": {"base": "b"}, "data": {"train": ["t.jsonl"]}}


def write(folder, text):
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_an_unknown_key_is_told_with_the_closest_one(tmp_path):
    path = write(tmp_path, 'model.base = "b"\ndata.train = ["t"]\noptimiser.learing_rate = 1.0')
    with pytest.raises(
        InputError, match=r"\[optimiser\] has no key 'learing_rate'; the closest is"
    ):
        read_recipe(path)


def test_an_unknown_table_is_told_with_the_closest_one(tmp_path):
    path = write(tmp_path, 'model.base = "b"\ndata.train = ["t"]\noptimizer.epochs = 1')
    with pytest.raises(InputError, match="no key 'optimizer'; the closest is 'optimiser'"):
        read_recipe(path)


def test_a_missing_key_is_told(tmp_path):
    with pytest.raises(InputError, match=r"\[model\] needs `base`, which is missing"):
        read_recipe(write(tmp_path, 'data.train = ["t"]\n[model]\nmethod = "lora"'))


def test_a_value_of_another_kind_is_told_with_the_value(tmp_path):
    path = write(tmp_path, 'model.base = "b"\ndata.train = ["t"]\noptimiser.epochs = "three"')
    with pytest.raises(InputError, match=r"`optimiser.epochs` is 'three'"):
        read_recipe(path)


def test_a_recipe_without_examples_or_with_two_sources_is_refused(tmp_path):
    for data in ("data = {}", 'data = { train = ["t"], corpus = "c" }'):
        with pytest.raises(InputError, match="name either `corpus` or the files of `train`"):
            read_recipe(write(tmp_path, f'model.base = "b"\n{data}'))


def test_pairs_train_all_weights(tmp_path):
    path = write(
        tmp_path,
        'objective = "pairs"\ndata.train = ["t"]\nmodel = { base = "b", method = "lora" }',
    )
    with pytest.raises(InputError, match="pairs train all weights of a sentence encoder"):
        read_recipe(path)


def test_four_bits_need_trained_weights(tmp_path):
    path = write(
        tmp_path,
        'data.train = ["t"]\nmodel = { base = "b", method = "qlora", from_scratch = true }',
    )
    with pytest.raises(InputError, match="`from_scratch` has no trained weights"):
        read_recipe(path)


def test_pairs_are_read_from_files(tmp_path):
    path = write(tmp_path, 'objective = "pairs"\ndata.corpus = "c"\nmodel.base = "b"')
    with pytest.raises(InputError, match=r"pairs are read from the files of `data.train`"):
        read_recipe(path)


def test_paths_are_taken_from_the_folder_of_the_recipe(tmp_path):
    (tmp_path / "base").mkdir()
    recipe = read_recipe(write(tmp_path, 'model.base = "base"\ndata.train = ["t.jsonl"]'))
    assert recipe.data.train == (str(tmp_path.resolve() / "t.jsonl"),)
    assert recipe.model.base == str(tmp_path.resolve() / "base")


def test_a_base_that_is_no_folder_stays_a_name_of_the_hub(tmp_path):
    recipe = read_recipe(write(tmp_path, 'model.base = "hf:owner/name@abc"\ndata.train = ["t"]'))
    assert recipe.model.base == "owner/name@abc"


def test_what_a_corpus_is_told_in_the_same_file_is_left_to_it(tmp_path):
    path = write(tmp_path, 'model.base = "b"\ndata.corpus = "c"\n[corpus]\nseed = 1')
    assert read_recipe(path).data.corpus == str(tmp_path.resolve() / "c")


def test_an_unknown_preset_is_told_with_the_closest_one(tmp_path):
    with pytest.raises(InputError, match="no preset 'chatcell'; the closest is 'chatcell-t5'"):
        read_recipe(write(tmp_path, 'preset = "chatcell"\nmodel.base = "b"\ndata.train = ["t"]'))
    with pytest.raises(InputError, match="no preset"):
        preset_text("none")


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_makes_a_recipe_with_a_base_and_data(tmp_path, name):
    recipe = read_recipe(
        write(tmp_path, f'preset = "{name}"\nmodel.base = "b"\ndata.train = ["t.jsonl"]')
    )
    assert recipe.optimiser.learning_rate < 1e-3
    assert preset_text(name).startswith("#")
    assert "# Command: " in preset_text(name)
    assert "# Device: " in preset_text(name)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_of_the_docs_is_read_and_says_its_command_and_device(path):
    text = path.read_text()
    assert text.startswith("#")
    assert "# Command" in text
    assert "# Device" in text
    assert read_recipe(path).data.corpus is not None


def test_a_recipe_has_the_last_word_over_its_preset(tmp_path):
    path = write(
        tmp_path,
        'preset = "c2s"\nmodel.base = "b"\ndata.train = ["t"]\noptimiser.epochs = 1',
    )
    recipe = read_recipe(path)
    assert (recipe.optimiser.epochs, recipe.optimiser.batch_size) == (1, 32)


def test_the_preset_of_cellhermes_is_the_published_one_ch_9(tmp_path):
    path = write(tmp_path, 'preset = "cellhermes-pretrain"\nmodel.base = "b"\ndata.train = ["t"]')
    recipe = read_recipe(path)
    adapter, steps = recipe.adapter, recipe.optimiser
    assert (adapter.rank, adapter.alpha, adapter.dropout, adapter.targets) == (8, 16, 0, "all")
    assert (steps.learning_rate, steps.schedule, steps.epochs) == (5e-5, "cosine", 3)
    assert (recipe.model.max_tokens, recipe.data.loss_on) == (1024, "answer")


def test_a_changed_key_is_named_with_both_values_unless_it_changes_nothing_learned():
    old = make_recipe(WHOLE).model_dump(mode="json")
    other = {**WHOLE, "run": {"at_once": 1}, "checkpoint": {"keep": 5}}
    assert changed_keys(old, make_recipe(other).model_dump(mode="json")) == []
    other = {**WHOLE, "objective": "reward", "optimiser": {"epochs": 5}}
    assert changed_keys(old, make_recipe(other).model_dump(mode="json")) == [
        "`objective` was 'answers' and is 'reward'",
        "`optimiser.epochs` was 3.0 and is 5.0",
    ]
