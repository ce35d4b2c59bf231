"""Linear layers whose weights lie as the processor's matrix product wants them.

On a processor, torch hands fp32 products to MKL and bf16 products to oneDNN with weights that
it reorders on every call. With the weights reordered once, oneDNN multiplied fp32 twice as fast
on an AMD processor (`benchmarks/embedding.py`), with the same numbers to 1e-6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TYPICAL_ROWS = 1_024
"""Tokens of a usual batch, for which the layout is chosen; others work too."""


def pack_linear_layers(model: torch.nn.Module) -> int:
    """Replace the linear layers of a model by packed ones, where this torch can.

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
        def __init__(self, layer: torch.nn.Linear) -> None:
            super().__init__()
            plain = layer.weight.detach().contiguous()
            self.weight = operations._reorder_linear_weight(plain, TYPICAL_ROWS)
            self.bias = None if layer.bias is None else layer.bias.detach()

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            product: torch.Tensor = operations._linear_pointwise(
                hidden, self.weight, self.bias, "none", [], ""
            )
            return product

    return _replace(model, torch.nn.Linear, PackedLinear)


def _replace(model: torch.nn.Module, old: type, new: Any) -> int:  # noqa: ANN401 — a local class
    """Replace the layers of exactly one class, at any depth, and count them."""
    n_replaced = 0
    for name, layer in list(model.named_children()):
        if type(layer) is old:
            setattr(model, name, new(layer))
            n_replaced += 1
        else:
            n_replaced += _replace(layer, old, new)
    return n_replaced
