"""The scIB metrics of one embedding, by scib-metrics on exact neighbours."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import require
from celloquy.evaluation._measured import Meaning
from celloquy.learn import NeighbourIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

GRAPH_NEIGHBOURS, LISI_NEIGHBOURS = 15, 90
"""Neighbours, the cell itself among them."""
FEWEST_IN_KBET = 10
SCIB = "scIB (Luecken et al., Nature Methods 2022), by scib-metrics"
MEANINGS = {
    "isolated_labels": Meaning("silhouette of the labels that are in the fewest batches", SCIB),
    "kmeans_nmi": Meaning("mutual information of labels and k-means clusters", SCIB),
    "kmeans_ari": Meaning(
        "adjusted Rand index of labels and k-means clusters", SCIB, lowest=-0.5
    ),
    "silhouette_label": Meaning("silhouette of the labels, brought to [0, 1]", SCIB),
    "clisi": Meaning("how far neighbours have one label (cLISI)", SCIB),
    "bras": Meaning(
        "silhouette of the batches within each label, 1 where they overlap",
        "BRAS (Rautenstrauch and Ohler, Nature Biotechnology 2025), by scib-metrics",
    ),
    "ilisi": Meaning("how far neighbours are of all batches (iLISI)", SCIB),
    "kbet": Meaning(
        "share of neighbourhoods within a label whose batches are as in the whole label",
        "kBET (Büttner et al., Nature Methods 2019), by scib-metrics; neighbours are the exact "
        "nearest of the label, where scIB takes diffusion distances",
    ),
    "graph_connectivity": Meaning("share of each label's cells in one connected piece", SCIB),
    "pcr_comparison": Meaning(
        "share of the batches' variance that the PCA has and this embedding has not", SCIB
    ),
    "bio_conservation": Meaning("mean of the metrics of labels", SCIB),
    "batch_correction": Meaning("mean of the metrics of batches", SCIB),
    "scib_total": Meaning("0.6 · bio_conservation + 0.4 · batch_correction", SCIB),
}  # fmt: skip
"""What each metric says."""
OF_LABELS = ("isolated_labels", "kmeans_nmi", "kmeans_ari", "silhouette_label", "clisi")
OF_BATCHES = ("bras", "ilisi", "kbet", "graph_connectivity", "pcr_comparison")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labels and batches of cells."""

    labels: NDArray[np.object_]
    """Label of each cell."""
    batches: NDArray[np.object_] | None
    """Batch of each cell; `None` where there is one only."""
    before: NDArray[np.float32] | None = None
    """PCA of the same cells, shape ``(n_obs, d)``, that batches are compared with."""


def scib_metrics_of(vectors: NDArray[np.float32], cells: Labelled) -> dict[str, float]:
    """Compute the scIB suite; NaN where a metric is not defined for these cells.

    Parameters
    ----------
    vectors
        Embedding; shape ``(n_obs, d)``.
    cells
        Labels and batches of the cells.
    """
    scib = scib_package()
    n_labels = len(set(cells.labels))
    with _quiet():
        near = exact_neighbours(vectors, LISI_NEIGHBOURS)
        found = dict.fromkeys((*OF_LABELS, *OF_BATCHES), np.nan)
        if n_labels > 1:
            clusters = scib.nmi_ari_cluster_labels_kmeans(vectors, cells.labels)
            found["kmeans_nmi"], found["kmeans_ari"] = clusters["nmi"], clusters["ari"]
            found["silhouette_label"] = scib.silhouette_label(vectors, cells.labels)
            found["clisi"] = scib.clisi_knn(near, cells.labels)
        if cells.batches is not None:
            found["ilisi"] = scib.ilisi_knn(near, cells.batches)
            found["graph_connectivity"] = scib.graph_connectivity(
                near.subset_neighbors(min(GRAPH_NEIGHBOURS, near.n_neighbors)), cells.labels
            )
            if cells.before is not None:
                found["pcr_comparison"] = scib.pcr_comparison(
                    cells.before, vectors, cells.batches, categorical=True
                )
            if n_labels > 1:
                found["isolated_labels"] = scib.isolated_labels(
                    vectors, cells.labels, cells.batches
                )
            if _meets_in_a_label(cells):
                found["bras"] = scib.bras(vectors, cells.labels, cells.batches)
                found["kbet"] = _kbet(scib, vectors, cells)
    values = {name: float(value) for name, value in found.items()}
    return values | _aggregates(values, has_batches=cells.batches is not None)


