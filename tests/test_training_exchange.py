"""Corpora in the files of other programs, read by their own readers and by ours."""

from __future__ import annotations

import json

import pytest

from celloquy.errors import InputError
from celloquy.tasks import read_dataset_info
from celloquy.text import plain_text, sentences
from celloquy.training import build_corpus, export_corpus, import_corpus, make_corpus_recipe
from corpora import cells, recipe, source


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    cells(40).write_h5ad(folder / "one.h5ad")
    asked = recipe(
        [source(folder / "one.h5ad")],
        ["cell_type", "masked_genes"],
        split={"by": "donor", "test": ["d4"]},
    )
    return build_corpus(asked, folder / "out")


def pairs(corpus, part):
    return [(plain_text(e.prompt), e.answer) for e in corpus.examples(part)]


@pytest.mark.parametrize("form", ["alpaca", "chat", "cell2sentence"])
def test_what_is_exported_and_imported_again_has_the_same_prompts_and_answers(
    corpus, tmp_path, form
):
    written = export_corpus(corpus, tmp_path / "there", form=form)
    assert written
    back = import_corpus(tmp_path / "there", tmp_path / "back", form=form)
    for part in ("train", "test"):
        assert sorted(pairs(back, part)) == sorted(pairs(corpus, part))
    assert back.n("train") == 64
    assert [e.row for e in back.examples()] != list(range(64))  # their order is drawn
    again = import_corpus(tmp_path / "there", tmp_path / "again", form=form)
    assert pairs(again, "train") == pairs(back, "train")


def test_alpaca_has_a_dataset_info_that_names_its_columns(corpus, tmp_path):
    export_corpus(corpus.folder, tmp_path / "there", form="alpaca")
    found = read_dataset_info(tmp_path / "there" / "dataset_info.json")
    assert found == {
        f"{part}.json": {"prompt": "instruction", "query": "input", "response": "output"}
        for part in ("train", "test")
    }
    entries = json.loads((tmp_path / "there" / "train.json").read_text())
    assert list(entries[0]) == ["instruction", "input", "output"]
    assert [(e["instruction"], e["output"]) for e in entries] == pairs(corpus, "train")


@pytest.mark.slow
def test_the_library_datasets_opens_every_form(corpus, tmp_path):
    import datasets

    export_corpus(corpus, tmp_path / "arrow", form="cell2sentence")
    loaded = datasets.load_from_disk(str(tmp_path / "arrow"))
    assert set(loaded) == {"train", "test"}
    assert loaded["train"].column_names == ["sample_type", "model_input", "response"]
    rows = list(zip(loaded["train"]["model_input"], loaded["train"]["response"], strict=True))
    assert rows == pairs(corpus, "train")
    assert set(loaded["train"]["sample_type"]) == {"cell_type", "masked_genes"}
    export_corpus(corpus, tmp_path / "chat", form="chat")
    export_corpus(corpus, tmp_path / "alpaca", form="alpaca")
    for name, path in (("chat", "chat/train.jsonl"), ("alpaca", "alpaca/train.json")):
        read = datasets.Dataset.from_json(
            str(tmp_path / path), cache_dir=str(tmp_path / f"cache-{name}")
        )
        assert len(read) == 64
    shards = datasets.Dataset.from_parquet(
        [str(path) for path in corpus.files()], cache_dir=str(tmp_path / "cache")
    )
    assert shards[0]["part"] == "train"


