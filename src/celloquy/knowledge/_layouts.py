"""Files of several makers, read into the one form that each table has in the cache."""

from __future__ import annotations

import csv
import io
import zlib
from typing import TYPE_CHECKING

import pandas as pd

from celloquy.errors import InputError
from celloquy.knowledge._identifiers import looks_like_ensembl
from celloquy.knowledge._sources import source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MOST_BYTES = 1 << 30
"""The most bytes a table may have once unpacked: a guard against files that swell."""
LEAST_SUPPORT = 3
"""Databases that must assert a pair of HCOP before it is an ortholog here."""


def parse_table(name: str, path: Path, *, most_bytes: int = MOST_BYTES) -> pd.DataFrame:
    """Read a table's file, plain or gzipped, in any layout that is known for it.

    Parameters
    ----------
    name
        The table.
    path
        The file.
    most_bytes
        The most bytes its content may have once unpacked.

    Returns
    -------
    The table with the columns that its source names, all text, missing values as ``""``.

    Raises
    ------
    InputError
        If the file cannot be unpacked or read, is a web page, has too much or nothing in
        it, or none of the known layouts fits.
    """
    text = _text_of(path, most_bytes)
    if text.lstrip()[:15].lower().startswith(("<!doctype", "<html", "<?xml")):
        msg = f"'{path.name}' is a web page, not the table {name!r}."
        raise InputError(msg, hint=f"fetch the file itself: {source_of(name).url}")
    if not text.strip():
        msg = f"'{path.name}' is empty."
        raise InputError(msg, hint=f"fetch it again: {source_of(name).url}")
    try:
        table = _PARSERS[name](text)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        msg = f"'{path.name}' cannot be read as the table {name!r}: {error}"
        raise InputError(msg, hint=f"compare it with {source_of(name).url}") from error
    if table.empty:
        msg = f"'{path.name}' has the columns of {name!r} and not one row that can be used."
        raise InputError(msg, hint=f"compare it with {source_of(name).url}")
    return table[list(source_of(name).columns)].reset_index(drop=True)


def _text_of(path: Path, most_bytes: int) -> str:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = _unpack(path, content, most_bytes)
    if len(content) > most_bytes:
        msg = f"'{path.name}' holds more than {most_bytes:,} bytes, too many for a table."
        raise InputError(msg, hint="give the table alone, without what came with it.")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        msg = f"'{path.name}' is not UTF-8 text (byte {error.start:,})."
        raise InputError(msg, hint="give the plain table or a gzip of it, not a zip.") from error


def _unpack(path: Path, content: bytes, most_bytes: int) -> bytes:
    unpacked: list[bytes] = []
    try:
        while content:
            member = zlib.decompressobj(wbits=31)
            unpacked.append(member.decompress(content, most_bytes + 1))
            if sum(map(len, unpacked)) > most_bytes:
                break
            if not member.eof:
                msg = f"'{path.name}' is cut short: its gzip stream does not end."
                raise InputError(msg, hint="fetch or copy it again.")
            content = member.unused_data.lstrip(b"\0")
    except zlib.error as error:
        msg = f"'{path.name}' is a damaged gzip file: {error}."
        raise InputError(msg, hint="fetch or copy it again.") from error
    return b"".join(unpacked)


