"""What is wrong with the names of genes and of cells."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from celloquy.checks._report import Problem, Severity
from celloquy.knowledge import (
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

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

__all__ = ["cell_name_problems", "gene_name_problems", "is_transposed", "warn_of_ensembl_ids"]

_BARCODE = re.compile(r"[ACGTN]{10,}", re.IGNORECASE)
_FEATURE_TYPES = ("feature_types", "feature_type")
_SYMBOL_COLUMNS = (
    "feature_name",
    "gene_symbol",
    "gene_symbols",
    "gene_name",
    "gene_names",
    "gene_short_name",
    "symbol",
)
"""Where CELLxGENE, 10x, Seurat and Monocle files keep symbols beside Ensembl ids."""
MOST_NAMES = 2_000
"""Names whose form is looked at where any number of them would tell the same."""
MOST_GENES = 100_000
"""No organism has more genes, so more names are those of cells."""
FEW_NAMES = 200
"""The same, for what every call of a verb looks at."""
LEAST_LANDMARKS = 3
"""So many ribosomal or mitochondrial genes among the cells' names tell a transposed matrix."""


def is_transposed(obs_names: pd.Index, var_names: pd.Index) -> str | None:
    """Tell a matrix of genes by cells from its names; give what says so, or None.

    One name proves nothing (K562 is a cell line and would do as a symbol), so it takes cell
    barcodes or, on the other side, Ensembl ids or well-known genes, and none where they belong.
    """
    cells, genes = _spread(obs_names), _spread(var_names)
    if _share(genes, _is_barcode) >= 0.5 > _share(cells, _is_barcode):
        return f"gene names look like barcodes of cells, such as {genes[0]!r}"
    if _share(cells, looks_like_ensembl) >= 0.5 > _share(genes, looks_like_ensembl):
        return f"cell names look like Ensembl gene ids, such as {cells[0]!r}"
    if _is_series(genes) and not _is_series(cells) and _looks_like_genes(cells):
        return f"gene names are numbered like cells, such as {genes[0]!r}"
    landmarks = _landmarks(obs_names) if len(obs_names) <= MOST_GENES else []
    if len(landmarks) >= LEAST_LANDMARKS and not _landmarks(var_names):
        return f"cell names look like genes, such as {landmarks[0]!r}"
    return None


def transposed_problem(found: str) -> Problem:
    """Say that the matrix lies on its side."""
    return Problem(
        code="transposed",
        severity="refuse",
        message=f"The matrix is transposed, genes by cells: {found}.",
        mend="`adata = adata.T.copy()`",
    )


def gene_name_problems(var: pd.DataFrame) -> list[Problem]:
    """Find what is wrong with gene names.

    Parameters
    ----------
    var
        Genes, indexed by name; other columns may hold ids and the kind of feature.
    """
    names = clean_names(var.index)
    return [
        *_repeated(names, var),
        *_unreadable(names),
        *_colliding(names),
        *_identifiers(names, var),
        *_features(names, var),
        *_organism(names),
    ]


def cell_name_problems(obs_names: pd.Index) -> list[Problem]:
    """Find repeated and blank names of cells."""
    repeated = obs_names[obs_names.duplicated()]
    problems = []
    if len(repeated):
        message = (
            f"{len(repeated):,} of {len(obs_names):,} cells bear the name of another cell, so "
            "results cannot be joined back by name."
        )
        mend = "`adata.obs_names_make_unique()`"
        examples = tuple(map(str, repeated[:3]))
        problems.append(
            Problem("repeated-cell-names", "warn", message, mend, len(repeated), examples)
        )
    n_blank = sum(1 for name in obs_names if not str(name).strip())
    if n_blank:
        message = f"{n_blank:,} cells have no name."
        mend = "`adata.obs_names = [f'cell_{i}' for i in range(adata.n_obs)]`"
        problems.append(Problem("blank-cell-names", "warn", message, mend, n_blank))
    return problems


def _spread(names: pd.Index) -> list[str]:
    """Take some of many names, evenly spread."""
    chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), MOST_NAMES)).astype(int))
    return [str(names[place]) for place in chosen]


def _share(names: Sequence[str], test: Callable[[str], bool]) -> float:
    return sum(map(test, names)) / len(names) if names else 0.0


def _is_barcode(name: str) -> bool:
    return _BARCODE.search(name) is not None


