"""What asking a server costs: estimated before, counted after, never over the cap."""

from __future__ import annotations

import pytest

from celloquy.errors import BackendError, InputError
from celloquy.lm import EndpointOptions
from celloquy.lm._endpoint import load_endpoint
from celloquy.lm._endpoint_bodies import closed_question, exact_text, most_tokens, open_question
from celloquy.lm._endpoint_spend import Spend, Tokens, estimate_tokens
from celloquy.lm._protocol import Limits
from lm_server import chat, refused, serving, sleepy

TYPES = ["T cell", "B cell"]
PRICED = {"price_in": 2.0, "price_out": 10.0}


def connect(server, **options):
    chosen = {"pause": 0.0, "attempts": 2, "timeout": 5.0, "scoring": "schema"} | options
    return load_endpoint(f"tiny@{server.url}", options=EndpointOptions(**chosen))


def counted(sent, received):
    usage = {"prompt_tokens": sent, "completion_tokens": received}
    return chat("T cell", usage=usage)


def test_four_plain_letters_or_one_point_six_other_bytes_make_a_token():
    assert estimate_tokens("") == 0
    assert estimate_tokens("abcd efg") == 2
    assert estimate_tokens("CD3E4ABC") == 5
    assert estimate_tokens("é" * 4) == 5


def test_the_estimate_is_above_a_byte_level_tokenizer_on_gene_names():
    genes = "MALAT1 B2M TMSB4X MT-CO1 RPL10 EEF1A1 FTL S100A9 HLA-DRA CD74 LYZ NKG7"
    # 4.4 tokens a gene are measured for a byte-level BPE of 50,000 tokens; see the benchmarks
    assert 3.0 < estimate_tokens(genes) / 12 < 5.0


def test_a_question_counts_its_words_its_schema_and_the_longest_answer():
    options = EndpointOptions(thinking_tokens=5)
    body = closed_question("abcd" * 10, TYPES, model="m", options=options)
    most = most_tokens(body)
    assert most.received == 2 * estimate_tokens("T cell") + 32 + 5
    assert most.sent > 10 + estimate_tokens(str(TYPES))
    plain = open_question("abcd" * 10, None, seed=0, limits=Limits(max_new_tokens=7), model="m",
                          options=EndpointOptions(api="completions"))  # fmt: skip
    assert most_tokens(plain) == Tokens(10, 7)
    assert most_tokens(exact_text(["abcd", "abcdabcd"], model="m")) == Tokens(3, 2)


def test_money_is_a_million_tokens_times_their_price():
    spend = Spend(EndpointOptions(**PRICED))
    assert spend.cost_of(Tokens(1_000_000, 500_000)) == pytest.approx(2 + 5)
    assert Spend(EndpointOptions()).cost_of(Tokens(5, 5)) is None
    assert Tokens(3, 4) - Tokens(1, 1) == Tokens(2, 3)


def test_what_the_server_counts_is_what_was_spent():
    with serving(lambda _: counted(100, 20)) as server:
        lm = connect(server, **PRICED)
        lm.score(["a", "b", "c"], TYPES)
    record = lm.record()
    assert (record["tokens_sent"], record["tokens_received"]) == (300, 60)
    assert record["cost"] == pytest.approx(300 * 2e-6 + 60 * 10e-6)
    assert record["n_answers_paid"] == 3


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "many"}, [1]])
def test_where_the_server_counts_nothing_the_estimate_stands(usage):
    with serving(lambda _: chat("T cell", usage=usage)) as server:
        lm = connect(server)
        lm.score(["a"], TYPES)
    most = most_tokens(closed_question("a", TYPES, model="tiny", options=lm.options))
    assert lm.record()["tokens_sent"] == most.sent
    assert lm.record()["tokens_received"] == most.received


