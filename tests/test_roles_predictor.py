"""Labels from labelled cells: right, reproducible, and withheld where the evidence is weak."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import celloquy as cq
from celloquy.errors import InputError
from celloquy.io import write_h5ad
from celloquy.learn import Recipe
from celloquy.roles import AnnotateOptions, ReadOptions, TextSource, load_or_fit
from labelled_cells import TYPES, labelled_cells, labels_of, log1p_of


@pytest.fixture(scope="module")
def known():
    return labelled_cells(seed=1)


@pytest.fixture(scope="module")
def reference(known):
    return load_or_fit(known, label_key="cell_type")


@pytest.fixture
def adata():
    return labelled_cells(10, seed=2)


def test_cells_get_the_right_labels_in_place(known, adata):
    truth = adata.obs["cell_type"].astype(str)
    before = adata.X.copy()
    annotation = cq.annotate(adata, reference=known, label_key="cell_type")
    told = adata.obs["cell_type_celloquy"]
    assert isinstance(told.dtype, pd.CategoricalDtype)
    assert told.cat.categories.tolist() == [*TYPES, "unknown"]
    named = told.astype(str) != "unknown"
    assert named.mean() > 0.8
    assert (told.astype(str) == truth)[named].all()
    assert adata.obs["cell_type_celloquy_score"].between(0, 1).all()
    assert (adata.obs["cell_type_celloquy_distance"] >= 0).all()
    assert (before != adata.X).nnz == 0
    assert adata.obs.columns.tolist() == ["cell_type", *annotation.table.columns]
    assert annotation.coverage == named.mean()
    assert annotation.score.equals(adata.obs["cell_type_celloquy_score"])


def test_the_record_says_what_was_done_and_survives_a_file(known, adata, tmp_path):
    cq.annotate(adata, reference=known, label_key="cell_type")
    for name in ("cells.h5ad", "cells.zarr"):
        write_h5ad(adata, tmp_path / name)
        record = cq.read(tmp_path / name).uns["cell_type_celloquy"]
        assert record["verb"] == "annotate"
        assert record["kind"] == "counts"
        assert record["thresholds"]["min_score"] == 0.5
        assert not record["calibrated"]
        assert list(record["reference"]["labels"]) == list(TYPES)
        assert list(record["reference"]["cells_of_label"]) == [40, 40, 40]
        assert record["overlap"]["n_shared"] == 200
        assert 0 <= record["coverage"] <= 1


@pytest.mark.parametrize(
    ("slot", "key"),
    [
        ("obs", "cell_type_celloquy"),
        ("obs", "cell_type_celloquy_score"),
        ("obs", "cell_type_celloquy_distance"),
        ("obs", "cell_type_celloquy_majority"),
        ("obs", "cell_type_celloquy_majority_share"),
        ("uns", "cell_type_celloquy"),
    ],
)
def test_what_exists_is_refused_unless_it_may_be_replaced(reference, adata, slot, key, tmp_path):
    options = AnnotateOptions(clusters="cluster" if "majority" in key else None)
    adata.obs["cluster"] = "1"
    getattr(adata, slot)[key] = ["mine"] * 30 if slot == "obs" else {"a": 1}
    with pytest.raises(InputError, match=f"`{slot}` has '{key}' already") as refusal:
        cq.annotate(adata, reference=reference, options=options)
    assert "overwrite=True" in refusal.value.hint
    write_h5ad(adata, tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=f"`{slot}` has '{key}' already"):
        cq.annotate(
            tmp_path / "cells.h5ad", reference=reference, out=tmp_path / "o.h5ad", options=options
        )
    assert not (tmp_path / "o.h5ad").exists()
    cq.annotate(adata, reference=reference, overwrite=True, options=options)
    assert adata.uns["cell_type_celloquy"]["verb"] == "annotate"


def test_another_name_may_be_given(reference, adata):
    annotation = cq.annotate(adata, reference=reference, key_added="mine")
    assert annotation.table.columns.tolist() == ["mine", "mine_score", "mine_distance"]
    assert adata.obs["mine"].tolist() == annotation.labels.tolist()


def test_a_cell_alone_is_the_cell_among_others(reference, adata):
    together = cq.annotate(adata, reference=reference)
    for i in range(0, 30, 4):
        alone = cq.annotate(adata[[i]].copy(), reference=reference, overwrite=True)
        assert labels_of(alone) == labels_of(together)[i : i + 1]
        np.testing.assert_allclose(alone.score, together.score.iloc[[i]], atol=1e-5)


@settings(
    deadline=None, max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_order_of_genes_and_cells_and_the_kind_of_matrix_do_not_matter(reference, adata, data):
    expected = cq.annotate(adata.copy(), reference=reference)
    genes = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(adata.n_vars)
    cells = data.draw(st.permutations(range(adata.n_obs)))
    shuffled = adata[cells, genes].copy()
    kind = data.draw(st.sampled_from([sp.csr_matrix, sp.csc_matrix, np.asarray]))
    number = data.draw(st.sampled_from([np.float32, np.float64, np.int64]))
    shuffled.X = kind(shuffled.X.toarray().astype(number))
    found = cq.annotate(shuffled, reference=reference)
    assert labels_of(found) == [labels_of(expected)[i] for i in cells]
    np.testing.assert_allclose(found.score, expected.score.iloc[cells], atol=1e-4)


def test_log_values_of_counts_get_the_labels_of_the_counts(reference, adata):
    expected = cq.annotate(adata.copy(), reference=reference)
    found = cq.annotate(log1p_of(adata), reference=reference)
    assert found.record["kind"] == "log1p"
    assert labels_of(found) == labels_of(expected)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-4)


def test_cells_of_a_type_that_the_reference_lacks_are_unknown(reference):
    strange = labelled_cells(20, seed=5, types=("strange",))
    annotation = cq.annotate(strange, reference=reference)
    assert (annotation.labels == "unknown").mean() > 0.9


def test_a_cell_that_expresses_nothing_is_no_error(reference, adata):
    adata.X = sp.csr_matrix(adata.X.multiply(np.arange(30)[:, None] != 3))
    annotation = cq.annotate(adata, reference=reference)
    assert np.isfinite(annotation.table.iloc[:, 1:].to_numpy()).all()
    assert labels_of(annotation)[3] == "unknown"


def test_a_cell_that_expresses_nothing_is_unknown_of_two_labels_as_of_more(known, adata):
    two = known[(known.obs["cell_type"] != "T").to_numpy()].copy()
    adata.X = sp.csr_matrix(adata.X.multiply(np.arange(30)[:, None] != 3))
    annotation = cq.annotate(adata, reference=two, label_key="cell_type")
    assert labels_of(annotation)[3] == "unknown"
    assert "B" in labels_of(annotation)


def test_a_source_without_cells_is_refused(known, adata):
    with pytest.raises(InputError, match="has no cells"):
        cq.annotate(adata[[]].copy(), reference=known, label_key="cell_type")
    with pytest.raises(InputError, match="has no cells"):
        cq.annotate(adata, reference=known[[]].copy(), label_key="cell_type")


def test_every_cluster_also_gets_the_label_of_most_of_its_cells(reference, adata):
    adata.obs["cluster"] = adata.obs["cell_type"].map({"B": "0", "NK": "1", "T": "2"})
    options = AnnotateOptions(clusters="cluster")
    annotation = cq.annotate(adata, reference=reference, options=options)
    voted = adata.obs["cell_type_celloquy_majority"]
    assert (voted.astype(str) == adata.obs["cell_type"].astype(str)).all()
    for cluster in "012":
        inside = adata.obs["cluster"] == cluster
        label = voted[inside].iloc[0]
        share = (annotation.labels[inside] == label).mean()
        shown = adata.obs.loc[inside, "cell_type_celloquy_majority_share"]
        np.testing.assert_allclose(shown, share, atol=1e-6)


def test_a_column_of_clusters_that_is_missing_is_told_before_anything_is_read(adata, tmp_path):
    options = AnnotateOptions(clusters="clustr")
    adata.obs["cluster"] = "0"
    with pytest.raises(InputError, match="no column 'clustr'; the closest is 'cluster'"):
        cq.annotate(
            adata, reference=tmp_path / "missing.h5ad", label_key="cell_type", options=options
        )


def test_the_global_random_state_is_left_alone(known, adata):
    np.random.seed(3)  # noqa: NPY002 (the state that other programs share)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    cq.annotate(adata, reference=known, label_key="cell_type")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_view_is_refused_with_the_way_out(reference, adata):
    with pytest.raises(InputError, match="into a view of an AnnData") as refusal:
        cq.annotate(adata[:3], reference=reference)
    assert "copy()" in refusal.value.hint


def test_scaled_values_are_refused_with_the_slot_that_can_be_used(reference, adata):
    adata.raw = log1p_of(adata)
    adata.X = adata.X.toarray() - adata.X.toarray().mean(axis=0)
    with pytest.raises(InputError, match="holds scaled values") as refusal:
        cq.annotate(adata, reference=reference)
    assert "use_raw=True" in refusal.value.hint
    options = AnnotateOptions(read=ReadOptions(use_raw=True))
    found = cq.annotate(adata, reference=reference, options=options)
    assert found.record["slot"] == "raw.X"


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("pca", "knn"),
        Recipe("bag", "logistic"),
        pytest.param(Recipe("tfidf-svd", "trees"), marks=pytest.mark.slow),
        pytest.param(Recipe("bag-svd", "mlp"), marks=pytest.mark.slow),
    ],
    ids=lambda recipe: f"{recipe.representation}-{recipe.head}",
)
def test_other_representations_and_heads_label_cells_too(known, adata, recipe):
    annotation = cq.annotate(
        adata, reference=known, label_key="cell_type", options=AnnotateOptions(recipe=recipe)
    )
    named = annotation.labels != "unknown"
    truth = adata.obs["cell_type"].astype(str)
    assert named.mean() > 0.6
    assert (annotation.labels.astype(str) == truth)[named].mean() > 0.9
    assert annotation.record["recipe"]["head"] == recipe.head


def test_scores_are_called_calibrated_only_where_they_are(known, adata):
    options = AnnotateOptions(recipe=Recipe(calibrate=True))
    annotation = cq.annotate(adata, reference=known, label_key="cell_type", options=options)
    assert annotation.record["calibrated"]


@pytest.mark.slow
def test_the_sentences_of_cells_label_them_too(known, adata):
    few = known[::4].copy()
    text = TextSource(lm="st:minilm")
    options = AnnotateOptions(recipe=Recipe("fusion", "logistic"), text=text)
    annotation = cq.annotate(adata, reference=few, label_key="cell_type", options=options)
    named = annotation.labels != "unknown"
    assert (annotation.labels.astype(str) == adata.obs["cell_type"].astype(str))[named].mean() > 0.9
    assert annotation.record["text"]["lm"] == "st:minilm"
    assert len(annotation.record["text"]["revision"]) == 64
