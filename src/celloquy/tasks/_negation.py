"""Whether a word is denied where it stands: "not reactive", "does not go up", "up or not"."""

from __future__ import annotations

import re

_BEFORE = re.compile(
    r"(?:\b(?:not?|non|none|nothing|never|neither|nor|without|cannot|hardly|unlikely|far from"
    r"|lack(?:s|ed)?|fail(?:s|ed)?)\b|n[’']t\b)"
    r"(?P<between>(?:[\s-]+[\w’'-]+){0,4}?)[\s\"'*<-]*$",
    re.IGNORECASE,
)
_AFTER = re.compile(r"\W{0,3}\?|\s*,?\s*or\s+not\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[.;:!?\n,]|\bbut\b", re.IGNORECASE)
_MARKUP = re.compile(r"<[^<>]{0,20}>")
_REACH = 200
"""The most characters that are looked at before a word."""
_TURNS = re.compile(
    r"\b(?:only|just|merely|doubt|question|necessarily|sure|certain|certainly|definitely)\b",
    re.IGNORECASE,
)


def is_denied(text: str, start: int, end: int) -> bool | None:
    """Say whether what stands at ``text[start:end]`` is denied by its own clause.

    Returns
    -------
    True where a word such as "not" stands up to four words before; `None` where that cannot be
    said ("not only …", "not sure …", "… or not", "…?").

    Examples
    --------
    >>> text = "It is not clearly reactive"
    >>> is_denied(text, text.index("reactive"), len(text))
    True
    """
    if _AFTER.match(text, end):
        return None
    clause = _CLAUSE.split(_MARKUP.sub(" ", text[max(0, start - _REACH) : start]))[-1]
    found = _BEFORE.search(clause)
    if found is None:
        return False
    return None if _TURNS.search(found["between"]) else True
