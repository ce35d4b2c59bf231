"""Faster forms of the same operations, put into a model that is only asked.

transformers writes GPT-2's GELU as eight passes over the largest activation of a layer; torch has
the same function as one. Linear layers get the layout that the processor's product wants. Each
new form is compared with the old one on numbers before it takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from celloquy.lm._linear import pack_linear_layers, replace_modules

if TYPE_CHECKING:
    import torch

SLOW_GELUS = ("NewGELUActivation", "FastGELUActivation")
"""Classes of transformers that compute the tanh form of GELU step by step."""
_SAME = 1e-5


@dataclass(frozen=True)
class Fused:
    """What was replaced."""

    n_activations: int
    """Activations that became one operation."""
    n_packed: int
    """Linear layers that were laid out anew."""


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
    return Fused(n_activations, n_packed)


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
