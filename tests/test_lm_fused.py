"""Faster forms of the same operations."""

from __future__ import annotations

import pytest
import torch

from celloquy.lm._fused import fuse, is_same
from celloquy.lm._linear import replace_modules
from celloquy.lm._network import CausalNetwork
from decoder_models import each_family, make_decoder, make_seq2seq

IDS = torch.arange(1, 40).reshape(3, 13)
LABELS = IDS[:, :4].contiguous()


@pytest.mark.parametrize("family", each_family())
def test_a_fused_model_gives_the_same_logits(family):
    model = make_decoder(family)
    with torch.inference_mode():
        before = model(input_ids=IDS).logits
        fused = fuse(model, pack=True)
        network = CausalNetwork(model, "cpu")
        after = network.logits(network.hidden(IDS))
    assert fused.n_packed > 0
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-5)


def test_gpt2_has_one_slow_activation_a_layer():
    assert fuse(make_decoder("gpt2"), pack=False).n_activations == 2
    assert fuse(make_decoder("llama"), pack=False).n_activations == 0


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama"])
def test_an_activation_is_computed_by_the_layer_before_it(family, precision):
    model = make_decoder(family).to(precision)
    assert fuse(model, pack=True).n_joined == 2
    kinds = {type(module).__name__ for module in model.modules()}
    assert not kinds & {"NewGELUActivation", "GELUActivation", "SiLUActivation", "SiLU", "GELU"}


class _Block(torch.nn.Module):
    """A block that adds something between the layer and its activation."""

    def __init__(self):
        super().__init__()
        self.c_fc, self.act, self.shift = torch.nn.Linear(4, 8), torch.nn.GELU(), 1.0

    def forward(self, hidden):
        return self.act(self.c_fc(hidden) + self.shift)


def test_an_activation_of_something_else_stays_where_it_is():
    model, numbers = torch.nn.Sequential(_Block()).eval(), torch.randn(2, 4)
    with torch.inference_mode():
        before = model(numbers)
        assert fuse(model, pack=True).n_joined == 0
        torch.testing.assert_close(model(numbers), before)
    assert isinstance(model[0].act, torch.nn.GELU)


def test_an_activation_that_is_not_known_stays_where_it_is():
    model = torch.nn.Sequential(_Block()).eval()
    model[0].act, model[0].shift = torch.nn.Tanh(), 0.0
    assert fuse(model, pack=True).n_joined == 0


def test_the_vocabulary_head_stays_as_it_is():
    model = make_decoder("gpt2")
    head = model.get_output_embeddings()
    assert fuse(model, pack=True).n_packed == 8
    assert model.get_output_embeddings() is head


def test_an_encoder_decoder_is_fused_too():
    model = make_seq2seq()
    with torch.inference_mode():
        before = model(input_ids=IDS, labels=LABELS).logits
        assert fuse(model, pack=True).n_packed > 0
        after = model(input_ids=IDS, labels=LABELS).logits
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-5)


def test_another_function_does_not_take_the_place():
    assert is_same(torch.nn.GELU(approximate="tanh"), torch.nn.GELU(approximate="tanh"))
    assert not is_same(torch.nn.GELU(), torch.nn.GELU(approximate="tanh"))
    model = torch.nn.Sequential(torch.nn.GELU())
    assert replace_modules(model, torch.nn.GELU, lambda old: old) == 0
