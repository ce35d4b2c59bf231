"""Exact scores of allowed answers, beside transformers' own forward of prompt and answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import BackendError, InputError
from celloquy.lm import _score_best
from celloquy.lm._network import CausalNetwork
from celloquy.lm._score import score_answers
from decoder_models import FAMILIES, LABELS, each_family, make_decoder, make_tokenizer

END = 0
NESTED = [[5, 6, END], [5, END], [5, 6, 7, 8, END], [9, 3, END], [9], [11, 12, 13, 14, 15, 16]]
"""Some begin others, one has a single token, one does not end with the end."""
MODELS = {family: make_decoder(family, max_tokens=128) for family in FAMILIES}
NETWORKS = {family: CausalNetwork(model, "cpu") for family, model in MODELS.items()}


def some_prompts(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 400, n).astype(np.int32) for n in lengths]


def one_by_one(model, prompts, answers):
    """One forward of transformers per prompt and answer, as text models are usually scored."""
    sets = answers if isinstance(answers[0][0], list) else [answers] * len(prompts)
    logp = np.full((len(prompts), max(map(len, sets))), -np.inf)
    for row, (prompt, some) in enumerate(zip(prompts, sets, strict=True)):
        for column, answer in enumerate(some):
            ids = torch.tensor([[*prompt.tolist(), *answer]])
            with torch.inference_mode():
                found = model(input_ids=ids).logits[0].log_softmax(dim=-1)
            places = torch.arange(len(prompt) - 1, ids.shape[1] - 1)
            logp[row, column] = found[places, torch.tensor(answer)].double().sum()
    return logp


@pytest.mark.parametrize("n_at_once", [None, 2])
@pytest.mark.parametrize("family", each_family())
def test_scores_are_those_of_one_forward_per_answer(family, n_at_once):
    prompts = some_prompts([3, 17, 30, 1])
    found = score_answers(NETWORKS[family], prompts, NESTED, token_budget=n_at_once)
    expected = one_by_one(MODELS[family], prompts, NESTED)
    np.testing.assert_allclose(found.logp, expected, atol=1e-4)
    assert found.best.tolist() == expected.argmax(axis=1).tolist()
    assert found.n_tokens.tolist() == [[3, 2, 5, 3, 1, 6]] * 4


@pytest.mark.parametrize("family", each_family())
def test_the_best_alone_is_the_best_of_all(family):
    prompts = some_prompts([3, 17, 30, 1])
    found = score_answers(NETWORKS[family], prompts, NESTED, best_only=True)
    expected = one_by_one(MODELS[family], prompts, NESTED)
    assert found.best.tolist() == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.logp.max(axis=1), expected.max(axis=1), atol=1e-4)
    assert (np.isneginf(found.logp).sum(axis=1) == len(NESTED) - 1).all()


@pytest.mark.parametrize("best_only", [False, True])
def test_each_prompt_may_have_its_own_answers(best_only):
    prompts = some_prompts([4, 9, 6])
    sets = [[[7], [8, 3, END]], NESTED, [[5, 6]]]
    found = score_answers(NETWORKS["llama"], prompts, sets, best_only=best_only)
    expected = one_by_one(MODELS["llama"], prompts, sets)
    assert found.best.tolist() == expected.argmax(axis=1).tolist()
    assert found.n_tokens.tolist() == [[1, 3, 0, 0, 0, 0], [3, 2, 5, 3, 1, 6], [2, 0, 0, 0, 0, 0]]
    if not best_only:
        np.testing.assert_allclose(found.logp, expected, atol=1e-4)


@pytest.mark.parametrize("best_only", [False, True])
def test_one_answer_has_a_score_too(best_only):
    prompts = some_prompts([5])
    found = score_answers(NETWORKS["gpt2"], prompts, [[3, 4, END]], best_only=best_only)
    expected = one_by_one(MODELS["gpt2"], prompts, [[3, 4, END]])
    np.testing.assert_allclose(found.logp, expected, atol=1e-4)
    assert found.best.tolist() == [0]


def test_answers_of_one_token_need_nothing_read_after_the_prompt():
    prompts, answers = some_prompts([5, 8]), [[token] for token in range(1, 400)]
    found = score_answers(NETWORKS["gpt2"], prompts, answers)
    with torch.inference_mode():
        ids = torch.from_numpy(prompts[1].astype(np.int64))[None]
        expected = MODELS["gpt2"](input_ids=ids).logits[0, -1].log_softmax(dim=-1)
    np.testing.assert_allclose(found.logp[1], expected[1:].double(), atol=1e-4)


def test_a_thousand_answers_have_the_scores_of_a_thousand_forwards():
    answers = [[1 + i // 100, 20 + i // 10 % 10, 40 + i % 10, END] for i in range(1000)]
    prompts = some_prompts([6, 11])
    found = score_answers(NETWORKS["llama"], prompts, answers, token_budget=64)
    some = [0, 1, 499, 998, 999]
    expected = one_by_one(MODELS["llama"], prompts, [answers[i] for i in some])
    np.testing.assert_allclose(found.logp[:, some], expected, atol=1e-4)
    best = score_answers(NETWORKS["llama"], prompts, answers, best_only=True)
    assert best.best.tolist() == found.best.tolist()


def test_a_large_tree_is_read_in_parts_that_look_at_themselves_only():
    looked_at = []

    class Watched(CausalNetwork):
        def hidden(self, ids, *, may_see=None, **beside):
            looked_at.append(0 if may_see is None else may_see.shape[2])
            return super().hidden(ids, may_see=may_see, **beside)

    answers = [[1 + i // 100, 20 + i // 10 % 10, 40 + i % 10, END] for i in range(1000)]
    network = Watched(MODELS["llama"], "cpu")
    found = score_answers(network, some_prompts([9]), answers, token_budget=100)
    assert len(looked_at) == 13  # 1,110 nodes that something follows
    assert max(looked_at) <= 16 + 100 + 2  # the padded prompt, a part, two nodes read again
    expected = score_answers(NETWORKS["llama"], some_prompts([9]), answers)
    np.testing.assert_allclose(found.logp, expected.logp, atol=1e-4)


@pytest.mark.parametrize("kind", ["bytes", "llama3", "spaces"])
def test_every_tokenizers_spacing_gives_the_scores_of_the_whole_text(kind):
    tokenizer = make_tokenizer(kind)
    prompt = tokenizer("Genes: CD3D IL7R.\nThe cell is a")["input_ids"]
    answers = [
        tokenizer(f" {label}", add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        for label in LABELS
    ]
    found = score_answers(NETWORKS["gemma3"], [np.array(prompt, dtype=np.int32)], answers)
    expected = one_by_one(MODELS["gemma3"], [np.array(prompt)], answers)
    np.testing.assert_allclose(found.logp, expected, atol=1e-4)


@settings(deadline=None, max_examples=8)
@given(st.data())
def test_batch_mates_order_and_padding_change_nothing(data):
    family = data.draw(st.sampled_from(["gpt2", "gemma3", "mistral"]))
    prompts = some_prompts(data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=5)))
    token_budget = data.draw(st.sampled_from([1, 32, 64, 4096]))
    best_only = data.draw(st.booleans())
    order = data.draw(st.permutations(range(len(prompts))))
    together = score_answers(
        NETWORKS[family],
        [prompts[row] for row in order],
        NESTED,
        best_only=best_only,
        token_budget=token_budget,
    )
    for place, row in enumerate(order):
        alone = score_answers(NETWORKS[family], [prompts[row]], NESTED, best_only=best_only)
        np.testing.assert_allclose(together.logp[place], alone.logp[0], atol=1e-4)


trees = st.lists(
    st.lists(st.integers(1, 4), min_size=1, max_size=5), min_size=1, max_size=30, unique_by=tuple
)


@settings(deadline=None, max_examples=15)
@given(trees, st.integers(0, 1000), st.sampled_from([1, 2, 16]))
def test_the_search_finds_the_best_of_any_tree(answers, seed, n_nodes):
    prompts = some_prompts([3, 8], seed)
    network = NETWORKS["gpt2"]
    everything = score_answers(network, prompts, answers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_score_best.find_best, "__kwdefaults__", {"n_nodes": n_nodes})
        found = score_answers(network, prompts, answers, best_only=True)
    chosen = everything.logp[[0, 1], found.best]
    np.testing.assert_allclose(chosen, everything.logp.max(axis=1), atol=1e-5)


class EvenNetwork(CausalNetwork):
    """Finds all tokens equally likely, and so all answers of one length."""

    def logits(self, hidden, *, rows=None):
        return torch.zeros_like(super().logits(hidden, rows=rows))


@pytest.mark.parametrize("best_only", [False, True])
def test_of_equal_answers_the_first_is_the_best(best_only):
    network = EvenNetwork(MODELS["gpt2"], "cpu")
    answers = [[9, 1], [3, 1], [5, 1]]
    found = score_answers(network, some_prompts([4]), answers, best_only=best_only)
    assert found.best.tolist() == [0]
    np.testing.assert_allclose(found.logp[0, 0], -2 * np.log(400), rtol=1e-6)


def test_the_search_reads_less_than_the_tree():
    read = []

    class Watched(CausalNetwork):
        def hidden(self, ids, **beside):
            read.append(ids.shape[1])
            return super().hidden(ids, **beside)

    answers = [[1 + i // 100, 20 + i // 10 % 10, 40 + i % 10, END] for i in range(1000)]
    decided = make_decoder("gpt2", spread=2.0)  # a random model whose tokens differ by many nats
    score_answers(Watched(decided, "cpu"), some_prompts([6]), answers, best_only=True)
    assert sum(read[1:]) < 200  # of 1,110 nodes


def test_without_memory_batches_are_halved_and_the_scores_stay():
    class Small(CausalNetwork):
        def hidden(self, ids, **beside):
            if len(ids) > 1:
                msg = "DefaultCPUAllocator: can't allocate memory"
                raise RuntimeError(msg)
            return super().hidden(ids, **beside)

    prompts = some_prompts([12, 5, 9, 7, 3, 8, 6, 4])  # several to a core
    with pytest.warns(UserWarning, match=r"batches of 4,096 tokens .* The results are the same"):
        found = score_answers(Small(MODELS["gpt2"], "cpu"), prompts, NESTED)
    expected = score_answers(NETWORKS["gpt2"], prompts, NESTED)
    np.testing.assert_allclose(found.logp, expected.logp, atol=1e-4)


def test_a_number_that_is_none_is_told():
    broken = make_decoder("gpt2")
    broken.transformer.ln_f.weight[0] = torch.nan
    with pytest.raises(BackendError, match=r"3 of 3 log-probabilities are not numbers"):
        score_answers(CausalNetwork(broken, "cpu"), some_prompts([4]), NESTED)


def test_another_number_of_sets_than_of_prompts_is_refused():
    with pytest.raises(InputError, match=r"There are 2 sets of answers for 3 prompts"):
        score_answers(NETWORKS["gpt2"], some_prompts([4, 4, 4]), [[[1]], [[2]]])


def test_a_prompt_without_tokens_is_refused():
    with pytest.raises(InputError, match=r"Prompt 2 of 2 has no tokens"):
        score_answers(NETWORKS["gpt2"], some_prompts([4, 0]), [[1]])


def test_a_prompt_that_does_not_fit_with_its_answers_is_refused():
    refusal = r"Prompt 1 of 1 takes 126 tokens and its longest answer 3; the model reads 128"
    with pytest.raises(InputError, match=refusal):
        score_answers(NETWORKS["gpt2"], some_prompts([126]), [[1, 2, 3], [4]])


def test_no_prompts_give_no_scores():
    found = score_answers(NETWORKS["gpt2"], [], [[1], [2]])
    assert found.logp.shape[0] == 0
    assert found.best.tolist() == []
