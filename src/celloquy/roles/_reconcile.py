"""Two names of a cluster, one by its markers and one by its cells, made one where they can be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celloquy.knowledge import marker_panel
from celloquy.learn import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    Parents: TypeAlias = Mapping[str, str | Sequence[str]]

SURE_SHARE = 0.8
"""Share of a cluster's cells that decides against a language model, where the panel cannot."""


@dataclass(frozen=True)
class Votes:
    """What is known of one cluster before it is named."""

    by_markers: str
    """What the language model calls it, or ``"unknown"``."""
    by_cells: str | None
    """What most of its cells are called, or ``"unknown"``; `None` without labels of cells."""
    share: float
    """Share of its cells that are called so, in [0, 1]; NaN without labels of cells."""
    genes: tuple[str, ...]
    """Its marker genes, best first."""


@dataclass(frozen=True)
class Decision:
    """The name of a cluster, and what decided."""

    name: str
    """One of the two, or ``"unknown"``."""
    decided_by: str
    """``"both"``, ``"markers"``, ``"cells"``, ``"panel"`` or ``"nothing"``."""
    agree: bool | None
    """Whether the two names are the same; `None` where only one was given."""


def same_name(one: str, other: str) -> bool:
    """Say whether two names differ at most in case, spaces, dashes and a plural.

    Examples
    --------
    >>> same_name("B cells", "b-cell"), same_name("T cell", "NK cell")
    (True, False)
    """
    return plain_name(one) == plain_name(other)


def plain_name(name: str) -> str:
    """Write a name without what does not tell names apart: case, dashes, a plural.

    Examples
    --------
    >>> plain_name("T-Cells")
    't cell'
    """
    words = re.sub(r"[\s\-_]+", " ", name.strip().casefold()).split(" ")
    return " ".join(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in words
    )


def panel_support(
    name: str, genes: Sequence[str], *, measured: Sequence[str] | None = None
) -> tuple[int, int] | None:
    """Count the panel's markers of a cell type that are among given genes.

    Parameters
    ----------
    name
        A cell type; case, dashes and plurals do not matter.
    genes
        Marker genes of a cluster.
    measured
        Genes of the file; the panel's other genes do not count. `None` counts all.

    Returns
    -------
    How many of how many, or `None` where the panel does not know the type or none of its
    markers was measured.

    Examples
    --------
    >>> panel_support("B cells", ["CD79A", "MS4A1", "LYZ"])
    (2, 5)
    """
    panel = marker_panel()
    known = panel.loc[[same_name(name, other) for other in panel["cell_type"]], "gene"]
    if measured is not None:
        known = known[known.isin(set(measured))]
    if known.empty:
        return None
    return int(known.isin(set(genes)).sum()), len(known)


def best_of_panel(genes: Sequence[str], *, measured: Sequence[str]) -> str:
    """Name the panel's cell type with most of its markers among the genes; ``""`` if none has two.

    Examples
    --------
    >>> best_of_panel(["CD79A", "MS4A1", "LYZ"], measured=["CD79A", "MS4A1", "LYZ", "CD79B"])
    'B cell'
    """
    panel = marker_panel()
    panel = panel[panel["gene"].isin(set(measured))]
    hit = panel["gene"].isin(set(genes))
    shares = hit.groupby(panel["cell_type"]).agg(["sum", "mean"])
    shares = shares[shares["sum"] >= 2].sort_values(["mean", "sum"], ascending=False, kind="stable")
    return "" if shares.empty else str(shares.index[0])


def reconcile(votes: Votes, *, measured: Sequence[str], parents: Parents | None = None) -> Decision:
    """Decide on a cluster's name by a rule that can be said in one breath.

    Where one of the two says nothing, the other counts. Where both say the same, that
    counts. Where one is the parent of the other in `parents`, the parent counts. Else the
    one with the larger share of the panel's markers among the cluster's markers counts, and
    if the panel cannot tell, the cells' name if at least 80 % of the cells are called so.
    Else the cluster is ``"unknown"``.

    Parameters
    ----------
    votes
        The two names and the markers.
    measured
        Genes of the file.
    parents
        The parent or parents of each cell type, if known.
    """
    if votes.by_cells in {None, UNKNOWN}:
        agree = None if votes.by_cells is None else votes.by_markers == UNKNOWN
        return Decision(votes.by_markers, _who(votes.by_markers, "markers"), agree)
    by_cells = str(votes.by_cells)
    if votes.by_markers == UNKNOWN:
        return Decision(by_cells, "cells", agree=False)
    if same_name(votes.by_markers, by_cells):
        return Decision(by_cells, "both", agree=True)
    for child, parent in ((votes.by_markers, by_cells), (by_cells, votes.by_markers)):
        if _is_ancestor(parent, child, parents or {}):
            return Decision(parent, "both", agree=True)
    return _by_evidence(votes, by_cells, measured)


def _who(name: str, who: str) -> str:
    return "nothing" if name == UNKNOWN else who


def _is_ancestor(ancestor: str, name: str, parents: Parents) -> bool:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        above = parents.get(waiting.pop(), ())
        for one in [above] if isinstance(above, str) else above:
            if same_name(one, ancestor):
                return True
            if one not in seen:
                seen.add(one)
                waiting.append(one)
    return False


def _by_evidence(votes: Votes, by_cells: str, measured: Sequence[str]) -> Decision:
    shares = []
    for name in (votes.by_markers, by_cells):
        found = panel_support(name, votes.genes, measured=measured)
        shares.append(None if found is None else found[0] / found[1])
    if None not in shares and shares[0] != shares[1]:
        wins = votes.by_markers if shares[0] > shares[1] else by_cells  # type: ignore[operator]
        return Decision(wins, "panel", agree=False)
    if votes.share >= SURE_SHARE:
        return Decision(by_cells, "cells", agree=False)
    return Decision(UNKNOWN, "nothing", agree=False)
