"""The token budget of an encoder: what of each prompt fits, and what was cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from celloquy.errors import InputError
from celloquy.lm._protocol import PromptPlan, TooLong
from celloquy.text import pack, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from celloquy.text import Prompt

    Encode = Callable[[Sequence[str]], list[NDArray[np.int32]]]


def plan_prompts(
    prompts: Sequence[Prompt | str],
    encode: Encode,
    *,
    max_tokens: int,
    too_long: TooLong = "refuse",
) -> PromptPlan:
    """Fit prompts into a token budget by leaving out gene names at the end.

    Text, metadata and questions are never cut; every prompt keeps the most names that fit
    (:func:`celloquy.text.pack`).

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
    named = {row: prompt for row in over if not isinstance(prompt := prompts[row], str)}
    packed = pack(
        list(named.values()),
        lambda text: encode([text])[0],
        limit=max_tokens,
        cells=[f"prompt {row}" for row in named],
    )
    for row, prompt, n_cut in zip(named, packed.prompts, packed.n_cut, strict=True):
        texts[row], names_cut[row] = plain_text(prompt), n_cut
        ids[row] = encode([texts[row]])[0]
    for row in over:
        tokens_cut[row] = max(0, len(ids[row]) - max_tokens)
        if tokens_cut[row] and too_long == "refuse":
            msg = (
                f"Prompt {row} takes {len(ids[row]):,} tokens; the model reads {max_tokens:,}. "
                f"It begins {texts[row][:40]!r}."
            )
            raise InputError(msg, hint='shorten it, or pass `too_long="cut"` and see the plan.')
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


def _shortened(ids: NDArray[np.int32], encode: Encode, *, max_tokens: int) -> NDArray[np.int32]:
    """Cut token ids to the budget before the special tokens that end every text."""
    if len(ids) <= max_tokens:
        return ids
    bare = encode([""])[0]
    shared = 0
    while shared < min(len(bare), max_tokens) and bare[len(bare) - 1 - shared] == ids[-1 - shared]:
        shared += 1
    return np.concatenate([ids[: max_tokens - shared], ids[len(ids) - shared :]])
