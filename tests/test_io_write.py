"""Reading whole files and writing them whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.io import Results, read, write_annotated, write_h5ad

COUNTS = np.array([[0, 3, 0], [1, 0, 2]], np.float32)


@pytest.fixture
def adata() -> ad.AnnData:
    adata = ad.AnnData(sp.csr_matrix(np.log1p(COUNTS)))
    adata.layers["counts"] = sp.csr_matrix(COUNTS)
    adata.obs["label"] = ["T", "B"]
    adata.obsm["X_pca"] = np.ones((2, 2))
    adata.uns["run"] = {"seed": 1}
    adata.raw = ad.AnnData(sp.csr_matrix(np.hstack([COUNTS, COUNTS])))
    return adata


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
def test_what_is_written_is_what_is_read(adata, tmp_path, name):
    write_h5ad(adata, tmp_path / name)
    again = read(tmp_path / name)
    np.testing.assert_array_equal(again.X.toarray(), np.log1p(COUNTS))
    np.testing.assert_array_equal(again.layers["counts"].toarray(), COUNTS)
    assert again.obs["label"].tolist() == ["T", "B"]
    assert int(again.uns["run"]["seed"]) == 1
    assert again.obsm["X_pca"].shape == (2, 2)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
def test_the_chosen_slot_becomes_x(adata, tmp_path, name):
    adata.layers["csc"] = sp.csc_matrix(COUNTS)
    write_h5ad(adata, tmp_path / name)
    counts = read(tmp_path / name, layer="csc")
    np.testing.assert_array_equal(counts.X.toarray(), COUNTS)
    assert counts.X.format == "csr"
    assert "X_pca" in counts.obsm
    raw = read(tmp_path / name, use_raw=True)
    assert raw.shape == (2, 6)
    np.testing.assert_array_equal(raw.X.toarray(), np.hstack([COUNTS, COUNTS]))
    assert raw.obs["label"].tolist() == ["T", "B"]


def test_nothing_is_overwritten_unasked(adata, tmp_path):
    path = tmp_path / "cells.h5ad"
    write_h5ad(adata, path)
    with pytest.raises(InputError, match="exists already"):
        write_h5ad(adata[:1].copy(), path)
    assert read(path).n_obs == 2
    write_h5ad(adata[:1].copy(), path, overwrite=True)
    assert read(path).n_obs == 1


def test_a_backed_object_may_be_written_over_its_own_file(adata, tmp_path):
    path = tmp_path / "cells.h5ad"
    write_h5ad(adata, path)
    backed = ad.read_h5ad(path, backed="r")
    backed.obs["new"] = [1, 2]
    write_h5ad(backed, path, overwrite=True)
    backed.file.close()
    assert read(path).obs["new"].tolist() == [1, 2]


def test_what_cannot_be_stored_leaves_no_file(adata, tmp_path):
    adata.uns["odd"] = object()
    for name in ("cells.h5ad", "cells.zarr"):
        with pytest.raises(InputError, match="anndata cannot store a part of these data"):
            write_h5ad(adata, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_other_endings_and_missing_folders_are_refused(adata, tmp_path):
    with pytest.raises(InputError, match=r"ends in '.csv', and AnnData is written as") as refusal:
        write_h5ad(adata, tmp_path / "cells.csv")
    assert refusal.value.hint == "name it 'cells.h5ad'."
    with pytest.raises(InputError, match="does not exist"):
        write_h5ad(adata, tmp_path / "no" / "cells.h5ad")


def test_a_folder_that_is_a_file_is_refused(adata, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="does not exist"):
        write_h5ad(adata, tmp_path / "file" / "cells.h5ad")


def run(script: str, path) -> subprocess.CompletedProcess[str]:
    begin = """
        import os, resource, signal, sys, threading, time
        import anndata as ad, numpy as np
        from celloquy.errors import InputError
        from celloquy.io import write_h5ad
        adata = ad.AnnData(np.random.default_rng(0).random((4000, 500)))
    """
    code = textwrap.dedent(begin) + textwrap.dedent(script)
    return subprocess.run(
        [sys.executable, "-c", code, str(path)], check=False, capture_output=True, text=True
    )


def test_a_write_that_is_killed_leaves_no_half_file_and_runs_again(tmp_path):
    path = tmp_path / "cells.h5ad"
    script = """
        def kill():
            folder = os.path.dirname(sys.argv[1])
            while not any(name.startswith(".cells") for name in os.listdir(folder)):
                time.sleep(0.0005)
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Thread(target=kill, daemon=True).start()
        write_h5ad(adata, sys.argv[1])
        time.sleep(10)
    """
    assert run(script, path).returncode == -signal.SIGKILL
    left = [found.name for found in tmp_path.iterdir()]
    assert "cells.h5ad" not in left or read(path).n_obs == 4000
    assert run("write_h5ad(adata, sys.argv[1], overwrite=True)", path).returncode == 0
    assert read(path).n_obs == 4000


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
def test_a_file_that_cannot_grow_is_told_and_no_part_is_left(tmp_path):
    script = """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            write_h5ad(adata, sys.argv[1])
        except InputError as error:
            print(error, error.hint)
    """
    done = run(script, tmp_path / "cells.h5ad")
    assert "The disk or quota is full" in done.stdout, done.stderr
    assert "free some space" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_results_of_every_kind_are_added_to_a_copy_of_the_file(adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    columns = {
        "type": pd.Series(pd.Categorical(["T", "unknown"]), index=adata.obs_names),
        "score": pd.Series(np.array([0.75, 0.25], np.float32), index=adata.obs_names),
        "note": pd.Series(["first", "second"], index=adata.obs_names),
    }
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    results = Results(
        obs=columns, obsm={"X_new": [vectors[:1], vectors[1:]]}, uns={"how": {"seed": 2}}
    )
    write_annotated(tmp_path / "cells.h5ad", tmp_path / "out.h5ad", results=results)
    written = read(tmp_path / "out.h5ad")
    assert written.obs.columns.tolist() == ["label", "type", "score", "note"]
    assert written.obs["type"].tolist() == ["T", "unknown"]
    assert written.obs["score"].tolist() == [0.75, 0.25]
    assert written.obs["note"].tolist() == ["first", "second"]
    assert written.obsm["X_new"].tolist() == vectors.tolist()
    assert written.uns["how"]["seed"] == 2
    assert "type" not in read(tmp_path / "cells.h5ad").obs
