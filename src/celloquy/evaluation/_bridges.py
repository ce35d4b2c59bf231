"""Celloquy's results in the forms that other benchmarks take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.evaluation._embedding_scib import exact_neighbours, scib_package
from celloquy.evaluation._sides import column_of
from celloquy.io import write_h5ad
from celloquy.roles import embedding_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

FEWEST_NEIGHBOURS = 90
"""Neighbours, the cell itself among them, that scib-metrics looks at."""


def scib_benchmarker(
    adata: AnnData,
    *,
    reps: str | Sequence[str] = "X_celloquy",
    label_key: str = "cell_type",
    batch_key: str = "batch",
    before: str | None = None,
) -> Any:  # noqa: ANN401 (a class of an optional package)
    """Give a Benchmarker of scib-metrics, prepared with exact neighbours.

    Call its ``benchmark()`` and ``get_results()``; the first run compiles for a minute.

    Parameters
    ----------
    adata
        Cells with embeddings in ``obsm``; log values in X, unless `before` is given.
    reps
        Keys of the embeddings in ``obsm``.
    label_key, batch_key
        Columns of obs.
    before
        Key in ``obsm`` of a PCA before integration; `None` lets scib-metrics compute one of X,
        in its own copy of the cells.

    Raises
    ------
    InputError
        If an embedding or a column is missing or cannot be used.

    Examples
    --------
    ::

        made = cq.evaluation.scib_benchmarker(adata, reps=["X_celloquy", "X_pca"], before="X_pca")
        made.benchmark()
        print(made.get_results(min_max_scale=False))
    """
    keys = [reps] if isinstance(reps, str) else list(reps)
    for key in [*keys, *([before] if before else [])]:
        embedding_of(adata, key)
    for key in (label_key, batch_key):
        column_of(adata.obs, key, what="cells")
    if adata.n_obs < FEWEST_NEIGHBOURS:
        msg = (
            f"There are {adata.n_obs} cells; scib-metrics looks at {FEWEST_NEIGHBOURS} neighbours."
        )
        raise InputError(msg, hint="`evaluate_embedding` takes fewer cells.")
    made = scib_package("benchmark").Benchmarker(
        adata.copy(), batch_key=batch_key, label_key=label_key, embedding_obsm_keys=keys,
        pre_integrated_embedding_obsm_key=before, progress_bar=False,
    )  # fmt: skip
    made.prepare(neighbor_computer=exact_neighbours)
    return made


def cz_benchmarks_inputs(
    adata: AnnData,
    *,
    rep: str = "X_celloquy",
    label_key: str = "cell_type",
    batch_key: str | None = None,
) -> dict[str, dict[str, Any]]:
    """Give what the tasks of cz-benchmarks take, by the name of the task's class.

    cz-benchmarks is not among the extras: it brings Docker, AWS and Hydra clients and holds
    zarr's codecs back. Install it in an environment of its own.

    Parameters
    ----------
    adata
        Cells with the embedding in ``obsm``.
    rep
        Key of the embedding in ``obsm``.
    label_key
        Column of obs with the labels.
    batch_key
        Column of obs with the batch; `None` leaves out the task of batches.

    Returns
    -------
    For each task ``cell_representation``, what its ``run`` takes, and ``task_input``, the
    arguments of its ``…TaskInput``.

    Raises
    ------
    InputError
        If the embedding or a column is missing or cannot be used.

    Examples
    --------
    In the environment of cz-benchmarks 0.15:

    ::

        from czbenchmarks.tasks import EmbeddingTask, EmbeddingTaskInput

        given = cq.evaluation.cz_benchmarks_inputs(adata)["EmbeddingTask"]
        EmbeddingTask().run(given["cell_representation"], EmbeddingTaskInput(**given["task_input"]))
    """
    vectors = embedding_of(adata, rep)
    labels = pd.Series(column_of(adata.obs, label_key, what="cells"), index=adata.obs_names)
    tasks: dict[str, dict[str, Any]] = {
        "ClusteringTask": {"obs": adata.obs, "input_labels": labels},
        "EmbeddingTask": {"input_labels": labels},
        "MetadataLabelPredictionTask": {"labels": labels},
    }
    if batch_key is not None:
        batches = column_of(adata.obs, batch_key, what="cells")
        tasks["BatchIntegrationTask"] = {
            "batch_labels": pd.Series(batches, index=adata.obs_names),
            "labels": labels,
        }
    return {
        name: {"cell_representation": vectors, "task_input": given} for name, given in tasks.items()
    }


def write_label_projection(
    adata: AnnData,
    path: str | os.PathLike[str],
    *,
    prediction_key: str,
    dataset_id: str,
    method_id: str = "celloquy",
    normalization_id: str = "log_cp10k",
    overwrite: bool = False,
) -> None:
    """Write predicted labels as a prediction file of Open Problems' label projection.

    Parameters
    ----------
    adata
        The test cells, with the predicted labels in obs.
    path
        File (.h5ad) to write.
    prediction_key
        Column of obs with the predicted labels, such as ``"cell_type_celloquy"``.
    dataset_id
        Name of the data set, as the file with the solution has it.
    method_id
        Name of the method.
    normalization_id
        Name of the normalisation, as the file with the solution has it.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If the column is missing or has gaps, the file exists, or it cannot be written.

    Notes
    -----
    ``obs["label_pred"]`` and three entries of ``uns``, as the task's ``file_prediction.yaml``
    (openproblems-bio/task_label_projection, 2024) states them. There is no "unknown" in this
    task: such a cell counts as wrong.
    """
    from anndata import AnnData as Cells

    labels = column_of(adata.obs, prediction_key, what="cells")
    obs = pd.DataFrame({"label_pred": np.asarray(labels, dtype=str)}, index=adata.obs_names)
    made = Cells(obs=obs)
    made.uns = {
        "dataset_id": dataset_id,
        "normalization_id": normalization_id,
        "method_id": method_id,
    }
    write_h5ad(made, path, overwrite=overwrite)
