"""Labels of a closed set, and free text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celloquy._runtime import closest
from celloquy.tasks._answers import Asked, ParsedAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PAIRS = (('"', '"'), ("'", "'"), ("`", "`"), ("**", "**"), ("“", "”"), ("«", "»"))


def read_label(text: str, asked: Asked) -> ParsedAnswer:
    """Read one label.

    White space around it, the words of the answer's template, one full stop at the end and one
    pair of quotation marks are taken off, one after the other; the first form that is a label
    is it. If none is, one that differs from a single label in its capitals only is that label.
    Anything else is invalid: a label inside of a sentence is not looked for.

    Examples
    --------
    >>> read_label('"b cell".', Asked(["B cell", "T cell"])).value
    'B cell'
    >>> read_label("It is a B cell", Asked(["B cell", "T cell"])).is_valid
    False
    """
    labels = asked.labels()
    forms = list(_forms(text, asked))
    if labels is None:
        word = forms[-1]
        if not word or "\n" in word:
            return ParsedAnswer.unusable(f"{_shown(text)} is no label on one line")
        return ParsedAnswer(word, is_valid=True)
    return match_label(forms, labels)


def match_label(forms: Sequence[str], labels: Sequence[str]) -> ParsedAnswer:
    """Find the label that one of the forms is, with the first form first."""
    for form in forms:
        if form in labels:
            return ParsedAnswer(form, is_valid=True)
    for form in forms:
        alike = [label for label in labels if label.casefold() == form.casefold()]
        if len(alike) == 1:
            return ParsedAnswer(alike[0], is_valid=True)
        if len(alike) > 1:
            why = f"{_shown(form)} could be any of {', '.join(map(repr, alike))}"
            return ParsedAnswer.unusable(why)
    near = closest(forms[-1], labels)
    return ParsedAnswer.unusable(f"{_shown(forms[0])} is none of {len(labels)} labels{near}")


def _forms(text: str, asked: Asked) -> Iterator[str]:
    """Give an answer with less and less around it."""
    bare = asked.bare(text)
    yield bare
    if bare != text.strip():
        yield text.strip()
    yield from undressed(bare)


def undressed(text: str) -> Iterator[str]:
    """Take full stop and quotation marks off, in any order, each once."""
    stopped = quotes = False
    while True:
        pair = next((p for p in _PAIRS if _is_within(text, p)), None)
        if text.endswith(".") and not stopped:
            text, stopped = text[:-1].rstrip(), True
        elif pair is not None and not quotes:
            text, quotes = text[len(pair[0]) : -len(pair[1])].strip(), True
        else:
            yield text
            return
        yield text


def _is_within(text: str, pair: tuple[str, str]) -> bool:
    opening, closing = pair
    long_enough = len(text) > len(opening) + len(closing)
    return long_enough and text.startswith(opening) and text.endswith(closing)


def read_text(text: str, asked: Asked) -> ParsedAnswer:
    """Read free text: whatever is not empty.

    Examples
    --------
    >>> read_text(" Interferon response ", Asked()).value
    'Interferon response'
    """
    words = asked.bare(text)
    if not words:
        return ParsedAnswer.unusable("the answer is empty")
    return ParsedAnswer(words, is_valid=True)


def _shown(text: str) -> str:
    words = " ".join(text.split())
    return repr(words if len(words) <= 60 else f"{words[:59]}…")
