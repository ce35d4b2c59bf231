"""Whether the nearest cells have the same label: of all cells, and of other batches only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from celloquy.evaluation._intervals import drawn_groups, interval_of
from celloquy.evaluation._label_counts import count_labels, rates
from celloquy.evaluation._measured import Meaning
from celloquy.learn import NearestNeighbours, label_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from celloquy.evaluation._intervals import Interval

    Labels = NDArray[np.object_]

N_NEIGHBOURS = 15
NEAREST = "majority of the 15 nearest cells, by exact Euclidean search"
MEANINGS = {
    "neighbour_accuracy": Meaning(
        "share of cells whose label is that of their nearest other cells", NEAREST
    ),
    "neighbour_macro_f1": Meaning("mean F1 over labels of the same", NEAREST),
    "transfer_accuracy": Meaning(
        "share of cells whose label is that of the nearest cells of other batches", NEAREST
    ),
    "transfer_macro_f1": Meaning("mean F1 over labels of the same", NEAREST),
}
"""What each metric says."""


@dataclass(frozen=True, eq=False)
class Transfer:
    """How labels carry over from nearest cells."""

    metrics: dict[str, float]
    """Metrics by name."""
    intervals: dict[str, Interval] = field(default_factory=dict)
    """Intervals over batches."""
    n_alone: int = 0
    """Cells whose label is in no other batch: they were left out of the transfer."""


def measure_neighbours(vectors: NDArray[np.float32], labels: Labels) -> Transfer:
    """Label each cell by its nearest other cells.

    Parameters
    ----------
    vectors
        Embedding; shape ``(n_obs, d)``.
    labels
        Label of each cell; shape ``(n_obs,)``.

    Examples
    --------
    >>> vectors = np.array([[0.0], [0.1], [9.0], [9.1]], dtype=np.float32)
    >>> labels = np.array(["B", "B", "T", "B"], dtype=object)
    >>> measure_neighbours(vectors, labels).metrics["neighbour_accuracy"]  # of one other cell each
    0.5
    """
    names, codes = label_codes(labels.tolist())
    k = min(N_NEIGHBOURS, max(1, len(codes) // 2 - 1))
    head = NearestNeighbours(n_neighbours=k).fit(vectors, codes, n_labels=len(names))
    told = np.array(names, dtype=object)[head.vote(head.index.leave_one_out(k=k)).argmax(axis=1)]
    counted = count_labels(labels, told)
    found = rates(counted.total[None], counted)
    return Transfer(
        {
            "neighbour_accuracy": float(found["accuracy"][0]),
            "neighbour_macro_f1": float(found["macro_f1"][0]),
        }
    )


def measure_transfer(
    vectors: NDArray[np.float32], labels: Labels, *, batches: Labels, seed: int = 0
) -> Transfer:
    """Label each cell by the nearest cells of all other batches.

    Cells whose label is in no other batch cannot be right, and are left out.

    Parameters
    ----------
    vectors
        Embedding; shape ``(n_obs, d)``.
    labels
        Label of each cell; shape ``(n_obs,)``.
    batches
        Batch or study of each cell; shape ``(n_obs,)``.
    seed
        Seed of the intervals.

    Examples
    --------
    The two B find each other across the batches; the T is in one batch only.

    >>> vectors = np.array([[0.0], [0.1], [9.0]], dtype=np.float32)
    >>> found = measure_transfer(
    ...     vectors,
    ...     np.array(["B", "B", "T"], dtype=object),
    ...     batches=np.array(["one", "two", "two"], dtype=object),
    ... )
    >>> found.metrics["transfer_accuracy"], found.n_alone
    (1.0, 1)
    """
    names, codes = label_codes(labels.tolist())
    told = np.empty(len(labels), dtype=object)
    asked = np.zeros(len(labels), dtype=bool)
    for batch in sorted(set(batches)):
        here, others = batches == batch, np.flatnonzero(batches != batch)
        known = here & np.isin(labels, labels[others])
        if known.any():
            asked |= known
            told[known] = np.array(names, dtype=object)[_vote(vectors, codes, others, known)]
    if not asked.any():
        nothing = dict.fromkeys(("transfer_accuracy", "transfer_macro_f1"), float("nan"))
        return Transfer(nothing, n_alone=len(labels))
    counted = count_labels(labels[asked], told[asked], groups=batches[asked])
    found = rates(counted.total[None], counted)
    metrics = {f"transfer_{name}": float(found[name][0]) for name in ("accuracy", "macro_f1")}
    intervals = {}
    if len(counted.groups) > 1:
        weights = drawn_groups(len(counted.groups), seed=seed)
        drawn = counted.rates_of(weights)
        for name in ("accuracy", "macro_f1"):
            interval = interval_of(drawn[name], n_groups=len(counted.groups))
            if interval is not None:
                intervals[f"transfer_{name}"] = interval
    return Transfer(metrics, intervals, int((~asked).sum()))


def _vote(
    vectors: NDArray[np.float32],
    codes: NDArray[np.int64],
    others: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Give the most frequent label of the nearest of other cells."""
    k = min(N_NEIGHBOURS, max(1, len(others) // 2))
    head = NearestNeighbours(n_neighbours=k)
    head.fit(vectors[others], codes[others], n_labels=int(codes.max()) + 1)
    return np.asarray(head.probabilities(vectors[known]).argmax(axis=1), dtype=np.int64)
