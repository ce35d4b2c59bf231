"""Embeddings and labels in the forms of scib-metrics, cz-benchmarks and Open Problems."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

from celloquy.errors import InputError
from celloquy.evaluation._bridges import (
    cz_benchmarks_inputs,
    scib_benchmarker,
    write_label_projection,
)
from celloquy.evaluation._embedding_scib import Labelled, scib_metrics_of
from labelled_cells import labelled_cells


@pytest.fixture
def embedded():
    adata = labelled_cells()
    rng = np.random.default_rng(0)
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    adata.obsm["X_celloquy"] = rng.normal(size=(120, 4)).astype(np.float32) + 3 * codes[:, None]
    adata.obs["batch"] = np.tile(["one", "two"], 60)
    return adata


@pytest.mark.slow
def test_a_benchmarker_gives_what_we_give(embedded):
    made = scib_benchmarker(embedded, before="X_celloquy")
    for name in ("kbet_per_label",):  # compiles for a minute, and is ours on other neighbours
        object.__setattr__(made._batch_correction_metrics, name, False)
    made.benchmark()
    table = made.get_results(min_max_scale=False, clean_names=False).loc["X_celloquy"]
    known = Labelled(
        embedded.obs["cell_type"].astype(str).to_numpy(object),
        embedded.obs["batch"].to_numpy(object),
        embedded.obsm["X_celloquy"],
    )
    ours = scib_metrics_of(embedded.obsm["X_celloquy"], known)
    names = {
        "isolated_labels": "isolated_labels", "silhouette_label": "silhouette_label",
        "clisi": "clisi_knn", "ilisi": "ilisi_knn", "bras": "bras",
        "graph_connectivity": "graph_connectivity", "pcr_comparison": "pcr_comparison",
        "kmeans_nmi": "nmi_ari_cluster_labels_kmeans_nmi",
        "kmeans_ari": "nmi_ari_cluster_labels_kmeans_ari",
    }  # fmt: skip
    for mine, theirs in names.items():
        assert ours[mine] == pytest.approx(float(table[theirs]), abs=1e-5), mine


def test_a_benchmarker_is_refused_what_it_cannot_measure(embedded):
    with pytest.raises(InputError, match="`obsm` has no embedding 'X_pca'"):
        scib_benchmarker(embedded, reps=["X_celloquy", "X_pca"])
    with pytest.raises(InputError, match="no column 'donor'"):
        scib_benchmarker(embedded, batch_key="donor")
    with pytest.raises(InputError, match="There are 50 cells; scib-metrics looks at 90 neighbours"):
        scib_benchmarker(embedded[:50])


def test_tasks_of_cz_benchmarks_get_vectors_and_labels(embedded):
    # names of tasks and arguments are those of cz-benchmarks 0.15.1
    given = cz_benchmarks_inputs(embedded, batch_key="batch")
    assert list(given) == [
        "ClusteringTask", "EmbeddingTask", "MetadataLabelPredictionTask", "BatchIntegrationTask",
    ]  # fmt: skip
    assert all(one["cell_representation"].shape == (120, 4) for one in given.values())
    assert list(given["BatchIntegrationTask"]["task_input"]) == ["batch_labels", "labels"]
    assert given["EmbeddingTask"]["task_input"]["input_labels"].iloc[0] == "B"
    assert "BatchIntegrationTask" not in cz_benchmarks_inputs(embedded)


def test_a_prediction_file_is_what_open_problems_reads(embedded, tmp_path):
    path = tmp_path / "prediction.h5ad"
    write_label_projection(embedded, path, prediction_key="cell_type", dataset_id="pbmc")
    made = ad.read_h5ad(path)
    assert made.obs["label_pred"].tolist() == embedded.obs["cell_type"].tolist()
    assert made.obs_names.tolist() == embedded.obs_names.tolist()
    assert dict(made.uns) == {
        "dataset_id": "pbmc", "method_id": "celloquy", "normalization_id": "log_cp10k",
    }  # fmt: skip
    with pytest.raises(InputError, match="exists"):
        write_label_projection(embedded, path, prediction_key="cell_type", dataset_id="pbmc")
    with pytest.raises(InputError, match="no column 'label'"):
        write_label_projection(
            embedded, tmp_path / "x.h5ad", prediction_key="label", dataset_id="pbmc"
        )
