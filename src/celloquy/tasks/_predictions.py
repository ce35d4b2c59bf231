"""Predictions as CellHermes writes them: JSON lines with prompt, label and predict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from celloquy._runtime import atomic_path
from celloquy.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from celloquy.tasks._examples import Example


def write_predictions(
    examples: Sequence[Example],
    answers: Sequence[str],
    *,
    path: str | os.PathLike[str],
    rendering: Literal["fixed", "legacy"] = "fixed",
    overwrite: bool = False,
) -> None:
    """Write one line an example: ``prompt``, ``label`` (the true answer) and ``predict`` (CH-4).

    Keys stand in this order, everything beyond ASCII is escaped, and every line ends.

    Parameters
    ----------
    examples
        What was asked.
    answers
        What was answered, in the same order.
    path
        Where the file shall be.
    rendering
        ``"fixed"`` writes the prompt; ``"legacy"`` writes it between the words of the roles, as
        CellHermes does.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If there is not one answer an example, or `path` cannot be written.
    """
    if len(examples) != len(answers):
        msg = f"There are {len(examples)} examples and {len(answers)} answers."
        raise InputError(msg, hint="pass the two in the same order.")
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        temporary.open("w", encoding="ascii") as file,
    ):
        for example, answer in zip(examples, answers, strict=True):
            prompt = example.prompt if rendering == "fixed" else legacy_prompt(example)
            line = {"prompt": prompt, "label": example.answer or "", "predict": answer}
            file.write(json.dumps(line) + "\n")


def legacy_prompt(example: Example) -> str:
    r"""Write a prompt as CellHermes' predictor reports it, with the words of the roles.

    Examples
    --------
    >>> from celloquy.tasks._examples import Example
    >>> parts = {"instruction": "Does A act?", "input": "Gene A\n"}
    >>> legacy_prompt(Example("", None, parts))
    'user\n\nDoes A act?\nGene A\nassistant\n\n'
    """
    instruction = example.parts.get("instruction", example.prompt)
    return f"user\n\n{instruction}\n{example.parts.get('input', '')}assistant\n\n"
