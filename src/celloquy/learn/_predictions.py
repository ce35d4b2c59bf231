"""What a reference says of cells: labels, confidence, distance, and "unknown"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

UNKNOWN = "unknown"
"""The answer where the evidence is too weak or the cell too far from the reference."""
NO_LABEL = (
    "", UNKNOWN, "unassigned", "not assigned", "unlabelled", "unlabeled", "unannotated",
    "none", "nan", "na", "n/a",
)  # fmt: skip
"""What is written, in any case of letters, where a cell has no label."""


@dataclass(frozen=True)
class Thresholds:
    """Where a label is withheld; stored with the reference."""

    min_score: float = 0.5
    """Least probability of the likeliest label."""
    max_distance: float = np.inf
    """Largest mean distance to the nearest reference cells: the 99th percentile of the
    reference's own leave-one-out distances."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Label probabilities and distances of cells."""

    labels: tuple[str, ...]
    """Names of the reference's labels."""
    probabilities: NDArray[np.float64]
    """Rows sum to 1; shape ``(n_obs, n_labels)``."""
    distance: NDArray[np.float64]
    """Mean distance to the nearest reference cells; shape ``(n_obs,)``."""
    thresholds: Thresholds
    """What "unknown" is decided by."""
    calibrated: bool = False
    """Whether labelled cells were used to calibrate the probabilities."""
    is_empty: NDArray[np.bool_] | None = None
    """Where a cell expresses no gene that could tell its label; shape ``(n_obs,)``. `None`:
    nowhere."""

    @property
    def codes(self) -> NDArray[np.int64]:
        """Likeliest label of each cell, known or not; shape ``(n_obs,)``."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def score(self) -> NDArray[np.float64]:
        """Probability of the likeliest label, in [0, 1]; shape ``(n_obs,)``."""
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def is_unsure(self) -> NDArray[np.bool_]:
        """Where the likeliest label has too little probability; shape ``(n_obs,)``."""
        return np.asarray(self.score < self.thresholds.min_score)

    @property
    def is_far(self) -> NDArray[np.bool_]:
        """Where the cell is unlike all of the reference; shape ``(n_obs,)``."""
        return np.asarray(self.distance > self.thresholds.max_distance)

    @property
    def is_unknown(self) -> NDArray[np.bool_]:
        """Where the label is withheld; shape ``(n_obs,)``."""
        withheld = self.is_unsure | self.is_far
        return withheld if self.is_empty is None else withheld | self.is_empty

    @property
    def coverage(self) -> float:
        """Share of cells that got a label, in [0, 1]; NaN without cells."""
        return float(np.mean(~self.is_unknown)) if len(self.probabilities) else float("nan")

    @property
    def names(self) -> NDArray[np.object_]:
        """Label of each cell, or ``"unknown"``; shape ``(n_obs,)``."""
        names = np.array(self.labels, dtype=object)[self.codes]
        names[self.is_unknown] = UNKNOWN
        return np.asarray(names, dtype=object)

    @staticmethod
    def concatenate(parts: Sequence[Predictions]) -> Predictions:
        """Put cells of one reference end to end (at least one part)."""
        first = parts[0]
        empty = [part.is_empty for part in parts if part.is_empty is not None]
        return Predictions(
            first.labels,
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.distance for part in parts]),
            first.thresholds,
            first.calibrated,
            np.concatenate(empty) if len(empty) == len(parts) else None,
        )


@dataclass(frozen=True, eq=False)
class Majority:
    """One label a cluster, by majority of its cells."""

    names: NDArray[np.object_]
    """Label of each cell's cluster, or ``"unknown"``; shape ``(n_obs,)``."""
    share: NDArray[np.float64]
    """Share of the cluster's cells that voted for its likeliest label; shape ``(n_obs,)``."""


def majority(
    names: Sequence[str], clusters: Sequence[object], *, min_share: float = 0.5
) -> Majority:
    """Give every cell the label that most cells of its cluster have.

    Cells that are ``"unknown"`` do not vote for a label, but count in the share. Equal
    votes go to the label that sorts first.

    Parameters
    ----------
    names
        Predicted label of each cell; shape ``(n_obs,)``.
    clusters
        Cluster of each cell; shape ``(n_obs,)``. A cell without a cluster (NaN) keeps its
        own label, at share 1.
    min_share
        Clusters whose likeliest label has a smaller share become ``"unknown"``.

    Raises
    ------
    InputError
        If lengths differ, or `min_share` is outside [0, 1].

    Examples
    --------
    >>> voted = majority(["B", "B", "NK", "NK"], [1, 1, 1, 2])
    >>> voted.names.tolist(), voted.share.round(2).tolist()
    (['B', 'B', 'B', 'NK'], [0.67, 0.67, 0.67, 1.0])
    """
    if len(names) != len(clusters):
        msg = f"There are {len(names)} labels and {len(clusters)} clusters."
        raise InputError(msg, hint="pass one cluster a cell.")
    if not 0 <= min_share <= 1:
        msg = f"`min_share` is a share between 0 and 1, got {min_share}."
        raise InputError(msg)
    own = np.array(names, dtype=object)
    members, _ = pd.factorize(np.asarray(clusters, dtype=object))
    labels = sorted(set(own.tolist()) - {UNKNOWN})
    voted = pd.Categorical(own, categories=labels).codes
    n_clusters = int(members.max(initial=-1)) + 1
    votes = np.zeros((n_clusters, len(labels) + 1))
    counted = (voted >= 0) & (members >= 0)
    np.add.at(votes, (members[counted], voted[counted]), 1)
    sizes = np.bincount(members[members >= 0], minlength=n_clusters)
    shares = votes.max(axis=1) / np.maximum(sizes, 1)
    winners = np.array([*labels, UNKNOWN], dtype=object)[votes.argmax(axis=1)]
    winners[(shares < min_share) | (shares == 0)] = UNKNOWN
    inside = members >= 0
    result, share = own.copy(), np.ones(len(own))
    result[inside], share[inside] = winners[members[inside]], shares[members[inside]]
    return Majority(result, share)
