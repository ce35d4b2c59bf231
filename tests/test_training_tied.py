from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from celloquy.training._loss import AnswerLoss
from celloquy.training._tied import learn_in_place
from decoder_models import make_decoder

pytestmark = pytest.mark.slow


def tied(family="gpt2", padding=None):
    model = make_decoder(family, vocab_size=400).requires_grad_(requires_grad=True)
    vectors = model.get_input_embeddings()
    model.get_output_embeddings().weight = vectors.weight
    vectors.padding_idx = padding
    return model


def gradients(model, ids, *, precision="fp32", times=1):
    """Gradients of the loss of every third token, by name."""
    loss = AnswerLoss(model, device="cpu", precision=precision)
    for _ in range(times):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            hidden = model.base_model(input_ids=ids).last_hidden_state.flatten(0, 1)[::3]
            total = loss._loss(hidden, ids.flatten()[::3], torch.ones(len(hidden)))
        total.backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


IDS = torch.from_numpy(np.random.default_rng(0).integers(0, 400, (3, 21)))


@pytest.mark.parametrize(
    ("family", "padding", "times"), [("gpt2", None, 1), ("gpt2", None, 2), ("llama", 5, 2)]
)
def test_a_tied_vocabulary_has_the_gradient_that_autograd_gives_it(family, padding, times):
    plain = tied(family, padding)
    ids = IDS.clone()
    ids[0, :4] = 5
    changed = copy.deepcopy(plain)
    learn_in_place(changed)
    one, other = (gradients(model, ids, times=times) for model in (plain, changed))
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(other[name], one[name], rtol=1e-4, atol=1e-5, msg=name)


def test_products_in_16_bits_give_nearly_the_same_gradient():
    plain = tied()
    changed = copy.deepcopy(plain)
    learn_in_place(changed)
    (name, one), *_ = gradients(plain, IDS, precision="bf16").items()
    other = gradients(changed, IDS, precision="bf16")[name]
    assert other.dtype == torch.float32
    assert torch.linalg.norm(other - one) < 0.02 * torch.linalg.norm(one)


def test_vocabularies_that_are_not_tied_or_do_not_learn_are_left_to_autograd():
    apart = make_decoder("llama", vocab_size=400).requires_grad_(requires_grad=True)
    scaled, frozen = make_decoder("gemma", vocab_size=400), tied()
    frozen.requires_grad_(requires_grad=False)
    for model in (apart, scaled, frozen):
        learn_in_place(model)
        assert "forward" not in vars(model.get_input_embeddings())
        assert "forward" not in vars(model.get_output_embeddings())
