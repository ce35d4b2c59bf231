"""The organism that prompts name: the user's word, else what gene names tell."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from celloquy.knowledge import guess_organism

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from celloquy.lm import CellReading
    from celloquy.tasks import Task

INPUT = "organism"
_NO_NAME = {"mixed", "another organism"}


def with_organism(
    fields: Mapping[str, str],
    task: Task,
    names: Sequence[str],
    *,
    given: Iterable[str] = (),
    taught: CellReading | None = None,
) -> dict[str, str]:
    """Add the organism to the values of a task's inputs, where nobody said it and genes tell it.

    A task's default is written for human cells. Where gene names do not tell the organism, the
    default stays and a warning says so.

    Parameters
    ----------
    fields
        Inputs with one value for all.
    task
        What is asked.
    names
        Gene names of the cells.
    given
        Inputs that get their values elsewhere, such as columns of obs.
    taught
        How the model was taught to read cells: an organism that it never met is called as the
        first that it met, since its genes were mapped to that one's.

    Examples
    --------
    >>> from celloquy.tasks import load_task
    >>> with_organism({}, load_task("cell_type"), ["Cd3e", "Ms4a1", "Lyz2"])
    {'organism': 'mouse'}
    """
    said = dict(fields)
    asked = next((one for one in task.asked_for if one.name == INPUT), None)
    if asked is None or asked.default is None or INPUT in {*said, *given}:
        return said
    found = guess_organism(names)
    if taught is not None and taught.organisms:
        known = taught.organisms
        return {**said, INPUT: found if found in known else known[0]}
    if found is not None and found not in _NO_NAME:
        return {**said, INPUT: found}
    warnings.warn(
        f"Gene names do not tell the organism, so the prompts say {asked.default!r}. "
        f"Say it yourself: `--set {INPUT}=…` (`fields={{{INPUT!r}: …}}`).",
        stacklevel=2,
    )
    return said
