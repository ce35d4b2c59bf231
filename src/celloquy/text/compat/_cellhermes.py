"""What CellHermes' scripts put into a user's turn, role words and all (CH-4, CH-6)."""

from __future__ import annotations

from celloquy.text._prompt import Prompt, Text


def cellhermes_predictor_prompt(instruction: str, query: str = "") -> Prompt:
    r"""Write a question as CellHermes' predictor does.

    The words of a role stand within the user's turn, unlike in training; without this function
    the prompt is the instruction, a line break and the query.

    Parameters
    ----------
    instruction
        The question.
    query
        What it is about.

    Examples
    --------
    >>> cellhermes_predictor_prompt("Does A act?", "Gene A\n")[0].text
    '\n\nDoes A act?\nGene A\nassistant\n\n'
    """
    return (Text(f"\n\n{instruction}\n{query}assistant\n\n"),)


def cellhermes_explainer_prompt(text: str) -> Prompt:
    r"""Write a question as CellHermes' explainer does, the words of a role included.

    Parameters
    ----------
    text
        The question.

    Examples
    --------
    >>> cellhermes_explainer_prompt("Why?")[0].text
    '\n\nWhy?assistant\n\n'
    """
    return (Text(f"\n\n{text}assistant\n\n"),)
