"""What is known of genes and cell types: identifiers, orthologs, markers, and their tables."""

from __future__ import annotations

from celloquy.knowledge._annotated import (
    is_protein_coding,
    to_ensembl,
    to_human,
    to_symbols,
    with_genes,
)
from celloquy.knowledge._cache import (
    TableEntry,
    data_add,
    data_get,
    data_list,
    has_table,
    read_table,
    table_version,
)
from celloquy.knowledge._collapse import collapse
from celloquy.knowledge._download import DownloadLimits
from celloquy.knowledge._genes import (
    GeneTable,
    OrthologTable,
    gene_table,
    ortholog_table,
    orthologs_of_pairs,
)
from celloquy.knowledge._identifiers import (
    case_collisions,
    clean_names,
    guess_organism,
    ids_column,
    is_excel_date,
    is_mitochondrial,
    is_ribosomal,
    looks_like_ensembl,
    strip_version,
)
from celloquy.knowledge._known_genes import KnownGenes, read_known_genes
from celloquy.knowledge._mapping import map_genes, map_orthologs
from celloquy.knowledge._markers import marker_panel
from celloquy.knowledge._report import GeneMap, MappingReport
from celloquy.knowledge._sources import SOURCES, TableSource

__all__ = [
    "SOURCES",
    "DownloadLimits",
    "GeneMap",
    "GeneTable",
    "KnownGenes",
    "MappingReport",
    "OrthologTable",
    "TableEntry",
    "TableSource",
    "case_collisions",
    "clean_names",
    "collapse",
    "data_add",
    "data_get",
    "data_list",
    "gene_table",
    "guess_organism",
    "has_table",
    "ids_column",
    "is_excel_date",
    "is_mitochondrial",
    "is_protein_coding",
    "is_ribosomal",
    "looks_like_ensembl",
    "map_genes",
    "map_orthologs",
    "marker_panel",
    "ortholog_table",
    "orthologs_of_pairs",
    "read_known_genes",
    "read_table",
    "strip_version",
    "table_version",
    "to_ensembl",
    "to_human",
    "to_symbols",
    "with_genes",
]
