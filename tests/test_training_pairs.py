from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import celloquy as cq
from celloquy.errors import InputError
from celloquy.training import Pair, cell_pairs, merge, read_pairs, train, write_pairs
from celloquy.training._run import RunFolder
from lm_models import change_json, write_encoder

VECTORS = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0]])
TEXTS = ["a", "b", "c", "d", "e"]


def cosine(i, j):
    return float(VECTORS[i] @ VECTORS[j] / np.linalg.norm(VECTORS[i]) / np.linalg.norm(VECTORS[j]))


def test_half_of_the_pairs_are_of_near_cells_and_no_cell_is_its_own_partner():
    pairs = cell_pairs(TEXTS, VECTORS, n_pairs=1_000, n_near=1, labels="cosine")
    assert len(pairs) == 1_000
    assert all(pair.first != pair.second for pair in pairs)
    for pair in pairs:
        expected = cosine(TEXTS.index(pair.first), TEXTS.index(pair.second))
        assert pair.label == pytest.approx(expected, abs=1e-6)
    near = {("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("e", "d")}
    assert sum((pair.first, pair.second) in near for pair in pairs) >= 500


@pytest.mark.parametrize("counts", [(10_000, 10), (10_000, 16), (1_000, 16)])
def test_exactly_half_are_near_where_cellama_rounds_down_ce_9(counts):
    n_pairs, n_near = counts
    line = np.linspace(0, 1, 400)
    vectors = np.stack([np.cos(line), np.sin(line)], axis=1)
    texts = [str(i) for i in range(400)]
    pairs = cell_pairs(texts, vectors, n_pairs=n_pairs, n_near=n_near)
    # of near cells at most n_near places away; by chance that is rare
    near = sum(abs(int(p.first) - int(p.second)) <= n_near for p in pairs)
    by_chance = n_pairs / 2 * 2 * n_near / 400
    assert len(pairs) == n_pairs
    assert near == pytest.approx(n_pairs / 2 + by_chance, abs=4 * by_chance**0.5 + 1)


def test_a_label_is_0_where_a_feature_differs_and_never_negative_unless_asked_ce_9():
    organs = ["lung", "skin", "lung", "skin", "lung"]
    pairs = cell_pairs(TEXTS, VECTORS, features=[organs], n_pairs=400, n_near=1)
    organ = dict(zip(TEXTS, organs, strict=True))
    assert all(p.label == 0 for p in pairs if organ[p.first] != organ[p.second])
    assert all(p.label >= 0 for p in pairs)
    as_they_are = cell_pairs(TEXTS, VECTORS, n_pairs=400, n_near=1, labels="cosine")
    assert min(p.label for p in as_they_are) == pytest.approx(-1)


def test_copies_of_a_cell_are_near_each_other():
    pairs = cell_pairs(TEXTS, np.ones((5, 2)), n_pairs=100, n_near=2)
    assert all(p.label == pytest.approx(1) and p.first != p.second for p in pairs)


def test_pairs_depend_on_the_seed_alone():
    made = [cell_pairs(TEXTS, VECTORS, n_pairs=50, n_near=1, seed=s) for s in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_pairs_are_refused_of_lists_of_other_lengths_or_too_few_cells():
    with pytest.raises(InputError, match="There are 5 texts and 4 vectors"):
        cell_pairs(TEXTS, VECTORS[:4])
    with pytest.raises(InputError, match="features of other lengths"):
        cell_pairs(TEXTS, VECTORS, features=[["x"]])
    with pytest.raises(InputError, match="5 cells are too few for 10 near ones"):
        cell_pairs(TEXTS, VECTORS)


def test_pairs_are_written_as_cellama_does_and_read_back(tmp_path):
    pairs = [Pair("a", "b", 0.5), Pair("é", "c", -1.0)]
    write_pairs(pairs, tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_text())[0] == {"texts": ["a", "b"], "label": 0.5}
    assert list(read_pairs([tmp_path / "p.json"])) == pairs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no readable JSON"),
        ("{}", "is no list of pairs"),
        ('[{"texts": ["a"], "label": 1}]', "entry 1 is no pair"),
        ('[{"texts": ["a", "b"], "label": 2}]', "entry 1 is no pair"),
        ("[3]", "entry 1 is no pair: it holds 3"),
    ],
)
def test_a_file_that_holds_no_pairs_is_told(tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match=message):
        list(read_pairs([tmp_path / "p.json"]))


def write_run(folder, *, n=48, more=""):
    write_encoder(folder / "base", max_tokens=32)
    rng = np.random.default_rng(0)

    def some(count):
        made = []
        for _ in range(count):
            kind, other = rng.integers(3, size=2)
            words = [
                " ".join(f"g{20 * k + i}" for i in rng.choice(20, size=5, replace=False))
                for k in (kind, other)
            ]
            made.append(Pair(*words, float(kind == other)))
        return made

    write_pairs(some(n), folder / "train.json")
    write_pairs(some(30), folder / "valid.json")
    (folder / "recipe.toml").write_text(
        'preset = "cellama-pairs"\nmodel.base = "base"\n'
        'data = { train = ["train.json"], valid = ["valid.json"] }\n'
        f"optimiser = {{ learning_rate = 2e-3, epochs = 3, warmup = 0.1 }}\n{more}"
    )
    return folder / "recipe.toml"


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cosine", "contrastive"])
def test_an_encoder_learns_which_texts_are_alike_and_is_read_by_st(tmp_path, capsys, loss):
    recipe = write_run(tmp_path, n=160, more=f'pairs.loss = "{loss}"\nevaluation.every = 10\n')
    result = train(recipe, tmp_path / "run")
    found = [line["valid"] for line in RunFolder(tmp_path / "run").lines() if "valid" in line]
    assert result.metrics["pairs"]["spearman"] > 0.4
    assert found[-1]["loss"] < found[0]["loss"]
    model = merge(tmp_path / "run", tmp_path / "model")
    lm = cq.load_lm(f"st:{model}")
    pairs = list(read_pairs([tmp_path / "valid.json"]))
    first, second = (lm.embed([getattr(p, name) for p in pairs]) for name in ("first", "second"))
    cosines = (first * second).sum(axis=1)
    labels = np.array([p.label for p in pairs])
    if loss == "cosine":
        assert result.loss == pytest.approx(float(((cosines - labels) ** 2).mean()), rel=1e-3)
    assert cosines[labels == 1].mean() > cosines[labels == 0].mean() + 0.05
    capsys.readouterr()


@pytest.mark.slow
def test_the_gradient_of_pairs_does_not_depend_on_what_fits_at_once(tmp_path, capsys):
    recipe = write_run(tmp_path)
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    change_json(tmp_path / "base" / "config.json", **none)
    text = recipe.read_text()
    for at_once in (16, 5):
        recipe.write_text(f"{text}run.at_once = {at_once}\n")
        train(recipe, tmp_path / f"run{at_once}")
    capsys.readouterr()
    losses = [
        [line["loss"] for line in RunFolder(tmp_path / name).lines() if "loss" in line]
        for name in ("run16", "run5")
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_a_text_that_an_encoder_would_cut_is_refused_or_counted_ce_11(tmp_path):
    recipe, path = write_run(tmp_path, n=4), tmp_path / "train.json"
    write_pairs([Pair("g1 " * 40, "g2", 1.0), Pair("g1", "g2", 1.0)], path, overwrite=True)
    with pytest.raises(InputError, match=r"1 of 2 pairs hold a text .* reads 32 tokens; the long"):
        train(recipe, tmp_path / "run")
    write_pairs([Pair("g1 " * 40, "g2", 1.0)], path, overwrite=True)
    recipe.write_text(recipe.read_text().replace("data = { ", 'data = { too_long = "leave_out", '))
    with pytest.raises(InputError, match="There is no pair to learn from"):
        train(recipe, tmp_path / "other")


def test_what_an_encoder_does_not_have_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no `packing`, `shard` or `from_scratch`"):
        train(write_run(tmp_path, n=4, more="run.packing = true\n"), tmp_path / "run")


def test_more_tokens_than_an_encoder_reads_are_refused(tmp_path):
    recipe = write_run(tmp_path, n=4, more="")
    recipe.write_text(recipe.read_text().replace("model.base", "model.max_tokens = 99\nmodel.base"))
    with pytest.raises(InputError, match=r"is 99, and '.*' reads 32"):
        train(recipe, tmp_path / "run")


@pytest.mark.slow
def test_training_an_encoder_leaves_the_global_random_state_alone(tmp_path, capsys):
    recipe = write_run(tmp_path, n=16)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train(recipe, tmp_path / "run")
    capsys.readouterr()
    assert torch.equal(torch.rand(3), expected)
