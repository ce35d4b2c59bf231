"""The token budget of an encoder: what of each prompt fits, and what was cut."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from celloquy.errors import InputError
from celloquy.lm._protocol import PromptPlan, TooLong
from celloquy.text import Counted, Names, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from celloquy.text import Prompt, Segment

    Encode = Callable[[Sequence[str]], list[NDArray[np.int32]]]


def plan_prompts(
    prompts: Sequence[Prompt | str],
    encode: Encode,
    *,
    max_tokens: int,
    too_long: TooLong = "refuse",
) -> PromptPlan:
    """Fit prompts into a token budget by leaving out gene names at the end.

    Text, metadata and questions are never cut. Every cell keeps the most names that fit; where
    a prompt names the genes of several cells, all are held to one number of names.

    Parameters
    ----------
    prompts
        Prompts as segments, or plain texts; length ``n``.
    encode
        Gives the token ids of texts, special tokens included, without cutting.
    max_tokens
        Tokens that one prompt may take.
    too_long
        ``"refuse"`` stops at a prompt that does not fit without its names; ``"cut"`` cuts the
        end of *plain texts* that do not fit, and counts the tokens.

    Raises
    ------
    InputError
        If a prompt does not fit, or has no token at all.
    """
    if too_long not in get_args(TooLong):
        msg = f"`too_long` is one of {', '.join(get_args(TooLong))}; got {too_long!r}."
        raise InputError(msg, hint='pass `too_long="cut"` to cut plain texts and count it.')
    texts = [prompt if isinstance(prompt, str) else plain_text(prompt) for prompt in prompts]
    ids = encode(texts)
    names_cut = np.zeros(len(texts), dtype=np.int32)
    tokens_cut = np.zeros(len(texts), dtype=np.int32)
    over = [row for row, one in enumerate(ids) if len(one) > max_tokens]
    named: dict[int, Prompt] = {}
    for row in over:
        prompt = prompts[row]
        if not isinstance(prompt, str):
            named[row] = prompt
    for row, kept in _fitting(named, encode, max_tokens=max_tokens).items():
        texts[row] = plain_text(_with_names(named[row], kept))
        names_cut[row] = _names_lost(named[row], kept)
    for row, again in zip(named, encode([texts[row] for row in named]), strict=True):
        ids[row] = again
    for row in over:
        tokens_cut[row] = max(0, len(ids[row]) - max_tokens)
        if tokens_cut[row] and (too_long == "refuse" or row in named):
            msg = (
                f"Prompt {row} takes {len(ids[row]):,} tokens without any gene it could leave "
                f"out; the model reads {max_tokens:,}. It begins {texts[row][:40]!r}."
            )
            hint = 'shorten it, or pass `too_long="cut"` for plain texts.'
            raise InputError(msg, hint=hint)
        ids[row] = _shortened(ids[row], encode, max_tokens=max_tokens)
    _refuse_empty(ids)
    return PromptPlan(tuple(texts), tuple(ids), names_cut, tokens_cut)


def _refuse_empty(ids: Sequence[NDArray[np.int32]]) -> None:
    """Refuse a prompt of which nothing can be pooled.

    Raises
    ------
    InputError
        If a prompt has no token.
    """
    empty = next((row for row, one in enumerate(ids) if len(one) == 0), None)
    if empty is not None:
        msg = f"Prompt {empty} of {len(ids)} has no token, so it has no vector."
        raise InputError(msg, hint="leave out empty texts.")


def _fitting(prompts: dict[int, Prompt], encode: Encode, *, max_tokens: int) -> dict[int, int]:
    """Find the most names of each prompt that fit, all prompts halving at once."""
    low = dict.fromkeys(prompts, 0)  # known to be the answer if nothing else fits
    high = {row: max(0, _n_names(prompt) - 1) for row, prompt in prompts.items()}
    while open_rows := [row for row in prompts if low[row] < high[row]]:
        middle = {row: (low[row] + high[row] + 1) // 2 for row in open_rows}
        tried = encode([plain_text(_with_names(prompts[row], middle[row])) for row in open_rows])
        for row, ids in zip(open_rows, tried, strict=True):
            if len(ids) <= max_tokens:
                low[row] = middle[row]
            else:
                high[row] = middle[row] - 1
    return low


def _n_names(prompt: Prompt) -> int:
    """Count the names of the longest segment that may be cut."""
    return max(
        (len(part.ids) for part in prompt if isinstance(part, Names) and part.may_cut), default=0
    )


def _with_names(prompt: Prompt, kept: int) -> Prompt:
    """Give a prompt with at most `kept` names a segment, its counting words with it."""
    parts = [_kept(part, kept) for part in prompt]
    n_genes = sum(len(part.ids) for part in parts if isinstance(part, Names))
    return tuple(
        Counted.of(n_genes, part.forms, role=part.role) if isinstance(part, Counted) else part
        for part in parts
    )


def _kept(segment: Segment, kept: int) -> Segment:
    """Leave out the names of one segment after the first `kept`."""
    if not isinstance(segment, Names) or not segment.may_cut:
        return segment
    values = None if segment.values is None else segment.values[:kept]
    return replace(segment, ids=segment.ids[:kept], values=values)


def _names_lost(prompt: Prompt, kept: int) -> int:
    """Count the names that `kept` a segment leaves out."""
    return sum(
        max(0, len(part.ids) - kept) for part in prompt if isinstance(part, Names) and part.may_cut
    )


def _shortened(ids: NDArray[np.int32], encode: Encode, *, max_tokens: int) -> NDArray[np.int32]:
    """Cut token ids to the budget before the special tokens that end every text."""
    if len(ids) <= max_tokens:
        return ids
    bare = encode([""])[0]
    shared = 0
    while shared < min(len(bare), max_tokens) and bare[len(bare) - 1 - shared] == ids[-1 - shared]:
        shared += 1
    return np.concatenate([ids[: max_tokens - shared], ids[len(ids) - shared :]])
