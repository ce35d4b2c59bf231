"""Splits of cells and the mix of tasks as Cell2Sentence and ChatCell draw them."""

from __future__ import annotations

import random

from celloquy.errors import InputError

CHATCELL_TASKS = ("pseudo_cell", "random_cell", "cell_type")
"""What ChatCell's numbers 0, 1 and 2 stand for."""


def cell2sentence_split(n_obs: int, *, seed: int | None = 42) -> dict[str, list[int]]:
    """Split cells as Cell2Sentence does: a tenth to test, 0.11 of the rest to validate (AF-22).

    Its first version drew with seed 42; the later one draws without a seed, with the same sizes.

    Parameters
    ----------
    n_obs
        Number of cells, at least 3.
    seed
        The seed; `None` draws anew each time, as the later version does.

    Raises
    ------
    InputError
        If there are fewer than 3 cells.

    Examples
    --------
    >>> {part: len(rows) for part, rows in cell2sentence_split(100).items()}
    {'train': 80, 'validation': 10, 'test': 10}
    """
    from sklearn.model_selection import train_test_split  # slow to import

    _refuse_few(n_obs)
    rest, test = train_test_split(list(range(n_obs)), test_size=0.1, random_state=seed)
    train, valid = train_test_split(rest, test_size=0.11, random_state=seed)
    return {"train": train, "validation": valid, "test": test}


def chatcell_split(n_obs: int, *, seed: int = 42) -> dict[str, list[int]]:
    """Split examples as ChatCell does: shuffled, then eight, one and one tenths (AF-27).

    Parameters
    ----------
    n_obs
        Number of examples, at least 3.
    seed
        The seed; ChatCell's is 42.

    Raises
    ------
    InputError
        If there are fewer than 3 examples.

    Examples
    --------
    >>> chatcell_split(10)["test"]
    [1]
    """
    _refuse_few(n_obs)
    rows = list(range(n_obs))
    random.Random(seed).shuffle(rows)
    first, second = int(0.8 * n_obs), int(0.8 * n_obs) + int(0.1 * n_obs)
    return {"train": rows[:first], "validation": rows[first:second], "test": rows[second:]}


def chatcell_tasks(n: int, *, seed: int = 42) -> list[str]:
    """Draw the task of each cell as ChatCell does (AF-28).

    In its script, draws of templates share the random state, so that only the first value carries
    over.

    Parameters
    ----------
    n
        Number of cells.
    seed
        The seed; ChatCell's is 42.

    Examples
    --------
    >>> chatcell_tasks(3)
    ['cell_type', 'pseudo_cell', 'pseudo_cell']
    """
    rng = random.Random(seed)
    return [rng.choice(CHATCELL_TASKS) for _ in range(n)]


def _refuse_few(n_obs: int) -> None:
    """Refuse fewer rows than parts.

    Raises
    ------
    InputError
        If there are.
    """
    if n_obs < 3:
        msg = f"{n_obs} rows cannot be split into three parts."
        raise InputError(msg, hint="give at least three.")