def _frame(text: str, *, quoted: bool = False, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Read separated text, tab or comma as its first line has it, every cell as text."""
    first = text.partition("\n")[0]
    return pd.read_csv(
        io.StringIO(text),
        sep="\t" if "\t" in first else ",",
        dtype=str,
        na_filter=False,
        quoting=csv.QUOTE_MINIMAL if quoted or "\t" not in first else csv.QUOTE_NONE,
        header=None if names else "infer",
        names=list(names) if names else None,
    )


def _renamed(name: str, table: pd.DataFrame, layouts: Sequence[dict[str, str]]) -> pd.DataFrame:
    # Renames by the first layout (canonical column to the file's own) that the file has.
    for layout in layouts:
        if set(layout.values()) <= set(table.columns):
            renamed = pd.DataFrame({new: table[old] for new, old in layout.items()})
            for column in source_of(name).columns:
                if column not in renamed:
                    renamed[column] = ""
            return renamed
    lacking = min(
        (
            [column for column in layout.values() if column not in table.columns]
            for layout in layouts
        ),
        key=len,
    )
    found = ", ".join(map(repr, table.columns[:6])) + (", …" if len(table.columns) > 6 else "")
    msg = f"A table {name!r} needs the columns {', '.join(map(repr, lacking))}; found {found}."
    raise InputError(msg, hint=f"the official file is {source_of(name).url}")


def _hgnc(text: str) -> pd.DataFrame:
    table = _frame(text, quoted=True)
    core = {
        "symbol": "symbol",
        "ensembl_id": "ensembl_gene_id",
        "biotype": "locus_group",
        "alias": "alias_symbol",
        "previous": "prev_symbol",
    }
    full = core | {"name": "name", "entrez_id": "entrez_id"}
    renamed = _renamed("hgnc", table, [full, core])
    if "status" in table:
        renamed = renamed[table["status"] == "Approved"]
    return renamed[renamed["symbol"] != ""]


def _mgi(text: str) -> pd.DataFrame:
    table = _frame(text)
    if "symbol" in table.columns and "ensembl_id" in table.columns:
        return _renamed("mgi", table, [{"symbol": "symbol", "ensembl_id": "ensembl_id"}])
    rows = [line.split("\t") for line in text.splitlines()]
    good = [row for row in rows if len(row) >= 9 and looks_like_ensembl(row[5])]
    if not good:
        msg = "A table 'mgi' has no header, the symbol second, the Ensembl id sixth; this has not."
        raise InputError(msg, hint=f"the official file is {source_of('mgi').url}")
    renamed = pd.DataFrame(
        [(row[1], row[5], row[8].split("|")[0], row[2]) for row in good],
        columns=["symbol", "ensembl_id", "biotype", "name"],
    )
    return renamed.drop_duplicates(["symbol", "ensembl_id"])


def _orthologs(text: str) -> pd.DataFrame:
    first = text.partition("\n")[0]
    if "DB Class Key" in first:
        return _mgi_homology(_frame(text))
    if len(_frame(first + "\n").columns) == 2 and "human" not in first.lower():
        table = _frame(text, names=("human_symbol", "mouse_symbol"))
    else:
        table = _frame(text)
    pair = {"human_symbol": "human_symbol", "mouse_symbol": "mouse_symbol"}
    hcop = {
        "human_symbol": "human_symbol",
        "human_id": "human_ensembl_gene",
        "mouse_symbol": "mouse_symbol",
        "mouse_id": "mouse_ensembl_gene",
        "support": "support",
    }
    renamed = _renamed("orthologs", table, [hcop, pair]).replace("-", "")
    databases = renamed["support"].str.count(",") + 1
    stated = renamed["support"] != ""
    renamed["support"] = databases.where(stated, 0).astype(str).where(stated, "")
    renamed = renamed[~stated | (databases >= LEAST_SUPPORT)]
    return renamed[(renamed["human_symbol"] != "") & (renamed["mouse_symbol"] != "")]


def _mgi_homology(table: pd.DataFrame) -> pd.DataFrame:
    """Join the human and the mouse rows of MGI's homology report by their class."""
    organism = table["Common Organism Name"]
    human = table[organism == "human"][["DB Class Key", "Symbol"]]
    mouse = table[organism.str.startswith("mouse")][["DB Class Key", "Symbol"]]
    pairs = human.merge(mouse, on="DB Class Key", suffixes=("_human", "_mouse"))
    pairs = pairs.rename(columns={"Symbol_human": "human_symbol", "Symbol_mouse": "mouse_symbol"})
    return pairs.assign(human_id="", mouse_id="", support="")


def _summaries(text: str) -> pd.DataFrame:
    ncbi = {"tax_id": "#tax_id", "entrez_id": "GeneID", "summary": "Summary"}
    joined = {"entrez_id": "entrez_id", "symbol": "symbol", "summary": "refseq_summary"}
    renamed = _renamed("summaries", _frame(text), [ncbi, joined])
    return renamed[(renamed["summary"] != "") & (renamed["summary"] != "-")]


def _ontology(text: str) -> pd.DataFrame:
    if "[Term]" in text:
        return _obo(text)
    layout = {column: column for column in source_of("ontology").columns}
    return _renamed("ontology", _frame(text), [layout])


def _obo(text: str) -> pd.DataFrame:
    rows = []
    for stanza in text.split("\n[")[1:]:
        kind, _, body = stanza.partition("]\n")
        tags: dict[str, list[str]] = {}
        for line in body.splitlines():
            tag, _, value = line.partition(": ")
            tags.setdefault(tag, []).append(value)
        identifier = tags.get("id", [""])[0]
        if kind != "Term" or "is_obsolete" in tags or not identifier.startswith("CL:"):
            continue
        rows.append({
            "id": identifier,
            "label": tags.get("name", [""])[0],
            "parents": "|".join(value.split(" ")[0] for value in tags.get("is_a", [])),
            "synonyms": "|".join(map(_between_quotes, tags.get("synonym", []))),
            "definition": _between_quotes(tags.get("def", [""])[0]),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(source_of("ontology").columns))


def _between_quotes(value: str) -> str:
    return value.rpartition('"')[0].partition('"')[2].replace('\\"', '"')


_MARKER_LAYOUTS = (
    {  # PanglaoDB
        "organism": "species",
        "cell_type": "cell type",
        "gene": "official gene symbol",
        "tissue": "organ",
    },
    {  # Cell Marker Accordion
        "organism": "species",
        "cell_type": "CL_celltype",
        "cl_id": "CL_ID",
        "gene": "marker",
        "tissue": "Uberon_tissue",
        "source": "resource",
    },
    {  # CellMatch
        "organism": "species",
        "cell_type": "celltype",
        "gene": "gene",
        "tissue": "tissue",
        "source": "pmid",
    },
    {"cell_type": "cell_type", "cl_id": "cl_id", "gene": "gene", "tissue": "tissue"},
    {"cell_type": "cell_type", "gene": "gene"},
)


def _markers(text: str) -> pd.DataFrame:
    table = _frame(text, quoted=True)
    renamed = _renamed("markers", table, _MARKER_LAYOUTS)
    if "marker_type" in table:  # a negative marker is one that the cell type lacks
        renamed = renamed[table["marker_type"] != "negative"]
    renamed = renamed[(renamed["gene"] != "") & (renamed["cell_type"] != "")]
    return renamed.drop_duplicates()


def _interactions(text: str) -> pd.DataFrame:
    first = text.partition("\n")[0].split("\t")
    if len(first) == 2 and all(looks_like_ensembl(name.strip()) for name in first):
        return _frame(text, names=("gene_a", "gene_b"))
    return _renamed("interactions", _frame(text), [{"gene_a": "gene_a", "gene_b": "gene_b"}])


_PARSERS: dict[str, Callable[[str], pd.DataFrame]] = {
    "hgnc": _hgnc,
    "mgi": _mgi,
    "orthologs": _orthologs,
    "summaries": _summaries,
    "ontology": _ontology,
    "markers": _markers,
    "interactions": _interactions,
}
