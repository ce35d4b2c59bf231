"""Which genes of a source may be named, and under which names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.knowledge import (
    ids_column,
    is_mitochondrial,
    is_protein_coding,
    is_ribosomal,
    map_genes,
)
from celloquy.text._rank import RankOptions
from celloquy.text._vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.checks import Kind
    from celloquy.knowledge import KnownGenes, MappingReport
    from celloquy.text._styles import Style


@dataclass(frozen=True, eq=False)
class GeneOptions:
    """Which genes may be named, under which names, and what ranks them.

    Raises
    ------
    InputError
        If `minimum`, `rank_by` or `medians` is not valid.
    """

    minimum: float = 0.0
    """Expression must exceed this, in the unit of the slot; else a gene is not expressed."""
    rank_by: Literal["value", "specificity"] = "value"
    """Rank by expression, or by expression over the gene's median in a corpus."""
    medians: Mapping[str, float] | None = None
    """Median of each gene in that corpus, by name; only for ``rank_by="specificity"``. Without
    it, those of `known`."""
    known: KnownGenes | None = None
    """The genes that a model knows: names are mapped to theirs, columns whose different names are
    those of one gene are summed, and all other genes are left out. `to` has no say then."""
    protein_coding_only: bool = False
    """Whether only genes that code for proteins are named."""
    exclude_mitochondrial: bool = False
    """Whether genes of the mitochondrial genome are left out."""
    exclude_ribosomal: bool = False
    """Whether genes of ribosomal proteins are left out."""
    exclude: tuple[str, ...] = ()
    """Names or Ensembl ids of genes to leave out; at least one must be there."""
    to: Literal["keep", "symbol", "ensembl"] = "keep"
    """Names as they are, approved symbols, or Ensembl ids."""
    collisions: Literal["refuse", "sum", "keep"] = "refuse"
    """What happens when several columns come to one name."""
    gene_column: str | None = None
    """Column of var that holds the gene names; `None` takes `var_names`."""
    organism: str | None = None
    """``"human"`` or ``"mouse"``; `None` reads it off the names."""

    def __post_init__(self) -> None:
        medians = None if self.median_of is None else np.zeros(0)
        RankOptions(minimum=self.minimum, rank_by=self.rank_by, medians=medians)

    @property
    def median_of(self) -> Mapping[str, float] | None:
        """Median of each gene that can be ranked; `None` where it is not asked for."""
        if self.medians is None and self.known is not None and self.rank_by == "specificity":
            return self.known.median_of
        return self.medians

    def record(self) -> dict[str, Any]:
        """Give the options as JSON has them."""
        held = {name: getattr(self, name) for name in self.__dataclass_fields__}
        held["medians"] = None if self.median_of is None else len(self.median_of)
        held["known"] = None if self.known is None else self.known.record()
        held["exclude"] = list(self.exclude)
        return held


@dataclass(frozen=True, eq=False)
class GeneChoice:
    """The genes of a source that may be named."""

    vocabulary: Vocabulary
    columns: NDArray[np.int32]
    """Position in the vocabulary of every source column, -1 = left out; shape ``(n_vars,)``."""
    report: MappingReport
    """What became of the names."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Genes left out, by reason."""


def gene_names(var: pd.DataFrame, gene_column: str | None = None) -> list[str]:
    """Give the name of every column of a source; a missing name is ``""``.

    Parameters
    ----------
    var
        The genes of the source, one row a column.
    gene_column
        Column of `var` that holds the names; `None` takes the index.

    Raises
    ------
    InputError
        If `gene_column` is not a column of `var`.

    Examples
    --------
    >>> import pandas as pd
    >>> var = pd.DataFrame({"symbol": ["CD3E", None]}, index=["ENSG00000198851", "x"])
    >>> gene_names(var, "symbol")
    ['CD3E', '']
    """
    if gene_column is None:
        return [str(name) for name in var.index]
    if gene_column not in var.columns:
        near = closest(gene_column, map(str, var.columns))
        msg = f"`var` has no column {gene_column!r}{near}."
        raise InputError(msg, hint=f"it has: {', '.join(map(str, var.columns)) or 'no columns'}.")
    return ["" if missing else str(name) for name, missing in _filled(var[gene_column])]


