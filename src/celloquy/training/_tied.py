"""A matrix that is both the vocabulary's vectors and its head learns in place.

Autograd makes one matrix of gradients for the lookup, one for the head, and a third for their sum,
each as large as the vocabulary. Here both are added to the weight's own gradient.

This module loads torch, and is imported only where something is trained.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch.nn import functional


def learn_in_place(model: Any) -> None:  # noqa: ANN401 (a class of transformers)
    """Let a tied vocabulary add to its gradient in place; other models are left as they are.

    Gradients are the same but for the order of sums. Only where one process holds all weights:
    what exchanges gradients has to see them first.

    Parameters
    ----------
    model
        A causal model with its head; changed in place.
    """
    vectors, head = model.get_input_embeddings(), model.get_output_embeddings()
    if (type(vectors), type(head)) != (torch.nn.Embedding, torch.nn.Linear):
        return
    weight, is_plain = vectors.weight, head.bias is None and vectors.max_norm is None
    if weight is not head.weight or not weight.requires_grad or not is_plain:
        return
    look_up, ask = cast("Any", _Lookup), cast("Any", _Head)  # torch leaves `apply` without types
    padding = vectors.padding_idx
    vectors.forward = lambda ids: look_up.apply(weight, ids, padding)
    head.forward = lambda hidden: ask.apply(hidden, weight)


class _Lookup(torch.autograd.Function):
    """Vectors of tokens."""

    @staticmethod
    def forward(ctx: Any, weight: Any, ids: Any, padding: int | None) -> Any:  # noqa: ANN401
        ctx.weight, ctx.padding = weight, padding
        ctx.save_for_backward(ids)
        return functional.embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ANN401
        (ids,) = ctx.saved_tensors
        found, gradient = ids.reshape(-1), gradients[0].flatten(0, -2)
        if ctx.padding is not None:
            learned = found != ctx.padding
            found, gradient = found[learned], gradient[learned]
        if ctx.weight.grad is None:
            ctx.weight.grad = torch.zeros_like(ctx.weight)
        ctx.weight.grad.index_add_(0, found, gradient.to(ctx.weight.dtype))
        return None, None, None


class _Head(torch.autograd.Function):
    """Logits of all tokens."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any) -> Any:  # noqa: ANN401
        ctx.weight = weight
        ctx.save_for_backward(hidden)
        return functional.linear(hidden, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ANN401
        (hidden,) = ctx.saved_tensors
        weight, gradient = ctx.weight, gradients[0].to(ctx.weight.dtype)
        rows = gradient.flatten(0, -2).t()
        seen = hidden.flatten(0, -2).to(weight.dtype)
        if weight.grad is None:
            weight.grad = rows @ seen
        else:
            weight.grad.addmm_(rows, seen)
        return (gradient @ weight).to(hidden.dtype), None
