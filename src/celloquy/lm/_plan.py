"""The token budget of a language model: what of each prompt fits, and what was cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from celloquy.errors import InputError
from celloquy.lm._protocol import PromptPlan, TooLong
from celloquy.text import Names, first_names, pack_prompts, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from celloquy.text import Prompt

    Encode = Callable[[Sequence[Prompt | str]], list[NDArray[np.int32]]]
    EncodeTexts = Callable[[Sequence[str]], list[NDArray[np.int32]]]


def prompt_text(prompt: Prompt | str) -> str:
    """Write a prompt as one text; a plain text is one already."""
    return prompt if isinstance(prompt, str) else plain_text(prompt)


def plan_prompts(
    prompts: Sequence[Prompt | str],
    encode: EncodeTexts,
    *,
    max_tokens: int,
    too_long: TooLong = "refuse",
    n_answer_tokens: int = 0,
    name: str = "the model",
) -> PromptPlan:
    """Fit prompts into the token budget of a model that reads plain texts.

    Parameters
    ----------
    prompts
        Prompts as segments, or plain texts; length ``n``.
    encode
        Gives the token ids of texts, special tokens included, without cutting.
    max_tokens, too_long, n_answer_tokens, name
        See :func:`fit_prompts`.
    """
    return fit_prompts(
        prompts,
        lambda some: encode([prompt_text(prompt) for prompt in some]),
        max_tokens=max_tokens,
        too_long=too_long,
        n_answer_tokens=n_answer_tokens,
        name=name,
    )


def fit_prompts(
    prompts: Sequence[Prompt | str],
    encode: Encode,
    *,
    max_tokens: int,
    too_long: TooLong = "refuse",
    n_answer_tokens: int = 0,
    name: str = "the model",
    write: Callable[[Prompt | str], str] = prompt_text,
) -> PromptPlan:
    """Fit prompts into a token budget by leaving out gene names at the end.

    Text, metadata and questions are never cut; every prompt keeps the most names that fit
    (:func:`celloquy.text.pack_prompts`).

    Parameters
    ----------
    prompts
        Prompts as segments, or plain texts; length ``n``.
    encode
        Gives the token ids of prompts, special tokens included, without cutting.
    max_tokens
        Tokens that one prompt and its answer may take.
    too_long
        ``"refuse"`` stops at a prompt that does not fit without its names; ``"cut"`` cuts the
        end of *plain texts* that do not fit, and counts the tokens.
    n_answer_tokens
        Tokens kept free for the answer.
    name
        What the model is called in messages.
    write
        Writes a prompt as the text that the plan shows.

    Raises
    ------
    InputError
        If a prompt does not fit, or has no token at all.
    """
    if too_long not in get_args(TooLong):
        msg = f"`too_long` is one of {', '.join(get_args(TooLong))}; got {too_long!r}."
        raise InputError(msg, hint='pass `too_long="cut"` to cut plain texts and count it.')
    limit = max_tokens - n_answer_tokens
    kept = list(prompts)
    ids = encode(kept)
    names_cut = np.zeros(len(kept), dtype=np.int32)
    tokens_cut = np.zeros(len(kept), dtype=np.int32)
    over = [row for row, one in enumerate(ids) if len(one) > limit]
    named = {row: prompt for row in over if not isinstance(prompt := kept[row], str)}
    room = _Room(name, max_tokens, n_answer_tokens)
    _refuse_unfitting(named, encode, room)
    packed = pack_prompts(list(named.values()), encode, limit=limit)
    for row, prompt, n_cut in zip(named, packed.prompts, packed.n_cut, strict=True):
        kept[row], names_cut[row] = prompt, n_cut
        ids[row] = encode([prompt])[0]
    for row in over:
        tokens_cut[row] = max(0, len(ids[row]) - limit)
        if tokens_cut[row] and too_long == "refuse":
            msg = f"{room.message(row, len(ids[row]))} It begins {prompt_text(kept[row])[:40]!r}."
            raise InputError(msg, hint='shorten it, or pass `too_long="cut"` and see the plan.')
        ids[row] = _shortened(ids[row], encode, limit=limit)
    _refuse_empty(ids)
    return PromptPlan(tuple(map(write, kept)), tuple(ids), names_cut, tokens_cut, tuple(kept))


class _Room:
    """How many tokens there are, for messages."""

    def __init__(self, name: str, max_tokens: int, n_answer_tokens: int) -> None:
        self.name, self.max_tokens, self.n_answer_tokens = name, max_tokens, n_answer_tokens

    @property
    def limit(self) -> int:
        return self.max_tokens - self.n_answer_tokens

    def message(self, row: int, n_tokens: int) -> str:
        answer = f" and its answer up to {self.n_answer_tokens:,}" if self.n_answer_tokens else ""
        return (
            f"Prompt {row} takes {n_tokens:,} tokens{answer}; {self.name} reads "
            f"{self.max_tokens:,}."
        )


def _refuse_unfitting(named: dict[int, Prompt], encode: Encode, room: _Room) -> None:
    """Refuse prompts that are too long without the genes that may be cut.

    Raises
    ------
    InputError
        If there is one; the number of genes that fits is named where there is one.
    """
    if not named:
        return
    bare = encode([_without_cut(prompt) for prompt in named.values()])
    unfit = [row for row, ids in zip(named, bare, strict=True) if len(ids) > room.limit]
    if not unfit:
        return
    row = unfit[0]
    msg = room.message(row, len(encode([named[row]])[0]))
    fits = _n_fitting([named[row] for row in unfit], encode, room.limit)
    if fits < 1:
        hint = "shorten its words and metadata: they do not fit without any gene."
        raise InputError(msg, hint=hint)
    raise InputError(msg, hint=f"`n_top_genes={fits}` fits all {len(named)} prompts given here.")


def _without_cut(prompt: Prompt) -> Prompt:
    """Give a prompt without the genes that may be cut."""
    stays = [isinstance(segment, Names) and not segment.may_cut for segment in prompt]
    bare = first_names(prompt, 0)
    return tuple(old if stay else new for old, new, stay in zip(prompt, bare, stays, strict=True))


def _n_fitting(prompts: Sequence[Prompt], encode: Encode, limit: int) -> int:
    """Find how many genes a list may have so that all prompts fit; 0 if none."""
    lengths = [len(s.ids) for prompt in prompts for s in prompt if isinstance(s, Names)]
    fits, fails = -1, max(lengths, default=0) + 1
    while fails - fits > 1:
        middle = (fits + fails) // 2
        found = encode([first_names(prompt, middle) for prompt in prompts])
        if max(map(len, found)) <= limit:
            fits = middle
        else:
            fails = middle
    return max(fits, 0)


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
        raise InputError(msg, hint="leave out empty texts, and cells without a gene.")


def _shortened(ids: NDArray[np.int32], encode: Encode, *, limit: int) -> NDArray[np.int32]:
    """Cut token ids to the budget before the special tokens that end every text."""
    if len(ids) <= limit:
        return ids
    bare = encode([""])[0]
    shared = 0
    while shared < min(len(bare), limit) and bare[len(bare) - 1 - shared] == ids[-1 - shared]:
        shared += 1
    return np.concatenate([ids[: limit - shared], ids[len(ids) - shared :]])
