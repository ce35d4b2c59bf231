"""Retired symbols and aliases, and the genes shared with a reference."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from celloquy.checks._report import Problem, Severity
from celloquy.io import open_stream
from celloquy.knowledge import clean_names, has_table, looks_like_ensembl, read_table, strip_version

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    Reference: TypeAlias = AnnData | str | os.PathLike[str] | Iterable[str]

LITTLE_OVERLAP = 0.5
"""Below this share of a reference's genes, results lean on few of them."""


def symbol_problems(names: Iterable[object], *, organism: str | None) -> list[Problem]:
    """Find human symbols that HGNC has renamed or knows as aliases.

    Without the HGNC table in the cache that is unknown, and said.
    """
    symbols = [name for name in clean_names(names) if name and not looks_like_ensembl(name)]
    if organism != "human" or not symbols:
        return []
    if not has_table("hgnc"):
        message = (
            "Whether symbols are retired or aliases is unknown: the HGNC table is not in the cache."
        )
        return [Problem("symbols-unchecked", "note", message, "`celloquy data get hgnc`")]
    table = read_table("hgnc")
    approved = set(table["symbol"])
    others = [symbol for symbol in symbols if symbol not in approved]
    previous = _listed(table["previous"])
    retired = [symbol for symbol in others if symbol in previous]
    aliases = _listed(table["alias"]) - previous
    alias = [symbol for symbol in others if symbol in aliases]
    unknown = len(others) - len(retired) - len(alias)
    mend = "`adata = cq.knowledge.to_symbols(adata)` takes the approved symbols"
    problems = []
    if retired:
        message = f"{len(retired):,} of {len(symbols):,} symbols are retired; HGNC renamed them."
        problems.append(
            Problem("retired-symbols", "note", message, mend, len(retired), tuple(retired[:3]))
        )
    if alias:
        message = f"{len(alias):,} of {len(symbols):,} symbols are aliases of approved ones."
        problems.append(Problem("aliases", "note", message, mend, len(alias), tuple(alias[:3])))
    if unknown:
        message = f"{unknown:,} of {len(symbols):,} symbols are not in the HGNC table at all."
        severity: Severity = "warn" if unknown > 0.5 * len(symbols) else "note"
        problems.append(Problem("unknown-symbols", severity, message, None, unknown))
    return problems


def _listed(column: pd.Series) -> set[str]:
    """Split the symbols that a field holds between bars."""
    return {symbol.strip() for field in column if field for symbol in field.split("|")}


def overlap_problems(names: Iterable[object], reference: Reference) -> tuple[list[Problem], float]:
    """Compare gene names with a reference's.

    Parameters
    ----------
    names
        Gene names of the source.
    reference
        Labelled cells, a path to them, or gene names.

    Returns
    -------
    Problems, and the share of the reference's genes that are among `names`.
    """
    here = _plain(names)
    there = _plain(_names_of(reference))
    if not there:
        message = "The reference names no genes."
        return [Problem("empty-reference", "refuse", message, "pass another reference")], 0.0
    shared = len(here & there)
    share = shared / len(there)
    message = f"{shared:,} of the reference's {len(there):,} genes are here ({share:.0%})."
    if share >= LITTLE_OVERLAP:
        return [Problem("reference-overlap", "note", message, None, shared)], share
    severity: Severity = "warn" if shared else "refuse"
    mend = _overlap_mend(here, there)
    examples = tuple(sorted(there - here)[:3])
    problem = Problem("little-overlap", severity, f"Only {message}", mend, shared, examples)
    return [problem], share


def _overlap_mend(here: set[str], there: set[str]) -> str:
    """Guess why few genes are shared."""
    ids_here = sum(map(looks_like_ensembl, here)) > 0.5 * len(here)
    ids_there = sum(map(looks_like_ensembl, there)) > 0.5 * len(there)
    if ids_here != ids_there:
        wanted = "to_ensembl" if ids_there else "to_symbols"
        return f"one side has Ensembl ids, the other symbols: `cq.knowledge.{wanted}(adata)`"
    in_capitals = len({name.upper() for name in here} & {name.upper() for name in there})
    if in_capitals > 2 * len(here & there):
        return "names agree but for capitals, as human and mouse do: `cq.knowledge.to_human(adata)`"
    return "take a reference of the same organism and the same naming"


def _plain(names: Iterable[object]) -> set[str]:
    return {strip_version(name) for name in clean_names(names) if name}


def _names_of(reference: Reference) -> Iterable[object]:
    if isinstance(reference, str | os.PathLike):
        with open_stream(reference) as stream:
            return list(stream.var.index)
    return list(reference) if isinstance(reference, Iterable) else list(reference.var_names)
