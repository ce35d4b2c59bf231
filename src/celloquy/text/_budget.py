"""Token budgets: genes are left out at the end until all fits, and what is cut is counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.text._prompt import Counted, Names, Prompt, plain_text
from celloquy.text._render import render_text, words_around
from celloquy.text._styles import Style, get_style
from celloquy.text._tokenizer import as_text_tokenizer
from celloquy.text._tokens import GeneTokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Sized

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.text._ranked import RankedCells


@dataclass(frozen=True, eq=False)
class Packed:
    """Prompts that fit a token budget."""

    prompts: list[Prompt]
    """The prompts, with what fits of their genes."""
    n_cut: NDArray[np.int32]
    """Genes cut from each prompt; shape ``(n,)``."""
    n_tokens: NDArray[np.int32]
    """Tokens of each packed prompt, special tokens included; shape ``(n,)``."""


def pack(
    prompts: Sequence[Prompt],
    tokenizer: Any,  # noqa: ANN401 (libraries without types)
    *,
    limit: int,
    cells: Sequence[str] | None = None,
) -> Packed:
    """Fit prompts into a number of tokens by leaving out genes at the end.

    Words and fields are never cut. A prompt that lists several cells loses the last genes of
    its longest lists first, so that all cells stay. Words that say how many genes there are
    are said again for the genes that are kept. The tokenizer itself counts every packed
    prompt, and one more gene would not have fitted.

    Parameters
    ----------
    prompts
        What is to be packed.
    tokenizer
        A tokenizer of `transformers`, a `tokenizers.Tokenizer`, or a function from one text
        to its token ids.
    limit
        The most tokens a prompt may take, special tokens included.
    cells
        Names of the prompts for messages.

    Raises
    ------
    InputError
        If a prompt is too long without any gene that may be cut, or `limit` is below 1.
    """
    tokens = as_text_tokenizer(tokenizer)
    return pack_prompts(
        prompts,
        lambda some: tokens.encode([plain_text(prompt) for prompt in some]),
        limit=limit,
        cells=cells,
    )


def pack_prompts(
    prompts: Sequence[Prompt],
    encode: Callable[[Sequence[Prompt]], Sequence[Sized]],
    *,
    limit: int,
    cells: Sequence[str] | None = None,
) -> Packed:
    """Fit prompts into a number of tokens as a language model itself writes them.

    Parameters
    ----------
    prompts
        What is to be packed.
    encode
        Gives the token ids of prompts, marks of a chat included.
    limit, cells
        See :func:`pack`.

    Raises
    ------
    InputError
        If a prompt is too long without any gene that may be cut, or `limit` is below 1.
    """
    orders = [_order(prompt) for prompt in prompts]
    most = np.array([len(order) for order in orders], dtype=np.int64)

    def count(which: NDArray[np.int64], kept: NDArray[np.int64]) -> NDArray[np.int64]:
        some = zip(which, kept, strict=True)
        shorter = [_keep(prompts[i], orders[i][:k]) for i, k in some]
        return np.array([len(ids) for ids in encode(shorter)], dtype=np.int64)

    kept, sizes = _search(count, most, limit=limit, cells=cells)
    packed = [_keep(prompts[i], orders[i][: kept[i]]) for i in range(len(prompts))]
    return Packed(packed, (most - kept).astype(np.int32), sizes.astype(np.int32))


def fit_cells(
    ranked: RankedCells,
    tokenizer: Any,  # noqa: ANN401 (libraries without types)
    *,
    limit: int,
    style: str | Style = "celloquy",
    obs: pd.DataFrame | None = None,
    obs_features: Sequence[str] = (),
) -> RankedCells:
    """Keep as many genes of each cell as its text in `style` has room for.

    Parameters
    ----------
    ranked
        Cells, shape ``(n_obs,)``.
    tokenizer
        See :func:`pack`.
    limit
        The most tokens a text may take, special tokens included.
    style, obs, obs_features
        How cells are written; see :func:`celloquy.text.render_text`.

    Returns
    -------
    The cells with the genes that fit; `cut` counts the others.

    Raises
    ------
    InputError
        If a cell's words and metadata alone take more than `limit`, or `limit` is below 1.
    """
    chosen = get_style(style)
    tokens = as_text_tokenizer(tokenizer)
    table = GeneTokens(tokens, ranked.vocabulary, style=chosen)
    guess = None
    if table.exact:
        head, tail = words_around(ranked, chosen, obs=obs, obs_features=obs_features)
        guess = table.count_fitting(ranked, head, tail, limit=limit)

    def count(which: NDArray[np.int64], kept: NDArray[np.int64]) -> NDArray[np.int64]:
        some = np.zeros(ranked.n_obs, dtype=np.int64)
        some[which] = kept
        cells = ranked.top(some)
        if table.exact:
            return table.encode(cells, obs=obs, obs_features=obs_features).lengths[which]
        texts = render_text(cells, style=chosen, obs=obs, obs_features=obs_features)
        found = tokens.encode(texts.take(which).to_pylist())
        return np.array([len(ids) for ids in found], dtype=np.int64)

    names = None if obs is None else [str(name) for name in obs.index]
    kept, _ = _search(count, ranked.lengths, limit=limit, cells=names, guess=guess)
    return ranked.top(kept)


def _search(
    count: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]],
    most: NDArray[np.int64],
    *,
    limit: int,
    cells: Sequence[str] | None,
    guess: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find for every text how many genes fit, asking for all open texts at once.

    A text is done when `fits` genes fit and `fails` = `fits` + 1 do not. Between them the
    next number is where the tokens of the two would meet the limit on a straight line.

    Raises
    ------
    InputError
        If a text is too long without any gene, or `limit` is below 1.
    """
    if limit < 1:
        msg = f"A token limit is at least 1, got {limit}."
        raise InputError(msg, hint="pass the number of tokens that the model reads.")
    everyone = np.arange(len(most))
    sizes = count(everyone, most)
    fits, fails = np.where(sizes <= limit, most, 0), most + (sizes <= limit)
    over = sizes.copy()
    open_ = everyone[sizes > limit]
    bare = count(open_, np.zeros(len(open_), dtype=np.int64))
    if (bare > limit).any():
        first = int(open_[np.argmax(bare > limit)])
        name = str(first) if cells is None else repr(cells[first])
        n_tokens = int(bare[bare > limit][0])
        msg = f"Without any gene, the text of cell {name} takes {n_tokens} tokens of {limit}."
        raise InputError(msg, hint="raise the limit, or write fewer or shorter obs features.")
    sizes[open_] = bare
    first_round = guess is not None
    while len(open_ := everyone[fails - fits > 1]):
        low, high = fits[open_], fails[open_]
        if first_round and guess is not None:
            middle = guess[open_] + (guess[open_] == low)
            first_round = False
        else:
            share = (limit - sizes[open_]) / np.maximum(over[open_] - sizes[open_], 1)
            middle = low + np.maximum(1, (share * (high - low)).astype(np.int64))
        middle = np.clip(middle, low + 1, high - 1)
        found = count(open_, middle)
        good = found <= limit
        fits[open_[good]], sizes[open_[good]] = middle[good], found[good]
        fails[open_[~good]], over[open_[~good]] = middle[~good], found[~good]
    return fits, sizes


