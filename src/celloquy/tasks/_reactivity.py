"""Whether an answer calls a T cell reactive, and the reward of such an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from celloquy.tasks._answers import Asked, ParsedAnswer
from celloquy.tasks._negation import is_denied

if TYPE_CHECKING:
    from collections.abc import Callable

REACTIVE, NON_REACTIVE = "Reactive", "Non-Reactive"
FORMAT_BONUS, CORRECT = 0.3, 1.0
Origin = Literal["output_tag", "final_label", "last_label_mention", "unparseable"]
_FINAL = re.compile(
    r"final\s+(?:answer|label|classification|prediction)\s*[:：-]\s*(.*)", re.IGNORECASE
)
_LABEL = re.compile(
    r"(?P<no>\bnon[\s‐–-]*reactive\b|\b(?:un|in)reactive\b)|(?P<yes>\breactive\b)", re.IGNORECASE
)


@dataclass(frozen=True)
class ReactivityReading:
    """What an answer says of a T cell, and where it says so."""

    predicted: str
    """``"Reactive"``, ``"Non-Reactive"``, or ``""`` where the answer cannot be used."""
    origin: Origin
    """The part of the answer that decided."""
    n_mentions: int = 0
    """How many times the answer mentions a label."""


@dataclass(frozen=True)
class Reward:
    """How good an answer is, for reinforcement learning."""

    score: float
    """`format` + `correct`."""
    format: float
    """0.3 if a reason that is not empty and a usable output are tagged."""
    correct: float
    """1 if the label is the truth."""
    predicted: str
    """The label, or ``""``."""
    origin: Origin
    """The part of the answer that decided."""
    truth: str
    """The label held to be true, or ``""`` if it is none."""
    n_mentions: int = 0
    """How many times the answer mentions a label."""

    @property
    def confusion(self) -> dict[str, float]:
        """1 in the cell of truth and prediction: ``cm_R_R``, ``cm_R_N``, ``cm_N_R``, ``cm_N_N``."""
        letter = {REACTIVE: "R", NON_REACTIVE: "N"}
        here = (letter.get(self.truth), letter.get(self.predicted))
        return {f"cm_{t}_{p}": float(here == (t, p)) for t in "RN" for p in "RN"}


def reactivity_of(text: str) -> ReactivityReading:
    """Read a label of reactivity; "not reactive" is Non-Reactive.

    The ``<output>`` tags decide, then a line that begins with "Final answer:" (or label,
    classification, prediction), then the last label that is mentioned. Tags that contradict each
    other, a tag without one label, and a label that may or may not be denied ("reactive or
    not", "not non-reactive") make the answer unusable.

    Examples
    --------
    >>> reactivity_of("This is not reactive").predicted
    'Non-Reactive'
    """
    mentions = [_claim(text, match) for match in _LABEL.finditer(text)]
    tags = tagged(text, "output")
    if tags:
        stated = {_only(tag) for tag in tags}
        label = stated.pop() if len(stated) == 1 else ""
        return _reading(label, "output_tag", len(mentions))
    finals = _FINAL.findall(text)
    if finals:
        return _reading(_only(finals[-1]), "final_label", len(mentions))
    return _reading(mentions[-1] if mentions else "", "last_label_mention", len(mentions))


def _reading(label: str, origin: Origin, n_mentions: int) -> ReactivityReading:
    return ReactivityReading(label, origin if label else "unparseable", n_mentions)


def _only(text: str) -> str:
    """Give the label that a short text states, if it states one."""
    stated = {_claim(text, match) for match in _LABEL.finditer(text)}
    return stated.pop() if len(stated) == 1 else ""


def _claim(text: str, match: re.Match[str]) -> str:
    """Give the label that a mention states; ``""`` where that cannot be said."""
    denied = is_denied(text, match.start(), match.end())
    if denied is None or (denied and match["no"]):
        return ""
    return NON_REACTIVE if denied or match["no"] else REACTIVE


def read_reactivity(text: str, asked: Asked) -> ParsedAnswer:
    """Read a label of reactivity; see :func:`reactivity_of`.

    Examples
    --------
    >>> read_reactivity("<output>Maybe</output>", Asked()).is_valid
    False
    """
    found = reactivity_of(asked.bare(text))
    if not found.predicted:
        return ParsedAnswer.unusable("it does not say whether the cell is reactive")
    return ParsedAnswer(found.predicted, is_valid=True)


def reactivity_reward(text: str, truth: str) -> Reward:
    """Reward an answer: 0.3 for its form and 1 for the right label.

    The form is ``<reason>…</reason><output>Reactive</output>`` (or ``Non-Reactive``) with a
    reason that is not empty. Without a label in `truth` everything is 0.

    Parameters
    ----------
    text
        The answer.
    truth
        ``"Reactive"`` or ``"Non-Reactive"``, in any capitals.

    Notes
    -----
    After the reward of CellHermes (2026), which reads "not reactive" as Reactive; that reading
    is in :mod:`celloquy.tasks.compat`.

    Examples
    --------
    >>> reactivity_reward("<reason>CXCL13</reason><output>Reactive</output>", "Reactive").score
    1.3
    """
    return reward_of(text, truth, reactivity_of)


def tagged(text: str, name: str) -> list[str]:
    """Give what stands between tags of a name.

    Examples
    --------
    >>> tagged("<output>a</output> <OUTPUT>b</OUTPUT>", "output")
    ['a', 'b']
    """
    closed = re.split(f"</{name}>", text, flags=re.IGNORECASE)[:-1]
    parts = [re.split(f"<{name}>", part, flags=re.IGNORECASE) for part in closed]
    return [part[-1] for part in parts if len(part) > 1]


def reward_of(text: str, truth: str, read: Callable[[str], ReactivityReading]) -> Reward:
    """Reward an answer that `read` reads."""
    labels = {label.casefold(): label for label in (REACTIVE, NON_REACTIVE)}
    label = labels.get(truth.strip().casefold(), "")
    if not label:
        return Reward(0.0, 0.0, 0.0, "", "unparseable", "")
    found = read(text)
    reasoned = any(reason.strip() for reason in tagged(text, "reason"))
    form = FORMAT_BONUS if reasoned and found.origin == "output_tag" else 0.0
    correct = CORRECT if found.predicted == label else 0.0
    score = form + correct
    return Reward(score, form, correct, found.predicted, found.origin, label, found.n_mentions)
