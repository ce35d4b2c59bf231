"""Why a cell has no label: kept cell by cell, and counted."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

NO_GROUP = "the cell is in no group"
NO_ANSWER = "no answer of the set"
NO_GENES = "no gene of the cell is read"


def reasons(
    codes: NDArray[Any],
    score: NDArray[Any],
    *,
    unknown: int,
    min_score: float,
    said: Sequence[str],
    is_empty: NDArray[np.bool_],
) -> list[str]:
    """Say why each prompt has no label; ``""`` where it has one.

    Parameters
    ----------
    codes
        The label of each prompt; shape ``(n,)``.
    score
        Its probability; missing where the model gives none.
    unknown
        The code of "unknown".
    min_score
        Least probability of a label that is named.
    said
        What the model said of each prompt without an answer; empty, or length ``n``.
    is_empty
        Where a prompt names no gene; shape ``(n,)``.
    """
    found = []
    for row, (code, likely) in enumerate(zip(codes, score, strict=True)):
        if code != unknown:
            found.append("")
        elif is_empty[row]:
            found.append(NO_GENES)
        elif np.isfinite(likely):
            found.append(f"no label with a probability of {min_score:g}")
        else:
            found.append((said[row] if len(said) else "") or NO_ANSWER)
    return found


def packed(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Write texts as an array of bytes, which a part of a run can hold."""
    return np.frombuffer(json.dumps(list(texts)).encode(), dtype=np.uint8)


def unpacked(blocks: Iterable[NDArray[np.uint8]]) -> list[str]:
    """Read the texts of :func:`packed` again."""
    return [str(text) for block in blocks for text in json.loads(block.tobytes())]


def as_column(texts: Sequence[str], rows: NDArray[np.int64] | None) -> pd.Categorical:
    """Give each cell its reason; missing where it has a label.

    Parameters
    ----------
    texts
        The reason of each prompt.
    rows
        The prompt of each cell, -1 for none; `None` where each cell has its own.
    """
    each = list(texts) if rows is None else [texts[r] if r >= 0 else NO_GROUP for r in rows]
    return pd.Categorical([text or None for text in each])


def counted(column: pd.Series[Any]) -> dict[str, int]:
    """Count cells by the kind of their reason: what stands before what the model said.

    Examples
    --------
    >>> counted(pd.Series(["not one of the 2 allowed answers: 'x'", None]))
    {'not one of the 2 allowed answers': 1}
    """
    kinds = Counter(str(text).split(": ", 1)[0] for text in column.dropna())
    return {kind.replace("/", " or "): n for kind, n in kinds.most_common()}
