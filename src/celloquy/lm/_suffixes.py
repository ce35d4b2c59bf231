"""Many texts after one prompt, such as the genes of one cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celloquy.errors import InputError
from celloquy.lm._protocol import PromptPlan
from celloquy.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celloquy.text import Prompt


def with_suffixes(
    prompts: Sequence[Prompt | str] | PromptPlan, suffixes: Sequence[Sequence[Prompt | str]]
) -> list[Prompt | str]:
    """Write each prompt with each of its suffixes, all of one prompt next to each other.

    Parameters
    ----------
    prompts
        Prompts as segments, plain texts, or a plan of them; length ``n``.
    suffixes
        What follows each prompt: ``n`` lists of ``s``.

    Raises
    ------
    InputError
        If there is not one list of equal length a prompt, or the lists are empty.
    """
    heads = prompts_of(prompts)
    check_suffixes(heads, suffixes)
    return [
        join(head, suffix) for head, some in zip(heads, suffixes, strict=True) for suffix in some
    ]


def prompts_of(prompts: Sequence[Prompt | str] | PromptPlan) -> Sequence[Prompt | str]:
    """Give the prompts of a plan, after names were cut."""
    if isinstance(prompts, PromptPlan):
        return prompts.prompts or prompts.texts
    return prompts


def check_suffixes(
    prompts: Sequence[Prompt | str], suffixes: Sequence[Sequence[Prompt | str]]
) -> None:
    """Refuse suffixes that do not belong to the prompts.

    Raises
    ------
    InputError
        If there is not one list of equal length a prompt, or the lists are empty.
    """
    sizes = {len(some) for some in suffixes}
    if len(suffixes) != len(prompts) or len(sizes) > 1 or 0 in sizes:
        msg = (
            f"{len(prompts)} prompts have {len(suffixes)} lists of suffixes of "
            f"{', '.join(map(str, sorted(sizes))) or 'no'} texts."
        )
        raise InputError(msg, hint="give every prompt a list, all of the same length.")


def join(prompt: Prompt | str, suffix: Prompt | str) -> Prompt | str:
    """Write a suffix after a prompt."""
    if isinstance(prompt, str) and isinstance(suffix, str):
        return prompt + suffix
    head: Prompt = (Text(prompt),) if isinstance(prompt, str) else prompt
    tail: Prompt = (Text(suffix),) if isinstance(suffix, str) else suffix
    return (*head, *tail)
