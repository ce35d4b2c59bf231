"""Attention of the next tokens of many answers at once, on a processor, without padding.

In a step, one answer may take one token and another one five: a drawn token and those that the
constraint forces. Their tokens stand end to end, so that every product of the network is over
real tokens only, and each looks at the cached keys of its own row. The keys of a row are read
once for all its new tokens. What a row gets does not depend on the others.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from celloquy.lm._generate_cache import RowCache
    from celloquy.lm._network import CausalNetwork

NAME = "celloquy_rows"
_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class RowStep:
    """Tokens of several rows, end to end, those of one row side by side and in order."""

    rows: NDArray[np.int64]
    """Row of each token; shape ``(tokens,)``."""
    places: NDArray[np.int64]
    """Place of each token in its row; shape ``(tokens,)``."""


class _Current(threading.local):
    step: RowStep | None = None


_CURRENT = _Current()


def takes_row_steps(network: CausalNetwork) -> bool:
    """Prepare a network for :func:`read_step`; false where it keeps to its own attention.

    Models on a GPU and models that cap their scores do. Outside of a step, a prepared model
    computes as it did before.
    """
    model = network.model
    if network.device != "cpu" or network.dtype.itemsize not in {2, 4}:
        return False
    with _LOCK:
        if network.config._attn_implementation == "sdpa":
            _register()
            model.set_attn_implementation(NAME)
    import torch

    is_ours = network.config._attn_implementation == NAME
    return bool(is_ours and network.dtype in {torch.float32, torch.bfloat16})


def read_step(
    network: CausalNetwork, ids: NDArray[np.int64], step: RowStep, cache: RowCache
) -> torch.Tensor:
    """Run the tokens of a step through a network.

    Parameters
    ----------
    network
        A network that :func:`takes_row_steps`.
    ids
        Token ids; shape ``(tokens,)``.
    step
        Where they stand.
    cache
        Keys and values so far, extended in place.

    Returns
    -------
    Output of the last layer after its norm; shape ``(tokens, d)``.
    """
    import torch

    most = getattr(network.config, "max_position_embeddings", None)
    places = step.places if most is None else np.minimum(step.places, most - 1)
    cache.expect_step(torch.from_numpy(step.rows), torch.from_numpy(step.places))
    # a mask of four dimensions goes through a model as it is: it carries the window to `_rows`
    whole = torch.zeros(1, 1, 1, 1, dtype=torch.int64)
    mask: Any = whole
    if network.window is not None:
        sliding = torch.full_like(whole, network.window)
        is_mixed = getattr(network.config, "layer_types", None) is not None
        mask = {"full_attention": whole, "sliding_attention": sliding} if is_mixed else sliding
    _CURRENT.step = step
    try:
        output = network.model.base_model(
            input_ids=torch.from_numpy(ids)[None],
            attention_mask=mask,
            position_ids=torch.from_numpy(places)[None],
            past_key_values=cache,
            use_cache=True,
        )
    finally:
        _CURRENT.step = None
    found: torch.Tensor = output.last_hidden_state[0]
    return found


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def _attention(  # noqa: PLR0917 (so transformers calls it)
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as torch does, or by rows in a step."""
    step = _CURRENT.step
    if step is None or attention_mask is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return _rows(step, query, (key, value), (options["scaling"], int(attention_mask))), None


def _rows(
    step: RowStep,
    query: torch.Tensor,
    cached: tuple[torch.Tensor, torch.Tensor],
    rule: tuple[float | None, int],
) -> torch.Tensor:
    """Attend by rows; queries of shape ``(1, heads, tokens, width)``."""
    import torch

    from celloquy.lm._attend_kernel import attend, attend_narrow

    queries = query[0].transpose(0, 1).to(torch.float32).contiguous()  # (tokens, heads, width)
    scale = queries.shape[2] ** -0.5 if rule[0] is None else float(rule[0])
    found = torch.empty_like(queries)
    n_heads = cached[0].shape[1]
    flat = [one.flatten(0, 1) for one in cached]
    keys, values = (one.view(torch.int16) if one.itemsize == 2 else one for one in flat)
    work = attend_narrow if keys.dtype == torch.int16 else attend
    work(
        queries.numpy(), keys.numpy(), values.numpy(), (step.rows, step.places, n_heads),
        (scale, rule[1]), found.numpy(),
    )  # fmt: skip
    return found.to(query.dtype)[None]
