"""Answers that state one of a few things: yes or no, up or down or none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from celloquy.errors import InputError
from celloquy.tasks._answers import Asked, ParsedAnswer
from celloquy.tasks._labels import undressed
from celloquy.tasks._negation import is_denied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK = re.compile(r"[.,;:!?\n–—]+|\s-+\s")
_OPENERS = {"answer", "final answer", "the answer", "the answer is"}
_ENOUGH = 4_000
"""The most characters that are read: an answer of a word needs no more."""


def read_choice(text: str, asked: Asked) -> ParsedAnswer:
    """Read which of a few things an answer states.

    An answer that is a label, or one of the label's own words, is that label; capitals, quotation
    marks and a full stop do not matter. A longer answer states a label if the label stands
    alone at its beginning ("No, they do not."), and no other label stands alone after it.
    With the option ``mentions: true`` an answer that mentions the other words of one label only,
    and does not deny them ("It is increased"), states that label, too; the label itself is too
    common a word to be looked for in a sentence. Everything else is invalid.

    The option ``words`` names other words for a label, such as ``{up: [increased]}``.

    Examples
    --------
    >>> yes_or_no = Asked(("Yes", "No"))
    >>> [read_choice(text, yes_or_no).value for text in ("yes", "No, never.", "Yes and no")]
    ['Yes', 'No', None]
    """
    labels = asked.labels() or ()
    bare = asked.bare(text)[:_ENOUGH]
    words = _words(labels, asked.options.get("words", {}))
    for form in (bare, *undressed(bare)):
        if form in labels:
            return ParsedAnswer(form, is_valid=True)
        if form.casefold() in words:
            return ParsedAnswer(words[form.casefold()], is_valid=True)
    alone = [words[chunk] for chunk in _chunks(bare) if chunk in words]
    first = next(_chunks(bare), "")
    if first in words and len(set(alone)) == 1:
        return ParsedAnswer(alone[0], is_valid=True)
    if len(set(alone)) > 1:
        return ParsedAnswer.unusable(f"it states {' and '.join(dict.fromkeys(alone))}")
    if asked.options.get("mentions"):
        own = {label.casefold() for label in labels}
        return _mentioned(bare, {word: words[word] for word in words if word not in own})
    why = f"it does not begin with one of {', '.join(labels)}" if bare else "the answer is empty"
    return ParsedAnswer.unusable(why)


def _words(labels: tuple[str, ...], others: Mapping[str, list[str]]) -> dict[str, str]:
    """Give the label of each word, in small letters.

    Raises
    ------
    InputError
        If words are named for no label, or for two.
    """
    words = {label.casefold(): label for label in labels}
    for label, more in others.items():
        for word in more:
            if label not in labels or words.get(str(word).casefold(), label) != label:
                msg = (
                    f"`words` of the parser name {word!r} for {label!r}; it fits no or two labels."
                )
                raise InputError(msg, hint=f"the labels are: {', '.join(labels)}.")
            words[str(word).casefold()] = label
    return words


def _chunks(text: str) -> Iterator[str]:
    """Give the parts of a text between its punctuation, in small letters, without openers."""
    for chunk in _CHUNK.split(text):
        bare = chunk.strip().strip("\"'*`“”").casefold()
        if bare and bare not in _OPENERS:
            yield bare


def _mentioned(text: str, words: Mapping[str, str]) -> ParsedAnswer:
    """Find the one label that an answer mentions and does not deny."""
    longest = sorted(words, key=len, reverse=True)
    if not words:
        return ParsedAnswer.unusable("it does not begin with one of the labels")
    pattern = r"(?<![\w-])(?:" + "|".join(map(re.escape, longest)) + r")(?![\w-])"
    stated: dict[str, None] = {}
    for match in re.finditer(pattern, text, flags=re.IGNORECASE):
        if is_denied(text, match.start(), match.end()) is not False:
            return ParsedAnswer.unusable(f"it denies {match[0]!r} and does not say what is")
        stated[words[match[0].casefold()]] = None
    if len(stated) == 1:
        return ParsedAnswer(next(iter(stated)), is_valid=True)
    why = f"it states {' and '.join(stated)}" if stated else "it states none of the labels"
    return ParsedAnswer.unusable(why)
