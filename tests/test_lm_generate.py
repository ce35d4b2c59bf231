"""What is written is what transformers writes, and a row depends on nothing but itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import BackendError, InputError
from celloquy.lm import _generate_rows
from celloquy.lm._constrain import compile_constraint
from celloquy.lm._formats import PlainFormat
from celloquy.lm._formats_tokens import TokenReader
from celloquy.lm._generate import generate_answers
from celloquy.lm._network import CausalNetwork
from celloquy.lm._protocol import Limits
from celloquy.text import JSONSchema, OneOf, Sequence
from decoder_models import GENES, LABELS, each_family, make_decoder, make_tokenizer

FAMILY = pytest.mark.parametrize("family", each_family())
N_TOKENS = 24
GREEDY = Limits(max_new_tokens=N_TOKENS, temperature=0)
WORDS = PlainFormat(TokenReader(make_tokenizer("bytes").backend_tokenizer), end_ids=(0,))
CELL = Sequence(GENES, 6)
RNG = np.random.default_rng(3)
PROMPTS = [RNG.integers(5, 300, size=size).astype(np.int32) for size in (3, 12, 7, 7, 20)]
_NETWORKS = {}


def network(family="gpt2"):
    if family not in _NETWORKS:
        _NETWORKS[family] = CausalNetwork(make_decoder(family, vocab_size=len(WORDS.reader)), "cpu")
    return _NETWORKS[family]


def written(prompts, constraint=None, *, family="gpt2", limits=GREEDY, seeds=None, **options):
    return generate_answers(
        network(family),
        prompts,
        constraint,
        words=WORDS,
        seeds=range(len(prompts)) if seeds is None else seeds,
        limits=limits,
        **options,
    )


def by_transformers(prompt, *, family, n_tokens=N_TOKENS, **options):
    """One answer of transformers' own generate, greedy, without its end."""
    ids = (
        network(family)
        .model.generate(
            torch.from_numpy(prompt.astype(np.int64))[None],
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=n_tokens,
            do_sample=False,
            eos_token_id=0,
            pad_token_id=0,
            **options,
        )[0, len(prompt) :]
        .tolist()
    )
    return ids[: ids.index(0)] if 0 in ids else ids


def allowed_after(compiled, prompt_length):
    """What the constraint allows, asked anew for each prefix: for transformers' generate."""

    def allowed(_, ids):
        row = np.array([0])
        progress = compiled.start(np.array([400]), n_forced=0)
        mask = progress.look()
        for token in ids[prompt_length:].tolist():
            _, mask = progress.follow(row, np.searchsorted(compiled.tokens, [token]))
        return [0] if progress.has_ended(row)[0] else compiled.tokens[mask[0]].tolist()

    return allowed


@FAMILY
def test_greedy_answers_are_those_of_transformers(family):
    found = written([*PROMPTS, PROMPTS[1]], family=family)
    for prompt, ids in zip(PROMPTS, found.ids, strict=False):
        assert ids.tolist() == by_transformers(prompt, family=family)
    assert found.ids[-1].tolist() == found.ids[1].tolist()


@FAMILY
def test_constrained_greedy_answers_are_those_of_transformers_with_a_prefix_function(family):
    prompts = PROMPTS[:3]
    limits = Limits(max_new_tokens=64, temperature=0)
    found = written(prompts, CELL, family=family, limits=limits)
    compiled = compile_constraint(CELL, WORDS)
    for prompt, ids in zip(prompts, found.ids, strict=True):
        rule = allowed_after(compiled, len(prompt))
        wanted = by_transformers(prompt, family=family, n_tokens=64, prefix_allowed_tokens_fn=rule)
        assert ids.tolist() == wanted
    assert set(found.finish_reasons) == {"end"}


@FAMILY
def test_the_log_probability_is_that_of_one_whole_forward(family):
    found = written(
        PROMPTS[:2], CELL, family=family, limits=Limits(max_new_tokens=90), seeds=[4, 5]
    )
    compiled = compile_constraint(CELL, WORDS)
    for prompt, ids, logp in zip(PROMPTS, found.ids, found.logp, strict=False):
        whole = torch.tensor([*prompt, *ids, 0], dtype=torch.long)
        logits = network(family).model(whole[None]).logits[0].double()
        rule, total = allowed_after(compiled, len(prompt)), 0.0
        for place in range(len(prompt), len(whole)):
            open_ids = rule(0, whole[:place])
            among = torch.log_softmax(logits[place - 1, open_ids], -1)
            total += among[open_ids.index(int(whole[place]))].item()
        assert logp == pytest.approx(total, abs=1e-3)


