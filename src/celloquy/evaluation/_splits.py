"""Which rows learn and which judge: the record, its hash, and what a part holds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import closest
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SCHEMA = 1
"""The form of record that this code writes."""


@dataclass(frozen=True, eq=False)
class Split:
    """Rows (cells or examples) by the part of the split that they are in.

    Raises
    ------
    InputError
        If there are fewer than two parts, a part is empty, or a row is in two parts or is none
        of the data's.

    Examples
    --------
    >>> split = Split("one", "donor", {"train": [0, 2], "test": [1]}, n_obs=3)
    >>> split["test"].tolist(), split.sizes
    ([1], {'train': 2, 'test': 1})
    """

    name: str
    """What it is called in tables and files."""
    by: str
    """What decided: ``"cell"``, or what the groups are (``"donor"``, ``"study"``, …)."""
    parts: Mapping[str, Sequence[int] | NDArray[np.int64]]
    """Row numbers by part, sorted; rows in no part are left out on purpose."""
    n_obs: int
    """Rows of the data that was split."""
    seed: int | None = None
    """Seed of what was drawn; `None` where nothing was."""
    groups: Mapping[str, tuple[str, ...]] | None = None
    """Groups by part, sorted; `None` for a split by cell."""
    rows_sha256: str | None = None
    """Hash of the names of all rows (:func:`hash_names`); `None` where they have none."""

    def __post_init__(self) -> None:
        parts = {name: np.unique(np.asarray(rows, np.int64)) for name, rows in self.parts.items()}
        if len(parts) < 2 or not all(len(rows) for rows in parts.values()):
            sizes = ", ".join(f"{name} {len(rows)}" for name, rows in parts.items()) or "none"
            msg = f"A split has two parts or more with a row in each; here: {sizes}."
            raise InputError(msg)
        together = np.concatenate(list(parts.values()))
        if together.min() < 0 or together.max() >= self.n_obs:
            wrong = together.min() if together.min() < 0 else together.max()
            msg = f"The split names row {wrong}, and there are {self.n_obs} rows."
            raise InputError(msg, hint="rows count from 0.")
        values, times = np.unique(together, return_counts=True)
        if len(values) < len(together):
            msg = f"Row {values[times.argmax()]} is in two parts of the split {self.name!r}."
            raise InputError(msg, hint="what learns from a row cannot be judged by it.")
        object.__setattr__(self, "parts", MappingProxyType(parts))

    def __getitem__(self, part: str) -> NDArray[np.int64]:
        """Give the row numbers of a part, sorted.

        Raises
        ------
        InputError
            If the split has no such part.
        """
        if part not in self.parts:
            msg = f"The split {self.name!r} has no part {part!r}{closest(part, self.parts)}."
            raise InputError(msg, hint=f"it has: {', '.join(self.parts)}.")
        return np.asarray(self.parts[part])

    def __str__(self) -> str:
        """Write what decided and how large the parts are, in one line."""
        said = ", ".join(f"{name} {n:,}" for name, n in self.sizes.items())
        return f"{self.name}: by {self.by}; {said} of {self.n_obs:,} rows"

    @property
    def sizes(self) -> dict[str, int]:
        """Rows of each part."""
        return {name: len(rows) for name, rows in self.parts.items()}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the record: equal for equal splits, whatever machine made them."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Give the record as JSON can hold it."""
        groups = self.groups
        return {
            "schema": SCHEMA,
            "name": self.name,
            "by": self.by,
            "seed": self.seed,
            "n_obs": self.n_obs,
            "rows_sha256": self.rows_sha256,
            "groups": None if groups is None else {part: list(groups[part]) for part in groups},
            "parts": {part: np.asarray(rows).tolist() for part, rows in self.parts.items()},
        }

    def labels(self) -> NDArray[np.object_]:
        """Give each row the name of its part, or ``""``; shape ``(n_obs,)``."""
        named = np.full(self.n_obs, "", dtype=object)
        for part, rows in self.parts.items():
            named[np.asarray(rows)] = part
        return named

    def refuse_other_rows(self, names: Sequence[str]) -> None:
        """Refuse data whose rows are not those that were split.

        Parameters
        ----------
        names
            Names of the rows, in the order of the data.

        Raises
        ------
        InputError
            If their number, names or order differ.
        """
        if len(names) != self.n_obs:
            msg = f"The split {self.name!r} is of {self.n_obs} rows, and here are {len(names)}."
            raise InputError(msg, hint="use the data that the split was made of.")
        if self.rows_sha256 is not None and hash_names(names) != self.rows_sha256:
            msg = f"The rows have other names, or another order, than those split by {self.name!r}."
            raise InputError(msg, hint="use the data that the split was made of, in its order.")


def hash_names(names: Sequence[str]) -> str:
    """Hash the names of rows and their order.

    Examples
    --------
    >>> hash_names(["a", "b"]) in {hash_names(["b", "a"]), hash_names(["ab"])}
    False
    """
    digest = hashlib.sha256()
    for name in names:
        text = str(name).encode()
        digest.update(len(text).to_bytes(8, "little"))
        digest.update(text)
    return digest.hexdigest()
