"""What a gene's name says by itself: no table is looked into here."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from numpy.typing import NDArray

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}(\.\d+)?(_PAR_Y)?")
_PAR_Y = re.compile(r"ENSGR(\d{10})(\.\d+)?")
_GENOME = re.compile(r"(?:GRCh3\d|hg\d\d|GRCm3\d|mm\d\d)_+")
_MOUSE_GENOME = re.compile(r"(?:GRCm3\d|mm\d\d)_+")
_MITOCHONDRIAL = re.compile(r"(?:MT|mt|Mt)[-.].+")
_RIBOSOMAL = re.compile(
    r"RP(?:L(?:P[0-2]|\d{1,2}(?:A|AL|L|L1)?)|S(?:A2?|\d{1,2}(?:A|X|Y1|Y2|L)?))", re.IGNORECASE
)
_HUMAN_SYMBOL = re.compile(r"(?=.*[A-Z]{2})[A-Z0-9][A-Z0-9.-]*|C[0-9XY]{1,2}orf\d+")
_MOUSE_SYMBOL = re.compile(r"[A-Z][a-z]+[a-z0-9.-]*|mt-[A-Z][a-z0-9]+|\d+[A-Z]\d+Rik|Gm\d+")
_EXCEL_DATE = re.compile(
    r"(?P<day>\d{1,2})-(?P<month>Mar|Sep|Sept|Dec|Oct)|(?P<month2>Mar|Sep|Sept|Dec|Oct)-(?P<day2>\d{1,2})",
    re.IGNORECASE,
)
_N_IDS_KEPT = 2**16
"""Names whose id is remembered: those of a file, in some 10 MB."""
_BLANK = frozenset({"", "nan", "NaN", "NA", "None", "<NA>"})

_ORGANISM_OF_PREFIX = {
    "ENSG": "human",
    "ENSMUSG": "mouse",
    "ENSRNOG": "rat",
    "ENSMMUG": "macaque",
    "ENSDARG": "zebrafish",
    "ENSSSCG": "pig",
    "ENSPTRG": "chimpanzee",
    "ENSCJAG": "marmoset",
}

# The 13 protein, 2 rRNA and 22 tRNA genes of the mitochondrial genome: numbers of their
# Ensembl ids. Mouse ids run without a gap, but for mt-Nd4l, which was numbered anew.
_HUMAN_MITOCHONDRIAL = (
    198695, 198712, 198727, 198763, 198786, 198804, 198840, 198886, 198888, 198899, 198938,
    209082, 210049, 210077, 210082, 210100, 210107, 210112, 210117, 210127, 210135, 210140,
    210144, 210151, 210154, 210156, 210164, 210174, 210176, 210184, 210191, 210194, 210195,
    210196, 211459, 212907, 228253,
)  # fmt: skip
_MITOCHONDRIAL_IDS = frozenset(
    {f"ENSG{number:011d}" for number in _HUMAN_MITOCHONDRIAL}
    | {f"ENSMUSG{number:011d}" for number in (*range(64336, 64362), *range(64363, 64373), 65947)}
)


def looks_like_ensembl(name: str) -> bool:
    """Say whether one name has the form of an Ensembl gene id, with or without a version.

    The whole name must fit, so that the gene ENSA is a symbol. GENCODE's mark of the
    Y copy of a pseudoautosomal gene (``_PAR_Y``, once ``ENSGR…``) is part of the form.

    Examples
    --------
    >>> [looks_like_ensembl(name) for name in ("ENSG00000141510.17", "ENSA", "ENST00000269305")]
    [True, False, False]
    """
    return name.startswith("ENS") and bool(_ensembl_id(name))


def strip_version(name: str) -> str:
    """Give an Ensembl gene id without version and ``_PAR_Y``; any other name as it is.

    Examples
    --------
    >>> strip_version("ENSG00000182378.15_PAR_Y"), strip_version("ENSGR0000182378.9")
    ('ENSG00000182378', 'ENSG00000182378')
    >>> strip_version("AC012345.1")
    'AC012345.1'
    """
    return (_ensembl_id(name) or name) if name.startswith("ENS") else name


@lru_cache(maxsize=_N_IDS_KEPT)
def _ensembl_id(name: str) -> str:
    # Ensembl gene id that a name is, without version; "" if it is none. One file's ids are
    # looked at several times on the way to sentences, and the pattern costs more than a look-up.
    if _ENSEMBL.fullmatch(name):
        return name.partition("_")[0].partition(".")[0]
    copy = _PAR_Y.fullmatch(name)
    return f"ENSG0{copy.group(1)}" if copy else ""


def clean_names(names: Iterable[object]) -> list[str]:
    """Give names as text without outer spaces; missing and blank ones as ``""``.

    Examples
    --------
    >>> clean_names([" CD3E", float("nan"), None, "nan", "MS4A1"])
    ['CD3E', '', '', '', 'MS4A1']
    """
    texts = [name.strip() if isinstance(name, str) else str(name) for name in names]
    return ["" if text in _BLANK else text for text in texts]


def guess_organism(names: Iterable[object]) -> str | None:
    """Tell the organism from the form of gene names.

    Ensembl ids tell it by their prefix, genome prefixes (``mm10_``) by themselves, symbols
    by their letters: human symbols are upper case (``CD3E``, ``C1orf43``), mouse and rat
    symbols have one capital (``Cd3e``). An upper-cased mouse file therefore looks human,
    and a rat file of symbols looks like mouse.

    Parameters
    ----------
    names
        Gene names; ids and symbols may be mixed.

    Returns
    -------
    ``"human"``, ``"mouse"`` or another organism; ``"mixed"`` if a tenth of the names or
    more speak for a second one; `None` if fewer than seven tenths of them speak for any.

    Examples
    --------
    >>> guess_organism(["Cd3e", "Ms4a1", "mt-Nd1", "Gm1992"])
    'mouse'
    >>> guess_organism(["GRCh38_CD3E", "mm10_Cd3e"])
    'mixed'
    """
    votes = Counter(organism for name in clean_names(names) if (organism := _organism_of(name)))
    total = votes.total() + 0.0
    if not total:
        return None
    voted = [(organism, n) for organism, n in votes.most_common() if organism != "unclear"]
    if len(voted) > 1 and voted[1][1] >= 0.1 * total:
        return "mixed"
    return voted[0][0] if voted and voted[0][1] >= 0.7 * total else None


def _organism_of(name: str) -> str | None:
    """Say what one name speaks for; `None` if it has no vote (blank, too short)."""
    if _GENOME.match(name):
        return "mouse" if _MOUSE_GENOME.match(name) else "human"
    if looks_like_ensembl(name):
        prefix = strip_version(name)[:-11]
        return _ORGANISM_OF_PREFIX.get(prefix, "another organism")
    if sum(letter.isalpha() for letter in name) < 2:
        return None
    if _HUMAN_SYMBOL.fullmatch(name):
        return "human"
    return "mouse" if _MOUSE_SYMBOL.fullmatch(name) else "unclear"


def is_mitochondrial(names: Iterable[object]) -> NDArray[np.bool_]:
    """Mark the genes of the mitochondrial genome, human or mouse.

    A gene is known by its symbol (``MT-``, ``mt-``; ``MT.`` as R writes it; after a genome
    prefix such as ``GRCh38_``) or by one of the 37 Ensembl ids a species has of them.

    Returns
    -------
    One truth value a name, shape ``(n_vars,)``.

    Examples
    --------
    >>> is_mitochondrial(["MT-CO1", "mt-Nd1", "MTOR", "ENSG00000198804.2"]).tolist()
    [True, True, False, True]
    """
    return np.array([_is_mitochondrial(name) for name in clean_names(names)], dtype=bool)


def _is_mitochondrial(name: str) -> bool:
    name = _GENOME.sub("", name, count=1)
    return _MITOCHONDRIAL.fullmatch(name) is not None or strip_version(name) in _MITOCHONDRIAL_IDS


def is_ribosomal(names: Iterable[object]) -> NDArray[np.bool_]:
    """Mark the genes of cytosolic ribosomal proteins, human or mouse, by symbol.

    These are RPL…, RPLP0 to 2, RPS… and RPSA with their paralogues (RPL3L, RPL36AL, RPS4Y1).
    Not marked: kinases (RPS6KA1), binding proteins (RPS19BP1), pseudogenes (RPL21P28),
    mitochondrial ribosomal proteins (MRPL…), the fusions FAU and UBA52, and Ensembl ids.

    Returns
    -------
    One truth value a name, shape ``(n_vars,)``.

    Examples
    --------
    >>> is_ribosomal(["RPL13A", "Rps4x", "RPS6KA1", "RPL21P28", "RPSA"]).tolist()
    [True, True, False, False, True]
    """
    cleaned = (_GENOME.sub("", name, count=1) for name in clean_names(names))
    return np.array([_RIBOSOMAL.fullmatch(name) is not None for name in cleaned], dtype=bool)


def spellings(name: str) -> tuple[str, ...]:
    """Give what a spoilt symbol may have been before a tool spoilt it, likeliest first.

    Spreadsheets make dates of symbols (``2-Sep`` was SEPT2), R makes dots of hyphens
    (``HLA.A``), and some tools write ``C1ORF43`` for C1orf43. A lower-case name gives
    nothing: ``Cd3e`` is a mouse gene, not a spoilt human one.

    Examples
    --------
    >>> spellings("2-Sep"), spellings("1-Mar"), spellings("HLA.A"), spellings("C1ORF43")
    (('SEPT2', 'SEPTIN2'), ('MARCH1', 'MARC1'), ('HLA-A',), ('C1orf43',))
    >>> spellings("Cd3e")
    ()
    """
    date = _EXCEL_DATE.fullmatch(name) if "-" in name else None
    if date:
        return _before_excel(date)
    found = []
    if "." in name:
        found.append(name.replace(".", "-"))
    if "ORF" in name and re.fullmatch(r"C[0-9XY]{1,2}ORF\d+", name):
        found.append(name.replace("ORF", "orf"))
    return tuple(found)


def is_excel_date(name: str) -> bool:
    """Say whether a name is a date that a spreadsheet made of a gene symbol.

    Examples
    --------
    >>> is_excel_date("1-Mar"), is_excel_date("Sep-02"), is_excel_date("MARCHF1")
    (True, True, False)
    """
    return _EXCEL_DATE.fullmatch(name) is not None


def _before_excel(date: re.Match[str]) -> tuple[str, ...]:
    number = int(date["day"] or date["day2"])
    stems = {
        "mar": ("MARCH", "MARC"),
        "sep": ("SEPT", "SEPTIN"),
        "dec": ("DEC",),
        "oct": ("OCT",),
    }
    return tuple(f"{stem}{number}" for stem in stems[(date["month"] or date["month2"])[:3].lower()])


def case_collisions(names: Iterable[object]) -> dict[str, tuple[str, ...]]:
    """Find names that differ only in the case of their letters.

    Tools that upper-case names take such genes for one (Cell2Sentence 1.2.0 then gives
    every later gene the name of another).

    Returns
    -------
    The upper-cased name → the different names that share it, in their first order.

    Examples
    --------
    >>> case_collisions(["Gene1", "GENE1", "B", "B"])
    {'GENE1': ('Gene1', 'GENE1')}
    """
    groups: dict[str, dict[str, None]] = {}
    for name in clean_names(names):
        groups.setdefault(name.upper(), {})[name] = None
    return {upper: tuple(group) for upper, group in groups.items() if len(group) > 1}


def ids_column(var: pd.DataFrame) -> str | None:
    """Name the column of `var` that holds Ensembl gene ids, if one does.

    It is the text column most of whose filled entries look like Ensembl ids, at least half
    of them; the first such column where several are alike.

    Examples
    --------
    >>> import pandas as pd
    >>> ids_column(pd.DataFrame({"n": [1], "gene_ids": ["ENSG00000141510"]}, index=["TP53"]))
    'gene_ids'
    """
    best, best_share = None, 0.0
    for column in var.columns:
        if var[column].dtype.kind in {"b", "i", "u", "f", "c", "M"}:
            continue
        filled = [name for name in clean_names(var[column]) if name]
        share = sum(map(looks_like_ensembl, filled)) / len(filled) if filled else 0.0
        if share >= 0.5 and share > best_share:
            best, best_share = column, share
    return best