def test_an_unconstrained_answer_ends_at_its_end_and_its_log_probability_counts_the_end():
    prompt = PROMPTS[0]
    found = written([prompt] * 200, limits=Limits(max_new_tokens=40), seeds=range(200))
    row = found.finish_reasons.index("end")
    ids = found.ids[row]
    whole = torch.tensor([*prompt, *ids, 0], dtype=torch.long)
    logp = torch.log_softmax(network().model(whole[None]).logits[0].double(), -1)
    places = torch.arange(len(prompt), len(whole))
    assert found.logp[row] == pytest.approx(logp[places - 1, whole[places]].sum().item(), abs=1e-3)
    assert all(
        len(one) == 40
        for one, why in zip(found.ids, found.finish_reasons, strict=True)
        if why == "length"
    )


@FAMILY
def test_a_cell_alone_and_among_others_is_the_same(family):
    limits = Limits(max_new_tokens=90, temperature=0.9, top_p=0.95)
    prompts = [PROMPTS[row % 5] for row in range(9)]
    together = written(prompts, CELL, family=family, limits=limits, seeds=range(9))
    for row in (0, 4, 8):
        alone = written([prompts[row]], CELL, family=family, limits=limits, seeds=[row])
        assert alone.texts == (together.texts[row],)
        assert alone.logp[0] == pytest.approx(together.logp[row], abs=1e-3)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(5)), rows=st.integers(1, 5), n=st.integers(1, 18))
