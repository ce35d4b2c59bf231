"""Cells and a local language model: exact probabilities, alone or together, cut or whole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

import celloquy as cq
from celloquy.errors import InputError
from celloquy.io import write_h5ad
from celloquy.roles import PredictOptions
from celloquy.tasks import load_task
from decoder_models import LABELS, write_decoder, write_seq2seq
from labelled_cells import labelled_cells

KEY = "cell_type_celloquy"


SLOW = pytest.mark.slow


@pytest.fixture(
    scope="module",
    params=["llama", pytest.param("gpt2", marks=SLOW), pytest.param("t5", marks=SLOW)],
)
def lm(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "t5":
        write_seq2seq(folder)
    else:
        write_decoder(folder, family=request.param)
    return cq.load_lm(f"hf:{folder}", device="cpu")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = write_decoder(tmp_path_factory.mktemp("small"), family="llama", max_tokens=192)
    return cq.load_lm(f"hf:{folder}", device="cpu")


@pytest.fixture
def adata():
    return labelled_cells(4, seed=2)


def ask(source, lm, **options):
    given = {"n_top_genes": 12, "min_score": 0, "probabilities": True, **options}
    return cq.predict(
        source, "cell_type", lm=lm, labels=LABELS, overwrite=True, options=PredictOptions(**given)
    )


def test_a_cell_gets_the_same_probabilities_alone_in_another_order_and_in_other_shards(lm, adata):
    whole = ask(adata, lm)
    reverse = ask(adata[::-1].copy(), lm, shard_size=5)
    alone = np.concatenate([ask(adata[[i]].copy(), lm).probabilities for i in range(12)])
    for other in (reverse.probabilities[::-1], alone):
        assert other == pytest.approx(whole.probabilities, abs=1e-5)
    assert reverse.labels.loc[whole.labels.index].equals(whole.labels)
    assert len({tuple(row) for row in whole.probabilities.round(6)}) > 1


def test_neither_the_order_of_genes_nor_a_file_between_changes_an_answer(lm, adata, tmp_path):
    whole = ask(adata, lm)
    shuffled = adata[:, np.random.default_rng(0).permutation(adata.n_vars)].copy()
    write_h5ad(shuffled, tmp_path / "cells.h5ad")
    again = ask(tmp_path / "cells.h5ad", lm)
    assert again.probabilities == pytest.approx(whole.probabilities, abs=1e-5)
    pd.testing.assert_series_equal(again.labels, whole.labels)


def test_probabilities_are_those_of_one_forward_a_label(small, adata):
    found = ask(adata[:1].copy(), small)
    genes = cq.sentences(adata[:1], n_top_genes=12).prompts()[0]
    names = next(segment for segment in genes if hasattr(segment, "ids"))
    prompt = small.format.ids(load_task("cell_type").prompt({"cell_sentence": names}))
    model = AutoModelForCausalLM.from_pretrained(small.name.removeprefix("hf:"), dtype="float32")
    logp = []
    for label in LABELS:
        answer = small.format.answer_ids(label, ends=True)
        ids = torch.from_numpy(np.concatenate([prompt, answer]).astype(np.int64))[None]
        with torch.inference_mode():
            logits = model(ids).logits[0].double()
        rows = torch.log_softmax(logits, dim=-1)[len(prompt) - 1 : -1]
        logp.append(float(rows.gather(1, ids[0, len(prompt) :, None]).sum()))
    expected = np.exp(logp) / np.exp(logp).sum()
    assert found.probabilities[0] == pytest.approx(expected, abs=1e-5)


def test_the_likeliest_alone_is_the_same_label(lm, adata):
    whole = ask(adata, lm)
    alone = ask(adata, lm, best_only=True, probabilities=False)
    assert alone.labels.equals(whole.labels)


def test_genes_over_the_context_are_cut_counted_and_the_hint_is_exact(small, adata):
    found = ask(adata, small, n_top_genes=100)
    cut = adata.obs[f"{KEY}_genes_cut"]
    assert (cut > 0).all()
    assert found.record["n_genes_cut"] == cut.sum()
    with pytest.raises(InputError, match=r"12 of 12 cells .* reads 192 tokens") as refusal:
        ask(adata, small, n_top_genes=100, too_long="refuse")
    fits = int(refusal.value.hint.split("=")[1].split("`")[0])
    assert ask(adata, small, n_top_genes=fits, too_long="refuse").record["n_genes_cut"] == 0
    with pytest.raises(InputError, match="do not all fit"):
        ask(adata, small, n_top_genes=fits + 1, too_long="refuse")


def test_a_dry_run_counts_what_a_run_takes(small, adata):
    options = PredictOptions(n_top_genes=100)
    plan = cq.roles.plan_prediction(adata, "cell_type", lm=small, labels=LABELS, options=options)
    found = ask(adata, small, n_top_genes=100)
    assert plan.n_prompt_tokens == found.record["n_prompt_tokens"]
    assert plan.n_genes_cut == found.record["n_genes_cut"]
    assert plan.n_answer_tokens == sum(
        len(small.format.answer_ids(label, ends=True)) for label in LABELS
    )
    assert plan.first_prompt.startswith("Organism:")
