"""Which template Cell2Sentence draws for each row."""

from __future__ import annotations

import random

from celloquy.errors import InputError


def cell2sentence_template_draws(n_templates: int, n: int, *, seed: int = 42) -> list[int]:
    """Give the template of each row as Cell2Sentence draws it (AF-17).

    Its draw goes through Python's global random state; this one leaves that untouched.

    Parameters
    ----------
    n_templates
        How many templates there are to choose from.
    n
        How many rows.
    seed
        The seed; Cell2Sentence's is 42.

    Raises
    ------
    InputError
        If there is no template.

    Examples
    --------
    >>> cell2sentence_template_draws(10, 5)
    [1, 0, 4, 3, 3]
    """
    if n_templates < 1:
        msg = f"There must be at least 1 template, got {n_templates}."
        raise InputError(msg, hint="Cell2Sentence has 10 to 15 of each kind.")
    rng = random.Random(seed)
    return [rng.choice(range(n_templates)) for _ in range(n)]
