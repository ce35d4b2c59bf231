"""Faster forms of the same operations, put into a model that is only asked.

transformers writes GPT-2's GELU as eight passes over the largest activation of a layer; torch has
the same function as one. Linear layers get the layout that the processor's product wants, and the
activation that follows one is computed while its numbers are still in the cache. Each new form is
compared with the old one on numbers before it takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from celloquy.lm._linear import pack_linear_layers, replace_modules

if TYPE_CHECKING:
    import torch

SLOW_GELUS = ("NewGELUActivation", "FastGELUActivation")
"""Classes of transformers that compute the tanh form of GELU step by step."""
JOINED = (("c_fc", "act"), ("dense_h_to_4h", "act"), ("gate_proj", "act_fn"))
"""A linear layer and the activation of what it gives, by their names in GPT-2, NeoX and Llama."""
_SAME = 1e-5
_SAME_IN_BF16 = 2e-2


@dataclass(frozen=True)
class Fused:
    """What was replaced."""

    n_activations: int
    """Activations that became one operation."""
    n_packed: int
    """Linear layers that were laid out anew."""
    n_joined: int
    """Activations that became a part of the linear layer before them."""


def fuse(model: torch.nn.Module, *, pack: bool) -> Fused:
    """Replace slow operations of a model by faster ones with the same numbers.

    The model can only be asked afterwards: its linear layers can no longer be trained or saved,
    and adapters have to be merged before. The vocabulary head stays as it is.

    Parameters
    ----------
    model
        A network in evaluation mode; changed in place.
    pack
        Whether linear layers are laid out for the processor; for models on a processor.
    """
    import torch

    def faster(old: torch.nn.Module) -> torch.nn.Module:
        new = torch.nn.GELU(approximate="tanh")
        return new if is_same(old, new) else old

    n_activations = 0
    for kind in {type(m) for m in model.modules() if type(m).__name__ in SLOW_GELUS}:
        n_activations += replace_modules(model, kind, faster)
    n_packed = pack_linear_layers(model, skip=_heads(model)) if pack else 0
    return Fused(n_activations, n_packed, join_activations(model))


def join_activations(model: torch.nn.Module) -> int:
    """Let packed linear layers compute the activation that follows them, and count these.

    Parameters
    ----------
    model
        Changed in place: where an activation was, its input is handed on.
    """
    n_joined = 0
    for block in model.modules():
        for layer, activation in JOINED:
            packed: Any = getattr(block, layer, None)
            old = getattr(block, activation, None)
            if hasattr(packed, "activation") and old is not None:
                n_joined += _is_joined(block, activation, packed)
    return n_joined


def _is_joined(block: Any, activation: str, packed: Any) -> bool:  # noqa: ANN401 (of any family)
    """Join one activation to the layer before it, if the block then gives the same."""
    import torch

    old = getattr(block, activation)
    known = {
        ("gelu", "tanh"): torch.nn.GELU(approximate="tanh"),
        ("gelu", "none"): torch.nn.GELU(),
        ("swish", ""): torch.nn.SiLU(),
    }
    name = next((name for name, new in known.items() if is_same(old, new)), None)
    if name is None:
        return False
    dtype = packed.weight.dtype
    with torch.inference_mode():
        numbers = torch.linspace(-4, 4, 3 * packed.in_features).sin().reshape(3, -1).to(dtype)
        before = block(numbers).float()
        packed.activation = name
        setattr(block, activation, torch.nn.Identity())
        gap = (block(numbers).float() - before).abs().max()
    if gap <= (_SAME if dtype == torch.float32 else _SAME_IN_BF16) * before.abs().max():
        return True
    packed.activation = ("none", "")
    setattr(block, activation, old)
    return False


def is_same(old: torch.nn.Module, new: torch.nn.Module) -> bool:
    """Say whether two functions of one number are the same, by many numbers."""
    import torch

    numbers = torch.linspace(-20, 20, 4_001)
    with torch.inference_mode():
        return bool(torch.allclose(old(numbers), new(numbers), rtol=0, atol=_SAME))


def _heads(model: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
    """Give the layer whose rows are asked for one by one: the vocabulary head."""
    find = getattr(model, "get_output_embeddings", None)
    head = None if find is None else find()
    return () if head is None else (cast("torch.nn.Module", head),)
