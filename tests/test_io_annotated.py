"""A copy of a file with results added: nothing else changes, and nothing is half there."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import textwrap

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from anndata.tests.helpers import assert_equal

from celloquy.errors import InputError
from celloquy.io import (
    Results,
    add_results,
    open_stream,
    read,
    refuse_taken,
    write_annotated,
    write_h5ad,
)

COUNTS = np.array([[0, 3, 0], [1, 0, 2], [4, 4, 4]], np.float32)


@pytest.fixture
def adata():
    adata = ad.AnnData(sp.csr_matrix(COUNTS))
    adata.obs_names = ["a", "b", "c"]
    adata.var_names = ["CD3E", "MS4A1", "LYZ"]
    adata.obs["batch"] = pd.Categorical(["x", "y", "x"])
    adata.obs["zählung"] = [1, 2, 3]
    adata.obsm["X_pca"] = np.ones((3, 2))
    adata.layers["half"] = sp.csr_matrix(COUNTS / 2)
    adata.raw = ad.AnnData(sp.csr_matrix(COUNTS), var=pd.DataFrame(index=adata.var_names))
    adata.uns["run"] = {"seed": 1, "names": np.array(["p", "q"], dtype=object)}
    return adata


def results():
    names = pd.Index(["a", "b", "c"])
    return Results(
        obs={
            "label": pd.Series(pd.Categorical(["T", "unknown", "B"]), index=names),
            "label_score": pd.Series(np.array([0.9, 0.2, 1.0], np.float32), index=names),
        },
        obsm={"X_new": iter([np.eye(2, dtype=np.float32), np.full((1, 2), 7, np.float32)])},
        uns={"label": {"verb": "annotate", "n_obs": 3}},
    )


def without_results(adata):
    """Look at the results, and give the rest to be compared."""
    assert adata.obs["label"].tolist() == ["T", "unknown", "B"]
    np.testing.assert_array_equal(adata.obs["label_score"], np.array([0.9, 0.2, 1.0], np.float32))
    np.testing.assert_array_equal(adata.obsm["X_new"], [[1, 0], [0, 1], [7, 7]])
    assert adata.uns["label"]["verb"] == "annotate"
    del adata.obs["label"], adata.obs["label_score"], adata.obsm["X_new"], adata.uns["label"]
    return adata


def test_a_copy_holds_the_results_and_all_else_as_it_was(adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    before = (tmp_path / "cells.h5ad").read_bytes()
    write_annotated(tmp_path / "cells.h5ad", tmp_path / "out.h5ad", results=results())
    assert (tmp_path / "cells.h5ad").read_bytes() == before
    again = ad.read_h5ad(tmp_path / "out.h5ad")
    assert again.obs.columns.tolist() == ["batch", "zählung", "label", "label_score"]
    assert isinstance(again.obs["label"].dtype, pd.CategoricalDtype)
    assert_equal(without_results(again), ad.read_h5ad(tmp_path / "cells.h5ad"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.h5ad", "out.h5ad"]


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_a_zarr_store_gets_the_results_too(adata, tmp_path, ending):
    write_h5ad(adata, tmp_path / "cells.zarr")
    write_annotated(tmp_path / "cells.zarr", tmp_path / f"out.{ending}", results=results())
    again = read(tmp_path / f"out.{ending}")
    assert_equal(without_results(again), read(tmp_path / "cells.zarr"))


def test_an_h5ad_may_become_a_zarr_store(adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    write_annotated(tmp_path / "cells.h5ad", tmp_path / "out.zarr", results=results())
    again = read(tmp_path / "out.zarr")
    assert_equal(without_results(again), read(tmp_path / "cells.h5ad"))


def test_a_folder_of_10x_becomes_an_h5ad_with_the_results(tmp_path):
    folder = tmp_path / "10x"
    folder.mkdir()
    scipy.io.mmwrite(folder / "matrix.mtx", sp.coo_matrix(COUNTS.T.astype(int)))
    (folder / "matrix.mtx.gz").write_bytes(gzip.compress((folder / "matrix.mtx").read_bytes()))
    (folder / "matrix.mtx").unlink()
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as file:
        file.write("a\nb\nc\n")
    with gzip.open(folder / "features.tsv.gz", "wt") as file:
        file.writelines(f"E{i}\tG{i}\tGene Expression\n" for i in range(3))
    write_annotated(folder, tmp_path / "out.h5ad", results=results())
    again = without_results(read(tmp_path / "out.h5ad"))
    np.testing.assert_array_equal(again.X.toarray(), COUNTS)


def test_a_file_whose_obs_is_one_old_table_is_written_anew(tmp_path):
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        file["X"] = COUNTS
        file["obs"] = np.array([(b"a",), (b"b",), (b"c",)], dtype=[("index", "S1")])
        file["var"] = np.array([(b"CD3E",), (b"LYZ",), (b"NKG7",)], dtype=[("index", "S4")])
    write_annotated(tmp_path / "old.h5ad", tmp_path / "out.h5ad", results=results())
    again = without_results(ad.read_h5ad(tmp_path / "out.h5ad"))
    assert again.var_names.tolist() == ["CD3E", "LYZ", "NKG7"]
    np.testing.assert_array_equal(again.X, COUNTS)


def test_a_file_without_obsm_and_uns_gets_them(tmp_path):
    bare = ad.AnnData(sp.csr_matrix(COUNTS))
    bare.obs_names = ["a", "b", "c"]
    write_h5ad(bare, tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
        del file["obsm"], file["uns"]
    write_annotated(tmp_path / "cells.h5ad", tmp_path / "out.h5ad", results=results())
    again = without_results(ad.read_h5ad(tmp_path / "out.h5ad"))
    assert not again.uns
    assert not again.obsm


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
@pytest.mark.parametrize(("slot", "key"), [("obs", "label"), ("obsm", "X_new"), ("uns", "label")])
def test_what_exists_is_replaced_only_where_that_was_asked_for(adata, tmp_path, name, slot, key):
    taken = {"obs": list("xyz"), "obsm": np.zeros((3, 5)), "uns": {"mine": 1}}
    getattr(adata, slot)[key] = taken[slot]
    write_h5ad(adata, tmp_path / name)
    with pytest.raises(InputError, match=f"`{slot}` has '{key}' already") as refusal:
        write_annotated(tmp_path / name, tmp_path / "out.h5ad", results=results())
    assert "overwrite" in refusal.value.hint
    assert not (tmp_path / "out.h5ad").exists()
    write_annotated(tmp_path / name, tmp_path / "out.h5ad", results=results(), overwrite=True)
    again = ad.read_h5ad(tmp_path / "out.h5ad")
    assert again.obs.columns.is_unique
    without_results(again)


def test_an_existing_file_is_replaced_only_where_that_was_asked_for(adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    (tmp_path / "out.h5ad").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_annotated(tmp_path / "cells.h5ad", tmp_path / "out.h5ad", results=results())
    assert (tmp_path / "out.h5ad").read_text() == "mine"


def test_results_go_into_an_adata_in_place_and_names_are_kept(adata):
    refuse_taken(adata, {"obs": ["label"], "obsm": ["X_new"], "uns": ["label"]}, overwrite=False)
    add_results(adata, results())
    assert adata.obs_names.tolist() == ["a", "b", "c"]
    for slot, key in (("obs", "label"), ("obsm", "X_new"), ("uns", "label")):
        with pytest.raises(InputError, match=f"`{slot}` has '{key}' already"):
            refuse_taken(adata, {slot: [key]}, overwrite=False)
        refuse_taken(adata, {slot: [key]}, overwrite=True)
    without_results(adata)


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
@pytest.mark.parametrize("spare", [-50_000, 20_000])
def test_a_full_disk_is_told_and_leaves_no_part(tmp_path, spare):
    """The copy does not fit, or the copy does and the results do not."""
    write_h5ad(ad.AnnData(np.ones((1000, 30), np.float32)), tmp_path / "cells.h5ad")
    script = """
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from celloquy.errors import InputError
        from celloquy.io import Results, write_annotated
        folder = Path(sys.argv[1])
        limit = (folder / "cells.h5ad").stat().st_size + int(sys.argv[2])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        blocks = [np.random.default_rng(0).random((500, 200), np.float32) for _ in range(2)]
        try:
            write_annotated(folder / "cells.h5ad", folder / "out.h5ad",
                            results=Results(obsm={"X_new": blocks}))
        except InputError as error:
            print(error, error.hint)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), str(spare)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert "The disk or quota is full" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]


def test_an_open_file_tells_what_is_taken_and_what_it_cannot_hold(adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    with open_stream(tmp_path / "cells.h5ad") as stream:
        refuse_taken(stream, {"obs": ["label"], "obsm": ["X_new"]}, overwrite=False)
        refuse_taken(stream, {"obs": ["batch"]}, overwrite=True)
        with pytest.raises(InputError, match="`obs` has 'batch' already"):
            refuse_taken(stream, {"obs": ["batch"]}, overwrite=False)
        with pytest.raises(InputError, match="`obsm` has 'X_pca' already"):
            refuse_taken(stream, {"obsm": ["X_pca"]}, overwrite=False)
        with pytest.raises(InputError, match="No file of cells can hold `obs` 'a/b'") as refusal:
            refuse_taken(stream, {"obs": ["a/b"]}, overwrite=True)
    assert "key_added" in refusal.value.hint