def test_a_cap_that_is_hit_in_the_middle_stops_before_it_and_keeps_what_was_paid(tmp_path):
    store = tmp_path / "answers.sqlite"
    prompts = [f"cell {number}" for number in range(20)]
    one = most_tokens(closed_question("cell 10", TYPES, model="tiny", options=EndpointOptions()))
    cap = Spend(EndpointOptions(**PRICED)).cost_of(one) + 5 * 200e-6  # room for six answers
    with serving(lambda _: counted(50, 10)) as server:  # 200e-6 an answer
        lm = connect(server, max_cost=cap, concurrency=1, store=store, **PRICED)
        with pytest.raises(
            BackendError, match=r"spend cap of .* could be passed at prompt 6: 0\.0012 is"
        ) as told:
            lm.score(prompts, TYPES)
        assert told.value.hint.startswith(
            "raise `max_cost` (`--max-cost`) and run again; 6 answers"
        )
        assert lm.record()["cost"] <= cap
        assert len(server.asked) == 6
        more = connect(server, max_cost=1.0, store=store, **PRICED)
        assert more.score(prompts, TYPES).best.tolist() == [0] * 20
    assert len(server.asked) == 20
    assert more.record()["n_answers_kept_before"] == 6


@pytest.mark.parametrize("prices", [{}, PRICED], ids=["free", "priced"])
def test_answers_of_a_server_of_ones_own_are_kept_where_they_cost_something(prices):
    prompts = [f"cell {number}" for number in range(20)]
    with serving(lambda _: counted(50, 10)) as server:
        lm = connect(server, max_spent_tokens=500, concurrency=1, **prices)
        with pytest.raises(BackendError, match="The cap of 500 tokens could be passed") as told:
            lm.score(prompts, TYPES)
        paid = len(server.asked)
        kept = f"; {paid} answers of this run are kept" if prices else ""
        assert told.value.hint == f"raise `max_spent_tokens` and run again{kept}."
        connect(server, **prices).score(prompts, TYPES)
    assert len(server.asked) == 20 + (0 if prices else paid)


def test_requests_under_way_at_once_cannot_pass_the_cap_together():
    with serving(sleepy(lambda _: counted(500, 40), lambda _: 0.02)) as server:
        lm = connect(server, max_spent_tokens=900, concurrency=8)
        with pytest.raises(BackendError, match="The cap of 900 tokens could be passed at prompt"):
            lm.score([f"cell {number}" for number in range(30)], TYPES)
    # what is set aside for each request is above 100 tokens, so fewer than nine fit at first
    assert len(server.asked) <= 8


def test_a_cap_lets_as_much_be_asked_at_once_as_one_after_the_other():
    prompts = [f"cell {number}" for number in range(10, 40)]
    with serving(sleepy(lambda _: counted(50, 10), lambda _: 0.01)) as server:
        for at_once in (1, 8):
            before = len(server.asked)
            lm = connect(server, max_spent_tokens=1_000, concurrency=at_once)
            with pytest.raises(BackendError, match="The cap of 1,000 tokens could be passed"):
                lm.score(prompts, TYPES)
            most = most_tokens(closed_question(prompts[0], TYPES, model="tiny", options=lm.options))
            assert len(server.asked) - before == (1_000 - most.total) // 60 + 1
            assert lm.record()["tokens_sent"] + lm.record()["tokens_received"] <= 1_000


def test_the_cap_counts_over_all_calls():
    with serving(lambda _: counted(300, 10)) as server:
        lm = connect(server, max_spent_tokens=500)
        lm.score(["a"], TYPES)
        lm.score(["b"], TYPES)
        with pytest.raises(BackendError, match=r"could be passed at prompt 0: 620 are spent"):
            lm.score(["c"], TYPES)


def test_what_failed_frees_what_was_set_aside():
    with serving(lambda _: refused(404, "gone")) as server:
        lm = connect(server, max_spent_tokens=200)
        for _ in range(5):
            with pytest.raises(BackendError, match="status 404"):
                lm.score(["a"], TYPES)
    assert lm.record()["tokens_sent"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "`concurrency` must be above zero; got 0"),
        ({"price_in": -1.0}, "`price_in` must be 0 or more; got -1"),
        ({"timeout": float("nan")}, "`timeout` must be above zero; got nan"),
        ({"max_cost": 1.0}, "A cap of 1 needs the prices"),
        ({"max_cost": 1.0, "price_in": 1.0}, "needs the prices"),
        ({"api": "gossip"}, "`api` or `scoring` is not known: 'gossip'"),
        ({"scoring": "guess"}, "is not known: 'chat', 'guess'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        EndpointOptions(**options)
