"""Who learns and who judges in a corpus: whole groups, or cells by their keys."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.evaluation import hold_out, split_by_group
from celloquy.training._corpus_draw import keys_for, share
from celloquy.training._recipe_corpus import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from celloquy.training._corpus_draw import Keys
    from celloquy.training._corpus_sources import Word
    from celloquy.training._recipe_corpus import SplitPart

_ROWS = 10_000
"""Rows that stand for all cells where groups are dealt, so that memory does not grow with them."""
CELL = "cell"


@dataclass(frozen=True, eq=False)
class CorpusSplit:
    """The part of every group of cells, or of every cell by its key."""

    by: str
    """What decided: ``"study"``, a word of the cells, or ``"cell"``."""
    seed: int
    """Seed of what was drawn."""
    groups: Mapping[str, tuple[str, ...]]
    """Groups of each part, sorted; empty for a split by cell."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Shares of the parts, where they were drawn."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Cells of each part."""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the record: equal for equal splits."""
        text = json.dumps(self.record(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """Give the record as JSON can hold it."""
        return {
            "schema": 1,
            "by": self.by,
            "seed": self.seed,
            "groups": {part: list(groups) for part, groups in self.groups.items()},
            "shares": dict(self.shares),
            "sizes": dict(self.sizes),
        }

    def part_of(self, groups: Word | None, keys: Keys) -> NDArray[np.int8]:
        """Give the part of each cell: its place in the parts, -1 for none; shape ``(n_obs,)``.

        Parameters
        ----------
        groups
            Group of each cell; `None` for a split by cell.
        keys
            Key of each cell.
        """
        if groups is None:
            return key_parts(keys_for(keys, "split"), self.shares)
        place = {group: PARTS.index(part) for part in self.groups for group in self.groups[part]}
        table = np.array([*(place.get(text, -1) for text in groups.texts), -1], dtype=np.int8)
        return np.asarray(table[groups.codes])


def key_parts(keys: Keys, shares: Mapping[str, float]) -> NDArray[np.int8]:
    """Give the part of each key, by the shares of the parts that are held out."""
    drawn, part = share(keys), np.zeros(len(keys), dtype=np.int8)
    start = 0.0
    for name, wanted in shares.items():
        if name != PARTS[0]:
            part[(drawn >= start) & (drawn < start + wanted)] = PARTS.index(name)
            start += wanted
    return part


def make_split(counts: Mapping[str, int], asked: SplitPart, *, seed: int) -> CorpusSplit:
    """Deal groups of cells to parts.

    Parameters
    ----------
    counts
        Cells of each group; of a split by cell, all under one name.
    asked
        What the recipe says.
    seed
        Seed of what is drawn.

    Raises
    ------
    InputError
        If there are fewer groups than parts, a named group is not there, or nothing is left to
        train on.
    """
    held = asked.held
    named = {part: list(said) for part, said in held.items() if isinstance(said, tuple)}
    shares = {part: float(said) for part, said in held.items() if not isinstance(said, tuple)}
    whole = {PARTS[0]: 1.0 - sum(shares.values()), **shares}
    if not held:
        return CorpusSplit(asked.by, seed, {PARTS[0]: tuple(sorted(counts))})
    if asked.by == CELL:
        if named:
            msg = "A split by cell takes shares, and `validation` or `test` names groups."
            raise InputError(msg, hint="write `test = 0.1`, or split by what the names are of.")
        return CorpusSplit(CELL, seed, {}, whole)
    _refuse_unknown(named, counts, by=asked.by)
    keys = _scaled(counts)
    if named:
        split = hold_out(keys, named, by=asked.by)
        return CorpusSplit(asked.by, seed, dict(split.groups or {}))
    split = split_by_group(keys, by=asked.by, shares=whole, seed=seed)
    return CorpusSplit(asked.by, seed, dict(split.groups or {}), whole)


def _scaled(counts: Mapping[str, int]) -> NDArray[np.object_]:
    """Give each group rows in proportion to its cells, one at least."""
    total = sum(counts.values())
    rows = [max(1, round(_ROWS * n / max(total, 1))) for n in counts.values()]
    return np.repeat(np.array(list(counts), dtype=object), rows)


def _refuse_unknown(named: Mapping[str, list[str]], counts: Mapping[str, int], *, by: str) -> None:
    """Refuse names of groups that no cell has.

    Raises
    ------
    InputError
        If there is one.
    """
    for part, groups in named.items():
        for group in groups:
            if group not in counts:
                msg = f"`corpus.split.{part}` names the {by} {group!r}, and no cell is of it"
                msg += f"{closest(group, counts)}."
                raise InputError(msg, hint=f"there are: {', '.join(sorted(counts)[:20])}.")
