"""What is known of an organism's genes: symbols, ids, kinds, former names, orthologs."""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from celloquy._runtime import cache_folder
from celloquy.errors import InputError
from celloquy.knowledge._cache import has_table, read_table, table_version
from celloquy.knowledge._identifiers import looks_like_ensembl, spellings, strip_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PROTEIN_CODING = frozenset({"protein-coding gene", "protein coding gene", "protein_coding"})
_TABLE_OF = {"human": "hgnc", "mouse": "mgi"}
_GENCODE = "GENCODEv44_Gene_id2name.csv"
_ENSEMBL_ORTHOLOGS = "Ensembl105_Human2Mouse_Genes.csv"


@dataclass(frozen=True, eq=False)
class GeneTable:
    """The genes of one organism, one row each.

    Parameters
    ----------
    organism
        ``"human"`` or ``"mouse"``.
    symbols
        Approved symbol of each gene.
    ids
        Ensembl id of each gene, ``""`` where unknown.
    biotypes
        Kind of each gene in the words of its source (``"protein-coding gene"``); `None` if
        the source does not tell kinds.
    aliases, previous
        Former and other symbols → rows that had them; `None` if the source has none.
    source
        Where this is known from, with its version.

    Raises
    ------
    InputError
        If the columns have different lengths.
    """

    organism: str
    symbols: tuple[str, ...]
    ids: tuple[str, ...]
    biotypes: tuple[str, ...] | None = None
    aliases: Mapping[str, tuple[int, ...]] | None = None
    previous: Mapping[str, tuple[int, ...]] | None = None
    source: str = "given"
    extra_ids: Mapping[str, int] = field(default_factory=dict)
    """Further Ensembl ids → rows, where a symbol has several."""

    def __post_init__(self) -> None:
        lengths = {len(self.symbols), len(self.ids), len(self.biotypes or self.symbols)}
        if len(lengths) > 1:
            msg = f"Symbols, ids and kinds of genes differ in number: {sorted(lengths)}."
            raise InputError(msg, hint="give one of each a gene, '' where it is unknown.")

    def __len__(self) -> int:
        return len(self.symbols)

    @cached_property
    def by_symbol(self) -> dict[str, int]:
        """Row of each approved symbol; the first where a symbol repeats."""
        return {symbol: row for row, symbol in reversed(list(enumerate(self.symbols)))}

    @cached_property
    def by_id(self) -> dict[str, int]:
        """Row of each Ensembl id; ids that two genes share are left out, as they name neither."""
        rows: dict[str, int] = {}
        shared = set()
        for row, gene in enumerate(self.ids):
            if gene in rows:
                shared.add(gene)
            rows[gene] = row
        for gene in (*shared, ""):
            rows.pop(gene, None)
        return {**self.extra_ids, **rows}

    @property
    def knows_former_names(self) -> bool:
        """Whether aliases and previous symbols are known."""
        return self.aliases is not None or self.previous is not None

    def find(self, name: str) -> tuple[int, str]:
        """Find the gene of one name.

        Tried in turn: Ensembl id (any version), approved symbol, previous symbol, alias, and
        all of these for what the name was before a spreadsheet or R spoilt it. An approved
        symbol always means itself, even if another gene once had it. A name that several
        genes had is ambiguous; previous symbols go before aliases because gene annotations
        were made of official names.

        Returns
        -------
        The row, -1 if none; and how it was found: ``"id"``, ``"symbol"``, ``"previous"``,
        ``"alias"``, ``"respelled"``, ``"ambiguous"`` or ``"unknown"``.
        """
        if looks_like_ensembl(name):
            row = self.by_id.get(strip_version(name), -1)
            return row, "id" if row >= 0 else "unknown"
        row, how = self._find_symbol(name)
        if how != "unknown":
            return row, how
        # A date stands for every symbol that Excel may have spoilt, hence all are asked.
        found = [self._find_symbol(spelling) for spelling in spellings(name)]
        rows = {row for row, _ in found if row >= 0}
        if len(rows) == 1 and all(how != "ambiguous" for _, how in found):
            return rows.pop(), "respelled"
        return -1, "ambiguous" if rows else "unknown"

    def _find_symbol(self, name: str) -> tuple[int, str]:
        if name in self.by_symbol:
            return self.by_symbol[name], "symbol"
        for how, former in (("previous", self.previous), ("alias", self.aliases)):
            rows = (former or {}).get(name, ())
            if rows:
                return (rows[0], how) if len(rows) == 1 else (-1, "ambiguous")
        return -1, "unknown"


@dataclass(frozen=True, eq=False)
class OrthologTable:
    """Pairs of human and mouse genes that descend from one gene of their ancestor."""

    to_human: Mapping[str, tuple[str, ...]]
    """Mouse symbol or Ensembl id → human symbols, best supported first."""
    human_ids: Mapping[str, str]
    """Human symbol → Ensembl id, where known."""
    knows_ids: bool
    """Whether mouse Ensembl ids are known."""
    source: str
    """Where this is known from, with its version."""


