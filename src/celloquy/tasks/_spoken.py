"""The article before a label: "a B cell", "an NK cell"."""

from __future__ import annotations

import re

_LETTERS_SAID_WITH_A_VOWEL = frozenset("AEFHILMNORSX")
_SAID_WITH_YOU = re.compile(r"(uni(?![dmn])|us[aeu]|eu|ubi|uro|uter)", re.IGNORECASE)


def article(label: str) -> str:
    """Give the article of a label as it is spoken: "a" or "an".

    Capitals of up to three letters are spelled out ("an NK cell", "a B cell"); longer ones
    are read as words.

    Examples
    --------
    >>> [article(label) for label in ("B cell", "NK cell", "IRS", "unipolar brush cell", "oocyte")]
    ['a', 'an', 'an', 'a', 'an']
    """
    first = re.match(r"[A-Za-z]+", label.lstrip())
    word = first[0] if first else ""
    if word.isupper() and len(word) <= 3:
        return "an" if word[0] in _LETTERS_SAID_WITH_A_VOWEL else "a"
    if _SAID_WITH_YOU.match(word):
        return "a"
    return "an" if word[:1].lower() in set("aeiou") and word else "a"


def spoken_type(label: str) -> str:
    """Say a cell type as one cell of it, without saying "cell" twice.

    Examples
    --------
    >>> spoken_type("Basal"), spoken_type("B cell"), spoken_type("cell")
    ('a Basal cell', 'a B cell', 'a cell')
    """
    bare = label.strip()
    last = bare.lower().split()[-1] if bare else ""
    noun = "" if last == "cell" else " cell"
    return f"{article(bare)} {bare}{noun}"
