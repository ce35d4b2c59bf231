"""What a scripted model says where no rule says it: drawn from the texts alone, or from a seed."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np

from celloquy.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.text import Prompt
    from celloquy.text import Sequence as StringSequence

_PIECE = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")
_N_DIMENSIONS = 16


def sequence(said: str, constraint: StringSequence, seed: int) -> list[str]:
    """Keep what the rule said and the constraint allows; draw what is missing."""
    allowed = set(constraint.strings)
    kept = [one for one in said.split(constraint.delimiter) if one in allowed]
    if not constraint.repeats:
        kept = list(dict.fromkeys(kept))
    kept = kept[: constraint.n]
    if kept and not constraint.exactly:
        return kept
    rng = np.random.default_rng(seed)
    missing = constraint.n - len(kept)
    if constraint.repeats:
        left = list(constraint.strings)
        return kept + [left[place] for place in rng.integers(len(left), size=missing)]
    left = [one for one in constraint.strings if one not in set(kept)]
    return kept + [left[place] for place in rng.permutation(len(left))[:missing]]


def pieces_of(text: str) -> list[str]:
    """Cut a text into words and signs, each with the space before it."""
    return _PIECE.findall(text)


def ids_of(texts: Sequence[str]) -> list[NDArray[np.int32]]:
    """Give one number a word or sign, from its own letters."""
    return [
        np.array(
            [int.from_bytes(digest(piece)[:4], "little") >> 1 for piece in pieces_of(text)],
            dtype=np.int32,
        )
        for text in texts
    ]


def as_text(prompt: Prompt | str) -> str:
    """Give a prompt as plain text."""
    return prompt if isinstance(prompt, str) else plain_text(prompt)


def digest(*texts: str) -> bytes:
    """Give 16 bytes that depend on the texts alone."""
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=16).digest()


def chance(*texts: str) -> float:
    """Give a number in [0, 1) that depends on the texts alone."""
    return int.from_bytes(digest(*texts)[:6], "little") / 2**48


def chance_vector(text: str) -> NDArray[np.float32]:
    """Give a vector of length 1 from a text's words, shape ``(16,)``."""
    total = np.zeros(_N_DIMENSIONS)
    for word in sorted({int(one) for one in ids_of([text])[0]}):
        total += np.random.default_rng(word).standard_normal(_N_DIMENSIONS)
    return (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)
