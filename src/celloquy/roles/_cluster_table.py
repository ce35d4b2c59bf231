"""Names of clusters with the evidence for each, and what each cell gets of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy.learn import UNKNOWN
from celloquy.roles._reconcile import Votes, best_of_panel, panel_support, reconcile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from celloquy.roles._cluster_names import ClusterName

    Markers = Mapping[str, Sequence[str]]


def evidence_table(
    named: Mapping[str, ClusterName],
    markers: Markers,
    members: pd.Series[Any],
    said: pd.Series[Any] | None,
    *,
    measured: Sequence[str],
    parents: Mapping[str, Sequence[str]],
    told: Markers,
) -> pd.DataFrame:
    """Decide on every cluster, and put the evidence beside it."""
    rows = []
    words = members.where(members.notna(), None).map(
        lambda name: None if name is None else str(name)
    )
    for cluster, answer in named.items():
        inside = (words == cluster).to_numpy()
        by_cells, share = _most(said, inside)
        genes = tuple(markers[cluster])
        votes = Votes(answer.name, by_cells, share, genes)
        decision = reconcile(votes, measured=measured, parents=parents)
        rows.append(
            {
                "cluster": cluster,
                "n_cells": int(inside.sum()),
                "name": decision.name,
                "decided_by": decision.decided_by,
                "agree": {True: "yes", False: "no", None: ""}[decision.agree],
                "by_markers": answer.name,
                "score": answer.score,
                "second": answer.second,
                "second_score": answer.second_score,
                "is_known": answer.is_known,
                "by_cells": by_cells or "",
                "share": share,
                "panel_says": best_of_panel(genes, measured=measured),
                "panel_of_markers": _support(answer.name, genes, measured),
                "panel_of_cells": _support(by_cells or UNKNOWN, genes, measured),
                "markers": " ".join(told[cluster]),
                "why": answer.why,
            }
        )
    return pd.DataFrame(rows)


def _most(said: pd.Series[Any] | None, inside: NDArray[np.bool_]) -> tuple[str | None, float]:
    """Give what most cells of a cluster are called, and their share of all its cells."""
    if said is None:
        return None, float("nan")
    counts = said[inside].astype(str).value_counts()
    votes = {str(name): int(n) for name, n in counts.items() if str(name) != UNKNOWN}
    if not votes:
        return UNKNOWN, 0.0
    winner = min(votes, key=lambda name: (-votes[name], name))
    return winner, votes[winner] / int(inside.sum())


def _support(name: str, genes: Sequence[str], measured: Sequence[str]) -> str:
    found = None if name == UNKNOWN else panel_support(name, genes, measured=measured)
    return "" if found is None else f"{found[0]} of {found[1]}"


def cells_of(
    key: str, table: pd.DataFrame, members: pd.Series[Any], index: pd.Index[Any]
) -> pd.DataFrame:
    """Give each cell what its cluster got."""
    nothing = (UNKNOWN, np.nan, "nothing")
    of_cluster = {
        str(row["cluster"]): (
            row["name"],
            row["score"] if row["name"] == row["by_markers"] else np.nan,
            row["decided_by"],
        )
        for row in table.to_dict("records")
    }
    found = [
        of_cluster.get(str(name), nothing) if has_one else nothing
        for name, has_one in zip(members, members.notna(), strict=True)
    ]
    names = [name for name in dict.fromkeys(table["name"]) if name != UNKNOWN]
    return pd.DataFrame(
        {
            key: pd.Categorical([one[0] for one in found], categories=[*names, UNKNOWN]),
            f"{key}_score": np.array([one[1] for one in found], dtype=np.float32),
            f"{key}_decided_by": pd.Categorical([one[2] for one in found]),
        },
        index=index,
    )
