"""Closed sets of answers: one for all prompts, or one a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from celloquy.errors import InputError
from celloquy.text import OneOf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.text import Constraint


def answer_sets(
    answers: Sequence[str] | Sequence[Sequence[str]], n_prompts: int
) -> list[tuple[str, ...]]:
    """Give the allowed answers of every prompt.

    Parameters
    ----------
    answers
        One set for all prompts, or one a prompt.
    n_prompts
        How many prompts there are.

    Raises
    ------
    InputError
        If a set is empty, holds an empty answer or one twice, or there are not as many sets as
        prompts.

    Examples
    --------
    >>> answer_sets(["T cell", "B cell"], 2)
    [('T cell', 'B cell'), ('T cell', 'B cell')]
    """
    if not answers or isinstance(answers[0], str):
        shared = OneOf(tuple(cast("Sequence[str]", answers))).answers
        return [shared] * n_prompts
    if len(answers) != n_prompts:
        msg = f"There are {len(answers):,} sets of answers for {n_prompts:,} prompts."
        raise InputError(msg, hint="pass one set for all prompts, or one a prompt.")
    return [OneOf(tuple(some)).answers for some in answers]


def constraints_of(
    constraint: Constraint | Sequence[Constraint] | None, n_prompts: int
) -> list[Constraint | None]:
    """Give the constraint of every prompt.

    Parameters
    ----------
    constraint
        One for all prompts, one a prompt, or none.
    n_prompts
        How many prompts there are.

    Raises
    ------
    InputError
        If there are not as many constraints as prompts.
    """
    if not isinstance(constraint, list | tuple):
        return [cast("Constraint | None", constraint)] * n_prompts
    if len(constraint) != n_prompts:
        msg = f"There are {len(constraint):,} constraints for {n_prompts:,} prompts."
        raise InputError(msg, hint="pass one constraint for all prompts, or one a prompt.")
    return list(constraint)


def one_seed_each(seeds: Sequence[int], n_prompts: int) -> None:
    """Refuse seeds that are not one a prompt.

    Raises
    ------
    InputError
        If there are more or fewer.
    """
    if len(seeds) != n_prompts:
        msg = f"There are {len(seeds):,} seeds for {n_prompts:,} prompts."
        raise InputError(msg, hint="pass one seed a prompt, such as its row.")


def padded(
    rows: Sequence[Sequence[float]], fill: float, dtype: type[np.float64] | type[np.int32]
) -> NDArray[np.float64]:
    """Put rows of unequal length into one array, shape ``(n, longest)``."""
    table = np.full((len(rows), max(map(len, rows), default=0)), fill, dtype=dtype)
    for row, values in enumerate(rows):
        table[row, : len(values)] = values
    return cast("NDArray[np.float64]", table)
