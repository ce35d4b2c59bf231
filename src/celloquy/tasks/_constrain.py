"""What a language model may answer to a task, as a constraint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from celloquy.errors import InputError
from celloquy.text import Constraint, JSONSchema, OneOf, Sequence

if TYPE_CHECKING:
    from celloquy.tasks._answers import Answer


def constraint_of(
    answer: Answer, allowed: Iterable[str] | Mapping[str, int] | None, *, n: int | None, task: str
) -> Constraint | None:
    """Make the constraint of an answer; see :meth:`Task.constraint`.

    Raises
    ------
    InputError
        If labels, genes or their number are needed and missing.
    """
    if answer.kind in {"text", "cells"}:
        return None
    known = tuple(answer.labels or ()) if allowed is None else tuple(allowed)
    if not known:
        what = "genes" if answer.kind == "genes" else "labels"
        msg = f"Task {task!r} names no {what} of its own."
        raise InputError(msg, hint=f"pass `allowed`, the {what} that an answer may name.")
    if answer.kind == "label":
        return OneOf(tuple(answer.text(label) for label in known))
    if answer.kind == "json" and isinstance(allowed, Mapping) and n is None:
        n = sum(allowed.values())
    if n is None:
        msg = f"Task {task!r} needs the number of its {_COUNTED[answer.kind]}."
        raise InputError(msg, hint="pass `n`.")
    if answer.kind == "genes":
        return Sequence(known, n)
    cells = {f"Cell {i}": {"enum": list(known)} for i in range(1, n + 1)}
    return JSONSchema(
        {
            "type": "object",
            "properties": cells,
            "required": list(cells),
            "additionalProperties": False,
        }
    )


_COUNTED = {"genes": "genes", "json": "cells"}
