"""Vectors from the hidden states of decoders, and of the encoders of encoder-decoders."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from celloquy._runtime import closest
from celloquy.errors import BackendError, InputError
from celloquy.lm._network import CausalNetwork
from celloquy.lm._protocol import Pooling, PromptPlan, TooLong

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from numpy.typing import NDArray

    from celloquy.lm._batches import TokenBatch
    from celloquy.lm._hf_model import HFModel
    from celloquy.text import Prompt

    Read = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_NORMS = ("norm", "ln_f", "final_layer_norm")


def embed_prompts(
    lm: HFModel,
    prompts: Sequence[Prompt | str] | PromptPlan,
    *,
    pooling: Pooling | None = None,
    layer: int | None = None,
    too_long: TooLong = "refuse",
) -> NDArray[np.float32]:
    """Give one vector a prompt; see :meth:`celloquy.lm.Decoder.embed`.

    Raises
    ------
    InputError
        If there is no such pooling or layer, or a prompt names no gene to pool.
    """
    pooling = checked_pooling(pooling or lm.default_pooling)
    layer = checked_layer(lm, layer)
    plan = prompts if isinstance(prompts, PromptPlan) else lm.plan(prompts, too_long=too_long)
    return pool_ids(lm, plan.ids, pooled_tokens(lm, plan, pooling), pooling=pooling, layer=layer)


def pool_ids(
    lm: HFModel,
    ids: Sequence[NDArray[np.int32]],
    chosen: Sequence[NDArray[np.bool_]],
    *,
    pooling: Pooling,
    layer: int,
) -> NDArray[np.float32]:
    """Give one vector a prompt from some of its tokens; equal prompts are read once.

    Parameters
    ----------
    lm
        The language model.
    ids
        Token ids of each prompt; length ``n``.
    chosen
        Which of them make the vector; length ``n``.
    pooling, layer
        Checked already.
    """
    places: dict[tuple[bytes, bytes], int] = {}
    keys = [(one.tobytes(), some.tobytes()) for one, some in zip(ids, chosen, strict=True)]
    inverse = [places.setdefault(key, len(places)) for key in keys]
    distinct = [np.frombuffer(one, dtype=np.int32) for one, _ in places]
    masks = [np.frombuffer(some, dtype=np.bool_) for _, some in places]
    read = lm.reader_to(layer)

    def forward(batch: TokenBatch) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            is_real = torch.from_numpy(batch.mask).to(lm.device)
            hidden = read(torch.from_numpy(batch.ids).to(lm.device), is_real)
            counted = torch.from_numpy(_aligned(masks, batch)).to(lm.device)
            pooled = pool_chosen(hidden.float(), counted, is_max=pooling == "max")
            return cast("NDArray[np.float32]", pooled.cpu().numpy())

    vectors = lm.runner.run(distinct, forward, n_dimensions=lm.n_dimensions())
    refuse_infinite(lm, vectors)
    return vectors[inverse] if inverse else vectors


def refuse_infinite(lm: HFModel, vectors: NDArray[np.float32]) -> None:
    """Refuse vectors that are no numbers.

    Raises
    ------
    BackendError
        If one is not finite.
    """
    if not np.isfinite(vectors).all():
        msg = f"'{lm.name}' gave a vector that is not finite, at {lm.precision}."
        raise BackendError(msg, hint='pass `precision="fp32"`, or check the weights.')


def checked_pooling(pooling: str) -> Pooling:
    """Refuse a pooling that is not known.

    Raises
    ------
    InputError
        If it is not.
    """
    if pooling not in get_args(Pooling):
        msg = f"There is no pooling {pooling!r}{closest(pooling, get_args(Pooling))}."
        raise InputError(msg, hint=f"choose one of: {', '.join(get_args(Pooling))}.")
    return cast("Pooling", pooling)


def checked_layer(lm: HFModel, layer: int | None) -> int:
    """Give a layer's number counted from the input, 0.

    Raises
    ------
    InputError
        If there is no such layer.
    """
    n = lm.n_layers
    if layer is None:
        return n
    if not -n - 1 <= layer <= n:
        msg = f"There is no layer {layer}: '{lm.name}' has {n}."
        raise InputError(msg, hint=f"choose 0 to {n}, or -1 for the last.")
    return layer if layer >= 0 else layer + n + 1


def pooled_tokens(lm: HFModel, plan: PromptPlan, pooling: Pooling) -> list[NDArray[np.bool_]]:
    """Say which tokens of each prompt make its vector.

    Raises
    ------
    InputError
        If genes are to be pooled and a prompt names none.
    """
    if pooling == "genes":
        if not plan.prompts:
            msg = "The plan does not hold its prompts, so the tokens of genes cannot be told."
            raise InputError(msg, hint="pass the prompts, or a plan that this model made.")
        masks = [tokens.is_gene for tokens in lm.format.tokens(plan.prompts)]
        refuse_without_genes(masks)
        return masks
    whole = {"last": slice(-1, None), "cls": slice(0, 1)}.get(pooling, slice(None))
    masks = [np.zeros(len(ids), dtype=np.bool_) for ids in plan.ids]
    for mask in masks:
        mask[whole] = True
    return masks


def refuse_without_genes(masks: Sequence[NDArray[np.bool_]]) -> None:
    """Refuse prompts without a gene to pool.

    Raises
    ------
    InputError
        If there is one.
    """
    bare = next((row for row, mask in enumerate(masks) if not mask.any()), None)
    if bare is not None:
        msg = f"Prompt {bare} of {len(masks)} names no gene, so its genes have no mean."
        raise InputError(msg, hint='pass `pooling="mean"` or `"last"`, or leave out empty cells.')


def _aligned(masks: Sequence[NDArray[np.bool_]], batch: TokenBatch) -> NDArray[np.bool_]:
    """Pad the masks of a batch's prompts as its tokens are padded."""
    made = np.zeros(batch.mask.shape, dtype=np.bool_)
    for line, row in zip(made, batch.rows, strict=True):
        line[: len(masks[row])] = masks[row]
    return made


