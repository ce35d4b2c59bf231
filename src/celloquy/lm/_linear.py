"""Linear layers whose weights lie as the processor's matrix product wants them.

On a processor, torch hands fp32 products to MKL and bf16 products to oneDNN with weights that
it reorders on every call. With the weights reordered once, oneDNN multiplied fp32 twice as fast
on an AMD processor (`benchmarks/embedding.py`), with the same numbers to 1e-6.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import torch

TYPICAL_ROWS = 1_024
"""Tokens of a usual batch, for which the layout is chosen; others work too."""


def pack_linear_layers(model: torch.nn.Module, *, skip: Collection[torch.nn.Module] = ()) -> int:
    """Replace the linear layers of a model by packed ones, where this torch can.

    GPT-2's `Conv1D`, a linear layer whose weights lie the other way round, is one too.

    Parameters
    ----------
    model
        Changed in place; it can no longer be trained or saved.
    skip
        Layers that stay as they are.

    Returns
    -------
    How many were replaced: 0 if torch lacks the operation.
    """
    import torch

    operations: Any = torch.ops.mkldnn
    if not (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it so
        and hasattr(operations, "_linear_pointwise")
        and hasattr(operations, "_reorder_linear_weight")
    ):
        return 0

    class PackedLinear(torch.nn.Module):
        def __init__(self, layer: torch.nn.Module, *, is_turned: bool) -> None:
            super().__init__()
            weight: Any = layer.weight
            plain = (weight.t() if is_turned else weight).detach().contiguous()
            self.weight = operations._reorder_linear_weight(plain, TYPICAL_ROWS)
            bias: Any = layer.bias
            self.bias = None if bias is None else bias.detach()
            self.in_features = plain.shape[1]
            self.activation = ("none", "")  # its name, and how it is computed

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            name, algorithm = self.activation
            product: torch.Tensor = operations._linear_pointwise(
                hidden, self.weight, self.bias, name, [], algorithm
            )
            return product

    n_packed = 0
    for kind in {type(layer) for layer in model.modules()}:
        is_turned = kind.__name__ == "Conv1D" and kind.__module__.startswith("transformers.")
        if kind is torch.nn.Linear or is_turned:
            make = partial(PackedLinear, is_turned=is_turned)
            n_packed += replace_modules(model, kind, make, skip=skip)
    return n_packed


def replace_modules(
    model: torch.nn.Module,
    old: type,
    new: Callable[[torch.nn.Module], torch.nn.Module],
    *,
    skip: Collection[torch.nn.Module] = (),
) -> int:
    """Replace the parts of exactly one class, at any depth, and count them.

    Parameters
    ----------
    model
        Changed in place.
    old
        The class; classes derived from it are left alone.
    new
        Gives what takes a part's place; the part itself leaves it there.
    skip
        Parts that stay as they are.
    """
    n_replaced = 0
    for name, layer in list(model.named_children()):
        if any(layer is one for one in skip):
            continue
        if type(layer) is old:
            put = new(layer)
            setattr(model, name, put)
            n_replaced += put is not layer
        else:
            n_replaced += replace_modules(layer, old, new, skip=skip)
    return n_replaced
