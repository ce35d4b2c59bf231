"""Pairs of texts with a likeness, from cells: what a sentence encoder learns from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from celloquy._runtime import atomic_path, rng_for
from celloquy.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

Labels = Literal["cosine", "non_negative"]


@dataclass(frozen=True)
class Pair:
    """Two texts, and how alike they are."""

    first: str
    """One text."""
    second: str
    """The other."""
    label: float
    """Likeness, from -1 to 1."""


def cell_pairs(
    texts: Sequence[str],
    vectors: NDArray[np.floating],
    *,
    features: Sequence[Sequence[str]] = (),
    n_pairs: int = 10_000,
    n_near: int = 10,
    labels: Labels = "non_negative",
    seed: int = 0,
) -> list[Pair]:
    """Pair cells: half with one of their nearest cells, half by chance.

    The label is the cosine of the cells' vectors, or 0 if a feature of the two differs.

    Parameters
    ----------
    texts
        A sentence of each cell, length ``n``.
    vectors
        A vector of each cell, such as its principal components, shape ``(n, d)``.
    features
        Columns of metadata, each of length ``n``, in which alike cells agree.
    n_pairs
        How many pairs; half of them, rounded down, are of near cells.
    n_near
        Among how many of the nearest cells a partner is found.
    labels
        ``"non_negative"`` writes cosines below 0 as 0; ``"cosine"`` as they are.
    seed
        What the choice of cells depends on.

    Returns
    -------
    Pairs in a random order. No cell is paired with itself.

    Raises
    ------
    InputError
        If lengths differ, or there are too few cells.

    Notes
    -----
    After CELLama (2024), which takes the likeness to be regressed on from the cells' principal
    components. There the number of near pairs is rounded down to a multiple of `n_near`, chance
    pairs may pair a cell with itself, and negative cosines stay (CE-9).
    """
    n = len(texts)
    if len(vectors) != n or any(len(column) != n for column in features):
        msg = f"There are {n:,} texts, {len(vectors):,} vectors and features of other lengths."
        if all(len(column) == n for column in features):
            msg = f"There are {n:,} texts and {len(vectors):,} vectors."
        raise InputError(msg, hint="give one of each for every cell.")
    if n <= n_near:
        msg = f"{n} cells are too few for {n_near} near ones each."
        raise InputError(msg, hint=f"pass `n_near={max(1, n - 1)}` or more cells.")
    rng = rng_for(seed, "pairs")
    unit = _unit(vectors)
    n_alike = n_pairs // 2
    firsts = rng.integers(n, size=n_pairs)
    seconds = (firsts + rng.integers(1, n, size=n_pairs)) % n
    seconds[:n_alike] = _near(unit, firsts[:n_alike], n_near=n_near, rng=rng)
    cosine = np.einsum("nd,nd->n", unit[firsts], unit[seconds])
    for column in features:
        _, codes = np.unique(np.asarray(column, dtype=str), return_inverse=True)
        cosine[codes[firsts] != codes[seconds]] = 0.0
    if labels == "non_negative":
        cosine = np.maximum(cosine, 0.0)
    return [
        Pair(texts[firsts[i]], texts[seconds[i]], float(cosine[i]))
        for i in rng.permutation(n_pairs)
    ]


def write_pairs(
    pairs: Sequence[Pair], path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write pairs as the JSON list of ``{"texts": [a, b], "label": x}`` that CELLama writes.

    Parameters
    ----------
    pairs
        The pairs.
    path
        Where the file shall be.
    overwrite
        Whether an existing file is replaced.
    """
    entries = [{"texts": [pair.first, pair.second], "label": pair.label} for pair in pairs]
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(entries, ensure_ascii=False, indent=2), encoding="utf-8")


def read_pairs(paths: Sequence[str | os.PathLike[str]]) -> Iterator[Pair]:
    """Read what :func:`write_pairs` or CELLama wrote.

    Parameters
    ----------
    paths
        JSON files.

    Raises
    ------
    InputError
        If a file is no list of pairs; file and number of the entry are told.
    """
    for one in paths:
        path = Path(one)
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            msg = f"'{path}' is no readable JSON: {error}."
            raise InputError(msg, hint="`write_pairs` writes such a file.") from error
        if not isinstance(entries, list):
            msg = f"'{path}' is no list of pairs."
            raise InputError(msg, hint='write [{"texts": [a, b], "label": x}].')
        for number, entry in enumerate(entries, start=1):
            yield _pair(entry, where=f"{path}, entry {number}")


def _pair(entry: object, *, where: str) -> Pair:
    """Read one pair.

    Raises
    ------
    InputError
        If it is none.
    """
    found = entry if isinstance(entry, dict) else {}
    texts, label = found.get("texts"), found.get("label")
    is_pair = isinstance(texts, list) and [type(text) for text in texts] == [str, str]
    is_number = isinstance(label, int | float) and not isinstance(label, bool)
    if not is_pair or not is_number or not -1 <= label <= 1:  # type: ignore[operator]
        msg = f"{where} is no pair: it holds {json.dumps(entry)[:60]}."
        raise InputError(msg, hint='write {"texts": [a, b], "label": x}, with x from -1 to 1.')
    return Pair(texts[0], texts[1], float(label))  # type: ignore[index, arg-type]


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Bring vectors to length 1; vectors of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def _near(
    unit: NDArray[np.float32],
    firsts: NDArray[np.int64],
    *,
    n_near: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw one of the nearest cells of each, never the cell itself."""
    from celloquy.learn import NeighbourIndex

    cells, inverse = np.unique(firsts, return_inverse=True)
    if not len(cells):
        return firsts
    found = NeighbourIndex(unit, metric="cosine").search(unit[cells], k=n_near + 1).rows
    is_other = found != cells[:, None]
    is_other[is_other.all(axis=1), -1] = False  # more copies of a cell than near ones
    others = found[is_other].reshape(len(cells), n_near)
    return np.asarray(others[inverse, rng.integers(n_near, size=len(firsts))], dtype=np.int64)
