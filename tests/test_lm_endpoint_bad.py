"""A server that misbehaves: asked again where that may help, and never for ever."""

from __future__ import annotations

import datetime
import email.utils
import itertools
import random
import time

import pytest

from celloquy.errors import BackendError
from celloquy.lm import EndpointOptions
from celloquy.lm._endpoint import load_endpoint
from lm_server import chat, first_then, refused, serving

TYPES = ["T cell", "B cell"]
GOOD = chat("T cell")
HASTY = {"pause": 0.0, "attempts": 3, "timeout": 5.0, "scoring": "schema"}


def connect(server, **options):
    return load_endpoint(f"tiny@{server.url}", options=EndpointOptions(**HASTY | options))


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (refused(429, "slow down"), "status 429: 'slow down'"),
        (refused(500, "oops"), "status 500: 'oops'"),
        ((503, b"<html>busy</html>", {}), "status 503: '<html>busy</html>'"),
        ("close", r"the connection failed \(RemoteProtocolError\)"),
        (b"<html>please log in</html>", r"\(no whole JSON\): '<html>please log in"),
        (b'{"choices": [{"message"', r"no answer of the protocol \(no whole JSON\)"),
        (b"\xff\xfe", "no answer of the protocol"),
        (b"[1, 2]", r"no answer of the protocol \(no choices\)"),
        ({"choices": []}, r"no answer of the protocol \(no choices\)"),
        ({"choices": ["x"]}, r"\(choices that are no objects\)"),
        ({"choices": [{"message": {"role": "assistant"}}]}, r"\(no text\)"),
        ({"choices": [{"message": {"content": 3}}]}, r"\(no text\)"),
    ],
    ids=["429", "500", "503", "reset", "html", "half", "bytes", "list", "empty", "odd", "mute",
         "number"],
)  # fmt: skip
def test_what_may_pass_is_asked_again_and_told_in_the_end(bad, what):
    with serving(first_then(bad, GOOD)) as server:
        assert connect(server).score(["CD3E"], TYPES).best.tolist() == [0]
        assert len(server.asked) == 2
    with serving(lambda _: bad) as server:
        with pytest.raises(
            BackendError, match=f"^Prompt 0 had no answer .* in 3 tries: .*{what}"
        ) as told:
            connect(server).score(["CD3E"], TYPES)
        assert told.value.retryable
        is_garbage = "no answer of the protocol" in str(told.value)
        way_out = "check that the URL" if is_garbage else "give the same command again later."
        assert told.value.hint.startswith(way_out)
        assert len(server.asked) == 3


@pytest.mark.parametrize("bad", ["never", (200, "trickle", {})], ids=["never", "slowly"])
def test_a_server_that_is_silent_or_slow_is_left_after_the_time_limit(bad):
    started = time.monotonic()
    with serving(lambda _: bad) as server:
        with pytest.raises(BackendError, match=r"in 2 tries: no whole answer within 0\.1 s"):
            connect(server, timeout=0.1, attempts=2).score(["CD3E"], TYPES)
        assert len(server.asked) == 2
    assert time.monotonic() - started < 5


def test_all_tries_together_end_at_the_deadline():
    with serving(lambda _: refused(429, "later", {"Retry-After": "30"})) as server:
        with pytest.raises(BackendError, match=r"^Prompt 0 was not answered within 0\.2 s") as told:
            connect(server, deadline=0.2).score(["CD3E"], TYPES)
        assert told.value.retryable
        assert "deadline" in told.value.hint
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "form", ["seconds", pytest.param("date", marks=pytest.mark.slow), "nonsense"]
)
def test_the_server_is_asked_again_when_it_says(form):
    now = datetime.datetime.now(datetime.UTC)
    said = {
        "seconds": "0.3",
        "date": email.utils.format_datetime(now + datetime.timedelta(seconds=2), usegmt=True),
        "nonsense": "soon",
    }[form]
    at = []

    def reply(_asked):
        at.append(time.monotonic())
        return GOOD if len(at) > 1 else refused(429, "later", {"Retry-After": said})

    with serving(reply) as server:
        connect(server).score(["CD3E"], TYPES)
    waited = at[1] - at[0]
    assert {"seconds": 0.29, "date": 0.3, "nonsense": 0.0}[form] <= waited < 3


def test_pauses_grow_and_leave_the_global_random_state_alone():
    at = []

    def reply(_asked):
        at.append(time.monotonic())
        return refused(500, "oops")

    before = random.getstate()
    with serving(reply) as server, pytest.raises(BackendError, match="in 4 tries"):
        connect(server, pause=0.04, attempts=4).score(["CD3E"], TYPES)
    first, second, third = (later - earlier for earlier, later in itertools.pairwise(at))
    assert first >= 0.02
    assert second >= 0.04
    assert third >= 0.08
    assert random.getstate() == before


