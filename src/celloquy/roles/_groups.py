"""Several cells in one prompt: the groups of a column of obs, and the cells that are read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.roles._asking import names_of
from celloquy.roles._cells import obs_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.roles._cells import OpenCells
    from celloquy.text import Names


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of cells, and what is read of each."""

    names: tuple[str, ...]
    """Names of the groups."""
    rows: NDArray[np.int64]
    """The group of each cell, -1 for none; shape ``(n_obs,)``."""
    cells: list[list[Names]]
    """The genes of the cells that are read of each group."""
    obs: pd.DataFrame
    """The columns of obs that prompts need, one row a group."""


def read_groups(
    opened: OpenCells,
    by: str,
    *,
    n_cells: int,
    n_top_genes: int,
    columns: Sequence[str],
    seed: int,
) -> Groups:
    """Read the groups of a column, at most `n_cells` cells of each.

    Which cells are read depends on their names and the seed, not on their order.

    Parameters
    ----------
    opened
        The cells.
    by
        Column of obs whose values make the groups.
    n_cells
        The most cells of a group.
    n_top_genes
        The most genes of a cell.
    columns
        Columns of obs that prompts need; they have one value a group.
    seed
        Chooses the cells.

    Raises
    ------
    InputError
        If no cell has a group, or a column has several values in one.
    """
    codes, names = pd.factorize(obs_column(opened.stream, by).astype(object), sort=True)
    if not len(names):
        msg = f"No cell has a value in {by!r}."
        raise InputError(msg, hint="name the column whose values make the groups.")
    obs = opened.stream.obs(tuple(columns))
    fields = pd.DataFrame(
        {column: _one_value(obs[column], codes, names, by=by) for column in columns},
        index=[str(name) for name in names],
    )
    chosen = _drawn([str(name) for name in obs.index], codes, n_cells=n_cells, seed=seed)
    genes: dict[int, Names] = {}
    for chunk, block in opened.blocks(opened.vocabulary):
        inside = [row for row in chosen if chunk.start <= row < chunk.stop]
        if inside and opened.reading is None:
            picked = block.rows(np.array(inside) - chunk.start)
            genes |= zip(inside, names_of(picked.top(n_top_genes)), strict=True)
        elif inside:
            ranked = names_of(opened.ranked(chunk, n_top_genes))
            genes |= {row: ranked[row - chunk.start] for row in inside}
    cells: list[list[Names]] = [[] for _ in names]
    for row in chosen:
        cells[codes[row]].append(genes[row])
    return Groups(tuple(map(str, names)), codes.astype(np.int64), cells, fields)


def _drawn(names: Sequence[str], codes: NDArray[np.int64], *, n_cells: int, seed: int) -> list[int]:
    """Draw cells of each group by a hash of their names; give their rows."""
    keys = [hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest() for name in names]
    drawn: list[int] = []
    for group in range(int(codes.max(initial=-1)) + 1):
        rows = np.flatnonzero(codes == group).tolist()
        drawn += sorted(rows, key=lambda row: (keys[row], row))[:n_cells]
    return drawn


def _one_value(
    column: pd.Series[Any], codes: NDArray[np.int64], names: pd.Index[Any], *, by: str
) -> list[object]:
    """Give the value that a column has in each group.

    Raises
    ------
    InputError
        If it has several.
    """
    values: list[object] = []
    given = column.astype(object).to_numpy()
    for code, name in enumerate(names):
        found = pd.unique(given[codes == code])
        if len(found) > 1:
            msg = (
                f"`obs` column {column.name!r} has {len(found)} values in the group {str(name)!r} "
                f"of {by!r}, such as {found[0]!r} and {found[1]!r}."
            )
            raise InputError(
                msg, hint="a prompt names one: group by a column that keeps them apart."
            )
        values.append(found[0])
    return values
