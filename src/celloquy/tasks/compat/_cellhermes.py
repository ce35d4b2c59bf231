"""CellHermes' words: how it reads reactivity, and its files of predictions."""

from __future__ import annotations

import re

from celloquy.tasks._reactivity import (
    NON_REACTIVE,
    REACTIVE,
    ReactivityReading,
    Reward,
    reward_of,
    tagged,
)

_LABEL = re.compile(r"\b(non-reactive|reactive)\b", re.IGNORECASE)
_FINAL = re.compile(
    r"final\s+(?:answer|label|classification|prediction)\s*[:：-]\s*(non-reactive|reactive)\b",
    re.IGNORECASE,
)


def cellhermes_reward(text: str, truth: str) -> Reward:
    """Reward an answer as CellHermes does: "not reactive" is read as Reactive (CH-11).

    The last ``<output>`` tag decides, then the last "final answer:", then the last label that
    is mentioned.

    Parameters
    ----------
    text
        The answer.
    truth
        ``"Reactive"`` or ``"Non-Reactive"``.

    Examples
    --------
    >>> cellhermes_reward("This is not reactive", "Non-Reactive").predicted
    'Reactive'
    """
    return reward_of(text, truth, _read)


def _read(text: str) -> ReactivityReading:
    mentions = [_canonical(word) for word in _LABEL.findall(text)]
    tags = [tag.strip() for tag in tagged(text, "output")]
    if tags and _LABEL.fullmatch(tags[-1]):
        return ReactivityReading(_canonical(tags[-1]), "output_tag", len(mentions))
    finals = _FINAL.findall(text)
    if finals:
        return ReactivityReading(_canonical(finals[-1]), "final_label", len(mentions))
    if mentions:
        return ReactivityReading(mentions[-1], "last_label_mention", len(mentions))
    return ReactivityReading("", "unparseable")


def _canonical(word: str) -> str:
    return REACTIVE if word.casefold() == "reactive" else NON_REACTIVE
