"""Vectors of many texts after one prompt, which is read once: the genes of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.lm._decoder import Decoder
from celloquy.lm._hidden import (
    checked_layer,
    checked_pooling,
    network_to,
    pool_ids,
    refuse_infinite,
    refuse_without_genes,
)
from celloquy.lm._protocol import PromptPlan
from celloquy.lm._suffixes import check_suffixes, prompts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.typing import NDArray

    from celloquy.lm._formats_tokens import Tokens
    from celloquy.lm._hf_model import HFModel
    from celloquy.lm._network import CausalNetwork
    from celloquy.lm._protocol import Pooling, TooLong
    from celloquy.text import Prompt

    Lists = Sequence[Sequence[Prompt | str]]

TOKENS_AT_ONCE = {"cpu": 256}
"""Tokens of suffixes that are read together, by device."""
_GPU_TOKENS = 2_048
_MARGIN = 2
"""Tokens more than a suffix takes alone, where its first runs together with the prompt's last."""


def embed_suffixes(
    lm: HFModel,
    prompts: Sequence[Prompt | str] | PromptPlan,
    suffixes: Lists,
    *,
    pooling: Pooling | None = None,
    layer: int | None = None,
    too_long: TooLong = "refuse",
) -> NDArray[np.float32]:
    """Give one vector a suffix of each prompt; see :meth:`celloquy.lm.Decoder.embed`.

    A prompt that does not fit with the longest of its suffixes loses genes at its end, for all
    of them alike.

    Raises
    ------
    InputError
        If there is no such pooling or layer, or the suffixes do not belong to the prompts.
    """
    pooling = checked_pooling(pooling or lm.default_pooling)
    layer = checked_layer(lm, layer)
    check_suffixes(prompts_of(prompts), suffixes)
    heads = _fitting(lm, prompts, suffixes, too_long)
    n_each = len(suffixes[0]) if suffixes else 0
    vectors = np.empty((len(heads), n_each, lm.n_dimensions()), dtype=np.float32)
    shares = isinstance(lm, Decoder) and not lm.cannot
    network = network_to(lm.network, layer) if isinstance(lm, Decoder) else None
    for row, (head, some) in enumerate(zip(heads, suffixes, strict=True)):
        tokens = lm.format.tokens([head] * n_each, suffixes=some)
        chosen = _chosen(tokens, pooling)
        if network is not None and shares:
            vectors[row] = _read_after(network, tokens, chosen, is_max=pooling == "max")
        else:
            ids = [one.ids for one in tokens]
            vectors[row] = pool_ids(lm, ids, chosen, pooling=pooling, layer=layer)
    refuse_infinite(lm, vectors)
    return vectors


def _fitting(
    lm: HFModel,
    prompts: Sequence[Prompt | str] | PromptPlan,
    suffixes: Lists,
    too_long: TooLong,
) -> list[Prompt | str]:
    """Cut genes from prompts that do not fit with the longest of their suffixes."""
    if isinstance(prompts, PromptPlan):
        return list(prompts_of(prompts))
    known: dict[int, int] = {}
    heads: list[Prompt | str] = []
    for head, some in zip(prompts, suffixes, strict=True):
        if id(some) not in known:
            tokens = lm.format.tokens([""] * len(some), suffixes=some)
            known[id(some)] = max(int(one.is_suffix.sum()) for one in tokens) + _MARGIN
        further = known[id(some)] if lm.max_tokens > known[id(some)] else 0
        plan = lm.fit([head], n_further=further, too_long=too_long)
        heads.extend(prompts_of(plan))
    return heads


