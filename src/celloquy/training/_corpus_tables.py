"""Tables and networks as a corpus reads them: rows of texts, edges between genes."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from celloquy._runtime import closest, sha256_of
from celloquy.errors import InputError
from celloquy.training._corpus_draw import keys_for, name_keys
from celloquy.training._corpus_split import key_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from celloquy.training._corpus_draw import Keys
    from celloquy.training._recipe_corpus import GraphPart, TablePart

GMT = ("name", "description", "genes")
"""Columns of gene sets."""


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV or TSV file, or gene sets (GMT), as texts; also packed by gzip.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        If there is no such file, or it is no table.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"There is no table '{path}'."
        raise InputError(msg, hint="paths are taken from the recipe's own folder.")
    bare = path.name.lower().removesuffix(".gz")
    try:
        if bare.endswith(".gmt"):
            return _gene_sets(path)
        return pd.read_csv(
            path, sep=None if bare.endswith(".txt") else ("," if bare.endswith(".csv") else "\t"),
            dtype=str, keep_default_na=False, engine="python" if bare.endswith(".txt") else "c",
        )  # fmt: skip
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, EOFError) as error:
        msg = f"'{path}' is no table: {error}."
        raise InputError(msg, hint="give CSV, TSV or GMT, in UTF-8.") from error


def _gene_sets(path: Path) -> pd.DataFrame:
    """Read a GMT file: name, description, genes, with tabs between.

    Raises
    ------
    InputError
        If a line has no genes.
    """
    packed = path.read_bytes()
    text = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode("utf-8")
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split("\t")
        genes = [gene.partition(",")[0] for gene in cells[2:] if gene]
        if not genes:
            msg = f"'{path}', line {number}, names no genes after its name and description."
            raise InputError(msg, hint="a GMT file has tabs between all three.")
        rows.append((cells[0], cells[1], " ".join(genes)))
    return pd.DataFrame(rows, columns=list(GMT))


def column_of(table: pd.DataFrame, column: str, path: str) -> pd.Series[Any]:
    """Give a column of a table.

    Parameters
    ----------
    table, column
        The table, and which column.
    path
        The table's file, for messages.

    Raises
    ------
    InputError
        If there is no such column.
    """
    if column not in table.columns:
        known = [str(name) for name in table.columns]
        msg = f"'{Path(path).name}' has no column {column!r}{closest(column, known)}."
        raise InputError(msg, hint=f"it has: {', '.join(known[:20])}.")
    return table[column]


def fingerprint_of(part: TablePart | GraphPart) -> dict[str, Any]:
    """Say what makes a table this table."""
    path = Path(part.path)
    return {"source": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


@dataclass(frozen=True, eq=False)
class Network:
    """Genes and the edges between them, without direction, each once."""

    names: tuple[str, ...]
    """The genes, sorted."""
    edges: NDArray[np.int64]
    """Places of the two genes of each edge, the lower first; shape ``(n, 2)``."""
    gene_parts: NDArray[np.int8]
    """Part of each gene."""
    edge_parts: NDArray[np.int8]
    """Part of each edge."""
    keys: Keys
    """Key of each gene."""
    edge_keys: Keys
    """Key of each edge."""

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """Edges of each gene."""
        found: NDArray[np.int64] = np.bincount(self.edges.ravel(), minlength=len(self.names))
        return found

    @cached_property
    def whole(self) -> sp.csr_matrix:
        """Every edge, both ways."""
        return self._matrix(self.edges)

    @cached_property
    def trained(self) -> sp.csr_matrix:
        """The edges of the training part, both ways: all that a prompt may tell of."""
        return self._matrix(self.edges[self.edge_parts == 0])

    def _matrix(self, edges: NDArray[np.int64]) -> sp.csr_matrix:
        both = np.concatenate([edges, edges[:, ::-1]])
        ones = np.ones(len(both), dtype=np.int8)
        n = len(self.names)
        made = sp.csr_matrix((ones, (both[:, 0], both[:, 1])), shape=(n, n))
        made.sort_indices()
        return made


def read_network(part: GraphPart, *, by: str, shares: Mapping[str, float], seed: int) -> Network:
    """Read a list of edges; repeats and loops are left out.

    Parameters
    ----------
    part
        What the recipe says of it.
    by
        ``"gene"``: an edge is held out if one of its genes is; ``"pair"``: each edge by itself.
    shares
        Shares of the parts.
    seed
        Seed of what is held out.

    Raises
    ------
    InputError
        If it cannot be read, or holds no edge.
    """
    table = read_table(part.path)
    if part.columns is None and len(table.columns) < 2:
        msg = f"'{Path(part.path).name}' has {len(table.columns)} columns; an edge takes two."
        raise InputError(msg, hint="give the two genes of each edge a column each.")
    columns = part.columns or tuple(str(name) for name in table.columns[:2])
    ends = [column_of(table, column, part.path).astype(str).str.strip() for column in columns]
    kept = (ends[0] != "") & (ends[1] != "") & (ends[0] != ends[1])
    ends = [one[kept] for one in ends]
    if not len(ends[0]):
        msg = f"'{Path(part.path).name}' holds no edge between two genes."
        raise InputError(msg, hint="name the columns of the two genes: `columns = ['a', 'b']`.")
    names = tuple(sorted({*ends[0], *ends[1]}))
    place = {name: i for i, name in enumerate(names)}
    pairs = np.stack([one.map(place).to_numpy(np.int64) for one in ends], axis=1)
    edges = np.unique(np.sort(pairs, axis=1), axis=0)
    keys = name_keys(names, "gene", seed)
    edge_keys = name_keys([f"{names[a]}\t{names[b]}" for a, b in edges], "pair", seed)
    gene_parts = key_parts(keys_for(keys, "split"), shares)
    edge_parts = gene_parts[edges].max(axis=1)
    if by == "pair":
        edge_parts = key_parts(keys_for(edge_keys, "split"), shares)
    return Network(names, edges, gene_parts, edge_parts.astype(np.int8), keys, edge_keys)
