"""Corpora: from files of cells to examples in a random order, split and varied by keys."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from celloquy.errors import InputError
from celloquy.text import plain_text, sentences
from celloquy.training import Corpus, build_corpus
from corpora import N_GENES, TYPES, cells, recipe, source

HELD = {"by": "donor", "test": ["d4"]}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "one.h5ad"
    cells().write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def corpus(file, tmp_path_factory):
    asked = recipe(
        [source(file)],
        ["cell_type", "pseudo_cell", "masked_genes", {"name": "next_genes", "n_next": 8}],
        split=HELD,
    )
    return build_corpus(asked, tmp_path_factory.mktemp("corpora") / "one")


def everything(corpus):
    return [e for part in ("train", "validation", "test") for e in corpus.examples(part)]


def said(corpus):
    """Say what an example is, without its place in the order."""
    return {
        (e.task, e.template, plain_text(e.prompt), e.answer, e.part, e.source, e.group)
        for e in everything(corpus)
    }


def test_every_cell_is_asked_about_once_by_each_task_and_held_out_donors_only_judge(corpus):
    assert corpus.counts["train"] == dict.fromkeys(
        ("cell_type", "masked_genes", "next_genes", "pseudo_cell"), 72
    )
    assert corpus.n("test") == 72
    assert {e.group for e in corpus.examples("train")} == {"d0", "d1", "d2", "d3"}
    assert {e.group for e in corpus.examples("test")} == {"d4"}
    rows = Counter(e.row for e in corpus.examples("train") if e.task == "cell_type")
    assert set(rows.values()) == {1}


def test_a_prompt_names_the_genes_that_sentences_name_and_the_answer_is_the_label(corpus, file):
    written = sentences(file, n_top_genes=30).text
    labels = cells().obs["type"]
    for example in corpus.examples("train"):
        if example.task == "cell_type":
            assert example.values["cell_sentence"].text == written.iloc[example.row]
            assert example.answer == labels.iloc[example.row]
            assert written.iloc[example.row] in plain_text(example.prompt)


def test_a_cell_to_be_written_is_the_cells_own_sentence_and_its_number_is_true(corpus, file):
    written = sentences(file, n_top_genes=30).text
    for example in corpus.examples("test"):
        if example.task == "pseudo_cell":
            assert example.answer == written.iloc[example.row]
            assert example.values["n_genes"] == len(example.answer.split())


def test_hidden_genes_put_back_give_the_sentence(corpus, file):
    written = sentences(file, n_top_genes=30).text
    shares = []
    for example in corpus.examples("train"):
        if example.task == "masked_genes":
            shown = example.values["sentence"].text.split()
            hidden = iter(example.answer.split())
            assert example.values["n_masked"] == shown.count("[MASK]") >= 1
            shares.append(shown.count("[MASK]") / len(shown))
            restored = [next(hidden) if word == "[MASK]" else word for word in shown]
            assert " ".join(restored) == written.iloc[example.row]
    assert 0.1 < np.mean(shares) < 0.2  # 0.15 is asked for, and one at least is hidden


def test_the_next_genes_go_on_where_the_sentence_stops(corpus, file):
    written = sentences(file, n_top_genes=30).text
    for example in corpus.examples("train"):
        if example.task == "next_genes":
            assert example.values["n_next"] == len(example.answer.split()) == 8
            assert (
                f"{example.values['sentence'].text} {example.answer}" == written.iloc[example.row]
            )


def test_the_same_recipe_gives_the_same_bytes_and_another_seed_other_examples(
    corpus, file, tmp_path
):
    again = recipe(
        [source(file)],
        ["cell_type", "pseudo_cell", "masked_genes", {"name": "next_genes", "n_next": 8}],
        split=HELD,
    )
    second = build_corpus(again, tmp_path / "again")
    names = [p.name for p in corpus.files("train")]
    assert [p.read_bytes() for p in corpus.files()] == [p.read_bytes() for p in second.files()]
    assert names == ["part-00000.parquet"]
    other = build_corpus(again.model_copy(update={"seed": 1}), tmp_path / "other")
    assert said(other) != said(corpus)


def test_neither_the_order_of_cells_nor_of_genes_nor_of_files_matters(file, tmp_path):
    one, two = cells(60, prefix="a"), cells(45, seed=3, prefix="b")
    tasks = ["cell_type", "masked_genes", "pseudo_cell"]
    more = {
        "n_train": 90,
        "split": HELD,
        "augment": {
            "gene_dropout": 0.2,
            "n_genes": [10, 30],
            "panels": 0.5,
            "panel_genes": [30, 50],
        },
    }

    def built(folder, files):
        (tmp_path / folder).mkdir()
        paths = []
        for name, adata in files:
            adata.write_h5ad(tmp_path / folder / name)
            paths.append(source(tmp_path / folder / name, study=name))
        return build_corpus(recipe(paths, tasks, **more), tmp_path / f"{folder}-out")

    rng = np.random.default_rng(5)
    mixed_one = one[rng.permutation(60)][:, rng.permutation(N_GENES)].copy()
    mixed_two = two[rng.permutation(45)][:, rng.permutation(N_GENES)].copy()
    first = built("first", [("a.h5ad", one), ("b.h5ad", two)])
    second = built("second", [("b.h5ad", mixed_two), ("a.h5ad", mixed_one)])
    assert said(first) == said(second)
    assert first.n() == 90


def test_the_first_examples_are_a_fair_sample_though_the_file_is_sorted(tmp_path):
    adata = cells(600)
    adata[np.argsort(adata.obs["type"].to_numpy(), kind="stable")].copy().write_h5ad(
        tmp_path / "s.h5ad"
    )
    asked = recipe([source(tmp_path / "s.h5ad")], ["cell_type", "pseudo_cell"], n_train=300)
    built = build_corpus(asked, tmp_path / "out")
    first = [e for e, _ in zip(built.examples(), range(150), strict=False)]
    assert {e.task for e in first} == {"cell_type", "pseudo_cell"}
    counts = Counter(e.answer for e in first if e.task == "cell_type")
    # about 75 / 3 of each type; under a fair draw, fewer than 10 of one has p < 1e-4
    assert set(counts) == set(TYPES)
    assert min(counts.values()) >= 10
    rows = np.array([e.row for e in first])
    assert abs(rows.mean() - 299.5) < 60  # 5 standard errors of 150 rows out of 600


def test_examples_are_in_proportion_to_the_weights_and_cells_repeat_only_in_training(
    file, tmp_path
):
    tasks = [{"name": "cell_type", "weight": 3}, {"name": "random_cell", "weight": 1}]
    built = build_corpus(recipe([source(file)], tasks, n_train=800, split=HELD), tmp_path / "out")
    assert built.counts["train"] == {"cell_type": 600, "random_cell": 200}
    assert built.counts["test"] == {"cell_type": 18, "random_cell": 18}
    times = Counter(e.row for e in built.examples() if e.task == "cell_type")
    assert set(times.values()) == {8, 9}  # 600 draws of 72 cells
    templates = Counter(e.template for e in built.examples() if e.task == "cell_type")
    assert set(templates) == set(range(10))
    assert {e.template for e in built.examples("test")} == {0}


def test_dropout_panels_and_lengths_vary_what_is_read_in_training_and_nothing_else(file, tmp_path):
    asked = recipe(
        [source(file)],
        ["cell_type", "pseudo_cell"],
        n_train=300,
        split=HELD,
        augment={"gene_dropout": 0.3, "n_genes": [12, 20]},
    )
    built = build_corpus(asked, tmp_path / "out")
    written = [text.split() for text in sentences(file, n_top_genes=None).text]
    lengths, lost = set(), 0
    for e in built.examples():
        if e.task == "cell_type":
            named = e.values["cell_sentence"].text.split()
            whole = written[e.row]
            places = [whole.index(gene) for gene in named]
            assert places == sorted(places)
            lost += places[-1] + 1 - len(places)
            lengths.add(len(named))
        else:
            named = e.answer.split()
            assert named == written[e.row][: len(named)]  # what is written has no gaps
    assert lengths == set(range(12, 21))
    assert lost > 0
    for e in built.examples("test"):
        if e.task == "cell_type":
            assert e.values["cell_sentence"].text.split() == written[e.row][:30]


def test_a_panel_shows_all_cells_the_same_genes(file, tmp_path):
    asked = recipe(
        [source(file)],
        ["cell_type"],
        min_genes=5,
        augment={"panels": 0.999, "panel_genes": [20, 20], "n_panels": 1},
    )
    built = build_corpus(asked, tmp_path / "out")
    seen = {gene for e in built.examples() for gene in e.values["cell_sentence"].text.split()}
    assert 8 <= len(seen) <= 32  # 20 of 60 genes are expected, each by chance


def test_genes_of_several_files_share_one_vocabulary(file, tmp_path):
    other = cells(30, prefix="x", genes=[f"GENE{i}" for i in range(30, 90)])
    other.write_h5ad(tmp_path / "two.h5ad")
    asked = recipe(
        [source(file, study="a"), source(tmp_path / "two.h5ad", study="b")], ["cell_type"]
    )
    built = build_corpus(asked, tmp_path / "out")
    assert set(built.vocabulary.names) == {f"GENE{i}" for i in range(90)}
    written = {f.name: sentences(f, n_top_genes=30).text for f in (file, tmp_path / "two.h5ad")}
    for e in built.examples():
        assert e.values["cell_sentence"].text == written[e.source].iloc[e.row]


def test_a_corpus_of_ensembl_ids_is_told_once_a_file(tmp_path):
    path = tmp_path / "ids.h5ad"
    cells(genes=[f"ENSG{i:011d}" for i in range(N_GENES)]).write_h5ad(path)
    said = r"'ids\.h5ad' are named by Ensembl ids, such as 'ENSG00000000000', .*`to=\"symbol\"`"
    with pytest.warns(UserWarning, match=said) as told:
        build_corpus(recipe([source(path)], ["cell_type"]), tmp_path / "corpus")
    assert len(told) == 1
    kept = recipe([source(path, to="ensembl")], ["cell_type"])
    build_corpus(kept, tmp_path / "kept")


def test_the_record_says_where_all_comes_from(corpus, file):
    record = json.loads((corpus.folder / "corpus.json").read_text())
    assert record["sources"][0]["source"] == "one.h5ad"
    assert len(record["sources"][0]["sha256"]) == 64
    assert record["recipe"]["source"][0]["path"] == "one.h5ad"  # no folder of this machine
    assert str(file.parent) not in json.dumps(record)
    split = json.loads((corpus.folder / "split.json").read_text())
    assert split["groups"] == {"test": ["d4"], "train": ["d0", "d1", "d2", "d3"]}
    assert split["sha256"] == record["split_sha256"]
    assert split["sizes"] == {"train": 72, "validation": 0, "test": 18}
    assert record["near_duplicates"] == {}  # sentences of 30 genes say too little
    assert str(corpus).startswith("train: 288 examples (cell_type 72, ")


def test_a_killed_run_goes_on_and_gives_the_same_bytes(corpus, file, tmp_path, monkeypatch):
    from celloquy.training import _corpus

    asked = recipe(
        [source(file)],
        ["cell_type", "pseudo_cell", "masked_genes", {"name": "next_genes", "n_next": 8}],
        split=HELD,
    )

    class StoppedError(Exception):
        pass

    def stop(*_: object, **__: object) -> None:
        raise StoppedError

    with monkeypatch.context() as patched:
        patched.setattr(_corpus, "_write_record", stop)
        with pytest.raises(StoppedError):
            build_corpus(asked, tmp_path / "out")
    with pytest.raises(InputError, match=r"There is no corpus in '.*out', or it is not finished"):
        Corpus(tmp_path / "out")
    made = next((tmp_path / "out" / ".made").glob("*.arrow")).stat().st_mtime_ns
    parts = (tmp_path / "out" / "train" / "part-00000.parquet").stat().st_mtime_ns
    built = build_corpus(asked, tmp_path / "out")
    assert built.files()[0].stat().st_mtime_ns == parts
    assert made < parts
    assert built.files()[0].read_bytes() == corpus.files()[0].read_bytes()
    assert not (tmp_path / "out" / ".made").exists()
    again = build_corpus(asked, tmp_path / "out")  # it is there already
    assert again.files()[0].stat().st_mtime_ns == parts


def test_another_corpus_is_replaced_only_when_that_is_asked_for(file, tmp_path):
    build_corpus(recipe([source(file)], ["cell_type"]), tmp_path / "out")
    other = recipe([source(file)], ["random_cell"])
    with pytest.raises(InputError, match=r"out' exists already, and nothing is overwritten"):
        build_corpus(other, tmp_path / "out")
    assert build_corpus(other, tmp_path / "out", overwrite=True).counts == {
        "train": {"random_cell": 90}
    }
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"mine' exists already and holds no corpus"):
        build_corpus(other, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "notes.txt").exists()


def test_a_part_that_does_not_exist_is_told(corpus):
    with pytest.raises(InputError, match=r"has no part 'validatoin'; the closest is 'validation'"):
        corpus.n("validatoin")


def test_the_reader_knows_its_version(corpus, tmp_path):
    record = json.loads((corpus.folder / "corpus.json").read_text())
    (tmp_path / "corpus.json").write_text(json.dumps({**record, "schema": 99}))
    with pytest.raises(InputError, match=r"holds 'corpus', version 99; this celloquy reads"):
        Corpus(tmp_path)
    (tmp_path / "corpus.json").write_text("{")
    with pytest.raises(InputError, match=r"corpus.json' is damaged"):
        Corpus(tmp_path)


def test_shards_are_read_by_other_programs(corpus):
    table = pq.read_table(corpus.files()[0])
    assert table.column_names == [
        "task", "template", "values", "genes", "answer", "answer_genes", "prompt", "part",
        "source", "row", "group",
    ]  # fmt: skip