def _chosen(tokens: Sequence[Tokens], pooling: Pooling) -> list[NDArray[np.bool_]]:
    """Say which tokens make the vector of each suffix.

    Raises
    ------
    InputError
        If a suffix has no token, or no gene where genes are pooled.
    """
    masks = []
    for row, one in enumerate(tokens):
        if not one.is_suffix.any():
            msg = f"Suffix {row} of {len(tokens)} has no token, so it has no vector."
            raise InputError(msg, hint="leave out empty texts.")
        mask = one.is_suffix.copy()
        if pooling == "last":
            mask = np.arange(len(mask)) == len(mask) - 1
        elif pooling == "cls":
            mask = np.arange(len(mask)) == mask.argmax()
        elif pooling == "genes":
            mask &= one.is_gene
        masks.append(mask)
    if pooling == "genes":
        refuse_without_genes(masks)
    return masks


def _read_after(
    network: CausalNetwork,
    tokens: Sequence[Tokens],
    chosen: Sequence[NDArray[np.bool_]],
    *,
    is_max: bool,
) -> NDArray[np.float32]:
    """Read what the texts begin with once, and the rest of each on top; shape ``(s, d)``."""
    import torch

    n_shared = _n_shared(tokens)
    budget = TOKENS_AT_ONCE.get(network.device, _GPU_TOKENS)
    found: list[torch.Tensor] = []
    with torch.inference_mode():
        cache: Any = network.new_cache()
        shared = torch.from_numpy(tokens[0].ids[:n_shared].astype(np.int64))
        if n_shared:
            network.hidden(shared[None].to(network.device), cache=cache)
        for start, stop in _groups([len(one.ids) - n_shared for one in tokens], budget):
            tails = [one.ids[n_shared:] for one in tokens[start:stop]]
            hidden = _read_side_by_side(network, tails, n_shared, cache)
            if n_shared:
                cache.crop(-len(hidden))
            else:
                cache = network.new_cache()
            at = 0
            for tail, mask in zip(tails, chosen[start:stop], strict=True):
                own = hidden[at : at + len(tail)].float()  # (tokens, d)
                some = own[torch.from_numpy(mask[n_shared:]).to(own.device)]
                found.append(some.amax(dim=0) if is_max else some.mean(dim=0))
                at += len(tail)
        return np.asarray(torch.stack(found).cpu().numpy(), dtype=np.float32)


def _n_shared(tokens: Sequence[Tokens]) -> int:
    """Count the tokens that all texts begin with, before the suffix of any."""
    n = min(int(one.is_suffix.argmax()) for one in tokens)
    first = tokens[0].ids[:n]
    for one in tokens[1:]:
        differs = first[:n] != one.ids[:n]
        n = int(differs.argmax()) if differs.any() else n
    return n


def _groups(sizes: Sequence[int], budget: int) -> Iterator[tuple[int, int]]:
    """Cut a list where its sizes fill a budget; one that is larger stands alone."""
    start, total = 0, 0
    for at, size in enumerate(sizes):
        if at > start and total + size > budget:
            yield start, at
            start, total = at, 0
        total += size
    if sizes:
        yield start, len(sizes)


def _read_side_by_side(
    network: CausalNetwork,
    tails: Sequence[NDArray[np.int32]],
    n_shared: int,
    cache: Any,  # noqa: ANN401 (a class of transformers)
) -> torch.Tensor:
    """Read texts that do not see each other, each on top of the same cache; ``(tokens, d)``."""
    import torch

    device = network.device
    sizes = torch.tensor([len(tail) for tail in tails], device=device)
    ids = torch.from_numpy(np.concatenate(tails).astype(np.int64)).to(device)
    owner = torch.repeat_interleave(torch.arange(len(tails), device=device), sizes)
    firsts = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    places = torch.arange(len(ids), device=device) - firsts + n_shared
    sees = (owner[:, None] == owner[None, :]) & (places[None, :] <= places[:, None])
    before = torch.ones((len(ids), n_shared), dtype=torch.bool, device=device)
    keys = torch.cat([torch.arange(n_shared, device=device), places])
    hidden = network.hidden(
        ids[None],
        positions=places[None],
        may_see=torch.cat([before, sees], dim=1)[None],
        key_positions=keys[None],
        cache=cache,
    )
    return hidden[0]
