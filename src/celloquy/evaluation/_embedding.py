"""How good an embedding is, beside a PCA, the sentences' words and random vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from celloquy._runtime import rng_for
from celloquy.errors import InputError
from celloquy.evaluation import _embedding_neighbours, _embedding_scib
from celloquy.evaluation._embedding_neighbours import measure_neighbours, measure_transfer
from celloquy.evaluation._embedding_scib import Labelled, scib_metrics_of
from celloquy.evaluation._measured import Meaning, Measured
from celloquy.evaluation._sides import column_of, in_memory
from celloquy.learn import Compressed, LogValues, TfidfBag
from celloquy.roles import ReadOptions, embedding_of, read_block

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.evaluation._intervals import Interval

    Vectors = NDArray[np.float32]

PCA, WORDS, RANDOM = "PCA of log counts", "TF-IDF + SVD", "random vectors"
N_COMPONENTS = 50
MAX_OBS = 10_000
FEW_CELLS = 10
"""Labels with fewer cells than this are named in the notes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbeddingReport(Measured):
    """How good an embedding is; ``str()`` of it reads well."""

    meanings: ClassVar[Mapping[str, Meaning]] = (
        _embedding_neighbours.MEANINGS | _embedding_scib.MEANINGS
    )
    title: ClassVar[str] = "embedding"


def evaluate_embedding(
    adata: AnnData | str | os.PathLike[str],
    *,
    rep: str = "X_celloquy",
    label_key: str = "cell_type",
    batch_key: str | None = None,
    read: ReadOptions | None = None,
    baselines: bool = True,
    max_obs: int = MAX_OBS,
    seed: int = 0,
) -> EmbeddingReport:
    """Judge an embedding by its labels and batches, beside baselines of the same cells.

    Needs the extra ``evaluate`` (scib-metrics). Distances are Euclidean, neighbours exact.

    Parameters
    ----------
    adata
        Cells with the embedding in ``obsm``.
    rep
        Key of the embedding in ``obsm``; shape ``(n_obs, d)``.
    label_key
        Column of obs with the labels; cells without one are left out.
    batch_key
        Column of obs with the batch, donor or study; `None` leaves out what needs one.
    read
        Which slot the baselines are computed from.
    baselines
        Whether a PCA of log counts and an SVD of the cell sentences' words are computed
        beside; random vectors always are.
    max_obs
        The most cells that are used, drawn at random.
    seed
        Seed of the draw, the random vectors and the intervals.

    Returns
    -------
    Metrics; intervals, over batches, for the transfer of labels alone: those of scIB are one
    number for all cells.

    Raises
    ------
    InputError
        If the embedding or a column is missing, it holds infinite or missing values, or no
        cell has a label.
    """
    cells = in_memory(adata)
    vectors = embedding_of(cells, rep)
    kept, notes = _kept_cells(cells, label_key, max_obs=max_obs, seed=seed)
    labels = column_of(cells.obs.iloc[kept], label_key, what="cells")
    batches, told = _batches(cells, kept, batch_key)
    notes += told + _label_notes(labels)
    rivals = _rivals(cells, kept, read=read) if baselines else {}
    rng = rng_for(seed, "random vectors")
    rivals[RANDOM] = rng.standard_normal((len(kept), vectors.shape[1])).astype(np.float32)
    known = Labelled(labels, batches, rivals.get(PCA))
    metrics, intervals, n_alone = _judge(vectors[kept], known, seed=seed)
    if n_alone:
        notes.append(
            f"{n_alone:,} cells have a label that is in no other batch; they were left out of the "
            "transfer of labels."
        )
    if len(set(labels)) > 1 and np.unique(vectors[kept], axis=0).shape[0] == 1:
        notes.append("All cells have the same vector.")
    n = {"cells": len(kept), "labels": len(set(labels)), "dimensions": vectors.shape[1]}
    return EmbeddingReport(
        metrics=metrics,
        intervals=intervals,
        baselines={name: _judge(rival, known, seed=seed)[0] for name, rival in rivals.items()},
        n=n if batches is None else n | {"batches": len(set(batches))},
        notes=tuple(notes),
    )


def _judge(
    vectors: Vectors, known: Labelled, *, seed: int
) -> tuple[dict[str, float], dict[str, Interval], int]:
    """Give all metrics of one embedding, and how many cells no transfer can label."""
    metrics = measure_neighbours(vectors, known.labels).metrics
    intervals: dict[str, Interval] = {}
    n_alone = 0
    if known.batches is not None:
        carried = measure_transfer(vectors, known.labels, batches=known.batches, seed=seed)
        metrics = metrics | carried.metrics
        intervals, n_alone = carried.intervals, carried.n_alone
    return metrics | scib_metrics_of(vectors, known), intervals, n_alone


def _kept_cells(
    adata: AnnData, label_key: str, *, max_obs: int, seed: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Choose the labelled cells, at most `max_obs` of them.

    Raises
    ------
    InputError
        If the column is missing or fewer than two cells have a label.
    """
    if label_key not in adata.obs:
        column_of(adata.obs, label_key, what="cells")
    labelled = np.flatnonzero(adata.obs[label_key].notna())
    notes = []
    if len(labelled) < 2:
        msg = f"{len(labelled)} of {adata.n_obs:,} cells have a label in {label_key!r}."
        raise InputError(msg, hint="name a column with labels.")
    if len(labelled) < adata.n_obs:
        notes.append(
            f"{adata.n_obs - len(labelled):,} of {adata.n_obs:,} cells have no {label_key!r} and "
            "were left out."
        )
    if len(labelled) > max_obs:
        notes.append(f"{max_obs:,} of {len(labelled):,} labelled cells were drawn.")
        drawn = rng_for(seed, "cells of an embedding").permutation(labelled)[:max_obs]
        labelled = np.sort(drawn)
    return labelled, notes


def _batches(
    adata: AnnData, kept: NDArray[np.int64], batch_key: str | None
) -> tuple[NDArray[np.object_] | None, list[str]]:
    if batch_key is None:
        return None, ["Without a batch column, nothing is said of batches or of new donors."]
    batches = column_of(adata.obs.iloc[kept], batch_key, what="cells")
    names, counts = np.unique(batches, return_counts=True)
    if len(names) < 2:
        return None, [f"All cells are of the batch {str(names[0])!r}: nothing is said of batches."]
    few = [str(name) for name, n in zip(names, counts, strict=True) if n < FEW_CELLS]
    if few:
        return batches, [f"Batches with fewer than {FEW_CELLS} cells: {', '.join(few)}."]
    return batches, []


def _label_notes(labels: NDArray[np.object_]) -> list[str]:
    names, counts = np.unique(labels, return_counts=True)
    if len(names) == 1:
        return [
            f"All cells have the label {str(names[0])!r}: what tells labels apart is not defined."
        ]
    few = [f"{name} ({n})" for name, n in zip(names, counts, strict=True) if n < FEW_CELLS]
    if few:
        return [f"Labels with fewer than {FEW_CELLS} cells: {', '.join(few)}."]
    return []


def _rivals(
    adata: AnnData, kept: NDArray[np.int64], *, read: ReadOptions | None
) -> dict[str, Vectors]:
    """Embed the same cells without a language model."""
    block, _ = read_block(adata, read=read)
    block = block.rows(kept)
    pca = Compressed(LogValues(), n_components=N_COMPONENTS, centred=True)
    words = Compressed(TfidfBag(), n_components=N_COMPONENTS)
    return {
        PCA: np.asarray(pca.fit(block).transform(block)),
        WORDS: np.asarray(words.fit(block).transform(block)),
    }
