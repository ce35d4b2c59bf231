"""Nothing leaves the machine unasked, and the key is never shown."""

from __future__ import annotations

import json
import logging
import traceback

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celloquy.errors import BackendError, InputError
from celloquy.lm import EndpointOptions, load_lm
from celloquy.lm._endpoint import Endpoint, load_endpoint
from celloquy.lm._remote import (
    Secret,
    check_allowed,
    is_loopback,
    read_address,
    read_secret,
    refuse_identifiers,
)
from celloquy.text import Field, Names, OneOf, Text, Vocabulary
from lm_server import chat, refused, serving

KEY = "sk-live-Zq81xYr7pWmN4tB2"
TYPES = ["T cell", "B cell"]


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in ("CELLOQUY_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def connect(server, **options):
    chosen = {"pause": 0.0, "attempts": 2, "timeout": 5.0, "scoring": "schema"} | options
    return load_endpoint(f"tiny@{server.url}", options=EndpointOptions(**chosen))


def elsewhere(server, **options):
    """Give a model that takes the server for another machine's."""
    lm = connect(server, **options)
    address = read_address(f"tiny@{server.url}")
    object.__setattr__(address, "host", "llm.example.org")
    return Endpoint(address, Secret(KEY), options=lm.options)


def test_a_place_is_a_model_and_a_url():
    address = read_address("org/name:7b@https://Host.example.org:8443/api/v1/")
    assert address.model == "org/name:7b"
    assert address.url == "https://host.example.org:8443/api/v1"
    assert (address.host, address.port) == ("host.example.org", 8443)
    assert read_address("m@http://[::1]:8000").url == "http://[::1]:8000/v1"
    assert read_address("m@https://h.org:443/v1").url == "https://h.org/v1"
    assert read_address("m@HTTPS://h.org.").host == "h.org"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("gpt-4", "is named as `openai:NAME@URL`"),
        ("gpt-4@ftp://h.org", "is named as `openai:NAME@URL`"),
        ("@https://h.org", "is named as `openai:NAME@URL`"),
        (f"m@https://user:{KEY}@h.org/v1", "'h.org' carries a user, a password or a query"),
        (f"m@https://{KEY}@h.org/v1", "carries a user"),
        (f"m@https://h.org/v1?key={KEY}", "carries a user, a password or a query"),
        (f"m@https://h.org/v1#{KEY}", "carries a user, a password or a query"),
        ("m@https://h.org:x/v1", "The URL of the server cannot be read"),
        ("m@https://[::1/v1", "The URL of the server cannot be read"),
        ("m@https:///v1", "names no host"),
    ],
)
def test_a_wrong_place_is_refused_and_not_repeated_with_its_key(place, message):
    with pytest.raises(InputError, match=message) as refusal:
        load_lm(f"openai:{place}", allow_remote="h.org")
    assert KEY not in str(refusal.value) + str(refusal.value.hint)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_an_input_error(text):
    try:
        address = read_address(text)
    except InputError:
        return
    assert address.host
    assert address.model


def test_only_the_host_that_was_allowed_is_sent_to():
    address = read_address("m@https://api.openai.com/v1")
    for allowed in ("api.openai.com", "API.OpenAI.com", "api.openai.com:443", " api.openai.com. "):
        check_allowed(address, allowed)
    with pytest.raises(InputError, match="would leave this machine, to 'api") as told:
        check_allowed(address, None)
    assert "--allow-remote api.openai.com" in told.value.hint
    for other in ("openai.com", "evil.org", "api.openai.com.evil.org", "api.openai.com:8443"):
        with pytest.raises(
            InputError, match=f"Only '{other}' was allowed, not 'api.openai.com:443'"
        ):
            check_allowed(address, other)
    for wrong in ("https://api.openai.com", "*", "*.openai.com", "", "a@api.openai.com", "h:x",
                  "api.openai.com/v1"):  # fmt: skip
        with pytest.raises(InputError, match="is a host, or a host and a port"):
            check_allowed(address, wrong)


def test_a_host_that_looks_like_this_machine_is_not_this_machine():
    assert is_loopback("localhost")
    assert is_loopback("127.0.0.1")
    assert is_loopback("127.1.2.3")
    assert is_loopback("::1")
    for other in ("localhost.evil.org", "127.0.0.1.evil.org", "10.0.0.1", "0.0.0.0", "local"):
        assert not is_loopback(other)
        with pytest.raises(InputError, match="would leave this machine"):
            load_lm(f"openai:m@http://{other}:8000/v1")


def test_this_machine_needs_no_permission_and_no_notice(capsys):
    with serving(lambda _: chat("T cell")) as server:
        assert connect(server).score(["x"], TYPES).best.tolist() == [0]
    assert capsys.readouterr().err == ""


def test_a_server_that_is_refused_gets_nothing():
    with serving(lambda _: chat("T cell")) as server:
        url = server.url.replace("127.0.0.1", "0.0.0.0")
        with pytest.raises(InputError, match="would leave"):
            load_lm(f"openai:m@{url}")
        with pytest.raises(InputError, match=r"Only 'api\.openai\.com' was allowed"):
            load_lm(f"openai:m@{url}", allow_remote="api.openai.com")
    assert server.asked == []


