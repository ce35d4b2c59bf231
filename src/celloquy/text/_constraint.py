"""What a language model may answer: strings only, so that models need to know no cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class OneOf:
    """Exactly one of some answers."""

    answers: tuple[str, ...]
    """The allowed answers; at least one, none empty, none twice."""

    def __post_init__(self) -> None:
        _refuse_unusable(self.answers, "answers")


@dataclass(frozen=True)
class Sequence:
    """A list of strings of a given set, one after the other, such as the genes of a cell."""

    strings: tuple[str, ...]
    """The allowed strings; at least one, none empty, none twice."""
    n: int
    """How many there are."""
    exactly: bool = True
    """Whether there are exactly `n`, or `n` at the most."""
    repeats: bool = False
    """Whether a string may come twice."""
    delimiter: str = " "
    """What stands between two strings."""

    def __post_init__(self) -> None:
        _refuse_unusable(self.strings, "strings")
        if self.n < 1:
            msg = f"A sequence has at least 1 string, got n={self.n}."
            raise InputError(msg, hint="pass the number of genes a cell is to have.")
        if self.exactly and not self.repeats and self.n > len(self.strings):
            msg = f"{self.n:,} different strings are asked for, and {len(self.strings):,} allowed."
            raise InputError(msg, hint=f"ask for at most {len(self.strings):,}.")


@dataclass(frozen=True, eq=False)
class JSONSchema:
    """Text that is JSON of a schema."""

    schema: Mapping[str, Any]
    """The schema, as JSON Schema writes it."""


Constraint = OneOf | Sequence | JSONSchema


def _refuse_unusable(strings: tuple[str, ...], what: str) -> None:
    """Refuse an empty set, empty strings, and strings that occur twice.

    Raises
    ------
    InputError
        If there is one of these.
    """
    if not strings:
        msg = f"There are no {what} to choose from."
        raise InputError(msg, hint="pass at least one.")
    if any(not string.strip() for string in strings):
        msg = f"One of the {len(strings):,} {what} is empty."
        raise InputError(msg, hint="leave it out.")
    if len(set(strings)) < len(strings):
        twice = next(string for string in strings if strings.count(string) > 1)
        msg = f"The {what} name {twice!r} more than once."
        raise InputError(msg, hint="name each once.")
