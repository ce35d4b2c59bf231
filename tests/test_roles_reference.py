"""The labelled cells to learn from: what may be given, what is left out, what is refused."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import celloquy as cq
from celloquy.errors import InputError
from celloquy.io import write_h5ad
from celloquy.learn import Recipe, save_reference
from celloquy.roles import AnnotateOptions, ReadOptions, load_or_fit
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


def test_a_reference_may_be_cells_a_file_a_saved_folder_or_fitted(
    known, reference, adata, tmp_path
):
    write_h5ad(known, tmp_path / "known.h5ad")
    save_reference(reference, tmp_path / "saved")
    expected = cq.annotate(adata.copy(), reference=reference)
    for given_as in (known, tmp_path / "known.h5ad", str(tmp_path / "known.h5ad")):
        found = cq.annotate(adata.copy(), reference=given_as, label_key="cell_type")
        assert found.table.equals(expected.table)
    for given_as in (tmp_path / "saved", str(tmp_path / "saved")):
        found = cq.annotate(adata.copy(), reference=given_as)
        assert found.key == "cell_type_celloquy"
        assert labels_of(found) == labels_of(expected)
        np.testing.assert_allclose(found.score, expected.score, atol=1e-6)
    assert found.record["reference"] == expected.record["reference"]


def test_a_fitted_reference_is_not_asked_for_labels_that_it_did_not_learn(reference, adata):
    with pytest.raises(InputError, match="learned the labels of 'cell_type', and 'tissue'"):
        cq.annotate(adata, reference=reference, label_key="tissue")


def test_a_column_of_labels_that_is_missing_is_told_with_the_closest(known, adata):
    with pytest.raises(InputError, match="no column 'celltype'; the closest is 'cell_type'"):
        cq.annotate(adata, reference=known, label_key="celltype")
    with pytest.raises(InputError, match="`label_key` is None") as refusal:
        cq.annotate(adata, reference=known)
    assert "--label-key" in refusal.value.hint
    assert adata.obs.columns.tolist() == ["cell_type"]


def test_cells_without_a_label_are_left_out_of_the_reference(known, adata):
    partly = known.copy()
    labels = partly.obs["cell_type"].astype(object)
    labels.iloc[::4] = np.nan
    labels.iloc[1::40] = " "
    partly.obs["cell_type"] = labels
    kept = labels.notna() & (labels != " ")
    fitted = load_or_fit(partly, label_key="cell_type")
    assert fitted.labels == TYPES
    assert list(fitted.cell_names) == partly.obs_names[kept].tolist()
    assert fitted.n_seen == kept.sum()
    found = cq.annotate(adata.copy(), reference=partly, label_key="cell_type")
    same = cq.annotate(adata, reference=partly[kept.to_numpy()].copy(), label_key="cell_type")
    assert found.table.equals(same.table)


def test_a_view_may_be_the_reference_and_few_cells_too(known, adata):
    expected = cq.annotate(adata.copy(), reference=known[::2].copy(), label_key="cell_type")
    found = cq.annotate(adata.copy(), reference=known[::2], label_key="cell_type")
    assert found.table.equals(expected.table)
    for rows in ([0], [0, 50]):
        told = cq.annotate(adata.copy(), reference=known[rows], label_key="cell_type")
        assert set(labels_of(told)) <= {*known.obs["cell_type"].iloc[rows], "unknown"}


def test_labels_that_are_numbers_become_names_and_unknown_is_no_label(known, adata):
    numbered = known.copy()
    numbered.obs["cluster"] = [1] * 40 + [2] * 80
    told = cq.annotate(adata.copy(), reference=numbered, label_key="cluster")
    assert told.labels.cat.categories.tolist() == ["1", "2", "unknown"]
    partly = known.copy()
    partly.obs["cell_type"] = partly.obs["cell_type"].astype(str).replace("T", "unknown")
    with pytest.warns(UserWarning, match="not learned from: 40 'unknown'"):
        fitted = load_or_fit(partly, label_key="cell_type")
    assert fitted.labels == ("B", "NK")
    assert fitted.n_seen == 80


def test_cells_that_are_called_unassigned_are_left_out_and_told(known):
    partly = known.copy()
    words = {"T": "Unassigned", "NK": "N/A"}
    partly.obs["cell_type"] = partly.obs["cell_type"].astype(str).replace(words)
    told = "in 'cell_type' are not learned from: 40 '[UN]"
    with pytest.warns(UserWarning, match=told):
        fitted = load_or_fit(partly, label_key="cell_type")
    assert fitted.labels == ("B",)
    assert fitted.provenance["left_out"] == {"Unassigned": 40, "N/A": 40}


def test_a_reference_without_any_label_is_refused(known, adata):
    bare = known.copy()
    bare.obs["cell_type"] = np.nan
    with pytest.raises(InputError, match="has a label in 'cell_type'") as refusal:
        cq.annotate(adata, reference=bare, label_key="cell_type")
    assert "name the column" in refusal.value.hint


def test_a_reference_with_too_many_cells_is_sampled_evenly_and_that_is_told(known, adata):
    options = AnnotateOptions(recipe=Recipe(max_cells=60))
    annotation = cq.annotate(adata, reference=known, label_key="cell_type", options=options)
    held = annotation.record["reference"]
    assert (held["n_cells"], held["n_seen"]) == (60, 120)
    assert list(held["cells_of_label"]) == [20, 20, 20]
    assert "60 of the reference's 120 labelled cells" in str(annotation)


def test_a_query_with_fewer_genes_is_labelled_from_the_shared_ones(known, adata):
    expected = cq.annotate(
        adata[:, :120].copy(), reference=known[:, :120].copy(), label_key="cell_type"
    )
    fewer = adata[:, :120].copy()
    fewer.obs["cell_type"] = "?"
    annotation = cq.annotate(fewer, reference=known, label_key="cell_type")
    assert (annotation.overlap.n_shared, annotation.overlap.n_genes) == (120, 200)
    assert annotation.overlap.refitted
    assert labels_of(annotation) == labels_of(expected)
    assert "120 of the reference's 200 genes are measured" in str(annotation)


def test_genes_that_the_reference_lacks_change_nothing(known, adata):
    expected = cq.annotate(adata.copy(), reference=known[:, :150].copy(), label_key="cell_type")
    same = adata[:, :150].copy()
    found = cq.annotate(same, reference=known[:, :150].copy(), label_key="cell_type")
    assert found.table.equals(expected.table)


def test_too_few_shared_genes_are_refused(known, adata):
    adata.var_names = [*adata.var_names[:49], *(f"ENSG{i:011d}" for i in range(151))]
    with pytest.raises(InputError, match="49") as refusal:
        cq.annotate(adata, reference=known, label_key="cell_type")
    assert "symbols, or Ensembl ids" in refusal.value.hint
    fitted = load_or_fit(known, label_key="cell_type")
    with pytest.raises(InputError, match="measures 49 of the reference's 200 genes"):
        cq.annotate(adata, reference=fitted)


def test_a_wrong_slot_of_the_reference_is_refused_with_the_option_of_the_reference(adata):
    labelled = adata.copy()
    labelled.raw = log1p_of(labelled)
    labelled.X = labelled.X.toarray() - labelled.X.toarray().mean(axis=0)
    with pytest.raises(InputError, match=r"^Of the reference: X .*scaled values") as refusal:
        cq.annotate(adata, reference=labelled, label_key="cell_type")
    assert "read_reference=ReadOptions(use_raw=True)" in refusal.value.hint
    assert "--reference-raw" in refusal.value.hint


def test_columns_that_carry_one_gene_are_refused_or_summed(known, adata):
    expected = cq.annotate(adata.copy(), reference=known, label_key="cell_type")
    counts = adata.X.toarray()
    half = counts[:, [5]] // 2
    counts[:, [5]] -= half
    adata = ad.AnnData(
        sp.csr_matrix(np.hstack([counts, half])),
        var=pd.DataFrame({"symbol": [*adata.var_names, "GENE5"]}, index=map(str, range(201))),
    )
    read = ReadOptions(gene_column="symbol")
    with pytest.raises(InputError, match="stands for several columns each: 'GENE5'") as refusal:
        cq.annotate(
            adata, reference=known, label_key="cell_type", options=AnnotateOptions(read=read)
        )
    assert 'collisions="sum"' in refusal.value.hint
    options = AnnotateOptions(read=replace(read, collisions="sum"))
    found = cq.annotate(adata, reference=known, label_key="cell_type", options=options)
    assert labels_of(found) == labels_of(expected)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-5)
