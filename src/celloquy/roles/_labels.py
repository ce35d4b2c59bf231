"""The closed set of labels that a prediction is taken from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from celloquy.errors import InputError
from celloquy.learn import UNKNOWN
from celloquy.text import field_text

if TYPE_CHECKING:
    from collections.abc import Sequence

Labels: TypeAlias = "Sequence[str] | str | os.PathLike[str]"
"""Labels themselves, or a text file that holds one a line."""


def read_labels(labels: Labels) -> tuple[str, ...]:
    """Give a label set, in its own order, or say why it is none.

    Parameters
    ----------
    labels
        At least two different labels, or the path of a text file with one a line.

    Raises
    ------
    InputError
        If there are fewer than two labels, one is empty, repeats, holds a line break or is
        ``"unknown"``, or the file cannot be read as text.
    """
    if isinstance(labels, (str, os.PathLike)):
        return _checked(_lines(Path(labels)), place=f"'{Path(labels).name}'", unit="line")
    return _checked([str(label) for label in labels], place="`labels`", unit="number")


def _lines(path: Path) -> list[str]:
    """Read the lines of a file; empty ones at its end do not count.

    Raises
    ------
    InputError
        If it is not there, or no text.
    """
    if not path.is_file():
        msg = f"There is no file of labels '{path}'."
        hint = "pass a text file with one label a line, or a list of labels in Python."
        raise InputError(msg, hint=hint)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"'{path}' is not text in UTF-8: {error.reason} at byte {error.start}."
        raise InputError(msg, hint="save it as plain text, one label a line.") from error
    lines = [line.strip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _checked(labels: Sequence[str], *, place: str, unit: str) -> tuple[str, ...]:
    """Refuse what no closed set can hold.

    Raises
    ------
    InputError
        See :func:`read_labels`.
    """
    if not labels:
        msg = f"{place} holds no label."
        raise InputError(msg, hint="name at least two labels to choose from.")
    first: dict[str, int] = {}
    for number, given in enumerate(labels, start=1):
        label = given.strip(" ")
        _refuse_unusable(label, where=f"{unit} {number} of {place}")
        if label in first:
            msg = f"{place} names {label!r} twice: {unit} {first[label]} and {unit} {number}."
            raise InputError(msg, hint="name each label once.")
        first[label] = number
    if len(first) == 1:
        msg = f"{place} holds one label, {next(iter(first))!r}, so there is nothing to choose."
        raise InputError(msg, hint="name at least one other label.")
    return tuple(first)


def _refuse_unusable(label: str, *, where: str) -> None:
    """Refuse one label.

    Raises
    ------
    InputError
        If it is empty, holds a line break or other control character, or is "unknown".
    """
    if not label:
        msg = f"The label at {where} is empty."
        raise InputError(msg, hint="leave it out.")
    if field_text(label) != label:
        msg = f"The label at {where}, {label!r}, holds a line break, tab or double space."
        raise InputError(msg, hint="write each label on one line, its words one space apart.")
    if label.casefold() == UNKNOWN:
        msg = f"The label at {where} is {label!r}, which is said where the evidence is too weak."
        raise InputError(msg, hint="leave it out: every prediction may be 'unknown'.")
