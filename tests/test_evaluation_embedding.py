"""Embeddings judged: beside scikit-learn, beside baselines, and where there is nothing to judge."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pytest

from celloquy.errors import InputError
from celloquy.evaluation._embedding import _kept_cells, evaluate_embedding
from celloquy.evaluation._embedding_neighbours import measure_neighbours, measure_transfer
from celloquy.evaluation._embedding_scib import Labelled, exact_neighbours, scib_metrics_of
from labelled_cells import labelled_cells


def embedded(n_each=40, *, seed=0):
    """Cells whose embedding tells their types apart and knows nothing of the batch."""
    adata = labelled_cells(n_each, seed=seed)
    rng = np.random.default_rng(seed)
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    adata.obsm["X_celloquy"] = (rng.normal(size=(3 * n_each, 4)) + 6 * np.eye(4)[codes]).astype(
        np.float32
    )
    adata.obs["donor"] = np.tile(["a", "b"], 3 * n_each // 2)
    return adata


def test_cells_do_not_vote_for_themselves():
    vectors = np.array([[0.0], [1.0], [10.0], [11.0]], dtype=np.float32)
    labels = np.array(["B", "T", "B", "T"], dtype=object)
    found = measure_neighbours(vectors, labels).metrics
    assert found == {"neighbour_accuracy": 0.0, "neighbour_macro_f1": 0.0}


def test_labels_carry_over_from_other_batches_only():
    # within a batch the labels are mixed; across batches each cell lies on one of its label
    vectors = np.array([[0.0], [5.0], [0.1], [5.1]], dtype=np.float32)
    labels = np.array(["B", "T", "B", "T"], dtype=object)
    batches = np.array(["one", "one", "two", "two"], dtype=object)
    found = measure_transfer(vectors, labels, batches=batches)
    assert found.metrics == {"transfer_accuracy": 1.0, "transfer_macro_f1": 1.0}
    assert found.intervals["transfer_accuracy"].n_groups == 2
    alone = measure_transfer(vectors, np.array(list("ABCD"), dtype=object), batches=batches)
    assert np.isnan(alone.metrics["transfer_accuracy"])
    assert alone.n_alone == 4


@pytest.mark.slow
def test_neighbours_are_exact_and_begin_with_the_cell():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 3)).astype(np.float32)
    found = exact_neighbours(vectors, 5)
    distances = np.sqrt(((vectors[:, None] - vectors[None]) ** 2).sum(axis=2))
    assert found.indices.tolist() == np.argsort(distances, axis=1)[:, :5].tolist()
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :5], atol=1e-5)


@pytest.mark.slow
def test_silhouette_and_mutual_information_are_those_of_scikit_learn():
    from sklearn.metrics import silhouette_score

    adata = embedded()
    labels = adata.obs["cell_type"].astype(str).to_numpy(object)
    found = scib_metrics_of(adata.obsm["X_celloquy"], Labelled(labels, None))
    silhouette = silhouette_score(adata.obsm["X_celloquy"], labels)
    assert found["silhouette_label"] == pytest.approx((silhouette + 1) / 2, abs=1e-4)
    assert found["kmeans_nmi"] == pytest.approx(1)  # three clouds far apart
    assert np.isnan(found["ilisi"])
    assert "batch_correction" not in found


@pytest.mark.slow
def test_an_embedding_is_judged_beside_baselines():
    adata = embedded()
    report = evaluate_embedding(adata, batch_key="donor")
    assert list(report.baselines) == ["PCA of log counts", "TF-IDF + SVD", "random vectors"]
    for name in ("transfer_accuracy", "neighbour_macro_f1", "kmeans_nmi", "scib_total"):
        assert report.metrics[name] > report.baselines["random vectors"][name]
    assert report.metrics["transfer_accuracy"] > 0.95
    assert report.baselines["random vectors"]["transfer_accuracy"] < 0.6
    assert report.baselines["PCA of log counts"]["pcr_comparison"] == pytest.approx(0, abs=1e-5)
    assert report.metrics["ilisi"] > 0.7  # the donors are drawn alike
    assert report.metrics["kbet"] > 0.8
    said = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert said["n"] == {"cells": 120, "labels": 3, "dimensions": 4, "batches": 2}
    assert "transfer_macro_f1" in said["intervals"]
    assert "PCA of log counts" in str(report)


@pytest.mark.slow
def test_one_label_and_one_batch_leave_little_to_say():
    adata = embedded()
    adata.obs["cell_type"] = "B"
    adata.obs["donor"] = "a"
    report = evaluate_embedding(adata, batch_key="donor", baselines=False)
    assert "All cells are of the batch 'a': nothing is said of batches." in report.notes
    assert any("All cells have the label 'B'" in note for note in report.notes)
    assert np.isnan(report.metrics["silhouette_label"])
    assert "transfer_accuracy" not in report.metrics


@pytest.mark.slow
def test_a_label_of_one_cell_and_a_batch_of_one_cell_are_named():
    adata = embedded()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str).astype(object)
    adata.obs.loc[adata.obs_names[0], "cell_type"] = "rare"
    adata.obs.loc[adata.obs_names[1], "cell_type"] = None
    adata.obs.loc[adata.obs_names[2], "donor"] = "single"
    whole = evaluate_embedding(adata, batch_key="donor", baselines=False)
    assert any("Labels with fewer than 10 cells: rare (1)." in note for note in whole.notes)
    assert any("Batches with fewer than 10 cells: single." in note for note in whole.notes)
    assert any("1 cells have a label that is in no other batch" in note for note in whole.notes)


def test_cells_without_a_label_are_left_out_and_a_sample_is_told():
    adata = embedded()
    adata.obs.loc[adata.obs_names[1], "cell_type"] = None
    rows, notes = _kept_cells(adata, "cell_type", max_obs=100, seed=0)
    assert (len(rows), 1 in rows, len(set(rows))) == (100, False, 100)
    assert notes == [
        "1 of 120 cells have no 'cell_type' and were left out.",
        "100 of 119 labelled cells were drawn.",
    ]


def test_an_embedding_that_cannot_be_used_is_refused():
    adata = embedded()
    with pytest.raises(InputError, match="no embedding 'X_celoquy'; the closest is 'X_celloquy'"):
        evaluate_embedding(adata, rep="X_celoquy")
    with pytest.raises(InputError, match="no column 'celltype'; the closest is 'cell_type'"):
        evaluate_embedding(adata, label_key="celltype")
    with pytest.raises(InputError, match="no column 'batch'"):
        evaluate_embedding(adata, batch_key="batch")
    adata.obsm["X_celloquy"][3, 1] = np.nan
    with pytest.raises(InputError, match="1 of 120 vectors of 'X_celloquy' hold infinite or miss"):
        evaluate_embedding(adata)
    adata.obs["cell_type"] = None
    del adata.obsm["X_celloquy"]
    with pytest.raises(InputError, match="`obsm` has no embedding 'X_celloquy'") as refusal:
        evaluate_embedding(adata)
    assert "celloquy encode" in refusal.value.hint
    adata.obsm["X_celloquy"] = np.zeros((120, 2), dtype=np.float32)
    with pytest.raises(InputError, match="0 of 120 cells have a label in 'cell_type'"):
        evaluate_embedding(adata)


@pytest.mark.data
@pytest.mark.slow
def test_five_technologies_of_pancreas_mix_less_by_pca_than_at_random(data_folder):
    adata = ad.read_h5ad(data_folder / "cells" / "pancreas_panc8_5tech_500_2000hvg.h5ad")
    rng = np.random.default_rng(0)
    adata.obsm["X_noise"] = rng.normal(size=(adata.n_obs, 20)).astype(np.float32)
    report = evaluate_embedding(adata, rep="X_noise", batch_key="batch")
    pca = report.baselines["PCA of log counts"]
    assert pca["transfer_accuracy"] > 0.7
    assert report.metrics["transfer_accuracy"] < 0.5
    assert pca["kbet"] < 0.3
    assert report.metrics["kbet"] > 0.8
    assert pca["neighbour_accuracy"] > 0.9
