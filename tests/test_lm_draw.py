"""A drawn token depends on seed, place and logits alone, and is as likely as the model says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from celloquy.errors import BackendError
from celloquy.lm._draw import draw
from celloquy.lm._protocol import Limits

GREEDY = Limits(temperature=0)


def drawn(logits, *, allowed=None, seeds=None, places=None, limits=None, n_threads=1):
    logits = np.atleast_2d(np.array(logits, dtype=np.float32))
    n, width = logits.shape
    return draw(
        logits,
        None if allowed is None else np.atleast_2d(np.array(allowed)),
        tokens=np.arange(width, dtype=np.int32),
        seeds=np.arange(n, dtype=np.uint64) if seeds is None else np.array(seeds, np.uint64),
        places=np.zeros(n, dtype=np.int64) if places is None else np.array(places),
        limits=limits or Limits(),
        n_threads=n_threads,
    )


def expected(logits, limits, allowed=None):
    """Probabilities by the warpers of transformers."""
    scores = torch.tensor(np.atleast_2d(logits), dtype=torch.float64)
    if allowed is not None:
        scores[:, ~np.array(allowed)] = -torch.inf
    scores = TemperatureLogitsWarper(float(limits.temperature))(None, scores)
    if limits.top_k:
        scores = TopKLogitsWarper(limits.top_k)(None, scores)
    if limits.top_p:
        scores = TopPLogitsWarper(limits.top_p)(None, scores)
    return torch.softmax(scores, -1)[0].numpy()


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(temperature=0.7),
        Limits(temperature=2.0, top_k=4),
        Limits(top_p=0.8),
        Limits(temperature=1.3, top_k=6, top_p=0.7),
    ],
    ids=str,
)
def test_tokens_come_as_often_as_the_warpers_of_transformers_say(limits):
    logits = np.random.default_rng(0).normal(0, 1.5, 12).astype(np.float32)
    allowed = np.arange(12) != 3
    n = 20_000
    columns, _ = drawn(
        np.tile(logits, (n, 1)), allowed=np.tile(allowed, (n, 1)), seeds=range(n), limits=limits
    )
    found = np.bincount(columns, minlength=12)
    wanted = expected(logits, limits, allowed) * n
    assert found[wanted == 0].sum() == 0
    some = wanted > 0
    assert stats.chisquare(found[some], wanted[some]).pvalue > 1e-3


def test_places_of_one_answer_are_drawn_independently():
    n = 20_000
    first, _ = drawn(np.zeros((n, 4)), seeds=range(n))
    second, _ = drawn(np.zeros((n, 4)), seeds=range(n), places=np.ones(n, np.int64))
    table = np.zeros((4, 4))
    np.add.at(table, (first, second), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_the_log_probability_is_that_among_the_allowed_tokens():
    logits = np.array([1.0, 2.0, 5.0, 0.5])
    allowed = [True, True, False, True]
    columns, logp = drawn(logits, allowed=allowed, limits=Limits(temperature=0.5, top_k=2))
    wanted = expected(logits, Limits(), allowed)
    np.testing.assert_allclose(logp, np.log(wanted[columns]), atol=1e-6)


def test_greedy_takes_the_likeliest_and_the_first_of_equals():
    columns, logp = drawn([[0.0, 3.0, 3.0], [4.0, 3.0, 1.0]], limits=GREEDY)
    assert columns.tolist() == [1, 0]
    assert logp[0] == pytest.approx(3 - np.log(np.exp(0) + 2 * np.exp(3)))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), place=st.integers(0, 1000), width=st.integers(1, 40))
def test_batch_mates_threads_and_columns_that_are_not_allowed_change_nothing(seed, place, width):
    rng = np.random.default_rng(seed % 1000)
    logits = rng.normal(size=(5, width)).astype(np.float32)
    alone, _ = drawn(logits[2], seeds=[seed], places=[place])
    among, _ = drawn(logits, seeds=[1, 2, seed, 3, 4], places=[9, 9, place, 0, 1])
    wide = np.hstack([logits, np.full((5, 3), 9.0, np.float32)])
    allowed = np.arange(width + 3) < width
    kept, _ = drawn(wide[2], allowed=allowed, seeds=[seed], places=[place])
    assert alone[0] == among[2] == kept[0]


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr("celloquy.lm._draw._MANY", 1)
    logits = np.random.default_rng(1).normal(size=(7, 30))
    assert np.array_equal(drawn(logits)[0], drawn(logits, n_threads=3)[0])


def test_a_small_error_of_the_logits_rarely_changes_a_draw():
    rng = np.random.default_rng(2)
    logits = np.zeros((2_000, 500), dtype=np.float32)
    noisy = logits + rng.normal(0, 1e-6, logits.shape).astype(np.float32)
    assert (drawn(logits)[0] != drawn(noisy)[0]).mean() < 0.002


def test_global_random_state_stays_untouched():
    np.random.seed(5)  # noqa: NPY002 (it is what is looked at)
    torch.manual_seed(5)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    drawn(np.zeros((3, 9)))
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())


@pytest.mark.parametrize("broken", [np.nan, -np.inf])
def test_logits_that_are_no_numbers_are_refused(broken):
    with pytest.raises(BackendError, match=r"gave answer 1 no finite logit at token 7"):
        drawn([[0.0, 1.0], [broken, broken]], places=[7, 7])
