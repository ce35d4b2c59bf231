"""Rows of different length, end to end, look at their own keys as torch's attention does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from celloquy.lm._attend import RowStep, _rows, takes_row_steps
from celloquy.lm._attend_kernel import _weigh
from celloquy.lm._network import CausalNetwork
from decoder_models import make_decoder

LENGTHS = (1, 9, 4, 33)
NEW = (1, 3, 0, 2)
"""Tokens of each row before the step, and in it."""


def by_torch(query, keys, values, *, place, window, scale):
    """One token's attention over the columns that it sees, in float64."""
    first = max(0, place + 1 - window) if window else 0
    group = query.shape[0] // keys.shape[0]
    wide = [
        one[:, first : place + 1].double().repeat_interleave(group, 0) for one in (keys, values)
    ]
    return torch.nn.functional.scaled_dot_product_attention(
        query.double()[:, None], *wide, scale=scale
    )[:, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "key_heads", "width"), [(4, 4, 64), (6, 2, 32), (1, 1, 7)])
@pytest.mark.parametrize("window", [0, 5])
def test_each_token_sees_what_is_before_it_in_its_row(dtype, heads, key_heads, width, window):
    made = torch.Generator().manual_seed(3)
    cached = [torch.randn(4, key_heads, 40, width, generator=made).to(dtype) for _ in range(2)]
    rows = np.repeat(np.arange(4), NEW)
    places = np.concatenate([np.arange(n, n + new) for n, new in zip(LENGTHS, NEW, strict=True)])
    query = (4 * torch.randn(1, heads, len(rows), width, generator=made)).to(dtype)
    found = _rows(RowStep(rows, places), query, tuple(cached), (0.3, window))
    assert found.dtype == dtype
    for token, (row, place) in enumerate(zip(rows, places, strict=True)):
        keys, values = (one[row] for one in cached)
        wanted = by_torch(query[0, :, token], keys, values, place=place, window=window, scale=0.3)
        tolerance = 1e-5 if dtype == torch.float32 else 2e-2
        torch.testing.assert_close(found[0, token].double(), wanted, atol=tolerance, rtol=tolerance)


def test_weights_are_exponentials_and_add_up():
    scores = np.linspace(-120, 3, 1_001).astype(np.float32)
    weights = scores.copy()
    total = _weigh(weights, weights.view(np.int32))
    wanted = np.exp(np.maximum(scores.astype(np.float64) - 3, -87))
    np.testing.assert_allclose(weights, wanted, rtol=1e-5)
    assert total == pytest.approx(wanted.sum(), rel=1e-6)


def test_a_value_that_is_not_finite_is_not_hidden():
    query = torch.full((1, 1, 1, 4), torch.nan)
    cached = (torch.ones(1, 1, 2, 4), torch.ones(1, 1, 2, 4))
    found = _rows(RowStep(np.zeros(1, np.int64), np.ones(1, np.int64)), query, cached, (1.0, 0))
    assert not torch.isfinite(found).any()


def test_a_model_that_caps_its_scores_keeps_its_own_attention_and_others_compute_as_before():
    assert not takes_row_steps(CausalNetwork(make_decoder("gemma2"), "cpu"))
    model = make_decoder("qwen3")
    ids = torch.arange(24).reshape(2, 12)
    before = model(ids).logits
    network = CausalNetwork(model, "cpu")
    assert takes_row_steps(network)
    assert takes_row_steps(network)
    assert torch.equal(model(ids).logits, before)
    assert not takes_row_steps(CausalNetwork(model.half(), "cpu"))
