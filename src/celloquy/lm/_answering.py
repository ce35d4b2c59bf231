"""What decoders and encoder-decoders share when they are asked: answers as tokens and back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celloquy.lm._answer_sets import answer_sets
from celloquy.text import OneOf

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from celloquy.lm._formats import PromptFormat
    from celloquy.lm._protocol import Limits, PromptPlan
    from celloquy.text import Constraint


@dataclass(frozen=True)
class AnswerIds:
    """Token ids of allowed answers."""

    sets: list[NDArray[np.int32]] | list[list[NDArray[np.int32]]]
    """One set for all prompts, or one a prompt."""
    longest: int
    """Tokens of the longest answer."""


def answer_ids(
    prompt_format: PromptFormat,
    answers: Sequence[str] | Sequence[Sequence[str]],
    *,
    n_prompts: int,
    ends: bool,
) -> AnswerIds:
    """Give the token ids of one set of answers, or of one a prompt; each set is read once."""
    sets = answer_sets(answers, n_prompts)
    known: dict[tuple[str, ...], list[NDArray[np.int32]]] = {}
    for some in sets:
        if some not in known:
            known[some] = [prompt_format.answer_ids(answer, ends=ends) for answer in some]
    longest = max((len(ids) for some in known.values() for ids in some), default=0)
    if len(known) == 1:
        return AnswerIds(known[sets[0]], longest)
    return AnswerIds([known[some] for some in sets], longest)


def answer_room(
    prompt_format: PromptFormat,
    constraint: Constraint | Sequence[Constraint] | None,
    limits: Limits,
    *,
    max_tokens: int,
) -> int:
    """Give the tokens to keep free for an answer: those of the longest allowed one, if known.

    An answer of unknown length gets what `limits` says, and at most half of what is read.
    """
    if isinstance(constraint, OneOf):
        return answer_ids(prompt_format, constraint.answers, n_prompts=1, ends=True).longest
    return min(limits.max_new_tokens, max_tokens // 2)


def warn_of_cuts(plan: PromptPlan, name: str) -> PromptPlan:
    """Say once that genes were cut from prompts that were not planned by the caller."""
    if plan.n_cut:
        told = f"Of {plan.n_cut:,} of {len(plan):,} prompts genes were cut at the end, so that "
        told += f"prompt and answer fit '{name}'. `lm.plan` shows what is kept."
        warnings.warn(told, UserWarning, stacklevel=4)
    return plan
