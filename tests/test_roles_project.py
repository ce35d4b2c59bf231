"""Projections: fitted on encoded cells, applied as cells are encoded, refused elsewhere."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import celloquy as cq
from celloquy.errors import CheckpointError, InputError
from celloquy.io import write_h5ad
from celloquy.lm import load_lm
from celloquy.roles import EncodeOptions, TextSource, fit_projection
from labelled_cells import labelled_cells
from lm_models import write_encoder


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Give options with a tiny model of random weights, whose words are g0 to g59."""
    lm = load_lm(f"st:{write_encoder(tmp_path_factory.mktemp('tiny'))}", device="cpu")
    return EncodeOptions(text=TextSource(lm=lm, n_top_genes=20))


def cells(seed):
    adata = labelled_cells(8, n_genes=60, seed=seed)
    adata.var_names = [f"g{i}" for i in range(60)]
    adata.obs["donor"] = np.tile(["x", "y"], 12)
    return adata


@pytest.fixture(scope="module")
def encoded(options):
    adata = cells(1)
    cq.encode(adata, options=options)
    return adata


@pytest.fixture(scope="module")
def projection(encoded):
    return fit_projection(encoded, label_key="cell_type", batch_key="donor")


def test_cells_are_encoded_and_projected_in_one_step(options, encoded, projection):
    new = cells(2)
    plain = cq.encode(new, key_added="plain", options=options).vectors
    found = cq.encode(new, options=replace(options, projection=projection))
    np.testing.assert_array_equal(found.vectors, projection.transform(plain))
    assert found.vectors.shape == (24, 2)
    assert str(found).endswith(", projected to 2 dimensions")
    told = new.uns["X_celloquy"]["projection"]
    assert told["fingerprint"] == projection.fingerprint
    assert told["labels"] == list(projection.labels)
    assert "projection" not in new.uns["plain"]
    assert str(projection).endswith("from 24 cells of 3 labels in 2 batches")


def test_a_cell_without_genes_has_zeros_after_a_projection_too(options, projection):
    new = cells(2)
    new.X = sp.csr_matrix(new.X.multiply(np.arange(24)[:, None] != 3))
    with pytest.warns(UserWarning, match="1 of 24 cells names no gene"):
        found = cq.encode(new, options=replace(options, projection=projection))
    assert found.vectors.any(axis=1).tolist() == [row != 3 for row in range(24)]


@pytest.mark.slow
def test_a_folder_and_files_give_the_same(options, encoded, projection, tmp_path):
    write_h5ad(encoded, tmp_path / "encoded.h5ad")
    write_h5ad(cells(2), tmp_path / "new.h5ad")
    folder, out = tmp_path / "projection", tmp_path / "out.h5ad"
    fitted = fit_projection(
        tmp_path / "encoded.h5ad", label_key="cell_type", batch_key="donor", out=folder
    )
    assert fitted.fingerprint == projection.fingerprint
    assert fitted.of == projection.of  # a round through a file changes nothing of the record
    by_folder = replace(options, projection=folder)
    cq.encode(tmp_path / "new.h5ad", out=out, options=by_folder)
    in_memory = cq.encode(cells(2), options=replace(options, projection=projection))
    np.testing.assert_array_equal(cq.read(out).obsm["X_celloquy"], in_memory.vectors)


def test_several_data_sets_are_projected_together(options, projection):
    both = {"one": cells(2), "two": cells(3)}
    together = cq.encode_together(both, options=replace(options, projection=projection))
    assert together.obsm["X_celloquy"].shape == (48, 2)
    assert together.uns["X_celloquy"]["projection"]["n_components"] == 2


def test_vectors_of_other_options_are_refused_before_anything_is_encoded(options, projection):
    fewer = replace(options, text=replace(options.text, n_top_genes=10), projection=projection)
    new = cells(2)
    with pytest.raises(InputError, match=r"with n_top_genes '20'; these are with '10'"):
        cq.encode(new, options=fewer)
    assert not new.obsm
    by_genes = replace(options, by="genes", projection=projection)
    with pytest.raises(InputError, match=r"with by 'sentence'; these are with 'genes'"):
        cq.encode(new, options=by_genes)


def test_a_folder_without_projection_is_refused(options, tmp_path):
    with pytest.raises(CheckpointError, match=r"is no saved projection"):
        cq.encode(cells(2), options=replace(options, projection=tmp_path))


def test_projected_vectors_are_not_projected_again(options, projection):
    new = cells(2)
    cq.encode(new, options=replace(options, projection=projection))
    with pytest.raises(InputError, match=r"The vectors of 'X_celloquy' are projected already"):
        fit_projection(new, label_key="cell_type")


def test_vectors_that_encode_did_not_make_are_projected_in_python_only(options):
    adata = ad.AnnData(obs=cells(1).obs)
    adata.obsm["X_pca"] = np.random.default_rng(0).standard_normal((24, 5))
    fitted = fit_projection(adata, label_key="cell_type", rep="X_pca")
    assert fitted.of == {}
    assert fitted.transform(adata.obsm["X_pca"]).shape == (24, 2)
    with pytest.raises(InputError, match="no record says who made them"):
        cq.encode(cells(2), options=replace(options, projection=fitted))


def test_cells_without_a_label_are_left_out(encoded):
    some = encoded.copy()
    some.obs["cell_type"] = some.obs["cell_type"].astype(object)
    some.obs.iloc[:3, some.obs.columns.get_loc("cell_type")] = None
    assert fit_projection(some, label_key="cell_type").n_left_out == 3


def test_cells_of_which_nothing_was_read_are_left_out(encoded):
    adata = encoded.copy()
    adata.obsm["X_celloquy"][:2] = 0
    fitted = fit_projection(adata, label_key="cell_type", batch_key="donor")
    assert fitted.n_cells == 22
    same = fit_projection(encoded[2:].copy(), label_key="cell_type", batch_key="donor")
    np.testing.assert_array_equal(fitted.components, same.components)


def test_what_is_missing_is_told(encoded, tmp_path):
    with pytest.raises(InputError, match=r"no embedding 'X_celoquy'; the closest is 'X_celloquy'"):
        fit_projection(encoded, label_key="cell_type", rep="X_celoquy")
    with pytest.raises(InputError, match=r"no column 'celltype'; the closest is 'cell_type'"):
        fit_projection(encoded, label_key="celltype")
    gaps = encoded.copy()
    gaps.obsm["X_celloquy"][4] = np.nan
    with pytest.raises(InputError, match=r"1 of 24 vectors of 'X_celloquy' .* 'cell1-4'"):
        fit_projection(gaps, label_key="cell_type")
    with pytest.raises(InputError, match="exists already"):
        fit_projection(encoded, label_key="cell_type", out=tmp_path)