@pytest.mark.slow
def test_a_folder_that_datasets_saved_is_a_source_of_cells(tmp_path):
    import datasets

    adata = cells(40)
    written = sentences(adata, n_top_genes=30).text
    saved = datasets.Dataset.from_dict(
        {
            "cell_name": list(adata.obs_names),
            "cell_sentence": list(written),
            "type": [str(label) for label in adata.obs["type"]],
            "donor": [str(donor) for donor in adata.obs["donor"]],
        }
    )
    saved.save_to_disk(str(tmp_path / "c2s"))
    adata.write_h5ad(tmp_path / "c2s.h5ad")
    tasks = ["cell_type", "masked_genes", "pseudo_cell"]
    more = {"split": {"by": "donor", "test": ["d1"]}}
    ranks = build_corpus(
        recipe([source(tmp_path / "c2s", study="s")], tasks, **more), tmp_path / "ranks"
    )
    values = build_corpus(
        recipe([source(tmp_path / "c2s.h5ad", study="s")], tasks, **more), tmp_path / "values"
    )
    for part in ("train", "test"):
        assert sorted(pairs(ranks, part)) == sorted(pairs(values, part))
    both = datasets.DatasetDict({"train": saved, "test": saved})
    both.save_to_disk(str(tmp_path / "two"))
    with pytest.raises(InputError, match=r"'two' holds 2 data sets: test, train"):
        build_corpus(recipe([source(tmp_path / "two")], tasks), tmp_path / "out")
    saved.remove_columns("cell_sentence").save_to_disk(str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"'none' has no column 'cell_sentence'"):
        build_corpus(recipe([source(tmp_path / "none")], tasks), tmp_path / "out")
    part = source(tmp_path / "c2s")
    part["columns"] = {"cell_type": "tipe"}
    with pytest.raises(InputError, match=r"'c2s' has no column 'tipe'; the closest is 'type'"):
        build_corpus(recipe([part], tasks), tmp_path / "out")
    with pytest.raises(InputError, match=r"'c2s' has no column 'model_input'"):
        import_corpus(tmp_path / "c2s", tmp_path / "texts", form="cell2sentence")


def test_a_form_that_is_not_known_is_told(corpus, tmp_path):
    with pytest.raises(InputError, match=r"There is no form 'alpacca'; the closest is 'alpaca'"):
        export_corpus(corpus, tmp_path / "there", form="alpacca")


def test_nothing_is_overwritten_unasked(corpus, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match=r"there' exists already"):
        export_corpus(corpus, tmp_path / "there", form="chat")
    (tmp_path / "one.json").write_text("[]")
    with pytest.raises(InputError, match=r"there' exists already"):
        import_corpus(tmp_path / "one.json", tmp_path / "there", form="alpaca")
    (tmp_path / "there" / "thesis.txt").touch()
    with pytest.raises(InputError, match=r"holds 'thesis.txt' and no dataset_info.json"):
        export_corpus(corpus, tmp_path / "there", form="chat", overwrite=True)
    with pytest.raises(InputError, match=r"holds 'thesis.txt' and no corpus.json"):
        import_corpus(tmp_path / "one.json", tmp_path / "there", form="alpaca", overwrite=True)


@pytest.mark.parametrize(
    ("name", "form", "text", "message"),
    [
        ("a.json", "alpaca", "[]", r"a\.json' is no list of examples"),
        ("a.jsonl", "chat", "\n", r"'a\.jsonl' holds no example"),
        ("a.json", "alpaca", '[{"instruction": "x"}]', r"a\.json, entry 1, has no answer"),
        ("a.jsonl", "chat", "{}\n", r"a\.jsonl, line 1, is no chat: KeyError\('messages'\)"),
        (
            "a.jsonl",
            "chat",
            '{"messages": [{"role": "user", "content": "x"}]}\n',
            r"a\.jsonl, line 1, has the turns user\.",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_entry(tmp_path, name, form, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        import_corpus(tmp_path / name, tmp_path / "out", form=form)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_parts_is_told(tmp_path):
    (tmp_path / "files").mkdir()
    with pytest.raises(
        InputError, match=r"holds none of: train\.json, validation\.json, test\.json"
    ):
        import_corpus(tmp_path / "files", tmp_path / "out", form="alpaca")
    with pytest.raises(InputError, match=r"There is nothing at '.*gone'"):
        import_corpus(tmp_path / "gone", tmp_path / "out", form="alpaca")


def test_a_damaged_arrow_folder_is_told(tmp_path):
    (tmp_path / "c2s").mkdir()
    (tmp_path / "c2s" / "state.json").write_text('{"_data_files": [{"filename": "gone.arrow"}]}')
    asked = make_corpus_recipe(
        {"source": [{"path": str(tmp_path / "c2s")}], "task": [{"name": "random_cell"}]}
    )
    with pytest.raises(InputError, match=r"'c2s' is not a whole folder of `datasets`"):
        build_corpus(asked, tmp_path / "out")
    (tmp_path / "c2s" / "state.json").write_text('{"_data_files": []}')
    with pytest.raises(InputError, match=r"'c2s' holds no file of examples"):
        build_corpus(asked, tmp_path / "out")
