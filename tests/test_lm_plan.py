"""The token budget: names are cut from the end, everything else never, and all is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.lm import load_lm
from celloquy.text import Counted, Field, Names, Text, Vocabulary
from lm_models import write_encoder

VOCABULARY = Vocabulary(tuple(f"g{i}" for i in range(60)))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """An encoder of 16 tokens: [CLS], 14 words, [SEP]."""
    folder = write_encoder(tmp_path_factory.mktemp("tiny"), max_tokens=16)
    return load_lm(f"st:{folder}", device="cpu")


def names(n: int, **options) -> Names:
    return Names(np.arange(n, dtype=np.int32), VOCABULARY, **options)


def test_a_prompt_that_fits_is_left_alone(tiny):
    plan = tiny.plan([(Text("a cell "), names(12)), "g1 g2"])
    assert plan.n_tokens.tolist() == [16, 4]
    assert plan.n_names_cut.tolist() == [0, 0]
    assert plan.n_cut == 0


def test_names_are_cut_from_the_end_and_metadata_after_them_stays(tiny):
    plan = tiny.plan([(Text("a cell "), names(40), Text(" . "), Field("a cell"))])
    assert plan.texts == ("a cell g0 g1 g2 g3 g4 g5 g6 g7 g8 . a cell",)
    assert plan.n_tokens.tolist() == [16]
    assert plan.n_names_cut.tolist() == [31]
    assert plan.n_cut == 1


def test_words_that_count_genes_follow_what_is_left(tiny):
    words = Counted.of(40, ("a", "cell", "a cell"))
    plan = tiny.plan([(words, Text(" "), names(40), Text(" a" * 12))])
    assert plan.texts[0].startswith("cell g0 a a")
    assert plan.n_names_cut.tolist() == [39]


def test_the_longest_lists_of_a_prompt_lose_their_names_first(tiny):
    plan = tiny.plan([(names(20), Text(" , "), names(3), Text(" , "), names(20))])
    assert plan.texts == ("g0 g1 g2 g3 g4 , g0 g1 g2 , g0 g1 g2 g3",)
    assert plan.n_names_cut.tolist() == [31]


def test_a_prompt_too_long_without_its_names_is_refused_even_if_texts_may_be_cut(tiny):
    prompt = (names(3), Text(" a" * 30))
    for too_long in ("refuse", "cut"):
        with pytest.raises(
            InputError, match=r"Prompt 1 takes 35 tokens; 'st:.*' reads 16"
        ) as refusal:
            tiny.plan(["g1", prompt], too_long=too_long)
        assert "do not fit without any gene" in refusal.value.hint


def test_names_that_may_not_be_cut_are_refused_when_too_long(tiny):
    with pytest.raises(InputError, match=r"Prompt 0 takes 42 tokens; 'st:.*' reads 16") as refusal:
        tiny.plan([(names(40, may_cut=False),), (names(20, may_cut=False), Text(" a"))])
    assert refusal.value.hint == "`n_top_genes=13` fits all 2 prompts given here."


def test_a_long_text_is_refused_unless_cutting_is_allowed_and_then_counted(tiny):
    text = " ".join(f"g{i}" for i in range(20))
    with pytest.raises(InputError, match=r"It begins 'g0 g1") as refusal:
        tiny.embed([text])
    assert 'too_long="cut"' in refusal.value.hint
    plan = tiny.plan(["g1", text], too_long="cut")
    assert plan.n_tokens.tolist() == [3, 16]
    assert plan.n_tokens_cut.tolist() == [0, 6]
    assert plan.ids[1][-1] == plan.ids[0][-1], "the closing token stays"
    cut = " ".join(f"g{i}" for i in range(14))
    np.testing.assert_allclose(tiny.embed([text], too_long="cut"), tiny.embed([cut]), atol=1e-6)


def test_an_unknown_policy_is_refused(tiny):
    with pytest.raises(InputError, match="`too_long` is one of refuse, cut; got 'trim'"):
        tiny.plan(["g1"], too_long="trim")


def test_a_text_without_any_token_is_refused(tiny, tmp_path):
    folder = write_encoder(tmp_path / "model")
    bare = load_lm(f"st:{folder}", device="cpu")
    from tokenizers import processors

    bare.tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    with pytest.raises(InputError, match=r"Prompt 1 of 2 has no token"):
        bare.embed(["g1", ""])


def test_a_part_of_a_plan_keeps_its_counts(tiny):
    plan = tiny.plan(["g1", (names(40),)]).take([1])
    assert plan.n_names_cut.tolist() == [26]
    assert len(plan) == 1
    assert tiny.embed(plan).shape == (1, 64)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=4), st.integers(0, 10))
def test_the_most_names_that_fit_are_kept(tiny, sizes, n_words):
    lists = (part for size in sizes for part in (names(size), Text(" ")))
    plan = tiny.plan([(Text("a " * n_words), *lists)])
    room = 16 - 2 - n_words
    assert sum(sizes) - plan.n_names_cut[0] == min(sum(sizes), room)
    assert plan.n_tokens[0] == 2 + n_words + min(sum(sizes), room)
