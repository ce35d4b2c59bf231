"""What two parts of a split share: names, donors, or one cell under two names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from celloquy._runtime import rng_for
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from celloquy.evaluation._splits import Split

_BANDS = 25
_HASHES_A_BAND = 8
"""Two sets that share 90 % are compared with a probability of 1 - 10⁻⁶, two that share 80 %
with 0.99; of those that share 30 %, as two cells of one type may, only one pair in 600 is."""


@dataclass(frozen=True, eq=False)
class Leaks:
    """What two parts of a split share; ``str()`` of it reads well."""

    table: pd.DataFrame
    """One row a kind and pair of parts: `kind`, `one`, `other`, `n`, `first`."""

    @property
    def n(self) -> int:
        """Number of leaks of all kinds."""
        return int(self.table["n"].sum())

    def __str__(self) -> str:
        """Write one line a kind and pair of parts that leaks."""
        found = self.table[self.table["n"] > 0]
        checked = ", ".join(dict.fromkeys(self.table["kind"]))
        if not len(found):
            return f"no leak ({checked})"
        return "\n".join(
            f"{row.kind}: {row.n:,} between {row.one} and {row.other}, such as {row.first}"
            for row in found.itertuples()
        )

    def refuse(self) -> None:
        """Refuse a split that leaks.

        Raises
        ------
        InputError
            If anything leaks.
        """
        if self.n:
            msg = f"The split leaks: {'; '.join(str(self).splitlines())}."
            raise InputError(msg, hint="split by what the parts share.")


def check_leaks(
    split: Split,
    *,
    names: Sequence[str] | None = None,
    groups: Mapping[str, ArrayLike] | None = None,
    sentences: Sequence[str] | None = None,
    expression: sp.csr_matrix | None = None,
    similarity: float = 0.8,
) -> Leaks:
    """Look for what two parts of a split share.

    Parameters
    ----------
    split
        The split.
    names
        Names of the rows: one name in two parts is a leak.
    groups
        Columns such as donor or study: one group in two parts is a leak.
    sentences
        Text of each row: rows of two parts with the same words, or nearly, are a leak.
    expression
        Counts, shape ``(n_obs, n_vars)``: the same, by the genes that are expressed.
    similarity
        Share of words or genes, of all that either row has, from which two rows are near
        duplicates; under 0.8, some pairs are missed.

    Returns
    -------
    What was found; kinds that could not be looked for are not in the table.

    Raises
    ------
    InputError
        If nothing is given to compare, lengths differ, or `similarity` is not in (0, 1].

    Notes
    -----
    Among 2,100 blood cells, 300 are cells of 10x PBMC 3k that were quantified again under other
    names: at 0.8 all are found, at 0.9 all but five. No cells of independent studies were that
    alike. Genes that only one side measured must be left out first.
    Near duplicates are found by MinHash (Broder, 1997) in bands, then compared exactly.

    Examples
    --------
    >>> from celloquy.evaluation import Split
    >>> split = Split("one", "cell", {"train": [0, 1], "test": [2]}, n_obs=3)
    >>> print(check_leaks(split, groups={"donor": ["a", "b", "b"]}))
    donor: 1 between train and test, such as b
    """
    if not 0 < similarity <= 1:
        msg = f"`similarity` is a share above 0, at most 1; got {similarity}."
        raise InputError(msg)
    columns = {kind: np.asarray(values) for kind, values in (groups or {}).items()}
    if names is not None:
        columns = {"name": np.asarray(names), **columns}
    alike: dict[str, sp.csr_matrix] = {}
    if sentences is not None:
        alike["near-duplicate sentence"] = _word_sets(sentences)
    if expression is not None:
        alike["near-duplicate expression"] = sp.csr_matrix(expression)
    _refuse_unusable(split, {**columns, **alike})
    found = [row for kind, values in columns.items() for row in _same_keys(split, kind, values)]
    for kind, sets in alike.items():
        found += _near_duplicates(split, kind, sets, similarity=similarity)
    return Leaks(pd.DataFrame(found, columns=["kind", "one", "other", "n", "first"]))


def _refuse_unusable(
    split: Split, given: Mapping[str, NDArray[np.generic] | sp.csr_matrix]
) -> None:
    """Refuse nothing to compare, and data of other rows.

    Raises
    ------
    InputError
        If there is nothing, or a length differs from that of the split.
    """
    if not given:
        msg = "There is nothing to compare the parts of the split by."
        raise InputError(msg, hint="pass `names`, `groups`, `sentences` or `expression`.")
    for kind, values in given.items():
        if values.shape[0] != split.n_obs:
            msg = f"The split is of {split.n_obs} rows, and {kind} has {values.shape[0]}."
            raise InputError(msg, hint="use the data that the split was made of.")


def _same_keys(split: Split, kind: str, values: NDArray[Any]) -> list[dict[str, Any]]:
    rows = []
    for one, other in combinations(split.parts, 2):
        shared = np.intersect1d(values[split[one]].astype(str), values[split[other]].astype(str))
        first = str(shared[0]) if len(shared) else ""
        rows.append({"kind": kind, "one": one, "other": other, "n": len(shared), "first": first})
    return rows


def _word_sets(sentences: Sequence[str]) -> sp.csr_matrix:
    """Give each row a 1 for every word that it has."""
    place: dict[str, int] = {}
    rows = [sorted({place.setdefault(word, len(place)) for word in text.split()})
            for text in sentences]  # fmt: skip
    stops = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    columns = np.array([column for row in rows for column in row], dtype=np.int64)
    shape = (len(rows), max(len(place), 1))
    return sp.csr_matrix((np.ones(len(columns), np.float32), columns, stops), shape=shape)


def _near_duplicates(
    split: Split, kind: str, sets: sp.csr_matrix, *, similarity: float
) -> list[dict[str, Any]]:
    """Count the rows of each later part that have a near duplicate in an earlier one."""
    sets.eliminate_zeros()
    part = split.labels()
    order: dict[str, int] = {name: i for i, name in enumerate(split.parts)}

    rows, n_rows = _one_of_each(sets, part)
    pairs = _candidates(sets[rows], part[rows])
    leaks: dict[tuple[str, str], dict[int, int]] = {}
    for pair in pairs[_jaccard(sets[rows], pairs) >= similarity]:
        first, second = sorted(pair.tolist(), key=lambda i: order[str(part[rows[i]])])
        place = (part[rows[first]], part[rows[second]])
        leaks.setdefault(place, {}).setdefault(second, first)
    told = []
    for one, other in combinations(split.parts, 2):
        found = leaks.get((one, other), {})
        first = next((f"rows {rows[a]} and {rows[b]}" for b, a in sorted(found.items())), "")
        n = int(sum(n_rows[i] for i in found))
        told.append({"kind": kind, "one": one, "other": other, "n": n, "first": first})
    return told


def _one_of_each(
    sets: sp.csr_matrix, part: NDArray[np.object_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give one row of those of a part that hold the same, and how many such rows there are.

    Rows of no part and rows that hold nothing are left out.
    """
    sets.sort_indices()
    first: dict[tuple[str, bytes], int] = {}
    n_rows: dict[int, int] = {}
    for row in np.flatnonzero((np.diff(sets.indptr) > 0) & (part != "")).tolist():
        held = sets.indices[sets.indptr[row] : sets.indptr[row + 1]]
        digest = hashlib.blake2b(held.tobytes(), digest_size=16).digest()
        kept = first.setdefault((part[row], digest), row)
        n_rows[kept] = n_rows.get(kept, 0) + 1
    return np.array(list(n_rows), dtype=np.int64), np.array(list(n_rows.values()), dtype=np.int64)


