"""Examples of several cells, of pairs, of tables and of networks."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from celloquy.errors import InputError
from celloquy.text import plain_text, sentences
from celloquy.training import build_corpus, make_corpus_recipe
from corpora import TYPES, cells, recipe, source

HELD = {"by": "donor", "test": ["d4"]}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "one.h5ad"
    cells().write_h5ad(path)
    return path


def test_a_choice_offers_the_true_label_among_others_of_its_source(file, tmp_path):
    other = cells(30, prefix="x")
    other.obs["type"] = other.obs["type"].cat.rename_categories(str.upper)
    other.write_h5ad(tmp_path / "two.h5ad")
    two = source(tmp_path / "two.h5ad", study="two")
    asked = recipe([source(file), two], [{"name": "cell_type_choice", "n_labels": 2}])
    for e in build_corpus(asked, tmp_path / "out").examples():
        assert len(set(e.values["labels"])) == 2
        assert e.answer in e.values["labels"]
        shouts = [label.isupper() for label in e.values["labels"]]
        assert all(shouts) == any(shouts) == (e.source == "two.h5ad")
    first = [
        e.values["labels"][0] == e.answer for e in build_corpus(asked, tmp_path / "out").examples()
    ]
    assert 0.3 < sum(first) / len(first) < 0.7  # the place of the truth tells nothing


def test_a_group_has_one_cell_of_each_label_and_the_answer_says_which(file, tmp_path):
    labels = cells().obs["type"]
    written = sentences(file, n_top_genes=20).text
    asked = recipe(
        [source(file)],
        [{"name": "assign_labels", "n_cells": 3, "genes_each": 20}, "cell_type"],
        min_genes=3, split=HELD,
    )  # fmt: skip
    built = build_corpus(asked, tmp_path / "out")
    examples = [e for e in built.examples() if e.task == "assign_labels"]
    assert len(examples) == 24  # 72 training cells, 24 of each of three types
    where = {text: row for row, text in enumerate(written)}
    rows = []
    for e in examples:
        truth = json.loads(e.answer)
        assert sorted(truth.values()) == sorted(TYPES)
        assert e.values["labels"] == sorted(TYPES)
        for cell, label in zip(e.values["cells"], truth.values(), strict=True):
            rows.append(where[cell.text])
            assert labels.iloc[rows[-1]] == label
    assert max(Counter(rows).values()) == 1


def test_cells_of_a_tissue_come_from_one_tissue(file, tmp_path):
    site = cells().obs["site"]
    where = {text: row for row, text in enumerate(sentences(file, n_top_genes=20).text)}
    part = source(file)
    part["columns"] = {**part["columns"], "tissue": "site"}
    tasks = [
        {"name": "multicell_tissue", "n_cells": 4, "genes_each": 20},
        {"name": "tissue_sample", "n_cells": 4, "genes_each": 20},
        {"name": "cell_type_sample", "n_cells": 4, "genes_each": 20},
    ]
    built = build_corpus(recipe([part], tasks, n_train=60), tmp_path / "out")
    assert set(built.counts["train"]) == {task["name"] for task in tasks}
    labels = cells().obs["type"]
    for e in built.examples():
        if e.task == "multicell_tissue":
            rows = [where[cell.text] for cell in e.values["cells"]]
            assert {site.iloc[row] for row in rows} == {e.answer}
            continue
        genes = [line.removesuffix(".") for line in e.answer.split("\n")[1::2]]
        rows = [where[text] for text in genes]
        assert e.answer.startswith("Cell 1:\n")
        if e.task == "tissue_sample":
            assert e.values["n_cells"] == len(rows) == 4
            assert {site.iloc[row] for row in rows} == {e.values["tissue"]}
        else:
            assert [labels.iloc[row] for row in rows] == e.values["cell_types"]


def test_a_perturbed_cell_is_paired_with_a_control_of_its_type_and_part(file, tmp_path):
    obs = cells().obs
    where = {text: row for row, text in enumerate(sentences(file, n_top_genes=30).text)}
    part = source(file, control={"perturbation": "none"}, match=["cell_type"])
    part["columns"] = {**part["columns"], "perturbation": "drug"}
    built = build_corpus(recipe([part], ["perturbation_response"], split=HELD), tmp_path / "out")
    assert built.n() == 36
    for name in ("train", "test"):
        for e in built.examples(name):
            control, after = where[e.values["cell_sentence"].text], where[e.answer]
            assert obs["drug"].iloc[control] == "none"
            assert obs["drug"].iloc[after] == e.values["perturbation"] == "IFN-beta"
            assert obs["type"].iloc[control] == obs["type"].iloc[after]
            assert (obs["donor"].iloc[control] == "d4") == (name == "test")


def ring(n=60):
    """Name the edges of a ring of genes without triangles: each joined to the next and seventh."""
    return [(f"N{i:02d}", f"N{(i + step) % n:02d}") for i in range(n) for step in (1, 7)]


@pytest.fixture
def network(tmp_path):
    lines = ["gene_a\tgene_b", *(f"{a}\t{b}" for a, b in ring())]
    (tmp_path / "ring.tsv").write_text("\n".join([*lines, "N00\tN01", "N05\tN05"]) + "\n")
    return {"path": str(tmp_path / "ring.tsv"), "n_neighbours": 8, "values": {"organism": "human"}}


def graph_recipe(network, tasks, **more):
    listed = [{"name": task} for task in tasks]
    return make_corpus_recipe({"graph": [network], "task": listed, **more})


def linked():
    pairs = {frozenset(edge) for edge in ring()}
    near = {}
    for pair in pairs:
        a, b = sorted(pair)
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    return pairs, near


def test_a_hidden_gene_is_told_by_its_neighbours_and_the_way_to_each(network, tmp_path):
    pairs, near = linked()
    split = {"test": 0.2}
    built = build_corpus(graph_recipe(network, ["masked_node"], split=split), tmp_path / "out")
    train = {e.answer for e in built.examples("train")}
    test = {e.answer for e in built.examples("test")}
    assert train | test == set(near)
    assert not train & test
    assert 3 <= len(test) <= 25
    for name in ("train", "test"):
        for e in built.examples(name):
            around = e.values["neighbours"].text.split()
            through = e.values["through"].text.split()
            assert len(around) == len(through) <= 8
            assert e.answer not in around
            for gene, before in zip(around, through, strict=True):
                last = e.answer if before == "[MASK]" else before
                assert frozenset((gene, last)) in pairs
                if name == "train":
                    assert gene in train  # held-out genes are told nowhere in training


@pytest.mark.parametrize("by", ["gene", "pair"])
def test_links_are_asked_about_without_telling_them_and_held_out_links_are_never_told(
    network, tmp_path, by
):
    pairs, near = linked()
    split = {"test": 0.2, "genes": by}
    built = build_corpus(
        graph_recipe(network, ["masked_link"], split=split, n_train=200), tmp_path / "out"
    )
    answers, asked = Counter(), {"train": set(), "test": set()}
    told = set()
    for name in ("train", "test"):
        for e in built.examples(name):
            gene, other = e.values["gene"].text, e.values["candidate"].text
            is_linked = frozenset((gene, other)) in pairs
            assert e.answer == ("Yes" if is_linked else "No")
            answers[e.answer] += 1
            around = e.values["neighbours"].text.split()
            direct = [one for one in around if one in near[gene]]
            if is_linked:
                asked[name].add(frozenset((gene, other)))
                assert other not in around
            told |= {frozenset((gene, one)) for one in direct}
    assert 0.35 < answers["Yes"] / answers.total() < 0.65
    assert asked["test"]
    assert not asked["train"] & asked["test"]
    assert not told & asked["test"]


def test_a_pair_of_genes_without_company_is_asked_about_too(network, tmp_path):
    pairs, _ = linked()
    built = build_corpus(graph_recipe(network, ["gene_interaction"]), tmp_path / "out")
    for e in built.examples():
        pair = frozenset((e.values["gene"].text, e.values["partner"].text))
        assert e.answer == ("Yes" if pair in pairs else "No")
        assert e.values["organism"] == "human"


def test_rows_of_a_table_become_examples_split_by_their_genes(tmp_path):
    rows = [f"G{i},STAT{i % 9} knock-out,{('up', 'down', 'none')[i % 3]}" for i in range(90)]
    (tmp_path / "t.csv").write_text("\n".join(["gene,what,effect", *rows, ",STAT1 knock-out,up"]))
    table = {
        "path": str(tmp_path / "t.csv"),
        "task": "perturbation_effect",
        "columns": {"gene": "gene", "perturbation": "what", "effect": "effect"},
        "values": {"cells_from": "K562"},
    }
    said = {
        "table": [table],
        "task": [{"name": "perturbation_effect"}],
        "split": {"by": "perturbation", "test": 0.3},
    }
    built = build_corpus(make_corpus_recipe(said), tmp_path / "out")
    assert built.n() + built.n("test") == 90
    assert built.record["lost"] == {"perturbation_effect: a column is empty": 1}
    genes = {
        part: {e.values["gene"].text for e in built.examples(part)} for part in ("train", "test")
    }
    assert genes["test"]
    assert not genes["train"] & genes["test"]
    e = next(iter(built.examples()))
    number = int(e.values["gene"].text[1:])
    assert e.answer == ("up", "down", "none")[number % 3]
    assert e.values["perturbation"] == f"STAT{number % 9} knock-out"
    assert '"K562"' in plain_text(e.prompt)


def test_gene_sets_are_named_and_listed(tmp_path):
    lines = [
        f"set {i}\tabout {i}\t" + "\t".join(f"G{i * 3 + j}" for j in range(4)) for i in range(20)
    ]
    (tmp_path / "sets.gmt").write_text("\n".join(lines) + "\n")
    tables = [
        {"path": str(tmp_path / "sets.gmt"), "task": "gene_set_name",
         "columns": {"genes": "genes", "gene_set": "name"}},
        {"path": str(tmp_path / "sets.gmt"), "task": "gene_set_members",
         "columns": {"genes": "genes", "gene_set": "name"}},
    ]  # fmt: skip
    said = {"table": tables, "task": [{"name": "gene_set_name"}, {"name": "gene_set_members"}]}
    built = build_corpus(make_corpus_recipe(said), tmp_path / "out")
    assert built.counts["train"] == {"gene_set_members": 20, "gene_set_name": 20}
    for e in built.examples():
        number = int((e.answer if e.task == "gene_set_name" else e.values["gene_set"]).split()[1])
        members = e.values["genes"].text if e.task == "gene_set_name" else e.answer
        assert members.split() == [f"G{number * 3 + j}" for j in range(4)]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("gene,what,effect\nA,x,upp\n", {}, r"cannot be: .*no label 'upp'; the closest is 'up'"),
        ("gene,what\nA,x\n", {}, r"'t.csv' has no column 'effect'"),
        ("gene,what,effect\nA,x,up\n", {"genes": "gene"}, r"answer 'genes'; the closest is 'gene'"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_its_task_is_refused(tmp_path, text, columns, message):
    (tmp_path / "t.csv").write_text(text)
    given = {"gene": "gene", "perturbation": "what", "effect": "effect", **columns}
    table = {"path": str(tmp_path / "t.csv"), "task": "perturbation_effect", "columns": given}
    said = {"table": [table], "task": [{"name": "perturbation_effect"}]}
    with pytest.raises(InputError, match=message):
        build_corpus(make_corpus_recipe(said), tmp_path / "out")


def test_a_table_without_what_its_task_needs_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("gene,effect\nA,up\n")
    table = {
        "path": str(tmp_path / "t.csv"),
        "task": "perturbation_effect",
        "columns": {"gene": "gene", "effect": "effect"},
    }
    said = {"table": [table], "task": [{"name": "perturbation_effect"}]}
    with pytest.raises(InputError, match=r"gives the task 'perturbation_effect' no 'perturbation'"):
        build_corpus(make_corpus_recipe(said), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "", r"a\.tsv' is no table"),
        ("a.tsv", "one\nA\n", r"'a\.tsv' has 1 columns; an edge takes two"),
        ("a.tsv", "a\tb\nA\tA\n", r"'a\.tsv' holds no edge between two genes"),
        ("b.tsv", None, r"There is no table '.*b\.tsv'"),
    ],
)
def test_a_network_that_cannot_be_read_is_refused(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        build_corpus(
            graph_recipe({"path": str(tmp_path / name)}, ["masked_node"]), tmp_path / "out"
        )


def test_a_set_without_genes_is_told_with_its_line(tmp_path):
    (tmp_path / "sets.gmt").write_text("a\tb\tG1\nc\td\n")
    table = {"path": str(tmp_path / "sets.gmt"), "task": "gene_set_name",
             "columns": {"genes": "genes", "gene_set": "name"}}  # fmt: skip
    said = {"table": [table], "task": [{"name": "gene_set_name"}]}
    with pytest.raises(InputError, match=r"sets\.gmt', line 2, names no genes"):
        build_corpus(make_corpus_recipe(said), tmp_path / "out")
