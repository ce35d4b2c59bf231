"""Corpora by specificity: genes of one table, molecules left out by chance, rare labels drawn."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from celloquy.errors import InputError
from celloquy.text import plain_text
from celloquy.training import build_corpus
from celloquy.training._corpus_draw import balanced_quota, keys_for, word_key
from celloquy.training._corpus_kernel import ALL
from celloquy.training._corpus_vary import thin, vary_genes
from corpora import N_GENES, cells, recipe, source

GENES = [f"GENE{i}" for i in range(N_GENES)]


def table(path, genes=GENES, *, mouse=None):
    """Write the genes that a model shall know; no two of their quotients are equal."""
    mouse = [""] * len(genes) if mouse is None else mouse
    medians = np.random.default_rng(7).uniform(1, 9, len(genes))
    rows = [f"{gene}\t{n}\t{m}" for gene, n, m in zip(genes, medians, mouse, strict=True)]
    path.write_text("symbol\tmedian\tmouse\n" + "\n".join(rows) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    cells().write_h5ad(folder / "one.h5ad")
    table(folder / "genes.tsv")
    return folder


def of_table(folder, tasks=("cell_type",), **more):
    told = {"rank_by": "specificity", "medians": str(folder / "genes.tsv"), "min_genes": 1, **more}
    return recipe([source(folder / "one.h5ad")], list(tasks), **told)


@pytest.mark.slow
def test_a_sentence_names_the_genes_whose_values_are_most_above_their_medians(tmp_path):
    counts = np.array([[8, 9, 3, 1], [0, 2, 6, 4]], dtype=np.float32)
    obs = pd.DataFrame({"type": ["B cell", "T cell"], "donor": ["d", "d"]}, index=["c0", "c1"])
    var = pd.DataFrame(index=["A", "B", "C", "OTHER"])
    ad.AnnData(counts, obs, var).write_h5ad(tmp_path / "one.h5ad")
    (tmp_path / "genes.tsv").write_text("symbol\tmedian\nA\t1\nB\t2\nC\t3\n")
    corpus = build_corpus(of_table(tmp_path), tmp_path / "corpus")
    said = {e.row: plain_text(e.prompt) for e in corpus.examples("train")}
    assert "A B C" in said[0]  # 8/1 > 9/2 > 3/3
    assert "C B" in said[1]  # 6/3 > 2/2
    assert not any("OTHER" in text for text in said.values())
    assert corpus.record["sources"][0]["n_genes_left_out"] == 1
    assert corpus.record["genes"]["n_genes"] == 3
    assert (corpus.folder / "genes.tsv").read_text() == (tmp_path / "genes.tsv").read_text()


@pytest.mark.slow
def test_logarithms_are_undone_before_they_are_divided(tmp_path, folder):
    adata = cells()
    adata.X = np.log1p(adata.X / adata.X.sum(axis=1, keepdims=True) * 1e4)
    adata.write_h5ad(tmp_path / "one.h5ad")
    table(tmp_path / "genes.tsv")
    counts = build_corpus(of_table(folder), tmp_path / "counts")
    logs = build_corpus(of_table(tmp_path), tmp_path / "logs")
    of_counts = {e.row: plain_text(e.prompt) for e in counts.examples("train")}
    assert {e.row: plain_text(e.prompt) for e in logs.examples("train")} == of_counts


@pytest.mark.slow
def test_mouse_cells_are_told_in_human_symbols_beside_human_ones(tmp_path):
    human = [f"HUM{i}" for i in range(N_GENES)]
    mouse = [f"Mus{i}" for i in range(N_GENES)]
    cells(genes=human).write_h5ad(tmp_path / "human.h5ad")
    cells(genes=mouse).write_h5ad(tmp_path / "mouse.h5ad")
    told = table(tmp_path / "genes.tsv", human, mouse=mouse)
    both = [
        source(tmp_path / "human.h5ad", study="h"),
        source(tmp_path / "mouse.h5ad", study="m", values={"organism": "mouse"}),
    ]
    asked = recipe(both, ["cell_type"], rank_by="specificity", medians=told)
    corpus = build_corpus(asked, tmp_path / "corpus")
    assert set(corpus.vocabulary.names) == set(human)
    genes = {
        (e.source, e.row): list(e.values["cell_sentence"].ids) for e in corpus.examples("train")
    }
    assert genes["human.h5ad", 5] == genes["mouse.h5ad", 5]


def test_each_molecule_is_kept_by_its_own_chance():
    keys = keys_for(np.arange(20_000, dtype=np.uint64), "thin")
    found = np.array([thin(10.0, 0.3, key) for key in keys])
    assert found.max() <= 10
    assert found.mean() == pytest.approx(3.0, abs=0.04)  # n p
    assert found.var() == pytest.approx(2.1, abs=0.08)  # n p (1 - p)
    assert (found == 0).mean() == pytest.approx(0.7**10, abs=0.004)
    assert thin(7.0, 1.0, keys[0]) == 7.0


def vary(values, medians, *, kept=1.0, noise=0.0, limit=9, n=1):
    """Vary one cell n times; its genes are 0, 1, 2 … and their places run backwards."""
    n_genes = len(values)
    flat, offsets = np.arange(n_genes, dtype=np.int32), np.array([0, n_genes])
    everything = (np.zeros(n, np.uint64), np.full(n, ALL))
    genes, ends = vary_genes(
        (flat, offsets, np.array(values, np.float32)),
        np.zeros(n, np.int64),
        limits=np.full(n, limit),
        genes=(
            keys_for(np.arange(n_genes, dtype=np.uint64), "gene"),
            np.array(medians, float),
            np.arange(n_genes, dtype=np.int32)[::-1].copy(),
        ),
        seen=(everything, everything),
        varied=(keys_for(np.arange(n, dtype=np.uint64), "n"), np.full(n, kept), np.full(n, noise)),
    )
    return [genes[a:b].tolist() for a, b in pairwise(ends)]


def test_a_cell_that_keeps_all_is_ranked_by_value_over_median_and_equals_by_place():
    assert vary([8, 9, 3, 6], [1, 2, 3, 6]) == [[0, 1, 3, 2]]  # 8, 4.5, 1, 1; gene 3 stands first
    assert vary([8, 9, 3, 6], [1, 2, 3, 6], limit=2) == [[0, 1]]


def test_a_thinned_cell_loses_weak_genes_and_a_noisy_one_only_its_order():
    thinned = vary([50, 1], [1, 1], kept=0.5, n=2_000)
    assert all(one[0] == 0 for one in thinned)
    assert np.mean([1 in one for one in thinned]) == pytest.approx(0.5, abs=0.035)
    noisy = vary([2, 1], [1, 1], noise=0.5, n=2_000)
    assert all(sorted(one) == [0, 1] for one in noisy)
    # log 2 is 0.98 standard deviations of the difference of two such numbers (0.5 sqrt 2).
    assert np.mean([one[0] == 1 for one in noisy]) == pytest.approx(0.1635, abs=0.025)


@pytest.mark.slow
def test_training_cells_are_thinned_each_time_anew_and_what_is_written_or_held_out_is_not(
    folder, tmp_path
):
    split = {"by": "donor", "test": ["d4"]}
    tasks = ["cell_type", "pseudo_cell"]
    plain = build_corpus(of_table(folder, tasks, split=split), tmp_path / "plain")
    augment = {"depth": [0.2, 0.5], "depth_share": 1.0, "paraphrases": False}
    asked = of_table(folder, tasks, split=split, augment=augment, n_train=288)
    varied = build_corpus(asked, tmp_path / "varied")

    def genes(corpus, part, task):
        found = {}
        for e in corpus.examples(part):
            if e.task == task:
                said = e.answer if task == "pseudo_cell" else e.values["cell_sentence"].text
                found.setdefault(e.row, []).append(said)
        return found

    whole, thinned = genes(plain, "train", "cell_type"), genes(varied, "train", "cell_type")
    assert {len(one) for one in thinned.values()} == {2}
    assert all(len(set(one)) == 2 for one in thinned.values())
    assert all(one[0] != whole[row][0] for row, one in thinned.items())
    assert genes(varied, "test", "cell_type") == genes(plain, "test", "cell_type")
    written = genes(varied, "train", "pseudo_cell")
    assert {row: set(one) for row, one in written.items()} == {
        row: set(one) for row, one in genes(plain, "train", "pseudo_cell").items()
    }


@pytest.mark.slow
def test_half_of_the_cells_are_thinned_unless_more_are_asked_for(folder, tmp_path):
    asked = of_table(folder, n_train=900, augment={"depth": [0.1, 0.2], "paraphrases": False})
    plain = build_corpus(of_table(folder), tmp_path / "plain")
    whole = {e.row: e.values["cell_sentence"].text for e in plain.examples("train")}
    varied = build_corpus(asked, tmp_path / "varied")
    same = [e.values["cell_sentence"].text == whole[e.row] for e in varied.examples("train")]
    assert np.mean(same) == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_the_order_of_cells_and_genes_changes_nothing_in_varied_cells(folder, tmp_path):
    rng = np.random.default_rng(1)
    adata = cells()
    mixed = adata[rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)].copy()
    mixed.write_h5ad(tmp_path / "one.h5ad")
    table(tmp_path / "genes.tsv")
    augment = {"depth": [0.2, 1.0], "noise": 0.3, "gene_dropout": 0.1}
    one = build_corpus(of_table(folder, augment=augment), tmp_path / "a")
    other = build_corpus(of_table(tmp_path, augment=augment), tmp_path / "b")
    said = [{(plain_text(e.prompt), e.answer) for e in c.examples("train")} for c in (one, other)]
    assert said[0] == said[1]


@pytest.mark.slow
def test_rare_labels_are_drawn_by_one_over_the_square_root_of_their_number(tmp_path):
    adata = cells(90)
    adata.obs["type"] = ["common"] * 81 + ["rare"] * 9
    adata.write_h5ad(tmp_path / "one.h5ad")
    task = {"name": "cell_type", "balance": "label"}
    asked = recipe([source(tmp_path / "one.h5ad")], [task], n_train=400)
    corpus = build_corpus(asked, tmp_path / "corpus")
    assert corpus.counts["train"] == {"cell_type": 400}
    # 81 cells of weight 1/9 and 9 cells of weight 1/3: 9 to 3.
    answers = Counter(e.answer for e in corpus.examples("train"))
    assert answers["common"] == pytest.approx(300, abs=6)
    times = Counter(e.row for e in corpus.examples("train"))
    assert {times[row] for row in range(81)} == {3, 4}  # 300 / 81 = 3.7
    assert {times[row] for row in range(81, 90)} <= {11, 12}  # 100 / 9 = 11.1


def test_a_cell_is_drawn_as_often_as_its_weight_says():
    keys = np.array([word_key("cell", i) for i in range(3_000)], dtype=np.uint64)
    weights = np.repeat([1.0, 3.0], [1_500, 1_500])
    found = balanced_quota(1_200, [keys[:1_000], keys[1_000:]], [weights[:1_000], weights[1_000:]])
    draws = found.draws(keys, weights)
    assert draws.sum() == found.n == 1_200
    assert draws[1_500:].sum() == pytest.approx(900, abs=45)
    assert balanced_quota(0, [keys], [weights]).draws(keys, weights).sum() == 0


def test_balance_of_a_task_of_several_cells_has_no_say(folder, tmp_path):
    task = {"name": "multicell_tissue", "balance": "label", "label": "cell_type"}
    told = [source(folder / "one.h5ad", columns={"tissue": "site"})]
    with pytest.raises(InputError, match=r"`balance` of task .* has no say: it is not about one"):
        build_corpus(recipe(told, [task], n_train=10), tmp_path / "corpus")


@pytest.mark.slow
def test_thinning_needs_counts(tmp_path):
    adata = cells()
    adata.layers["counts"] = adata.X.copy()
    adata.X = np.log1p(adata.X / adata.X.sum(axis=1, keepdims=True) * 1e4)
    adata.write_h5ad(tmp_path / "one.h5ad")
    table(tmp_path / "genes.tsv")
    asked = of_table(tmp_path, augment={"depth": [0.2, 1.0]})
    with pytest.raises(InputError, match=r"holds log1p values .*`depth` needs counts") as refusal:
        build_corpus(asked, tmp_path / "corpus")
    assert "layer" in refusal.value.hint


def test_sentences_of_another_program_have_no_values_to_divide(tmp_path):
    (tmp_path / "c2s").mkdir()
    (tmp_path / "c2s" / "state.json").write_text("{}")
    told = table(tmp_path / "genes.tsv")
    asked = recipe([source(tmp_path / "c2s")], ["cell_type"], rank_by="specificity", medians=told)
    with pytest.raises(InputError, match="'c2s' holds sentences: ranks without expression"):
        build_corpus(asked, tmp_path / "corpus")