def _is_series(names: list[str]) -> bool:
    """Say whether names are one stem with numbers, as in cell_1, cell_2."""
    stems = _stems(names)
    return len(names) >= 10 and stems.most_common(1)[0][1] >= 0.9 * len(names)


def _looks_like_genes(names: list[str]) -> bool:
    """Say whether names have the form of symbols, and as many stems as genes have.

    Cells named after a few lines (K562-1, HL60-1) have the form and few stems.
    """
    if _share(names, _is_barcode) >= 0.5 or len(_stems(names)) < 0.3 * len(names):
        return False
    return guess_organism(names) is not None


def _stems(names: list[str]) -> Counter[str]:
    return Counter(re.sub(r"\d+", "", name) for name in names)


def _landmarks(names: pd.Index) -> list[str]:
    """Give the names that only a well-known gene bears."""
    return [str(name) for name in names[is_ribosomal(names) | is_mitochondrial(names)]]


def _repeated(names: list[str], var: pd.DataFrame) -> list[Problem]:
    counted = Counter(name for name in names if name)
    repeated = [name for name, n in counted.items() if n > 1]
    if not repeated:
        return _repeated_once_unversioned(names)
    n_genes = sum(counted[name] for name in repeated)
    message = f"{len(repeated):,} gene names repeat, borne by {n_genes:,} of {len(names):,} genes"
    column = ids_column(var)
    if column is not None:
        of_repeated = np.isin(names, repeated)
        n_ids = var[column].astype(str)[of_repeated].nunique()
        message += f" with {n_ids:,} different Ensembl ids in `var[{column!r}]`"
    return [
        Problem(
            code="repeated-gene-names",
            severity="refuse",
            message=message + ".",
            mend='`collisions="sum"` adds them up, or `adata.var_names_make_unique()` keeps them '
            "apart",
            count=n_genes,
            examples=tuple(repeated[:3]),
        )
    ]


def _repeated_once_unversioned(names: list[str]) -> list[Problem]:
    ids = Counter(strip_version(name) for name in names if looks_like_ensembl(name))
    repeated = [name for name, n in ids.items() if n > 1]
    if not repeated:
        return []
    return [
        Problem(
            code="repeated-ensembl-ids",
            severity="warn",
            message=f"{len(repeated):,} Ensembl ids are the same gene but for their version or "
            "the mark of the Y copy.",
            mend='`collisions="sum"`',
            count=len(repeated),
            examples=tuple(repeated[:3]),
        )
    ]


def _unreadable(names: list[str]) -> list[Problem]:
    problems = []
    n_blank = sum(not name for name in names)
    if n_blank:
        message = f"{n_blank:,} of {len(names):,} genes have no name, so no sentence can name them."
        mend = "`adata = adata[:, adata.var_names.str.strip() != ''].copy()`"
        severity: Severity = "refuse" if n_blank == len(names) else "warn"
        problems.append(Problem("blank-gene-names", severity, message, mend, n_blank))
    spaced = [name for name in names if any(letter.isspace() for letter in name)]
    if spaced:
        message = (
            f"{len(spaced):,} gene names hold spaces, which separate the names of a sentence, so "
            "they would be read back as several genes."
        )
        mend = "`adata.var_names = adata.var_names.str.replace(' ', '_')`"
        problems.append(
            Problem("spaces-in-gene-names", "warn", message, mend, len(spaced), tuple(spaced[:3]))
        )
    dates = [name for name in names if is_excel_date(name)]
    if dates:
        message = f"{len(dates):,} gene names are dates: a spreadsheet changed them."
        mend = "`adata = cq.knowledge.to_symbols(adata)` restores them where it can"
        problems.append(
            Problem("spreadsheet-dates", "warn", message, mend, len(dates), tuple(dates[:3]))
        )
    numbers = [name for name in names if re.fullmatch(r"\d+(\.\d+)?", name)]
    if len(numbers) > 0.5 * len(names):
        message = f"{len(numbers):,} of {len(names):,} gene names are bare numbers."
        mend = "put the gene names of the study into `adata.var_names`"
        problems.append(
            Problem("numbered-genes", "warn", message, mend, len(numbers), tuple(numbers[:3]))
        )
    return problems


def _colliding(names: list[str]) -> list[Problem]:
    collisions = case_collisions(name for name in names if name)
    if not collisions:
        return []
    message = (
        f"{len(collisions):,} pairs of gene names differ only in capitals. They are kept apart "
        "here; tools that write all names in capitals mix them up."
    )
    examples = tuple(" / ".join(group) for group in list(collisions.values())[:3])
    return [Problem("case-colliding-gene-names", "note", message, None, len(collisions), examples)]


