"""The genes that a model knows: symbol, median in its corpus, Ensembl id, mouse symbol."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from celloquy._runtime import closest, sha256_of
from celloquy.errors import InputError
from celloquy.knowledge._cache import has_table
from celloquy.knowledge._genes import GeneTable, gene_table
from celloquy.knowledge._identifiers import clean_names, guess_organism
from celloquy.knowledge._mapping import (
    Collisions,
    _build,
    _check_option,
    _claim,
    _collision,
    _Column,
    _own_ids,
    _Record,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from celloquy.knowledge._report import GeneMap

COLUMNS = ("symbol", "median", "ensembl", "mouse", "typical")
"""Columns that a table of known genes may have; the first two it must have."""


@dataclass(frozen=True, eq=False)
class KnownGenes:
    """The genes that a model knows, one row each; see :func:`read_known_genes`.

    Parameters
    ----------
    symbols
        Human symbol of each gene, each once; shape ``(n_genes,)``.
    medians
        Median of each gene in the corpus, above 0, in any one linear unit.
    ids
        Ensembl id of each gene without version, ``""`` where unknown.
    mouse
        Symbol of each gene's mouse ortholog, ``""`` where there is none; several are joined
        by ``|``.
    source
        Name of the file.
    sha256
        Hash of the file.
    typical
        What each gene has in a cell that expresses it, natural log1p at 10,000 molecules; empty
        where nothing is known.
    """

    symbols: tuple[str, ...]
    medians: tuple[float, ...]
    ids: tuple[str, ...]
    mouse: tuple[str, ...]
    source: str = "given"
    sha256: str = ""
    typical: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.symbols)

    @cached_property
    def median_of(self) -> Mapping[str, float]:
        """Median of each symbol."""
        return dict(zip(self.symbols, self.medians, strict=True))

    @cached_property
    def id_of(self) -> Mapping[str, str]:
        """Ensembl id of each symbol, ``""`` where unknown."""
        return dict(zip(self.symbols, self.ids, strict=True))

    def typical_of(self, names: Iterable[str]) -> NDArray[np.float32] | None:
        """Give the typical value of genes, 0 for one that is not known; `None` without any."""
        if not self.typical:
            return None
        known = dict(zip(self.symbols, self.typical, strict=True))
        return np.array([known.get(name, 0.0) for name in names], dtype=np.float32)

    @cached_property
    def _rows(self) -> GeneTable:
        return GeneTable("human", self.symbols, self.ids, source=self.source)

    @cached_property
    def _of_mouse(self) -> Mapping[str, list[int]]:
        rows = defaultdict(list)
        for row, names in enumerate(self.mouse):
            for name in filter(None, names.split("|")):
                rows[name].append(row)
        return dict(rows)

    def record(self) -> dict[str, str | int]:
        """Say which table this is."""
        return {"source": self.source, "sha256": self.sha256, "n_genes": len(self)}

    def map(
        self,
        names: Iterable[object],
        *,
        ids: Iterable[object] | None = None,
        organism: str | None = None,
        collisions: Collisions = "refuse",
    ) -> GeneMap:
        """Say which of these genes every column of a source stands for.

        A human gene is found by Ensembl id (any version), by symbol, and by its former names if
        ``hgnc`` is in the cache. A mouse gene is found by its mouse symbol, by its Ensembl id if
        ``mgi`` is in the cache, else by the same symbol. Columns whose different names are those
        of one gene share a position, so that their values are added; columns of no known gene are
        left out and counted.

        Parameters
        ----------
        names, ids
            Name, and where known the Ensembl id, of every column; see :func:`map_genes`.
        organism
            ``"human"`` or ``"mouse"``; `None` reads it off ids and names.
        collisions
            What happens when several columns have the same name, and it is that of a known gene.
            ``"refuse"`` raises; ``"sum"`` adds their values; ``"keep"`` keeps them apart: the
            column that has the gene's own id, or else the first, is the gene, and the others are
            left out.

        Raises
        ------
        InputError
            If no column is of a known gene, a name repeats and `collisions` is ``"refuse"``, or a
            mouse source meets a table without mouse symbols.

        Examples
        --------
        >>> known = KnownGenes(("CD3E", "LYZ"), (1.0, 2.0), ("", "ENSG00000090382"), ("Cd3e", ""))
        >>> found = known.map(["Cd3e", "Xkr4"])
        >>> found.names, found.columns.tolist()
        (('CD3E',), [0, -1])
        """
        _check_option("collisions", collisions, ("refuse", "sum", "keep"))
        cleaned = clean_names(names)
        own_ids = _own_ids(cleaned, ids)
        if organism not in {"human", "mouse"}:
            organism = guess_organism(filter(None, own_ids)) or guess_organism(cleaned)
        is_mouse = organism == "mouse"
        former = _cached("mgi", "mouse") if is_mouse else _cached("hgnc", "human")
        if is_mouse and not self._of_mouse:
            msg = f"The genes are of mouse, and '{self.source}' has no mouse symbols."
            raise InputError(msg, hint="give it a column `mouse`, or map the genes to human first.")
        find = self._find_mouse if is_mouse else self._find_human
        columns = [
            self._column(name, own, *find(name, own, former))
            for name, own in zip(cleaned, own_ids, strict=True)
        ]
        if not any(column.how not in {"unknown", "ambiguous"} for column in columns):
            first = repr(next(filter(None, cleaned), ""))
            msg = f"None of {len(columns):,} gene names is in '{self.source}'; the first is {first}"
            msg += f"{closest(cleaned[0], self.symbols) if cleaned else ''}."
            hint = "name genes by symbol or Ensembl id (`gene_column` chooses a column of var); "
            hint += "`st:minilm` embeds cells whatever their genes are called."
            raise InputError(msg, hint=hint)
        if collisions != "sum":
            columns = _told_apart(columns, refuse=collisions == "refuse")
        record = _Record("symbol", self.source + (f", {former.source}" if former else ""))
        return _build(columns, record, "sum", drop_unmapped=True)

    def _find_human(self, name: str, own: str, former: GeneTable | None) -> tuple[int, str]:
        """Find the row of a human gene, and how it was found."""
        rows = self._rows
        if own in rows.by_id:
            return rows.by_id[own], "id"
        if name in rows.by_symbol:
            return rows.by_symbol[name], "symbol"
        if former is None:
            return -1, "unknown"
        at, how = former.find(own or name)
        if at < 0 and own:
            at, how = former.find(name)
        if at < 0:
            return -1, how
        row = rows.by_id.get(former.ids[at], -1)
        row = rows.by_symbol.get(former.symbols[at], -1) if row < 0 else row
        return row, how if row >= 0 else "unknown"

    def _find_mouse(self, name: str, own: str, former: GeneTable | None) -> tuple[int, str]:
        """Find the row of a mouse gene's human ortholog, and how it was found."""
        if own and former is not None and own in former.by_id:
            name = former.symbols[former.by_id[own]]
        found = self._of_mouse.get(name, [])
        if len(found) > 1:
            found = [row for row in found if self.symbols[row] == name.upper()]
            if not found:
                return -1, "ambiguous"
        if found:
            return found[0], "ortholog"
        return self._rows.by_symbol.get(name, -1), "symbol"

    def _column(self, name: str, own: str, row: int, how: str) -> _Column:
        if row < 0:
            how = "ambiguous" if how == "ambiguous" else "unknown"
            return _Column(name, own, name or own, how, own)
        return _Column(name, own, self.symbols[row], how, self.ids[row] or own)


