"""What a tokenizer makes of each allowed string, at the start of an answer and after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celloquy._runtime import rng_for
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from celloquy.lm._formats import PromptFormat

_TOGETHER = 64
"""Strings that are checked in one text."""


@dataclass(frozen=True)
class StringTokens:
    """Tokens of every string of a set, as it stands in an answer."""

    first: list[list[int]]
    """At the start of an answer."""
    after: list[list[int]]
    """After another string, the delimiter included."""


def string_tokens(
    strings: Sequence[str], words: PromptFormat, *, delimiter: str | None
) -> StringTokens:
    """Find the tokens of each string, and make sure that they read back as the strings.

    Parameters
    ----------
    strings
        The allowed strings.
    words
        The tokenizer, as it is used for answers.
    delimiter
        What stands between two strings; `None` where an answer is one string.

    Raises
    ------
    InputError
        If strings cannot be written or told apart with these tokens.
    """
    if delimiter is not None:
        _refuse_inner_delimiter(strings, delimiter)
    first = words.encode_answers(strings)
    if delimiter is None:
        refused = {i for i, ids in enumerate(first) if words.decode(ids).strip() != strings[i]}
        _refuse(strings, refused)
        return StringTokens(first, first)
    anchor = next((i for i, ids in enumerate(first) if ids), 0)
    texts = [strings[anchor] + delimiter + string for string in strings]
    after = [
        ids[len(first[anchor]) :] if ids[: len(first[anchor])] == first[anchor]
        else []
        for ids in words.encode_answers(texts)
    ]  # fmt: skip
    _refuse(strings, {i for i, ids in enumerate(first) if not ids or not after[i]})
    _refuse(strings, set(_unreadable(strings, (first, after), words.decode, delimiter)))
    return StringTokens(first, after)


def _unreadable(
    strings: Sequence[str],
    tokens: tuple[list[list[int]], list[list[int]]],
    decode: Callable[[Sequence[int]], str],
    delimiter: str,
) -> Iterable[int]:
    """Read strings back, many in one text and in random company; find those that differ."""
    first, after = tokens

    def reads(group: Sequence[int]) -> bool:
        ids = [*first[group[0]], *(token for i in group[1:] for token in after[i])]
        return decode(ids).strip() == delimiter.join(strings[i] for i in group).strip()

    order = [int(i) for i in rng_for(0, "allowed strings").permutation(len(strings))]
    groups = [order[start : start + _TOGETHER] for start in range(0, len(order), _TOGETHER)]
    suspects = [i for group in groups if not reads(group) for i in group]
    # a gene that cannot be read breaks its group: then each is looked at alone and twice over
    found = [i for i in suspects if not reads([i]) or not reads([i, i])]
    return found or suspects[:1]


def _refuse_inner_delimiter(strings: Sequence[str], delimiter: str) -> None:
    """Refuse a delimiter that does not show where a string ends.

    Raises
    ------
    InputError
        If it is empty or occurs within a string.
    """
    if not delimiter:
        msg = "Nothing stands between two strings, so an answer cannot be split again."
        raise InputError(msg, hint="pass a delimiter, such as a space.")
    inner = [string for string in strings if delimiter in string]
    if inner:
        msg = (
            f"{len(inner):,} of {len(strings):,} allowed strings hold the delimiter "
            f"{delimiter!r}, such as {inner[0]!r}."
        )
        raise InputError(msg, hint="leave them out, or take another delimiter.")


def _refuse(strings: Sequence[str], refused: set[int]) -> None:
    """Refuse strings that the tokenizer cannot write.

    Raises
    ------
    InputError
        If there are any.
    """
    if refused:
        shown = ", ".join(repr(strings[i]) for i in sorted(refused)[:5])
        more = ", …" if len(refused) > 5 else ""
        msg = (
            f"The tokenizer cannot write {len(refused):,} of {len(strings):,} allowed strings: "
            f"{shown}{more}."
        )
        raise InputError(msg, hint="leave them out, or take a model whose tokenizer knows them.")