def test_order_and_batches_change_nothing_and_no_gene_repeats(order, rows, n):
    limits = Limits(max_new_tokens=150)
    cell = Sequence(GENES, n)
    found = written(PROMPTS, cell, limits=limits, seeds=range(5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_generate_rows, "MOST_ROWS", rows)
        other = written([PROMPTS[i] for i in order], cell, limits=limits, seeds=order)
    assert [other.texts[order.index(row)] for row in range(5)] == list(found.texts)
    for text in found.texts:
        genes = text.split(" ")
        assert len(genes) == len(set(genes)) == n
        assert set(genes) <= set(GENES)


def test_rows_that_are_shared_among_threads_are_those_of_one(monkeypatch):
    prompts = [PROMPTS[row % 5] for row in range(21)]
    limits = Limits(max_new_tokens=90)
    one = written(prompts, CELL, limits=limits, seeds=range(21))
    n_threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    three = written(prompts, CELL, limits=limits, seeds=range(21))
    torch.set_num_threads(n_threads)
    assert three.texts == one.texts
    np.testing.assert_allclose(three.logp, one.logp, atol=1e-3)


def test_at_most_n_genes_end_where_the_model_ends():
    limits = Limits(max_new_tokens=150)
    found = written(
        [PROMPTS[0]] * 60, Sequence(GENES, 8, exactly=False), limits=limits, seeds=range(60)
    )
    numbers = {len(text.split(" ")) for text in found.texts}
    assert len(numbers) > 2
    assert numbers <= set(range(1, 9))


def test_equal_seeds_give_equal_cells_and_others_give_others():
    found = written([PROMPTS[0]] * 3, CELL, limits=Limits(max_new_tokens=90), seeds=[7, 7, 8])
    assert found.texts[0] == found.texts[1] != found.texts[2]
    again = written([PROMPTS[0]], CELL, limits=Limits(max_new_tokens=90), seeds=[-1])
    assert set(again.texts[0].split(" ")) <= set(GENES)


def test_every_prompt_can_have_a_constraint_of_its_own():
    some = [OneOf(LABELS), CELL, OneOf(("B cell",)), None, CELL]
    found = written(PROMPTS, some, limits=Limits(max_new_tokens=60))
    assert found.texts[0] in LABELS
    assert found.texts[2] == "B cell"
    assert found.logp[2] == 0
    assert {len(found.texts[i].split(" ")) for i in (1, 4)} == {6}


def test_json_of_a_schema_is_written():
    schema = JSONSchema({"type": "object", "properties": {"cell": {"enum": list(LABELS)}},
                         "required": ["cell"], "additionalProperties": False})  # fmt: skip
    found = written(PROMPTS, schema, limits=Limits(max_new_tokens=60))
    import json

    assert all(json.loads(text)["cell"] in LABELS for text in found.texts)
    assert set(found.finish_reasons) == {"end"}


def test_a_batch_is_halved_when_memory_is_short_and_the_answers_stay(monkeypatch):
    wanted = written(PROMPTS, CELL, limits=Limits(max_new_tokens=90))
    net, sizes = network(), []
    hidden = CausalNetwork.hidden

    def short(self, ids, **options):
        sizes.append(len(ids))
        if len(ids) > 2:
            message = "DefaultCPUAllocator: can't allocate memory: you tried to allocate"
            raise RuntimeError(message)
        return hidden(self, ids, **options)

    monkeypatch.setattr(CausalNetwork, "hidden", short)
    assert written(PROMPTS, CELL, limits=Limits(max_new_tokens=90)).texts == wanted.texts
    assert sizes[0] == 5
    assert max(sizes[1:]) <= 2

    def never(self, ids, **options):
        raise MemoryError

    monkeypatch.setattr(CausalNetwork, "hidden", never)
    with pytest.raises(BackendError, match=r"One answer after 20 tokens exceeds the memory"):
        written(PROMPTS, CELL, limits=Limits(max_new_tokens=90))
    assert net is network()


def test_prompts_without_tokens_or_room_are_refused():
    with pytest.raises(InputError, match=r"Prompt 1 of 2 has no token"):
        written([PROMPTS[0], np.empty(0, np.int32)])
    with pytest.raises(
        InputError, match=r"Prompt 0 takes 20 tokens and leaves no room .* reads 20"
    ):
        written([PROMPTS[4]], max_tokens=20)
    with pytest.raises(InputError, match=r"6 strings take at least \d+ tokens, and 5 are left"):
        written([PROMPTS[4]], CELL, max_tokens=25)
    with pytest.raises(InputError, match=r"2 seeds for 1 prompts"):
        written([PROMPTS[0]], seeds=[1, 2])


def test_bf16_writes_whole_cells_too():
    model = make_decoder("llama", vocab_size=len(WORDS.reader)).to(torch.bfloat16)
    found = generate_answers(
        CausalNetwork(model, "cpu"), PROMPTS, CELL, words=WORDS, seeds=range(5),
        limits=Limits(max_new_tokens=90),
    )  # fmt: skip
    assert all(len(set(text.split(" "))) == 6 for text in found.texts)


def by_hand(own, other, scale, *, family, n_tokens=8):
    """A guided answer, greedy: two whole forwards a token, the logits put together here."""
    ids = []
    for _ in range(n_tokens):
        each = [
            network(family).model(torch.tensor([[*prompt, *ids]])).logits[0, -1]
            for prompt in (own, other)
        ]
        token = int((each[1] + scale * (each[0] - each[1])).argmax())
        if token == 0:
            return ids
        ids.append(token)
    return ids


@FAMILY
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_guided_answers_follow_the_contrast_plus_scale_times_the_difference(family, scale):
    limits = Limits(max_new_tokens=8, temperature=0, guidance_scale=scale)
    pairs = list(zip(PROMPTS[:3], PROMPTS[2:], strict=False))
    found = written(PROMPTS[:3], family=family, limits=limits, contrast=PROMPTS[2:])
    for (own, other), ids in zip(pairs, found.ids, strict=True):
        assert ids.tolist() == by_hand(own, other, scale, family=family)


@FAMILY
def test_a_guided_cell_alone_and_among_others_is_the_same(family):
    limits = Limits(max_new_tokens=90, guidance_scale=2.0)
    prompts, others = [*PROMPTS, *PROMPTS], [*PROMPTS[1:], *PROMPTS, PROMPTS[0]]
    together = written(prompts, CELL, family=family, limits=limits, contrast=others)
    for row in (0, 4, 9):
        alone = written(
            [prompts[row]], CELL, family=family, limits=limits, seeds=[row], contrast=[others[row]]
        )
        assert alone.texts[0] == together.texts[row]
        assert alone.logp[0] == pytest.approx(together.logp[row], abs=1e-3)


def test_a_prompt_that_is_its_own_contrast_is_not_guided_and_scale_0_follows_the_contrast():
    limits = Limits(max_new_tokens=90)
    plain = written(PROMPTS, CELL, limits=limits)
    same = written(PROMPTS, CELL, limits=replace(limits, guidance_scale=4.0), contrast=PROMPTS)
    assert same.texts == plain.texts
    turned = PROMPTS[::-1]
    none = written(turned, CELL, limits=replace(limits, guidance_scale=0.0), contrast=PROMPTS)
    assert none.texts == plain.texts
    assert written(turned, CELL, limits=limits).texts != plain.texts


def test_a_contrast_needs_room_as_a_prompt_does():
    limits = Limits(max_new_tokens=90, guidance_scale=2.0)
    with pytest.raises(InputError, match="Prompt 1 takes 20 tokens and leaves no room"):
        written([PROMPTS[0]], limits=limits, contrast=[PROMPTS[4]], max_tokens=20)


def test_a_guidance_scale_below_nought_or_without_end_is_refused():
    for scale in (-1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match=f"`guidance_scale` must be 0 or more, got {scale}"):
            Limits(guidance_scale=scale)


def test_no_prompts_give_no_answers():
    assert written([], limits=Limits(max_new_tokens=3)).texts == ()
