"""The tables that the cache may hold: where they come from and under which licence."""

from __future__ import annotations

from dataclasses import dataclass

from celloquy._runtime import closest
from celloquy.errors import InputError


@dataclass(frozen=True)
class TableSource:
    """One table of knowledge and its official source."""

    name: str
    """The word it is asked for by."""
    description: str
    """What is in it."""
    url: str
    """Where the official file is."""
    licence: str
    """The terms its source states."""
    columns: tuple[str, ...]
    """Columns that the table has once it is in the cache, whatever the file's own are."""
    sha256: str | None = None
    """Hash of the official file if it never changes; otherwise the first download's is kept."""


SOURCES = {
    source.name: source
    for source in (
        TableSource(
            name="hgnc",
            description="human genes: approved, previous and alias symbols, Ensembl ids, kinds",
            url="https://storage.googleapis.com/public-download-files/hgnc/tsv/tsv/hgnc_complete_set.txt",
            licence="CC0 1.0 (HGNC, genenames.org)",
            columns=(
                "symbol", "ensembl_id", "biotype", "alias", "previous", "name", "entrez_id",
            ),
        ),
        TableSource(
            name="mgi",
            description="mouse genes: symbols, Ensembl ids, kinds",
            url="https://www.informatics.jax.org/downloads/reports/MRK_ENSEMBL.rpt",
            licence="CC BY 4.0 (Mouse Genome Informatics)",
            columns=("symbol", "ensembl_id", "biotype", "name"),
        ),
        TableSource(
            name="orthologs",
            description="human and mouse orthologs (HCOP: pairs that 3 or more databases assert)",
            url="https://storage.googleapis.com/public-download-files/hcop/human_mouse_hcop_fifteen_column.txt.gz",
            licence="CC0 1.0 (HGNC, genenames.org)",
            columns=("human_symbol", "human_id", "mouse_symbol", "mouse_id", "support"),
        ),
        TableSource(
            name="summaries",
            description="what a gene does, in a paragraph (NCBI RefSeq)",
            url="https://ftp.ncbi.nlm.nih.gov/gene/DATA/gene_summary.gz",
            licence="US public domain (NCBI)",
            columns=("tax_id", "entrez_id", "symbol", "summary"),
        ),
        TableSource(
            name="ontology",
            description="Cell Ontology: cell types, their parents, synonyms and definitions",
            url="https://github.com/obophenotype/cell-ontology/releases/latest/download/cl-basic.obo",
            licence="CC BY 4.0 (Cell Ontology)",
            columns=("id", "label", "parents", "synonyms", "definition"),
        ),
        TableSource(
            name="markers",
            description="marker genes of cell types (PanglaoDB, 27 March 2020)",
            url="https://panglaodb.se/markers/PanglaoDB_markers_27_Mar_2020.tsv.gz",
            licence="none stated; free to download, cite doi:10.1093/database/baz046",
            columns=("organism", "cell_type", "cl_id", "gene", "tissue", "source"),
        ),
        TableSource(
            name="interactions",
            description="pairs of human proteins that bind (HuRI), by Ensembl gene id",
            url="https://interactome-atlas.org/data/HuRI.tsv",
            licence="CC BY 4.0 (Luck et al. 2020, doi:10.1038/s41586-020-2188-x)",
            columns=("gene_a", "gene_b"),
        ),
    )
}  # fmt: skip
"""Every table that can be asked for, by name."""


def source_of(name: str) -> TableSource:
    """Give the source of a table.

    Raises
    ------
    InputError
        If there is no such table; the closest name is told.
    """
    if name not in SOURCES:
        msg = f"There is no table {name!r}{closest(name, SOURCES)}."
        raise InputError(msg, hint=f"choose one of: {', '.join(SOURCES)}.")
    return SOURCES[name]