def gene_table(organism: str = "human") -> GeneTable:
    """Give what is known of an organism's genes on this machine.

    The cache comes first (``hgnc`` for human, ``mgi`` for mouse). Without it, human ids and
    symbols are read from the files of the celltypist package (GENCODE 44) if that is
    installed; former names and kinds are unknown then.

    Raises
    ------
    InputError
        If nothing is known, or the organism is neither human nor mouse.
    """
    if organism not in _TABLE_OF:
        msg = f"Genes of {organism!r} are not known here, only of human and mouse."
        raise InputError(msg, hint='pass `organism="human"` or `organism="mouse"`.')
    name = _TABLE_OF[organism]
    if has_table(name):
        return _cached_genes(organism, str(cache_folder()), table_version(name) or "")
    path = _celltypist_file(_GENCODE) if organism == "human" else None
    if path is None:
        msg = f"Symbols and Ensembl ids of {organism} genes are not known on this machine."
        raise InputError(
            msg, hint=f"`celloquy data get {name}`, or `celloquy data add {name} FILE`."
        )
    return _gencode_genes(path)


def ortholog_table() -> OrthologTable:
    """Give the human and mouse orthologs known on this machine: the cache's, else celltypist's.

    Raises
    ------
    InputError
        If there are neither.
    """
    if has_table("orthologs"):
        return _cached_orthologs(str(cache_folder()), table_version("orthologs") or "")
    path = _celltypist_file(_ENSEMBL_ORTHOLOGS)
    if path is None:
        msg = "Human and mouse orthologs are not known on this machine."
        hint = "`celloquy data get orthologs`, or `celloquy data add orthologs FILE`."
        raise InputError(msg, hint=hint)
    return _celltypist_orthologs(path)


def _celltypist_file(name: str) -> Path | None:
    """Find a table that the celltypist package carries, without importing the package."""
    spec = importlib.util.find_spec("celltypist")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "samples" / name
        if path.is_file():
            return path
    return None


@lru_cache(maxsize=4)
def _cached_genes(organism: str, _cache: str, version: str) -> GeneTable:
    name = _TABLE_OF[organism]
    return genes_of_frame(read_table(name), organism=organism, source=f"{name} {version}")


def genes_of_frame(table: pd.DataFrame, *, organism: str, source: str) -> GeneTable:
    """Make a gene table of a frame with the columns of ``hgnc`` or ``mgi`` in the cache."""
    grouped = table.drop_duplicates("symbol")
    symbols = tuple(grouped["symbol"])
    rows = {symbol: row for row, symbol in enumerate(symbols)}
    further = table[table["symbol"].duplicated()]
    return GeneTable(
        organism=organism,
        symbols=symbols,
        ids=tuple(grouped["ensembl_id"]),
        biotypes=tuple(grouped["biotype"]) if (grouped["biotype"] != "").any() else None,
        aliases=_rows_of(grouped["alias"]) if "alias" in grouped else None,
        previous=_rows_of(grouped["previous"]) if "previous" in grouped else None,
        source=source,
        extra_ids={
            gene: rows[symbol]
            for symbol, gene in zip(further["symbol"], further["ensembl_id"], strict=True)
            if gene
        },
    )


def _rows_of(column: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Turn a column of names joined by ``|`` into name → rows."""
    found: dict[str, tuple[int, ...]] = {}
    for row, names in enumerate(column):
        for name in filter(None, names.split("|")) if names else ():
            if row not in found.get(name, ()):
                found[name] = (*found.get(name, ()), row)
    return found


@lru_cache(maxsize=1)
def _gencode_genes(path: Path) -> GeneTable:
    with path.open(encoding="utf-8", newline="") as file:
        pairs = [(gene, symbol) for gene, symbol in csv.reader(file) if symbol]
    table = pd.DataFrame(pairs, columns=["ensembl_id", "symbol"]).assign(biotype="")
    source = "GENCODE 44 as the celltypist package carries it"
    return genes_of_frame(table, organism="human", source=source)


@lru_cache(maxsize=4)
def _cached_orthologs(_cache: str, version: str) -> OrthologTable:
    table = read_table("orthologs")
    support = pd.to_numeric(table["support"], errors="coerce").fillna(0)
    table = table.loc[support.sort_values(ascending=False, kind="stable").index]
    return orthologs_of_pairs(
        list(
            table[["human_symbol", "human_id", "mouse_symbol", "mouse_id"]].itertuples(index=False)
        ),
        source=f"orthologs {version}",
    )


@lru_cache(maxsize=1)
def _celltypist_orthologs(path: Path) -> OrthologTable:
    with path.open(encoding="utf-8", newline="") as file:
        pairs = [(human, "", mouse, "") for human, mouse in csv.reader(file) if human and mouse]
    return orthologs_of_pairs(pairs, source="Ensembl 105 as the celltypist package carries it")


def orthologs_of_pairs(pairs: Sequence[tuple[str, str, str, str]], *, source: str) -> OrthologTable:
    """Make an ortholog table of pairs, the best pair of a gene first.

    Parameters
    ----------
    pairs
        Human symbol, human id, mouse symbol and mouse id of each pair; ``""`` where an id is
        not known.
    source
        Where the pairs come from, for records.
    """
    to_human: dict[str, dict[str, None]] = {}
    human_ids: dict[str, str] = {}
    for human, human_id, mouse, mouse_id in pairs:
        to_human.setdefault(mouse, {})[human] = None
        if mouse_id:
            to_human.setdefault(mouse_id, {})[human] = None
        if human_id:
            human_ids.setdefault(human, human_id)
    return OrthologTable(
        to_human={mouse: tuple(humans) for mouse, humans in to_human.items()},
        human_ids=human_ids,
        knows_ids=any(mouse_id for *_, mouse_id in pairs),
        source=source,
    )