def test_before_the_first_call_one_line_says_what_leaves(capsys):
    genes = Vocabulary(("CD3E", "IL7R"), ("", ""))
    prompt = (Text("Tissue: "), Field("lung"), Names(np.array([0, 1], dtype=np.int32), genes))
    with serving(lambda _: chat("T cell")) as server:
        lm = elsewhere(server, price_in=1.0, price_out=2.0)
        lm.expect(2_000, fields=["tissue"])
        lm.score([prompt, prompt], TYPES)
        lm.score([prompt], TYPES)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(
        "To 'llm.example.org' ('tiny'): the words of the prompts, up to 2 gene names each, up to 1 "
        "metadata value each, of obs: tissue; 2,000 cells; about "
    )
    assert "at the price stated; unencrypted. No barcodes, no file names." in said


def test_the_line_can_be_taken_elsewhere_and_says_when_the_price_is_not_known():
    lines = []
    with serving(lambda _: chat("T cell")) as server:
        lm = elsewhere(server, scoring="auto")
        lm.tell = lines.append
        lm.generate(["a"], seeds=[0])
    assert len(lines) == 1
    assert "1 cell; about 9 tokens, and up to 512 back; price not stated" in lines[0]


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("AAACCTGAGAAACCAT-1", "a barcode"),
        ('"AAACCTGAGAAACCAT"', "a barcode"),
        ("donor1_AAACCTGAGAAACCAT-1", "a barcode"),
        ("/data/patients/cells.h5ad", "a file's name"),
        ("cells.h5ad", "a file's name"),
        ("run7.csv.gz", "a file's name"),
    ],
)
def test_barcodes_and_file_names_never_leave(field, kind):
    with serving(lambda _: chat("T cell")) as server:
        with pytest.raises(InputError, match=f"A field of prompt 1 is {kind}"):
            connect(server).score(["x", (Text("a "), Field(field))], TYPES)
        assert server.asked == []


def test_ordinary_metadata_may_leave():
    values = ("lung", "T cell", "CD4+ T cell", "GATA3", "w/o treatment", "10 mg/kg", "N/A", "ATCG")
    refuse_identifiers([(Field(value),) for value in values])


def test_a_dry_run_shows_the_first_request_whole_and_sends_nothing(monkeypatch):
    monkeypatch.setenv("CELLOQUY_API_KEY", KEY)
    prompt = (Text("Genes: CD3E\nTissue: "), Field("lung"))
    with serving(lambda _: chat("T cell")) as server:
        lm = connect(server, price_in=1.0, price_out=1.0)
        shown = lm.dry_run([prompt], TYPES)
        assert server.asked == []
        lm.score([prompt], TYPES)
        sent = server.asked[0]
    head, _, content = shown.request.partition("\n\n")
    lines = head.splitlines()
    assert lines[0] == f"POST {server.url}/chat/completions"
    told = dict(line.split(": ", 1) for line in lines[1:])
    real = {name.lower(): value for name, value in sent.headers.items()}
    assert real.pop("authorization") == f"Bearer {KEY}"
    assert told.pop("authorization") == "Bearer ***"
    assert told == real
    assert content == json.dumps(sent.body, separators=(",", ":"), ensure_ascii=False)
    assert KEY not in str(shown)
    assert "; 1 cell; " in shown.notice


def test_a_dry_run_shows_the_question_that_goes_before():
    lm = load_endpoint("m@http://localhost:1/v1")
    shown = lm.dry_run(["secret genes"], TYPES)
    assert '"prompt_logprobs":0' in shown.probe
    assert "secret" not in shown.probe
    assert "2 times the tokens if it gives log-probabilities" in shown.notice
    assert lm.dry_run(["a"], constraint=OneOf(("x", "y"))).probe == ""
    exact = load_endpoint("m@http://localhost:1/v1", options=EndpointOptions(scoring="exact"))
    assert "and up to 2 back" in exact.dry_run(["a"], TYPES).notice


def test_the_key_of_openai_goes_to_openai_only(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert read_secret(read_address("m@https://api.openai.com")).value == KEY
    for other in ("https://openai.com.evil.org", "https://notopenai.com", "http://localhost:80"):
        assert read_secret(read_address(f"m@{other}")).value is None
    monkeypatch.setenv("CELLOQUY_API_KEY", "another-key-1234")
    assert read_secret(read_address("m@https://api.openai.com")).value == "another-key-1234"
    assert read_secret(read_address("m@http://localhost:80")).value == "another-key-1234"


def test_a_key_does_not_travel_unencrypted_and_must_be_one(monkeypatch):
    monkeypatch.setenv("CELLOQUY_API_KEY", KEY)
    with pytest.raises(InputError, match="would travel to 'gpu01' unencrypted") as refusal:
        load_lm("openai:m@http://gpu01:8000/v1", allow_remote="gpu01")
    assert KEY not in str(refusal.value)
    monkeypatch.setenv("CELLOQUY_API_KEY", f"{KEY}\nEvil: header")
    with pytest.raises(InputError, match="holds signs that no key has") as refusal:
        load_lm("openai:m@https://h.org/v1", allow_remote="h.org")
    assert KEY not in str(refusal.value)


@pytest.mark.parametrize("status", [401, 418, 500])
def test_the_key_is_in_no_message_log_or_name(status, monkeypatch, caplog, capsys):
    monkeypatch.setenv("CELLOQUY_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    said = f"Incorrect API key provided: {KEY}, or sk-proj-other12345."
    with serving(lambda _: refused(status, said)) as server:
        lm = connect(server)
        with pytest.raises(BackendError, match=r"provided: \*\*\*") as error:
            lm.score(["CD3E"], TYPES)
        assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    shown = "".join(traceback.format_exception(error.value))
    everything = shown + caplog.text + "".join(capsys.readouterr())
    everything += repr(lm) + repr(lm.__dict__) + str(lm.record()) + repr(lm._secret)
    assert KEY not in everything
    assert "sk-proj-other12345" not in everything