def gene_ids(var: pd.DataFrame) -> list[str] | None:
    """Give the Ensembl id of every column of a source, ``""`` where it is missing.

    Parameters
    ----------
    var
        The genes of the source, one row a column.

    Returns
    -------
    The ids, or `None` if no column of `var` holds any.
    """
    column = ids_column(var)
    if column is None:
        return None
    return ["" if missing else str(gene) for gene, missing in _filled(var[column])]


def _filled(values: pd.Series[Any]) -> zip[tuple[Any, bool]]:
    return zip(values.astype(object), values.isna(), strict=True)


def choose_genes(var: pd.DataFrame, options: GeneOptions, style: Style) -> GeneChoice:
    """Map the genes of a source to names, and leave out those that are not wanted.

    Names become capitals before collisions are looked for where the style writes capitals.

    Raises
    ------
    InputError
        If names collide and that is refused, nothing is left, or what is asked for is not
        known on this machine.
    """
    names = gene_names(var, options.gene_column)
    if style.upper_case:
        names = [name.upper() for name in names]
    ids = gene_ids(var)
    if options.known is not None:
        mapped = options.known.map(
            names, ids=ids, organism=options.organism, collisions=options.collisions
        )
    else:
        mapped = map_genes(
            names, ids=ids, to=options.to, collisions=options.collisions, organism=options.organism
        )
    reasons = _reasons(mapped.names, mapped.ids, options, upper_case=style.upper_case)
    keep = np.ones(len(mapped.names), dtype=bool)
    for unwanted in reasons.values():
        keep &= ~unwanted
    if not keep.any():
        msg = f"None of the {len(keep):,} genes may be named: {', '.join(reasons) or 'no names'}."
        raise InputError(msg, hint="exclude fewer genes.")
    place = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1).astype(np.int32)
    kept = np.flatnonzero(keep)
    vocabulary = Vocabulary(
        tuple(mapped.names[i] for i in kept),
        None if mapped.ids is None else tuple(mapped.ids[i] for i in kept),
    )
    left_out = {reason: int(unwanted.sum()) for reason, unwanted in reasons.items()}
    return GeneChoice(vocabulary, place[mapped.columns], mapped.report, left_out)


def _reasons(
    names: tuple[str, ...], ids: tuple[str, ...] | None, options: GeneOptions, *, upper_case: bool
) -> dict[str, NDArray[np.bool_]]:
    known = names if ids is None else tuple(i or name for i, name in zip(ids, names, strict=True))
    found: dict[str, NDArray[np.bool_]] = {}
    if options.protein_coding_only:
        found["not protein coding"] = ~is_protein_coding(known, organism=options.organism)
    if options.exclude_mitochondrial:
        found["mitochondrial"] = is_mitochondrial(names) | is_mitochondrial(known)
    if options.exclude_ribosomal:
        found["ribosomal"] = is_ribosomal(names)
    if options.exclude:
        given = {name.upper() if upper_case else name for name in options.exclude}
        found["excluded"] = np.array(
            [name in given or i in given for name, i in zip(names, known, strict=True)]
        )
        if not found["excluded"].any():
            first = options.exclude[0]
            near = closest(first, names)
            msg = f"None of the {len(given)} genes to exclude is there: {first!r}{near}."
            raise InputError(msg, hint="name genes as the source does, or leave `exclude` out.")
    return found


def rank_options(
    options: GeneOptions,
    vocabulary: Vocabulary,
    n_top_genes: int | None,
    *,
    kind: Kind = "counts",
) -> RankOptions:
    """Give the options of the ranking kernel for these genes and values of this kind."""
    medians = None
    if options.median_of is not None:
        medians = np.array([options.median_of.get(name, np.nan) for name in vocabulary.names])
    return RankOptions(n_top_genes, options.rank_by, options.minimum, medians, kind)