def _identifiers(names: list[str], var: pd.DataFrame) -> list[Problem]:
    ids = [name for name in names if looks_like_ensembl(name)]
    if not ids:
        return []
    share = len(ids) / sum(1 for name in names if name)
    mend = _way_to_symbols(var)
    problems = []
    if share > 0.9:
        message = f"{len(ids):,} of {len(names):,} gene names are Ensembl ids."
        problems.append(Problem("ensembl-ids", "note", message, mend, len(ids), tuple(ids[:3])))
    else:
        message = f"{len(ids):,} of {len(names):,} gene names are Ensembl ids, the others are not."
        severity: Severity = "warn" if share > 0.1 else "note"
        problems.append(Problem("mixed-ids", severity, message, mend, len(ids), tuple(ids[:3])))
    versioned = [name for name in ids if strip_version(name) != name]
    if versioned:
        message = f"{len(versioned):,} Ensembl ids carry a version, which tables do not list."
        mend = "`adata = cq.knowledge.to_ensembl(adata)` leaves versions out"
        problems.append(
            Problem("versioned-ids", "note", message, mend, len(versioned), tuple(versioned[:3]))
        )
    return problems


def warn_of_ensembl_ids(
    names: Sequence[str], var: pd.DataFrame, *, source: str, otherwise: str | None = None
) -> None:
    """Warn where gene names that a language model is to read are Ensembl ids.

    Parameters
    ----------
    names
        Names that the verb uses, one a gene.
    var
        Genes of the source, whose columns may hold symbols.
    source
        Name of the source, for the message.
    otherwise
        What names genes by symbol where no column of `var` holds any; `None` says how in Python.
    """
    some = names[:: max(1, len(names) // FEW_NAMES)]
    if _share(some, looks_like_ensembl) <= 0.5:
        return
    first = next(filter(looks_like_ensembl, some))
    warnings.warn(
        f"The genes of '{source}' are named by Ensembl ids, such as {first!r}, and language models "
        f"know symbols: {_way_to_symbols(var, otherwise=otherwise)}.",
        stacklevel=3,
    )


def _way_to_symbols(var: pd.DataFrame, *, otherwise: str | None = None) -> str:
    """Name the column of var that holds symbols, or the call that looks them up."""
    for column in _SYMBOL_COLUMNS:
        if column in var.columns and _share(clean_names(var[column]), looks_like_ensembl) < 0.5:
            return f"`gene_column={column!r}` (`--gene-column {column}`) names genes by symbol"
    return otherwise or "`adata = cq.knowledge.to_symbols(adata)` names genes by symbol"


def _features(names: list[str], var: pd.DataFrame) -> list[Problem]:
    problems = []
    for column in _FEATURE_TYPES:
        if column not in var.columns:
            continue
        types = var[column].astype(str)
        others = types[~types.isin(["Gene Expression", "gene", "Gene"])]
        if 0 < len(others) < len(types):
            kinds = ", ".join(sorted(set(others))[:4])
            message = f"{len(others):,} of {len(types):,} columns are no genes but: {kinds}."
            mend = f"`adata = adata[:, adata.var[{column!r}] == 'Gene Expression'].copy()`"
            problems.append(Problem("other-features", "warn", message, mend, len(others)))
        break
    spikes = [name for name in names if re.fullmatch(r"ERCC-\d{5}", name)]
    if spikes:
        message = f"{len(spikes):,} columns are ERCC spike-ins, which no cell made."
        mend = "`adata = adata[:, ~adata.var_names.str.startswith('ERCC-')].copy()`"
        problems.append(Problem("spike-ins", "warn", message, mend, len(spikes), tuple(spikes[:3])))
    return problems


def _organism(names: list[str]) -> list[Problem]:
    organism = guess_organism(names)
    if organism == "mixed":
        message = "Gene names of more than one organism are mixed."
        mend = "keep the genes of one organism, or map mouse genes with `cq.knowledge.to_human`"
        return [Problem("mixed-organisms", "warn", message, mend)]
    if organism is None and any(names):
        examples = tuple(names[:3])
        message = "Gene names do not tell the organism; they have the form of no known one's."
        return [Problem("unknown-organism", "note", message, None, None, examples)]
    return []
