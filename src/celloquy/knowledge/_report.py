"""What became of every gene name: counts, examples, and the map itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_EXAMPLES = 5
"""Examples a report keeps of each outcome."""


_OUTCOMES = (
    "unchanged",
    "mapped",
    "ambiguous",
    "unknown",
    "blank",
    "merged",
    "kept_apart",
    "dropped",
)


@dataclass(frozen=True)
class MappingReport:
    """What a mapping of gene names did.

    `unchanged`, `mapped`, `ambiguous`, `unknown` and `blank` add up to `n_vars`; `merged`,
    `kept_apart` and `dropped` count columns again, by what became of them.
    """

    to: str
    """What names were mapped to: ``"keep"``, ``"symbol"``, ``"ensembl"`` or ``"human"``."""
    source: str
    """Where the knowledge came from, with its version; ``""`` if none was needed."""
    n_vars: int
    """Columns that came in."""
    n_names: int
    """Genes that came out."""
    unchanged: int = 0
    """Columns whose name was right already."""
    mapped: int = 0
    """Columns that got another name."""
    ambiguous: int = 0
    """Columns whose name stands for several genes, so that none was chosen."""
    unknown: int = 0
    """Columns whose name stands for no known gene."""
    blank: int = 0
    """Columns without name or id."""
    merged: int = 0
    """Columns that were added to another column of the same gene."""
    kept_apart: int = 0
    """Columns that got a longer name because their gene has another column."""
    dropped: int = 0
    """Columns that were left out."""
    mapped_by: dict[str, int] = field(default_factory=dict)
    """How mapped names were found: by id, as previous symbol, alias, respelled, ortholog."""
    examples: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """First few of each outcome, as ``"old"`` or ``"old → new"``."""
    notes: tuple[str, ...] = ()
    """What the reader should know, in sentences."""

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain values that JSON and h5ad can hold."""
        plain = asdict(self)
        plain["notes"] = list(self.notes)
        plain["examples"] = {outcome: list(some) for outcome, some in self.examples.items()}
        return plain

    def __str__(self) -> str:
        known = f", by {self.source}" if self.source else ""
        lines = [f"{self.n_vars:,} columns → {self.n_names:,} genes (to {self.to}{known})"]
        for outcome in _OUTCOMES:
            count = getattr(self, outcome)
            if not count:
                continue
            some = self.examples.get(outcome, ())
            more = ", …" if count > len(some) else ""
            such = f"  such as {', '.join(some)}{more}" if some else ""
            lines.append(f"  {outcome.replace('_', ' '):<11}{count:>8,}{such}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


@dataclass(frozen=True, eq=False)
class GeneMap:
    """Where every column of a source goes.

    A gene's name is always taken by its column: ``names[columns[j]]`` is the name of column
    ``j``, and ``columns[j] == -1`` leaves it out.
    """

    names: tuple[str, ...]
    """Gene names, each once, in the order in which their first columns came."""
    ids: tuple[str, ...] | None
    """Ensembl ids in the same order, ``""`` where unknown; `None` if none is known."""
    columns: NDArray[np.int32]
    """Position in `names` of every source column, -1 = left out; shape ``(n_vars,)``."""
    report: MappingReport
    """What was mapped, merged, dropped, ambiguous and unknown."""

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def merged(self) -> NDArray[np.bool_]:
        """Which genes have several columns; shape ``(n_genes,)``."""
        kept = self.columns[self.columns >= 0]
        return np.bincount(kept, minlength=len(self.names)) > 1

    @cached_property
    def is_identity(self) -> bool:
        """Whether every column stays where it is."""
        return len(self.names) == len(self.columns) and bool(
            (self.columns == np.arange(len(self.columns))).all()
        )

    @cached_property
    def is_rising(self) -> bool:
        """Whether the columns that stay keep their order and none is merged."""
        return bool((np.diff(self.columns[self.columns >= 0]) > 0).all())
