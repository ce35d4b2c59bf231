"""Exact scores of allowed answers by an encoder-decoder, beside transformers' own forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.lm import _score_seq2seq
from celloquy.lm._score_seq2seq import score_answers_seq2seq
from decoder_models import make_seq2seq

END = 1
NESTED = [[5, 6, END], [5, END], [5, 6, 7, 8, END], [9, 3, END], [9], [11, 12, 13, 14, 15, 16]]
MODEL = make_seq2seq()


def some_prompts(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(2, 400, n).astype(np.int32) for n in lengths]


def one_by_one(model, prompts, answers):
    """One forward of transformers per prompt and answer."""
    logp = np.empty((len(prompts), len(answers)))
    for row, prompt in enumerate(prompts):
        for column, answer in enumerate(answers):
            labels = torch.tensor([answer])
            ids = torch.from_numpy(prompt.astype(np.int64))[None]
            with torch.inference_mode():
                found = model(input_ids=ids, labels=labels).logits[0].log_softmax(dim=-1)
            logp[row, column] = found[torch.arange(len(answer)), labels[0]].double().sum()
    return logp


@pytest.mark.parametrize("is_tied", [False, True])
def test_scores_are_those_of_one_forward_per_answer(is_tied):
    model, prompts = make_seq2seq(is_tied=is_tied), some_prompts([3, 17, 30, 1])
    found = score_answers_seq2seq(model, prompts, NESTED)
    expected = one_by_one(model, prompts, NESTED)
    np.testing.assert_allclose(found.logp, expected, atol=1e-4)
    assert found.best.tolist() == expected.argmax(axis=1).tolist()
    assert found.n_tokens.tolist() == [[3, 2, 5, 3, 1, 6]] * 4


def test_the_best_alone_hides_the_others():
    prompts = some_prompts([3, 17])
    found = score_answers_seq2seq(MODEL, prompts, NESTED, best_only=True)
    expected = one_by_one(MODEL, prompts, NESTED)
    assert found.best.tolist() == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.logp.max(axis=1), expected.max(axis=1), atol=1e-4)
    assert (np.isneginf(found.logp).sum(axis=1) == len(NESTED) - 1).all()


def test_each_prompt_may_have_its_own_answers():
    prompts, sets = some_prompts([4, 9, 6]), [[[7], [8, 3, END]], NESTED, [[5, 6]]]
    found = score_answers_seq2seq(MODEL, prompts, sets)
    for row, some in enumerate(sets):
        expected = one_by_one(MODEL, [prompts[row]], some)[0]
        np.testing.assert_allclose(found.logp[row, : len(some)], expected, atol=1e-4)
        assert np.isneginf(found.logp[row, len(some) :]).all()


@pytest.mark.parametrize("nodes_at_once", [1, 7, 512])
def test_many_answers_read_in_parts_have_the_same_scores(monkeypatch, nodes_at_once):
    monkeypatch.setattr(_score_seq2seq, "NODES_AT_ONCE", nodes_at_once)
    answers = [[2 + i // 10, 20 + i % 10, END] for i in range(40)]
    prompts = some_prompts([6, 11])
    found = score_answers_seq2seq(MODEL, prompts, [answers, NESTED])
    for row, some in enumerate([answers, NESTED]):
        expected = one_by_one(MODEL, [prompts[row]], some)[0]
        np.testing.assert_allclose(found.logp[row, : len(some)], expected, atol=1e-4)


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_batch_mates_order_and_padding_change_nothing(data):
    prompts = some_prompts(data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=5)))
    order = data.draw(st.permutations(range(len(prompts))))
    token_budget = data.draw(st.sampled_from([1, 32, 64, 4096]))
    shuffled = [prompts[row] for row in order]
    together = score_answers_seq2seq(MODEL, shuffled, NESTED, token_budget=token_budget)
    for place, row in enumerate(order):
        alone = score_answers_seq2seq(MODEL, [prompts[row]], NESTED)
        np.testing.assert_allclose(together.logp[place], alone.logp[0], atol=1e-4)


def test_an_answer_without_tokens_is_refused():
    with pytest.raises(InputError, match=r"Answer 2 of 2 has no tokens"):
        score_answers_seq2seq(MODEL, some_prompts([4]), [[1], []])
