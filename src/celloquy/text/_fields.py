"""Values of obs as words: one line each, and a word for what is missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy._runtime import closest
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

UNKNOWN = "unknown"
"""What is written for a value that is missing or empty."""
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(text: str) -> str:
    r"""Write a text on one line: line breaks, tabs and control characters become one space.

    Examples
    --------
    >>> one_line("T cell,\r\n activated ")
    'T cell, activated'
    """
    return _BREAKS.sub(" ", text).strip()


def field_text(value: object) -> str:
    """Write one value of obs as words.

    A whole number held as a float (as pandas holds a column with gaps) is written without
    its ``.0``, other floats with the fewest digits that tell them apart in their own
    precision. A missing or empty value is ``"unknown"``.

    Examples
    --------
    >>> [field_text(value) for value in ("lung", 3.0, np.float32(0.1), None, " ")]
    ['lung', '3', '0.1', 'unknown', 'unknown']
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return UNKNOWN
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return UNKNOWN
        plain = -1e16 < value < 1e16
        return np.format_float_positional(value, trim="-") if plain else str(value)
    return one_line(str(value)) or UNKNOWN


def require_columns(wanted: Sequence[str], known: Iterable[str]) -> None:
    """Refuse an obs column that is not there.

    Raises
    ------
    InputError
        If one of `wanted` is not among `known`.
    """
    known = [str(column) for column in known]
    for column in wanted:
        if column not in known:
            msg = f"`obs` has no column {column!r}{closest(column, known)}."
            listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            raise InputError(msg, hint=f"it has: {listed or 'no columns'}.")


def field_texts(values: pd.Series[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Write a column of obs as words: a code for each cell, and the words of each code."""
    codes, distinct = pd.factorize(values, use_na_sentinel=True)
    words = [field_text(value) for value in distinct]
    return np.where(codes < 0, len(words), codes), [*words, UNKNOWN]