def _told_apart(columns: Sequence[_Column], *, refuse: bool) -> list[_Column]:
    # Let one column of each name be the gene, or refuse a name that repeats.
    groups: dict[str, list[int]] = defaultdict(list)
    for number, column in enumerate(columns):
        if column.name and column.how not in {"unknown", "ambiguous"}:
            groups[column.name].append(number)
    repeated = {name: group for name, group in groups.items() if len(group) > 1}
    if repeated and refuse:
        raise _collision(list(repeated), repeated, columns)
    apart = list(columns)
    for group in repeated.values():
        own = min(group, key=lambda number: (*_claim(columns[number]), number))
        for number in group:
            if number != own:
                apart[number] = columns[number]._replace(how="unknown")
    return apart


def read_known_genes(path: str | os.PathLike[str]) -> KnownGenes:
    """Read the genes that a model knows from a tab-separated file.

    Parameters
    ----------
    path
        A file whose first line names its columns: ``symbol`` and ``median``, and optionally
        ``ensembl``, ``mouse`` and ``typical``. Other columns are left aside.

    Raises
    ------
    InputError
        If there is no such file, it has no gene, a column is missing, a symbol is empty or
        repeats, or a median is not above 0.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t"))
    except FileNotFoundError as error:
        msg = f"There is no table of genes '{path}'."
        raise InputError(
            msg, hint="it is a TSV file with the columns symbol and median."
        ) from error
    except UnicodeDecodeError as error:
        msg = f"'{path}' is not a text file in UTF-8: {error}."
        raise InputError(
            msg, hint="it is a TSV file with the columns symbol and median."
        ) from error
    head, rows = (rows or [[]])[0], rows[1:]
    for name in COLUMNS[:2]:
        if name not in head:
            msg = f"'{path.name}' has no column {name!r}{closest(name, head)}."
            raise InputError(msg, hint=f"its columns may be: {', '.join(COLUMNS)}.")
    place = [head.index(name) if name in head else -1 for name in COLUMNS]
    seen: set[str] = set()
    columns: list[list[str]] = [[] for _ in COLUMNS]
    for number, row in enumerate(filter(None, rows), 2):
        values = [row[at].strip() if 0 <= at < len(row) else "" for at in place]
        _check_row(values, seen, where=f"'{path.name}', line {number}")
        seen.add(values[0])
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    symbols, medians, ids, mouse, typical = columns
    if not symbols:
        msg = f"'{path.name}' tells no gene."
        raise InputError(msg, hint="give each gene one line below the names of the columns.")
    return KnownGenes(
        tuple(symbols),
        tuple(map(float, medians)),
        tuple(gene.partition(".")[0] for gene in ids),
        tuple(mouse),
        path.name,
        sha256_of(path),
        tuple(float(one or 0) for one in typical) if "typical" in head else (),
    )


def _check_row(values: list[str], seen: set[str], *, where: str) -> None:
    """Refuse a row that tells no gene.

    Raises
    ------
    InputError
        If its symbol is empty or repeats, its median is no number above 0, or its typical value
        is no number from 0 on.
    """
    symbol, median, typical = values[0], values[1], values[4]
    if not symbol or symbol in seen:
        msg = f"{where}: the symbol {symbol!r} {'repeats' if symbol else 'is empty'}."
        raise InputError(msg, hint="give each gene one line.")
    if not 0 < _number(median) < math.inf:
        msg = f"{where}: the median of {symbol} is {median!r}, not a number above 0."
        raise InputError(msg, hint="take the median over cells that express the gene.")
    if typical and not 0 <= _number(typical) < math.inf:
        msg = f"{where}: the typical value of {symbol} is {typical!r}, not a number from 0 on."
        raise InputError(msg, hint="take the mean logarithm over cells that express the gene.")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _cached(name: Literal["hgnc", "mgi"], organism: str) -> GeneTable | None:
    return gene_table(organism) if has_table(name) else None