def mixing_of(vectors: NDArray[np.float32], batches: NDArray[np.object_]) -> dict[str, float]:
    """Measure how far batches mix where no label is known: iLISI and kBET over all cells.

    Parameters
    ----------
    vectors
        Embedding; shape ``(n_obs, d)``.
    batches
        Batch of each cell; shape ``(n_obs,)``.
    """
    scib = scib_package()
    of_one = Labelled(np.full(len(batches), "", object), batches)
    with _quiet():
        near = exact_neighbours(vectors, LISI_NEIGHBOURS)
        mixed = float(scib.ilisi_knn(near, batches))
        return {"ilisi": mixed, "kbet": _kbet(scib, vectors, of_one)}


def scib_package(part: str = "") -> Any:  # noqa: ANN401 (untyped package)
    """Import scib-metrics, or a part of it, without what its own imports warn of.

    Parameters
    ----------
    part
        Name of a module within it.
    """
    name = f"scib_metrics.{part}" if part else "scib_metrics"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return require(name, extra="evaluate", why="to measure embeddings")


def exact_neighbours(vectors: NDArray[np.float32], k: int) -> Any:  # noqa: ANN401 (untyped package)
    """Find nearest cells exactly, in the form of scib-metrics: the cell itself stands first.

    Parameters
    ----------
    vectors
        Embedding; shape ``(n_obs, d)``.
    k
        Neighbours, with the cell itself; all cells where there are fewer.
    """
    nearest = scib_package("nearest_neighbors")
    index = NeighbourIndex(np.asarray(vectors, dtype=np.float32))
    found = index.leave_one_out(k=min(k, len(vectors)) - 1)
    own = np.arange(len(vectors))[:, None]
    return nearest.NeighborsResults(
        indices=np.hstack([own, found.rows]),
        distances=np.hstack([np.zeros((len(vectors), 1)), found.distances]).astype(np.float32),
    )


def _kbet(scib: Any, vectors: NDArray[np.float32], cells: Labelled) -> float:  # noqa: ANN401
    """Test the batches of neighbourhoods within each label; the mean over labels.

    Numbers of neighbours, and labels that are left out, are those of scIB. scib-metrics
    compiles an approximate search for its diffusion distances, a minute each run; the
    neighbours here are exact and Euclidean.
    """
    found = []
    for label in sorted(set(cells.labels)):
        mine = cells.labels == label
        batches = cells.batches[mine] if cells.batches is not None else np.array([])
        n, n_batches = len(batches), len(set(batches))
        if n >= FEWEST_IN_KBET and n_batches > 1:
            k = min(70, max(FEWEST_IN_KBET, n // n_batches // 4))
            accepted, _, _ = scib.kbet(exact_neighbours(vectors[mine], k + 1), batches)
            found.append(float(accepted))
    return float(np.mean(found)) if found else float("nan")


def _meets_in_a_label(cells: Labelled) -> bool:
    if cells.batches is None:
        return False
    here = [cells.batches[cells.labels == label] for label in set(cells.labels)]
    return any(1 < len(set(batches)) < len(batches) for batches in here)


def _aggregates(values: dict[str, float], *, has_batches: bool) -> dict[str, float]:
    of_labels = _mean([values[name] for name in OF_LABELS])
    if not has_batches:
        return {"bio_conservation": of_labels}
    of_batches = _mean([values[name] for name in OF_BATCHES])
    return {
        "bio_conservation": of_labels,
        "batch_correction": of_batches,
        "scib_total": 0.6 * of_labels + 0.4 * of_batches,
    }


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package's remarks on labels it leaves out, and jax's on CPUs, off the screen."""
    loggers = [logging.getLogger(name) for name in ("scib_metrics", "jax", "root")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