def _order(prompt: Prompt) -> list[tuple[int, int]]:
    """List the genes that may be cut as (rank, segment), the first to keep first."""
    lists = [
        (number, len(segment.ids))
        for number, segment in enumerate(prompt)
        if isinstance(segment, Names) and segment.may_cut
    ]
    return sorted((rank, number) for number, length in lists for rank in range(length))


def first_names(prompt: Prompt, n: int) -> Prompt:
    """Keep at most the first genes of every list that names several, whether it may be cut or not.

    Parameters
    ----------
    prompt
        A prompt. A gene that stands alone and may not be cut is asked about, and stays.
    n
        The most genes of a list; words that count genes follow.
    """
    lists = [
        replace(segment, may_cut=True)
        if isinstance(segment, Names) and (segment.may_cut or len(segment.ids) > 1)
        else segment
        for segment in prompt
    ]
    order = [place for place in _order(tuple(lists)) if place[0] < n]
    return _keep(tuple(lists), order)


def _keep(prompt: Prompt, order: Sequence[tuple[int, int]]) -> Prompt:
    """Keep the given genes of a prompt, and say again how many there are."""
    kept = np.zeros(len(prompt), dtype=np.int64)
    for _, number in order:
        kept[number] += 1
    segments = list(prompt)
    for number, segment in enumerate(prompt):
        if isinstance(segment, Names) and segment.may_cut:
            values = None if segment.values is None else segment.values[: kept[number]]
            segments[number] = replace(segment, ids=segment.ids[: kept[number]], values=values)
    if not any(isinstance(segment, Names) and segment.may_cut for segment in segments):
        return prompt
    # a gene that is asked about stays, and is not one of the genes that are counted
    n_genes = int(kept.sum())
    return tuple(
        Counted.of(n_genes, segment.forms, role=segment.role)
        if isinstance(segment, Counted)
        else segment
        for segment in segments
    )