def _candidates(sets: sp.csr_matrix, part: NDArray[np.object_]) -> NDArray[np.int64]:
    """Give pairs of rows of two parts that agree in a band of hashes; shape ``(n, 2)``."""
    rng = rng_for(0, "hashes of near duplicates")
    pairs: set[tuple[int, int]] = set()
    for _ in range(_BANDS if len(part) else 0):
        least = np.empty((len(part), _HASHES_A_BAND), dtype=np.uint32)
        for column in range(_HASHES_A_BAND):
            value = rng.permutation(sets.shape[1]).astype(np.uint32)[sets.indices]
            least[:, column] = np.minimum.reduceat(value, sets.indptr[:-1])
        order = np.lexsort(least.T)
        differs = (np.diff(least[order], axis=0) != 0).any(axis=1)
        for members in np.split(order, np.flatnonzero(differs) + 1):
            if len(members) > 1:
                pairs |= {(a, b) for a, b in combinations(sorted(members.tolist()), 2)
                          if part[a] != part[b]}  # fmt: skip
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def _jaccard(sets: sp.csr_matrix, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the shared share of what either row of a pair has; shape ``(n_pairs,)``."""
    if not len(pairs):
        return np.empty(0)
    ones = np.ones(len(sets.indices))
    has = sp.csr_matrix((ones, sets.indices, sets.indptr), shape=sets.shape)
    sizes = np.diff(sets.indptr)
    shared = np.asarray(has[pairs[:, 0]].multiply(has[pairs[:, 1]]).sum(axis=1)).ravel()
    return np.asarray(shared / (sizes[pairs[:, 0]] + sizes[pairs[:, 1]] - shared))