def pool_chosen(hidden: torch.Tensor, chosen: torch.Tensor, *, is_max: bool) -> torch.Tensor:
    """Make one vector of the chosen tokens of each prompt: their mean, or largest values.

    Parameters
    ----------
    hidden
        Token vectors, shape ``(n, t, d)``.
    chosen
        Which tokens count, shape ``(n, t)``; at least one a prompt.
    is_max
        Whether the largest value of each dimension is taken.
    """
    import torch

    if is_max:
        return hidden.masked_fill(~chosen[:, :, None], -torch.inf).amax(dim=1)
    weights = chosen.float() / chosen.sum(dim=1, keepdim=True)
    summed: torch.Tensor = torch.einsum("ntd,nt->nd", hidden, weights)
    return summed


def network_to(network: CausalNetwork, layer: int) -> CausalNetwork:
    """Give a network that ends after one layer and shares the weights of the whole."""
    if layer == network.n_layers:
        return network
    model = _shallow(network.model)
    prefix = network.model.base_model_prefix
    setattr(model, prefix, stack_to(network.model.base_model, layer, n_layers=network.n_layers))
    return CausalNetwork(model, network.device)


def stack_to(stack: Any, layer: int, *, n_layers: int) -> Any:  # noqa: ANN401 (of any family)
    """Give a stack of layers that ends after one of them and shares the weights of the whole.

    A layer that is not the last is taken before the norm that ends the stack, as transformers
    counts hidden states.

    Raises
    ------
    InputError
        If the layers of the family cannot be found.
    """
    import torch

    if layer == n_layers:
        return stack
    short = _shallow(stack)
    lists = [
        name
        for name, child in stack.named_children()
        if isinstance(child, torch.nn.ModuleList) and len(child) == n_layers
    ]
    norms = [name for name in _NORMS if hasattr(stack, name)]
    if len(lists) != 1 or len(norms) != 1:
        msg = f"The layers of {type(stack).__name__} are not known here."
        raise InputError(msg, hint="leave out `layer`: the last one can be had.")
    layers = getattr(stack, lists[0])
    setattr(short, lists[0], torch.nn.ModuleList(list(layers)[:layer]))
    setattr(short, norms[0], torch.nn.Identity())
    return short


def _shallow(module: Any) -> Any:  # noqa: ANN401
    """Copy a module without its weights, so that its children can be exchanged."""
    twin = copy.copy(module)
    twin.__dict__ = {**module.__dict__, "_modules": dict(module.__dict__["_modules"])}
    return twin
