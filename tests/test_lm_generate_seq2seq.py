"""An encoder-decoder writes what transformers writes, and a row depends on nothing but itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from celloquy.errors import BackendError, InputError
from celloquy.lm._formats import PlainFormat
from celloquy.lm._formats_tokens import TokenReader
from celloquy.lm._generate_seq2seq import generate_answers_seq2seq
from celloquy.lm._protocol import Limits
from celloquy.text import OneOf, Sequence
from decoder_models import GENES, LABELS, make_seq2seq, make_tokenizer

WORDS = PlainFormat(TokenReader(make_tokenizer("spaces").backend_tokenizer), end_ids=(1,), joint="")
MODELS = {tied: make_seq2seq(vocab_size=len(WORDS.reader), is_tied=tied) for tied in (False, True)}
RNG = np.random.default_rng(3)
PROMPTS = [RNG.integers(4, 90, size=size).astype(np.int32) for size in (3, 12, 7, 7, 20)]
CELL = Sequence(GENES, 5)


def written(prompts, constraint=None, *, limits, seeds=None, is_tied=False, **options):
    seeds = range(len(prompts)) if seeds is None else seeds
    return generate_answers_seq2seq(
        MODELS[is_tied], prompts, constraint, words=WORDS, seeds=seeds, limits=limits, **options
    )


@pytest.mark.parametrize("is_tied", [False, True])
def test_greedy_answers_are_those_of_transformers(is_tied):
    limits = Limits(max_new_tokens=16, temperature=0)
    found = written([*PROMPTS, PROMPTS[0]], limits=limits, is_tied=is_tied)
    for prompt, ids in zip(PROMPTS, found.ids, strict=False):
        wanted = MODELS[is_tied].generate(
            torch.from_numpy(prompt.astype(np.int64))[None],
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=16, do_sample=False,
        )[0, 1:].tolist()  # fmt: skip
        wanted = wanted[: wanted.index(1)] if 1 in wanted else wanted
        assert ids.tolist() == wanted
    assert found.ids[5].tolist() == found.ids[0].tolist()


def test_a_cell_alone_and_among_others_is_the_same_and_no_gene_repeats():
    limits = Limits(max_new_tokens=90)
    together = written(PROMPTS, CELL, limits=limits, seeds=range(5))
    halves = written(PROMPTS, CELL, limits=limits, seeds=range(5), most_rows=2)
    assert halves.texts == together.texts
    for row, prompt in enumerate(PROMPTS):
        assert written([prompt], CELL, limits=limits, seeds=[row]).texts == (together.texts[row],)
        genes = together.texts[row].split(" ")
        assert len(genes) == len(set(genes)) == 5
        assert set(genes) <= set(GENES)


def test_the_log_probability_is_that_of_one_whole_forward():
    limits = Limits(max_new_tokens=12)
    found = written(PROMPTS[:2], limits=limits)
    for prompt, ids, logp, why in zip(
        PROMPTS, found.ids, found.logp, found.finish_reasons, strict=False
    ):
        labels = torch.tensor([[*ids, *([1] if why == "end" else [])]], dtype=torch.long)
        output = MODELS[False](
            input_ids=torch.from_numpy(prompt.astype(np.int64))[None], labels=labels
        )
        total = torch.log_softmax(output.logits.double(), -1)[0].gather(1, labels[0][:, None]).sum()
        assert logp == pytest.approx(total.item(), abs=1e-3)


def test_every_prompt_can_have_a_constraint_of_its_own():
    some = [OneOf(LABELS), CELL, OneOf(("B cell",)), None, CELL]
    found = written(PROMPTS, some, limits=Limits(max_new_tokens=60))
    assert found.texts[0] in LABELS
    assert found.texts[2] == "B cell"


def test_a_prompt_without_tokens_and_an_answer_beyond_the_memory_are_refused(monkeypatch):
    limits = Limits(max_new_tokens=60)
    with pytest.raises(InputError, match=r"Prompt 1 of 2 has no token"):
        written([PROMPTS[0], np.empty(0, np.int32)], limits=limits)

    def never(*_, **__):
        raise MemoryError

    monkeypatch.setattr(MODELS[False].decoder, "forward", never)
    with pytest.raises(BackendError, match=r"One answer to 20 tokens exceeds the memory"):
        written(PROMPTS, limits=limits)
