"""Projections of an encoder's vectors: fitted on labelled cells, applied as cells are encoded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from celloquy._runtime import closest, refuse_existing
from celloquy.errors import InputError
from celloquy.io import read, read_obs
from celloquy.learn import Projection, load_projection, project_labels, save_projection
from celloquy.learn._projection_files import RECORD
from celloquy.roles._targets import is_adata

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.roles._collect import Work
    from celloquy.roles._targets import Source

SavedProjection: TypeAlias = Projection | str | os.PathLike[str]
"""A fitted projection, or the folder that it was saved to."""
_OF_ENCODER = (
    "lm", "revision", "precision", "by", "n_top_genes", "style", "obs_features", "text_column",
    "pooling", "layer", "prompt_format", "normalise_by", "gene_texts", "reading",
)  # fmt: skip
"""What a record of `encode` says of how vectors were made; the rest is of the cells."""


def fit_projection(
    source: Source,
    *,
    label_key: str,
    batch_key: str | None = None,
    rep: str = "X_celloquy",
    n_components: int | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    seed: int = 0,
) -> Projection:
    """Fit a projection that keeps what tells labels apart, on labelled cells that are encoded.

    Differences between donors, batches or studies inside a label are shrunk. Nothing but the
    labels is learned: what tells no two of them apart is lost, so keep the vectors themselves
    for other questions.

    Parameters
    ----------
    source
        Encoded, labelled cells: an AnnData, or a file, which is read whole.
    label_key
        Column of obs with the labels; cells without one, and cells whose vector is zeros, are
        left out and counted.
    batch_key
        Column of obs with the donor, batch or study, as `label_key`; `None` for one batch.
    rep
        Name of the vectors in obsm, best of :func:`encode`, whose record is then kept.
    n_components
        Directions kept, at most labels less one; `None` keeps all.
    out
        Folder to keep the projection in.
    overwrite
        Whether an existing one is replaced.
    seed
        Seed of the draw where there are more than 50,000 cells.

    Returns
    -------
    What ``EncodeOptions(projection=…)`` takes.

    Raises
    ------
    InputError
        If a column or the vectors are missing or hold missing values, the vectors were projected
        already, fewer than two labels are left, or no label is in two of several batches.

    Examples
    --------
    >>> import anndata as ad
    >>> adata = ad.AnnData(obs={"cell_type": list("BBTT"), "donor": list("xyxy")})
    >>> adata.obsm["X_celloquy"] = np.array([[0.0, 1], [0, 2], [3, 1], [3, 2]])
    >>> print(fit_projection(adata, label_key="cell_type", batch_key="donor"))
    2 dimensions to 1, from 4 cells of 2 labels in 2 batches
    """
    if out is not None:
        refuse_existing(Path(out), overwrite=overwrite, holds=(RECORD,))
    adata = source if is_adata(source) else read(source)
    vectors = embedding_of(adata, rep)
    record = adata.uns.get(rep, {})
    record = record if isinstance(record, Mapping) else {}
    if "projection" in record:
        msg = f"The vectors of {rep!r} are projected already."
        raise InputError(msg, hint="encode the cells without a projection first.")
    columns = [label_key] if batch_key is None else [label_key, batch_key]
    obs = read_obs(adata, columns)
    labels = obs[label_key].astype(object)
    labels[~np.asarray(vectors.any(axis=1))] = None
    fitted = project_labels(
        vectors,
        labels=labels.tolist(),
        batches=None if batch_key is None else obs[batch_key].astype(object).tolist(),
        n_components=n_components,
        seed=seed,
        of=encoder_of(record),
    )
    if out is not None:
        save_projection(fitted, out, overwrite=overwrite)
    return fitted


def embedding_of(adata: AnnData, rep: str) -> NDArray[np.float32]:
    """Give an embedding of cells; shape ``(n_obs, d)``.

    Parameters
    ----------
    adata
        The cells.
    rep
        Key of the embedding in ``obsm``.

    Raises
    ------
    InputError
        If there is none of that name, or it cannot be used.
    """
    if rep not in adata.obsm:
        known = list(map(str, adata.obsm))
        msg = f"`obsm` has no embedding {rep!r}{closest(rep, known)}."
        listed = f"it has: {', '.join(known)}." if known else "run `celloquy encode` first."
        raise InputError(msg, hint=listed)
    vectors = np.asarray(adata.obsm[rep], dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        msg = (
            f"{len(bad):,} of {len(vectors):,} vectors of {rep!r} hold infinite or missing values; "
            f"the first is that of '{adata.obs_names[bad[0]]}'."
        )
        raise InputError(msg, hint="leave those cells out, or look at how they were embedded.")
    return np.ascontiguousarray(vectors)


def encoder_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Say in words what made vectors, from the record that :func:`encode` leaves in uns.

    Parameters
    ----------
    record
        ``uns[rep]``, as it was made or as a file gave it back.
    """
    if record.get("verb") != "encode":
        return {}
    told = {name: _plain(record[name]) for name in _OF_ENCODER if name in record}
    return {name: text for name, text in told.items() if text}


def _plain(value: object) -> str:
    """Write a value as text that a round through a file does not change."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}={_plain(value[name])}" for name in sorted(value))
    if isinstance(value, np.ndarray) or (
        isinstance(value, Sequence) and not isinstance(value, str)
    ):
        return ", ".join(_plain(one) for one in value)
    return str(value)


def with_projection(
    work: Work, record: dict[str, Any], saved: SavedProjection | None
) -> tuple[Work, dict[str, Any]]:
    """Project the vectors that some work gives, and record it.

    Parameters
    ----------
    work
        What embeds cells, and says which of them have genes to read.
    record
        How it does so.
    saved
        The projection; `None` leaves both as they are.

    Raises
    ------
    InputError
        If it was fitted on vectors of another encoder.
    CheckpointError
        If its folder is none, or damaged.
    """
    if saved is None:
        return work, record
    projection = saved if isinstance(saved, Projection) else load_projection(saved)
    projection.require_same(encoder_of(record))

    def projected(start: int, stop: int) -> dict[str, NDArray[Any]]:
        made = work(start, stop)
        vectors = projection.transform(made["vectors"])
        vectors[~made["has_genes"]] = 0  # zeros say that nothing was read; their image would not
        return {**made, "vectors": vectors}

    said = {
        "fingerprint": projection.fingerprint,
        "n_components": len(projection.components),
        "labels": list(projection.labels),
        "n_cells": projection.n_cells,
    }
    return projected, {**record, "projection": said}
