"""Closed sets of servers that give log-probabilities: the numbers are summed by hand here."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import BackendError
from celloquy.lm import EndpointOptions
from celloquy.lm._endpoint import load_endpoint
from celloquy.lm._endpoint_answers import (
    MisfitError,
    Span,
    read_echo,
    read_prompt_logprobs,
    read_text,
)
from celloquy.lm._endpoint_http import GarbageError
from celloquy.text import Field, Text
from lm_server import chat, refused, serving

TYPES = ["T cell", "T cell CD4", "B"]
LOGP = {"T": -1.0, " cell": -0.25, " CD4": -2.0, "B": -0.5, "<|end|>": -0.125, "\n": -0.0625}
HASTY = {"pause": 0.0, "attempts": 2, "timeout": 5.0}
PIECES = {"T cell": ["T", " cell"], "T cell CD4": ["T", " cell", " CD4"], "B": ["B"],
          "It is a B": ["It is a", " B"]}  # fmt: skip


def connect(server, **options):
    return load_endpoint(f"tiny@{server.url}", options=EndpointOptions(**HASTY | options))


def step(piece, logp):
    return {"7": {"logprob": logp, "rank": 1, "decoded_token": piece}}


def vllm(asked):
    """Answer as vLLM does: every token of the prompt with its log-probability."""
    answer = asked.body["messages"][-1]["content"]
    pieces = PIECES.get(answer, [answer])
    steps = [None, step("You say T cell", -9.0), step("<|bot|>", -9.0)]
    steps += [step(piece, LOGP.get(piece, -3.0)) for piece in pieces]
    if not asked.body["continue_final_message"]:
        steps += [step("<|end|>", LOGP["<|end|>"]), step("\n", -9.0)]
    return chat("x", prompt_logprobs=steps)


def echo(asked):
    """Answer as a completions server does that echoes: tokens of each text and one more."""
    choices = []
    for index, text in enumerate(asked.body["prompt"]):
        before, _, answer = text.partition(": ")
        pieces, values = ["<s>", before, ":"], [None, -9.0, -9.0]
        for number, piece in enumerate(PIECES.get(answer.strip(), [answer.strip()])):
            pieces.append(f" {piece}" if number == 0 else piece)
            values.append(LOGP.get(piece, -3.0))
        if answer.endswith("\n"):
            pieces.append("\n")
            values.append(LOGP["\n"])
        logprobs = {"tokens": [*pieces, "T"], "token_logprobs": [*values, -0.1]}
        choices.append({"index": index, "text": "", "logprobs": logprobs})
    return {"choices": choices[::-1], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}


@pytest.mark.parametrize("ends", [True, False])
def test_a_server_that_scores_messages_gives_the_sum_over_the_answers_tokens(ends):
    with serving(vllm) as server:
        lm = connect(server)
        scores = lm.score([(Text("Genes: "), Field("CD3E"))], TYPES, ends=ends)
    end = -0.125 * ends
    assert scores.logp.tolist() == [[-1.25 + end, -3.25 + end, -0.5 + end]]
    assert scores.n_tokens.tolist() == [[2 + ends, 3 + ends, 1 + ends]]
    assert scores.best.tolist() == [2]
    assert len(server.asked) == 1 + 3  # asked once whether it can
    assert server.asked[0].body["messages"][0]["content"] == "Say yes or no."
    body = server.asked[1].body
    assert (body["prompt_logprobs"], body["add_generation_prompt"]) == (0, False)
    assert body["continue_final_message"] is not ends
    assert lm.record()["closed_sets"] == "exact"


@pytest.mark.parametrize("ends", [True, False])
def test_a_server_that_echoes_plain_text_gives_the_sum_over_the_answers_tokens(ends):
    with serving(echo) as server:
        lm = connect(server, api="completions")
        scores = lm.score(["Say: ", "You say:"], [TYPES, ["B"]], ends=ends)
    end = -0.0625 * ends
    assert scores.logp.tolist() == [
        [-1.25 + end, -3.25 + end, -0.5 + end],
        [-0.5 + end, -math.inf, -math.inf],
    ]
    assert scores.n_tokens.tolist() == [[2 + ends, 3 + ends, 1 + ends], [1 + ends, 0, 0]]
    assert scores.best.tolist() == [2, 0]
    assert server.asked[1].body["prompt"][0] == "Say: T cell" + "\n" * ends
    assert len(server.asked) == 1 + 2


def test_when_only_the_best_is_asked_for_the_others_have_no_number():
    with serving(vllm) as server:
        scores = connect(server, scoring="exact").score(["a"], TYPES, best_only=True)
    assert scores.logp.tolist() == [[-math.inf, -math.inf, -0.625]]
    assert len(server.asked) == 3


def test_a_prompt_that_begins_the_answer_is_continued():
    with serving(vllm) as server:
        prompt = (Text("Name it."), Text("It is a ", "assistant"))
        scores = connect(server, scoring="exact").score([prompt], ["B"])
    assert server.asked[0].body["messages"][-1] == {"role": "assistant", "content": "It is a B"}
    assert scores.best.tolist() == [0]


@pytest.mark.parametrize(
    "reply",
    [
        lambda _: refused(400, "Unrecognized request argument supplied: prompt_logprobs"),
        lambda _: refused(404, "not found"),
        lambda _: chat("hello"),
    ],
)
@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_server_without_log_probabilities_is_asked_by_schema(reply, api):
    def answers(asked):
        if "prompt_logprobs" in asked.body or "echo" in asked.body:
            return reply(asked)
        return chat("B")

    with serving(answers) as server:
        lm = connect(server, api=api)
        for _ in range(2):
            scores = lm.score(["a"], TYPES)
            assert scores.best.tolist() == [2]
            assert np.isnan(scores.logp).all()
    assert len(server.asked) == 3  # it is asked only once whether it can
    assert lm.record()["closed_sets"] == "schema"


def test_an_echo_without_the_text_is_no_echo():
    def generated_only(asked):
        if "echo" in asked.body:
            logprobs = {"tokens": ["x"], "token_logprobs": [-1.0]}
            return {"choices": [{"index": 0, "text": "x", "logprobs": logprobs}]}
        return chat("B")

    with serving(generated_only) as server:
        scores = connect(server, api="completions").score(["a"], TYPES)
    assert np.isnan(scores.logp).all()


def test_other_refusals_of_the_first_question_are_told():
    with (
        serving(lambda _: refused(401, "who are you")) as server,
        pytest.raises(BackendError, match="refused the first question with status 401"),
    ):
        connect(server).score(["a"], TYPES)


def test_where_tokens_are_paid_for_answers_are_not_scored_one_by_one_unasked():
    with serving(lambda _: chat("B")) as server:
        scores = connect(server, price_in=1.0, price_out=1.0).score(["a"], TYPES)
    assert scores.best.tolist() == [2]
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("api", "what"),
    [("chat", "no `prompt_logprobs`"), ("completions", "no log-probabilities of text 0")],
)
def test_a_server_that_does_not_give_them_when_it_must_is_told(api, what):
    with serving(lambda _: chat("B")) as server, pytest.raises(BackendError, match=what):
        connect(server, scoring="exact", api=api).score(["a"], TYPES)


def scored(pieces, said, *, ends=False):
    steps = [None if logp is None else step(piece, logp) for piece, logp in pieces]
    return read_prompt_logprobs({"prompt_logprobs": steps}, said, ends=ends)


def test_the_answer_may_begin_with_the_space_of_its_first_token():
    assert scored([("It is a", -9.0), (" T", -1.0), (" cell", -2.0)], "T cell") == Span(-3.0, 2)
    # a space that is a token of its own counts too, or answers could not be compared
    assert scored([("a", -9.0), (" ", -0.5), ("B", -1.0)], "B") == Span(-1.5, 2)
    assert scored([("a\n", -9.0), ("B", -1.0)], "B") == Span(-1.0, 1)


def test_bytes_of_a_letter_that_show_nothing_belong_to_the_answer():
    # as vLLM shows a letter of two bytes: nothing, then the letter
    pieces = [("x\n", -9.0), ("", -1.0), ("γ", -2.0), ("", -3.0), ("δ", -4.0), (" T", -5.0)]
    assert scored(pieces, "γδ T") == Span(-15.0, 5)
    assert scored([("", -9.0), ("B", -1.0)], "B") == Span(-1.0, 1)


@pytest.mark.parametrize(
    ("pieces", "ends"),
    [
        ([("It is aT", -9.0), (" cell", -1.0)], False),
        ([("a", -9.0), (" T", -1.0), (" cells", -1.0)], False),
        ([("a", -9.0), ("NK", -1.0)], False),
        ([("a", -9.0), (" T", -1.0), (" cell", -1.0)], True),
        ([(" T", None), (" cell", -1.0)], False),
    ],
    ids=["merged before", "merged after", "absent", "no end", "no number"],
)
def test_tokens_that_do_not_make_exactly_the_answer_are_refused(pieces, ends):
    with pytest.raises(MisfitError, match=r"do not begin and end with the answer ' ?T cell'"):
        scored(pieces, "T cell", ends=ends)


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_an_answer_that_is_no_whole_tokens_is_told_and_counted(api):
    logprobs = {"tokens": ["a", " T cells"], "token_logprobs": [None, -1.0]}
    merged = {"choices": [{"index": 0, "text": "", "logprobs": logprobs}]}
    steps = [None, step("It is aT", -1.0), step(" cell", -1.0)]
    reply = chat("x", prompt_logprobs=steps) if api == "chat" else merged
    with serving(lambda _: reply) as server:
        lm = connect(server, scoring="exact", api=api)
        with pytest.raises(BackendError, match="do not begin and end with") as told:
            lm.score(["a"], ["T cell"], ends=False)
    assert 'scoring="schema"' in told.value.hint
    assert lm.record()["n_answers_paid"] == 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "message", "content", "text", "logprobs", "tokens", "token_logprobs",
             "index", "prompt_logprobs", "7", "logprob", "decoded_token", "finish_reason"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["choices", "prompt_logprobs"]), anything))
def test_whatever_a_server_sends_is_read_or_refused(answer):
    for read in (
        read_text,
        lambda got: read_prompt_logprobs(got, "x", ends=True),
        lambda got: read_echo(got, [("a x", 2)], ends=False),
    ):
        with contextlib.suppress(GarbageError, MisfitError):
            read(answer)


def test_an_echo_is_found_after_what_the_server_puts_before():
    found = {"tokens": ["<s>", "A", " B", "B"], "token_logprobs": [None, -1.0, -2.0, -4.0]}
    answer = {"choices": [{"index": 0, "logprobs": found}]}
    assert read_echo(answer, [("A B", 1)], ends=False) == [Span(-2.0, 1)]