@pytest.mark.parametrize(
    ("status", "said", "hint"),
    [
        (401, "bad key", "CELLOQUY_API_KEY"),
        (403, "not yours", "CELLOQUY_API_KEY"),
        (404, "no such model", "ends where the protocol begins, in /v1"),
        (402, "pay first", "no credit"),
        (429, "insufficient_quota", "no credit"),
        (418, "teapot", "check what the server offers"),
        (400, "maximum context length is 4096 tokens", "lower `max_tokens` or `n_top_genes`"),
    ],
)
def test_what_will_not_pass_is_not_asked_again(status, said, hint):
    with serving(lambda _: refused(status, said)) as server:
        with pytest.raises(
            BackendError, match=f"refused prompt 0 with status {status}: '{said}'"
        ) as told:
            connect(server).score(["CD3E"], TYPES)
        assert len(server.asked) == 1
    assert hint in told.value.hint
    assert not told.value.retryable


def test_other_forms_of_an_error_are_read_too():
    for body, said in [
        ({"detail": "no"}, "no"),
        ({"message": {"message": "hm", "code": 7}}, "hm 7"),
    ]:
        with (
            serving(lambda _, body=body: (404, body, {})) as server,
            pytest.raises(BackendError, match=f"status 404: '{said}'"),
        ):
            connect(server).score(["CD3E"], TYPES)


def test_redirects_are_not_followed():
    with serving(lambda _: GOOD) as other:
        away = (307, b"", {"Location": f"{other.url}/chat/completions"})
        with (
            serving(lambda _: away) as server,
            pytest.raises(BackendError, match="status 307") as told,
        ):
            connect(server).score(["CD3E"], TYPES)
        assert other.asked == []
    assert "redirects are not followed" in told.value.hint


def test_a_proxy_of_the_environment_is_not_used_unless_asked_for(monkeypatch):
    with serving(lambda _: GOOD) as proxy, serving(lambda _: GOOD) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        connect(server).score(["CD3E"], TYPES)
        assert (len(proxy.asked), len(server.asked)) == (0, 1)
        connect(server, use_proxy=True).score(["CD3E"], TYPES)
        assert (len(proxy.asked), len(server.asked)) == (1, 1)


def test_a_server_that_is_not_there_is_told():
    lm = load_endpoint("tiny@http://127.0.0.1:9/v1", options=EndpointOptions(**HASTY))
    with pytest.raises(BackendError, match=r"the connection failed \(ConnectError\)") as told:
        lm.generate(["x"], seeds=[0])
    assert told.value.hint == "check that a server listens at this address."


def test_an_answer_without_end_is_left(monkeypatch):
    monkeypatch.setattr("celloquy.lm._endpoint_http.MAX_BYTES", 1000)
    with (
        serving(lambda _: b"x" * 5000) as server,
        pytest.raises(BackendError, match="the answer has more than 1,000 bytes"),
    ):
        connect(server).score(["CD3E"], TYPES)


def test_after_a_failure_nothing_new_is_begun_and_what_came_is_kept(tmp_path):
    def reply(asked):
        return refused(404, "gone") if "bad" in asked.said else chat("T cell")

    store = tmp_path / "answers.sqlite"
    prompts = ["p0", "p1", "bad", *(f"p{n}" for n in range(3, 50))]
    with serving(reply) as server:
        with pytest.raises(BackendError, match="refused prompt 2 with status 404"):
            connect(server, concurrency=2, store=store).score(prompts, TYPES)
        n_asked = len(server.asked)
        assert n_asked <= 5
        prompts[2] = "good"
        assert connect(server, store=store).score(prompts, TYPES).best.tolist() == [0] * 50
    assert len(server.asked) - n_asked == 50 - (n_asked - 1)


def test_of_several_failures_the_first_row_is_named():
    with (
        serving(lambda _: refused(404, "gone")) as server,
        pytest.raises(BackendError, match="refused prompt 0 "),
    ):
        connect(server).score([f"p{n}" for n in range(8)], TYPES)


def test_a_server_that_never_stops_correcting_is_left():
    def picky(asked):
        taken = [name for name in ("temperature", "seed", "top_p") if name in asked.body]
        said = taken[0] if taken else "max_completion_tokens, please"
        return refused(422, said)

    with (
        serving(picky) as server,
        pytest.warns(UserWarning, match="does not take"),
        pytest.raises(BackendError, match="status 422"),
    ):
        connect(server).generate(["x"], seeds=[0])
    assert len(server.asked) <= 5
