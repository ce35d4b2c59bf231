"""What a server answered, read without guessing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celloquy.lm._endpoint_http import GarbageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celloquy.lm._protocol import FinishReason

_THOUGHT = re.compile(r"\s*<think>.*?(?:</think>\s*|$)", re.DOTALL)
_SHOWN = 80
_ECHOED = ("tokens", "token_logprobs")


class MisfitError(Exception):
    """No tokens of the server make exactly the answer."""


@dataclass(frozen=True)
class Said:
    """One answer as text."""

    text: str
    finish_reason: FinishReason


def read_text(answer: Mapping[str, Any]) -> Said:
    """Read the text of an answer; what a model thought before it is left out.

    Raises
    ------
    GarbageError
        If a part of the protocol is missing.
    """
    choice = _choices(answer)[0]
    message = choice.get("message", choice)
    if not isinstance(message, dict) or not ({"content", "text", "refusal"} & set(message)):
        reason = "no text"
        raise GarbageError(reason)
    text = message.get("content", message.get("text"))
    if text is not None and not isinstance(text, str):
        reason = "no text"
        raise GarbageError(reason)
    stopped = choice.get("finish_reason")
    if message.get("refusal") or stopped == "content_filter":
        return Said("", "refused")
    thought_free = _THOUGHT.sub("", text or "", count=1)
    return Said(thought_free, "length" if stopped == "length" else "end")


def _choices(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the choices of an answer, at least one.

    Raises
    ------
    GarbageError
        If there are none.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        reason = "no choices"
        raise GarbageError(reason)
    if not all(isinstance(choice, dict) for choice in choices):
        reason = "choices that are no objects"
        raise GarbageError(reason)
    return choices


def match(said: Said, answers: Sequence[str]) -> tuple[int, str]:
    """Find which allowed answer was given, exactly; and if none, why.

    Parameters
    ----------
    said
        What was answered: one of `answers`, or JSON such as ``{"answer": "T cell"}``.
    answers
        What is allowed.

    Examples
    --------
    >>> match(Said(' {"answer": "T cell"}', "end"), ["B cell", "T cell"])
    (1, '')
    >>> match(Said("a T cell", "end"), ["B cell", "T cell"])
    (-1, "not one of the 2 allowed answers: 'a T cell'")
    """
    text = said.text.strip()
    if said.finish_reason == "refused":
        return -1, "the server refused to answer"
    if text in answers:
        return answers.index(text), ""
    if text.startswith("{"):
        try:
            text = str(json.loads(text)["answer"]).strip()
        except (ValueError, KeyError):
            cut = ", cut at its limit" if said.finish_reason == "length" else ""
            return -1, f"not the JSON that was asked for{cut}: {text[:_SHOWN]!r}"
        if text in answers:
            return answers.index(text), ""
    if not text:
        return -1, "an empty answer"
    return -1, f"not one of the {len(answers)} allowed answers: {text[:_SHOWN]!r}"


@dataclass(frozen=True)
class Span:
    """The log-probability of one answer, and its tokens."""

    logp: float
    n_tokens: int


def has_prompt_logprobs(answer: Mapping[str, Any]) -> bool:
    """Say whether a server gave log-probabilities of what was sent."""
    return isinstance(answer.get("prompt_logprobs"), list)


def read_prompt_logprobs(answer: Mapping[str, Any], said: str, *, ends: bool) -> Span:
    """Find the log-probability of an answer at the end of messages (vLLM's protocol).

    Parameters
    ----------
    answer
        What came.
    said
        The answer that was scored.
    ends
        Whether the token after it, the end of the message, counts.

    Raises
    ------
    GarbageError
        If there are no log-probabilities.
    """
    if not has_prompt_logprobs(answer):
        reason = "no `prompt_logprobs`"
        raise GarbageError(reason)
    pieces, values = [], []
    for step in answer["prompt_logprobs"]:
        first = next(iter(step.values()), None) if isinstance(step, dict) else None
        pieces.append(str(first.get("decoded_token") or "") if isinstance(first, dict) else "")
        values.append(first.get("logprob") if isinstance(first, dict) else None)
    whole = "".join(pieces)
    start = whole.rfind(said)
    if start > 0 and whole[start - 1] == " ":  # one answer's first token may hold the space
        start, said = start - 1, f" {said}"
    return _span(pieces, values, said=said, start=start, ends=ends)


def read_echo(
    answer: Mapping[str, Any], texts: Sequence[tuple[str, int]], *, ends: bool
) -> list[Span]:
    """Find the log-probability of answers at the end of plain texts (``echo``).

    Parameters
    ----------
    answer
        What came.
    texts
        Each text that was sent, and where in it the answer begins.
    ends
        Whether the line break after the answer counts.
    """
    check_echo(answer, len(texts))
    by_index = {str(choice.get("index", 0)): choice for choice in _choices(answer)}
    spans = []
    for place, (text, begin) in enumerate(texts):
        found = by_index[str(place)]["logprobs"]
        pieces = [str(piece) for piece in found["tokens"]]
        at = "".join(pieces).find(text)
        said = text[begin:].removesuffix("\n") if ends else text[begin:]
        start = at + begin if at >= 0 else -1
        spans.append(_span(pieces, found["token_logprobs"], said=said, start=start, ends=ends))
    return spans


def check_echo(answer: Mapping[str, Any], n: int) -> None:
    """Refuse an answer without the log-probabilities of `n` texts.

    Raises
    ------
    GarbageError
        If one is missing.
    """
    choices = {str(choice.get("index", 0)): choice.get("logprobs") for choice in _choices(answer)}
    for place in range(n):
        found = choices.get(str(place))
        parts = [found.get(name) for name in _ECHOED] if isinstance(found, dict) else []
        lengths = {len(part) for part in parts if isinstance(part, list)}
        if not all(isinstance(part, list) for part in parts) or len(lengths) != 1:
            reason = f"no log-probabilities of text {place}"
            raise GarbageError(reason)


def _span(
    pieces: Sequence[str],
    values: Sequence[float | None],
    *,
    said: str,
    start: int,
    ends: bool,
) -> Span:
    """Sum the log-probabilities of the tokens that make an answer, and of its end.

    Raises
    ------
    MisfitError
        If no tokens make exactly the answer.
    """
    whole = "".join(pieces)
    stop, place, first, last = start + len(said), 0, -1, -1
    for number, piece in enumerate(pieces):
        after = place + len(piece)
        if place == start and piece:
            first = number - _hidden(pieces[:number], said)
        if first >= 0 and last < 0 and after >= stop and not whole[stop:after].strip():
            last = number
        place = after
    count = last - first + 1 + ends if min(start, first, last) >= 0 else 0
    taken = list(values[first : first + count]) if count else []
    numbers = [value for value in taken if isinstance(value, int | float)]
    if not taken or len(numbers) < count:
        msg = f"The server's tokens do not begin and end with the answer {said!r}."
        raise MisfitError(msg)
    return Span(sum(numbers), count)


def _hidden(before: Sequence[str], said: str) -> int:
    """Count tokens that show nothing, as they hold but the first bytes of an answer's letter."""
    most = len(said[:1].encode()) - 1
    count = 0
    while count < min(most, len(before)) and not before[len(before) - 1 - count]:
        count += 1
    return count
