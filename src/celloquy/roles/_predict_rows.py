"""The rows that are asked about: cells one by one, or groups of cells; each with its prompt."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from celloquy.roles._asking import names_of
from celloquy.roles._cells import obs_column
from celloquy.roles._groups import Groups, read_groups
from celloquy.roles._predict_options import PREDICT_GENES, PredictOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from celloquy.roles._asking import Asking
    from celloquy.roles._cells import OpenCells
    from celloquy.text import Names, Prompt


@dataclass(frozen=True, eq=False)
class Asked:
    """Consecutive rows and their prompts."""

    names: list[str]
    """Names of the cells, or of the groups."""
    prompts: list[Prompt]
    """What is asked of each."""
    genes: list[list[Names]]
    """The genes of each row's cells; one cell, unless rows are groups."""

    @property
    def is_empty(self) -> NDArray[np.bool_]:
        """Where none of a row's cells names a gene; shape ``(n,)``."""
        return np.array([not self.n_genes(row) for row in range(len(self.genes))], dtype=np.bool_)

    def n_genes(self, row: int) -> int:
        """Count the genes of a row's cell; of several, of the one that has most."""
        return max(len(one.ids) for one in self.genes[row])


class Rows(Protocol):
    """What is asked about."""

    @property
    def n_rows(self) -> int:
        """How many rows there are."""

    @property
    def shard_size(self) -> int:
        """How many are asked about together."""

    @property
    def row_of_cell(self) -> NDArray[np.int64] | None:
        """The row of each cell, -1 for none; `None` where each cell is a row of its own."""

    def read(self, start: int, stop: int) -> Asked:
        """Give rows `start` to `stop` (excluded)."""


def rows_of(cells: OpenCells, asking: Asking, options: PredictOptions) -> Rows:
    """Give the rows that a task is asked about: cells, or groups of them."""
    for column in asking.columns:
        obs_column(cells.stream, column)
    n_top_genes = options.n_top_genes or PREDICT_GENES
    if options.group_by is None:
        return CellRows(cells, asking, n_top_genes, options.shard_size)
    groups = read_groups(
        cells, options.group_by, n_cells=options.n_cells, n_top_genes=n_top_genes,
        columns=asking.columns, seed=options.seed,
    )  # fmt: skip
    return GroupRows(groups, asking, options.shard_size)


@dataclass(frozen=True, eq=False)
class CellRows:
    """Every cell is a row."""

    cells: OpenCells
    asking: Asking
    n_top_genes: int
    shard_size: int
    row_of_cell: None = None

    @property
    def n_rows(self) -> int:
        """Number of cells."""
        return self.cells.stream.n_obs

    def read(self, start: int, stop: int) -> Asked:
        """Give cells `start` to `stop` (excluded)."""
        names: list[str] = []
        genes: list[list[Names]] = []
        parts: list[pd.DataFrame] = []
        chunks = self.cells.stream.chunks(columns=self.asking.columns, start=start, stop=stop)
        for chunk in chunks:
            names += [str(name) for name in chunk.obs.index]
            genes += [[one] for one in names_of(self.cells.ranked(chunk, self.n_top_genes))]
            parts.append(chunk.obs[list(self.asking.columns)])
        obs = pd.concat(parts) if parts else pd.DataFrame()
        return Asked(names, self.asking.prompts(genes, obs), genes)


@dataclass(frozen=True, eq=False)
class GroupRows:
    """Every group of cells is a row."""

    groups: Groups
    asking: Asking
    shard_size: int

    @property
    def n_rows(self) -> int:
        """Number of groups."""
        return len(self.groups.names)

    @cached_property
    def row_of_cell(self) -> NDArray[np.int64]:
        """The group of each cell."""
        return self.groups.rows

    def read(self, start: int, stop: int) -> Asked:
        """Give groups `start` to `stop` (excluded)."""
        genes = self.groups.cells[start:stop]
        prompts = self.asking.prompts(genes, self.groups.obs.iloc[start:stop])
        return Asked(list(self.groups.names[start:stop]), prompts, genes)


def pieces(rows: Rows) -> Iterator[Asked]:
    """Give all rows, some at a time."""
    for start in range(0, rows.n_rows, rows.shard_size):
        yield rows.read(start, min(start + rows.shard_size, rows.n_rows))


def fingerprints(asked: Asked) -> list[str]:
    """Hash each cell by its name and genes, so that the same one can be told again."""
    return [
        hashlib.blake2b(f"{name}\0{genes[0].text}".encode(), digest_size=8).hexdigest()
        for name, genes in zip(asked.names, asked.genes, strict=True)
    ]
