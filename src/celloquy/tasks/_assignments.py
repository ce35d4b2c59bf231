"""JSON answers: which label belongs to which cell."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from celloquy._runtime import closest
from celloquy.tasks._answers import Asked, ParsedAnswer
from celloquy.tasks._labels import match_label, undressed

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?\s*```", re.DOTALL | re.IGNORECASE)
_CELL = re.compile(r"Cell [1-9]\d*")


class _RepeatedKeyError(ValueError):
    """A JSON object names a key twice."""


def read_assignment(text: str, asked: Asked) -> ParsedAnswer:
    """Read ``{"Cell 1": "B cell", "Cell 2": "T cell"}``.

    The answer is JSON and nothing else, but for a fence of three backticks around it. Every cell
    has one label, and the cells are numbered from 1. Labels are read as
    :func:`celloquy.tasks._labels.match_label` reads them. A mapping of allowed labels says
    how often each comes; with the option ``each: once`` every label comes once.

    Examples
    --------
    >>> asked = Asked(("B cell", "T cell"), options={"each": "once"})
    >>> read_assignment('{"Cell 1": "T cell", "Cell 2": "B cell"}', asked).value
    {'Cell 1': 'T cell', 'Cell 2': 'B cell'}
    >>> read_assignment('{"Cell 1": "T cell", "Cel', asked).why
    'the JSON breaks off after 25 characters'
    """
    found = _object(asked.bare(text))
    if isinstance(found, str):
        return ParsedAnswer.unusable(found)
    why = _wrong_cells(found, _n_cells(asked))
    if why:
        return ParsedAnswer.unusable(why)
    labels = asked.labels()
    named: dict[str, str] = {}
    for cell in sorted(found, key=lambda cell: int(cell.split()[1])):
        label = found[cell]
        if not isinstance(label, str) or not label.strip():
            return ParsedAnswer.unusable(f"{cell} has no label but {json.dumps(label)}")
        if labels is None:
            named[cell] = label.strip()
            continue
        read = match_label([label, *undressed(label.strip())], labels)
        if not read.is_valid:
            return ParsedAnswer.unusable(f"{cell}: {read.why}")
        named[cell] = read.value
    why = _wrong_times(named, _times(asked))
    return ParsedAnswer.unusable(why) if why else ParsedAnswer(named, is_valid=True)


def _object(text: str) -> dict[str, Any] | str:
    """Read a JSON object, or say why there is none."""
    fence = _FENCE.fullmatch(text)
    text = (fence[1] if fence else text).strip()
    try:
        found = json.loads(text, object_pairs_hook=_refuse_repeats)
    except _RepeatedKeyError as error:
        return f"{error} is named twice"
    except (json.JSONDecodeError, RecursionError) as error:
        return _broken(text, error)
    if not isinstance(found, dict):
        return f"the JSON is no mapping from cell to label but {text[:40]!r}"
    return found


def _broken(text: str, error: ValueError | RecursionError) -> str:
    """Say how a text fails to be JSON."""
    if not text:
        return "the answer is empty"
    if not text.startswith("{"):
        return f"the answer is no JSON object but {text[:40]!r}"
    if isinstance(error, json.JSONDecodeError):
        at_end = error.pos >= len(text) or "Unterminated" in error.msg
        if at_end:
            return f"the JSON breaks off after {len(text)} characters"
        return f"the JSON is broken at character {error.pos + 1}: {text[error.pos :][:20]!r}"
    return "the JSON is nested too deep"


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a mapping of pairs.

    Raises
    ------
    _RepeatedKeyError
        If a key comes twice.
    """
    for key, times in Counter(key for key, _ in pairs).items():
        if times > 1:
            raise _RepeatedKeyError(repr(key))
    return dict(pairs)


def _times(asked: Asked) -> Mapping[str, int] | None:
    """How often each label comes, where that is known."""
    if isinstance(asked.allowed, Mapping):
        return asked.allowed
    labels = asked.labels()
    if labels is not None and asked.options.get("each") == "once":
        return dict.fromkeys(labels, 1)
    return None


def _n_cells(asked: Asked) -> int | None:
    times = _times(asked)
    return sum(times.values()) if asked.n is None and times is not None else asked.n


def _wrong_cells(found: Mapping[str, Any], n: int | None) -> str:
    """Say what is wrong with the names of the cells, if anything is."""
    numbered = [f"Cell {i}" for i in range(1, (len(found) if n is None else n) + 1)]
    for cell in found:
        if not _CELL.fullmatch(cell) or cell not in numbered:
            return f"there is no cell {cell!r}{closest(cell, numbered)}"
    missing = [cell for cell in numbered if cell not in found]
    if missing:
        return f"{len(missing)} of {len(numbered)} cells have no label, such as {missing[0]}"
    return "" if numbered else "no cell has a label"


def _wrong_times(named: Mapping[str, str], times: Mapping[str, int] | None) -> str:
    """Say which label comes too often or too rarely, if any does."""
    counted = Counter(named.values())
    for label, expected in (times or {}).items():
        if counted[label] != expected:
            return f"{label!r} is named {counted[label]} times and not {expected}"
    return ""
