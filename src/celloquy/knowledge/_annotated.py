"""The same mappings for a whole AnnData, every slot of it."""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any, TypeGuard, overload

import numpy as np
import pandas as pd
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.knowledge._collapse import Block, Kind, collapse
from celloquy.knowledge._genes import PROTEIN_CODING, GeneTable, OrthologTable, gene_table
from celloquy.knowledge._identifiers import clean_names, ids_column, looks_like_ensembl
from celloquy.knowledge._mapping import (
    Collisions,
    OneToMany,
    _organism,
    _own_ids,
    map_genes,
    map_orthologs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.knowledge._report import GeneMap

RECORD = "celloquy_genes"
"""Key of `uns` under which the report of a mapping is kept."""


@overload
def to_symbols(
    data: Iterable[object],
    *,
    organism: str | None = None,
    collisions: Collisions = "refuse",
    drop_unmapped: bool = False,
    kind: Kind = "counts",
    names_key: str | None = None,
    table: GeneTable | None = None,
) -> GeneMap: ...
@overload
def to_symbols(
    data: AnnData,
    *,
    organism: str | None = None,
    collisions: Collisions = "refuse",
    drop_unmapped: bool = False,
    kind: Kind = "counts",
    names_key: str | None = None,
    table: GeneTable | None = None,
) -> AnnData: ...
def to_symbols(
    data: AnnData | Iterable[object],
    *,
    organism: str | None = None,
    collisions: Collisions = "refuse",
    drop_unmapped: bool = False,
    kind: Kind = "counts",
    names_key: str | None = None,
    table: GeneTable | None = None,
) -> AnnData | GeneMap:
    """Give every gene its approved symbol.

    Parameters
    ----------
    data
        An AnnData, which is not changed, or gene names.
    organism, collisions, drop_unmapped, table
        See :func:`map_genes`.
    kind
        What the values of an AnnData are, for columns that are added; see :func:`collapse`.
    names_key
        Column of ``adata.var`` that holds the gene names; `None` for ``var_names``. Ensembl
        ids are taken from wherever ``var`` has them (:func:`ids_column`).

    Returns
    -------
    For an AnnData a new one (:func:`with_genes`), for names the map.

    Raises
    ------
    InputError
        As :func:`map_genes` and :func:`with_genes`.

    Examples
    --------
    >>> table = GeneTable("human", ("TP53", "SEPTIN2"), ("ENSG00000141510", "ENSG00000168385"),
    ...                   previous={"SEPT2": (1,)}, source="an example")
    >>> to_symbols(["ENSG00000141510.17", "SEPT2"], table=table).names
    ('TP53', 'SEPTIN2')
    """

    def mapping(names: Iterable[object], ids: Iterable[object] | None) -> GeneMap:
        return map_genes(
            names,
            ids=ids,
            to="symbol",
            collisions=collisions,
            organism=organism,
            drop_unmapped=drop_unmapped,
            table=table,
        )

    return _apply(data, mapping, kind, names_key)


@overload
def to_ensembl(
    data: Iterable[object],
    *,
    organism: str | None = None,
    collisions: Collisions = "refuse",
    drop_unmapped: bool = False,
    kind: Kind = "counts",
    names_key: str | None = None,
    table: GeneTable | None = None,
) -> GeneMap: ...
@overload
def to_ensembl(
    data: AnnData,
    *,
    organism: str | None = None,
    collisions: Collisions = "refuse",
    drop_unmapped: bool = False,
    kind: Kind = "counts",
    names_key: str | None = None,
    table: GeneTable | None = None,
) -> AnnData: ...
def to_ensembl(
    data: AnnData | Iterable[object],
    *,
    organism: str | None = None,
    collisions: Collisions = "refuse",
    drop_unmapped: bool = False,
    kind: Kind = "counts",
    names_key: str | None = None,
    table: GeneTable | None = None,
) -> AnnData | GeneMap:
    """Give every gene its Ensembl id, without version.

    A column that states an id keeps it; only symbols are looked up. So two ids of one
    symbol stay two genes.

    Parameters
    ----------
    data
        An AnnData, which is not changed, or gene names.
    organism, collisions, drop_unmapped, table
        See :func:`map_genes`.
    kind, names_key
        See :func:`to_symbols`.

    Returns
    -------
    For an AnnData a new one (:func:`with_genes`), for names the map.

    Raises
    ------
    InputError
        As :func:`map_genes` and :func:`with_genes`.

    Examples
    --------
    >>> to_ensembl(["ENSG00000141510.17"]).names
    ('ENSG00000141510',)
    """

    def mapping(names: Iterable[object], ids: Iterable[object] | None) -> GeneMap:
        return map_genes(
            names,
            ids=ids,
            to="ensembl",
            collisions=collisions,
            organism=organism,
            drop_unmapped=drop_unmapped,
            table=table,
        )

    return _apply(data, mapping, kind, names_key)


@overload
def to_human(
    data: Iterable[object],
    *,
    collisions: Collisions = "refuse",
    one_to_many: OneToMany = "namesake",
    drop_unmapped: bool = True,
    kind: Kind = "counts",
    names_key: str | None = None,
    table: OrthologTable | None = None,
) -> GeneMap: ...
@overload
def to_human(
    data: AnnData,
    *,
    collisions: Collisions = "refuse",
    one_to_many: OneToMany = "namesake",
    drop_unmapped: bool = True,
    kind: Kind = "counts",
    names_key: str | None = None,
    table: OrthologTable | None = None,
) -> AnnData: ...
def to_human(
    data: AnnData | Iterable[object],
    *,
    collisions: Collisions = "refuse",
    one_to_many: OneToMany = "namesake",
    drop_unmapped: bool = True,
    kind: Kind = "counts",
    names_key: str | None = None,
    table: OrthologTable | None = None,
) -> AnnData | GeneMap:
    """Give every mouse gene the symbol of its human ortholog.

    Parameters
    ----------
    data
        An AnnData of mouse genes, which is not changed, or mouse gene names.
    collisions, one_to_many, drop_unmapped, table
        See :func:`map_orthologs`.
    kind, names_key
        See :func:`to_symbols`.

    Returns
    -------
    For an AnnData a new one (:func:`with_genes`), for names the map.

    Raises
    ------
    InputError
        As :func:`map_orthologs` and :func:`with_genes`.
    """

    def mapping(names: Iterable[object], ids: Iterable[object] | None) -> GeneMap:
        return map_orthologs(
            names,
            ids=ids,
            collisions=collisions,
            one_to_many=one_to_many,
            drop_unmapped=drop_unmapped,
            table=table,
        )

    return _apply(data, mapping, kind, names_key)


def is_protein_coding(
    data: AnnData | Iterable[object],
    *,
    organism: str | None = None,
    table: GeneTable | None = None,
) -> NDArray[np.bool_]:
    """Mark the genes that code for a protein.

    Parameters
    ----------
    data
        An AnnData, or gene names: symbols, former symbols or Ensembl ids.
    organism, table
        See :func:`map_genes`.

    Returns
    -------
    One truth value a gene, shape ``(n_vars,)``; false for a gene that is not known.

    Raises
    ------
    InputError
        If the kinds of genes are not known on this machine, or the organism cannot be told.
    """
    names, ids = _names_and_ids(data.var, None) if _is_anndata(data) else (data, None)
    cleaned = clean_names(names)
    own_ids = _own_ids(cleaned, ids)
    if table is None:
        table = gene_table(_organism(cleaned, own_ids, organism))
    if table.biotypes is None:
        name = "mgi" if table.organism == "mouse" else "hgnc"
        msg = f"Which genes code for proteins is not known on this machine ({table.source})."
        raise InputError(
            msg, hint=f"`celloquy data get {name}`, or `celloquy data add {name} FILE`."
        )
    coding = np.array([kind in PROTEIN_CODING for kind in (*table.biotypes, "")])
    rows = [
        table.by_id.get(own, -1) if own in table.by_id else table.find(name)[0]
        for name, own in zip(cleaned, own_ids, strict=True)
    ]
    return coding[rows] if rows else np.zeros(0, dtype=bool)


def with_genes(adata: AnnData, gene_map: GeneMap, *, kind: Kind = "counts") -> AnnData:
    """Make an AnnData whose columns are the genes of a map.

    `X` and every layer are collapsed; sparse ones come out as CSR. `obs`, `obsm`, `obsp` and
    `uns` are copied; `var` keeps the row of the first column of each gene and gains
    ``ensembl_id`` (where known) and ``former_names``; the report is kept in
    ``uns["celloquy_genes"]``. `varm` stays unless columns are added, `varp` and `raw` go:
    loadings of two genes cannot be added, and `raw` has columns of its own
    (``cq.read(path, use_raw=True)`` makes it `X`).

    Parameters
    ----------
    adata
        Cells by columns; not changed. A view is fine.
    gene_map
        Where each column goes.
    kind
        What values are, for columns that are added; see :func:`collapse`.

    Returns
    -------
    Cells by genes.

    Raises
    ------
    InputError
        If `adata` is backed by a file, has another number of columns than the map, or holds
        values that cannot be added.
    """
    if adata.isbacked:
        msg = "The AnnData is backed by a file, so its columns cannot be rearranged in memory."
        raise InputError(msg, hint="pass `adata.to_memory()`, or stream it by its path.")
    if adata.n_vars != len(gene_map.columns):
        msg = f"The map has {len(gene_map.columns):,} columns, the AnnData {adata.n_vars:,}."
        raise InputError(msg, hint="map the names of this very AnnData.")
    _, first = np.unique(gene_map.columns, return_index=True)
    first = first[len(first) - len(gene_map) :]
    merged = bool(gene_map.merged.any())
    from anndata import AnnData

    return AnnData(
        X=None if adata.X is None else _collapsed(adata.X, gene_map, kind, "X"),
        obs=adata.obs.copy(),
        var=_var(adata.var, gene_map, first),
        obsm={key: value.copy() for key, value in adata.obsm.items()},
        obsp={key: value.copy() for key, value in adata.obsp.items()},
        varm={} if merged else {key: value[first] for key, value in adata.varm.items()},
        layers={
            key: _collapsed(value, gene_map, kind, f"layers[{key!r}]")
            for key, value in adata.layers.items()
        },
        uns={**copy.deepcopy(dict(adata.uns)), RECORD: gene_map.report.to_dict()},
    )


def _collapsed(values: object, gene_map: GeneMap, kind: Kind, slot: str) -> Block:
    block: Any = values
    block = sp.csr_matrix(block) if sp.issparse(values) else np.asarray(values)
    try:
        collapsed: Block = collapse(block, gene_map, kind=kind)
    except InputError as error:
        msg = f"`{slot}` cannot be brought to genes. {error}"
        raise InputError(msg, hint=error.hint) from error
    # Only a map that moves nothing shares memory with what it was given.
    return collapsed.copy() if gene_map.is_identity else collapsed


def _var(var: pd.DataFrame, gene_map: GeneMap, first: NDArray[np.intp]) -> pd.DataFrame:
    former: list[list[str]] = [[] for _ in gene_map.names]
    for name, position in zip(clean_names(var.index), gene_map.columns.tolist(), strict=True):
        if position >= 0:
            former[position].append(name)
    new = var.iloc[first].copy()
    new.index = pd.Index(gene_map.names, dtype=object)
    if gene_map.ids is not None:
        new["ensembl_id"] = list(gene_map.ids)
    new["former_names"] = ["|".join(names) for names in former]
    return new


def _is_anndata(data: object) -> TypeGuard[AnnData]:
    # Importing anndata takes a second; where nobody has, nothing is an AnnData.
    anndata = sys.modules.get("anndata")
    return anndata is not None and isinstance(data, anndata.AnnData)


def _apply(
    data: AnnData | Iterable[object],
    mapping: Callable[[Iterable[object], Iterable[object] | None], GeneMap],
    kind: Kind,
    names_key: str | None,
) -> AnnData | GeneMap:
    if _is_anndata(data):
        return with_genes(data, mapping(*_names_and_ids(data.var, names_key)), kind=kind)
    return mapping(data, None)


def _names_and_ids(
    var: pd.DataFrame, names_key: str | None
) -> tuple[Iterable[object], Iterable[object] | None]:
    # Gives the names and the Ensembl ids of an AnnData's columns; no ids if it has none.
    if names_key is not None and names_key not in var:
        msg = f"`adata.var` has no column {names_key!r}."
        known = ", ".join(map(str, var.columns)) or "none"
        raise InputError(msg, hint=f"its columns are: {known}.")
    names = var.index if names_key is None else var[names_key]
    in_index = sum(looks_like_ensembl(str(name)) for name in var.index)
    if names_key is not None and 2 * in_index > len(var):
        return names, var.index
    column = ids_column(var)
    return names, None if column is None else var[column]
