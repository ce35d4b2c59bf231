"""Labels of cells in files: a file gives a file, in parts, and never half of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest

import celloquy as cq
from celloquy.errors import InputError
from celloquy.io import write_h5ad
from celloquy.learn import save_reference
from celloquy.roles import AnnotateOptions, load_or_fit, read_block
from labelled_cells import labelled_cells, labels_of


@pytest.fixture(scope="module")
def known():
    return labelled_cells(seed=1)


@pytest.fixture(scope="module")
def reference(known):
    return load_or_fit(known, label_key="cell_type")


@pytest.fixture
def adata():
    return labelled_cells(10, seed=2)


def test_labels_with_a_slash_survive_a_file(known, adata, tmp_path):
    named = known.copy()
    named.obs["cell_type"] = named.obs["cell_type"].astype(str).replace("T", "CD8+/CD45RA+ Naive")
    cq.annotate(adata, reference=named, label_key="cell_type")
    write_h5ad(adata, tmp_path / "cells.h5ad")
    again = cq.read(tmp_path / "cells.h5ad")
    assert "CD8+/CD45RA+ Naive" in again.obs["cell_type_celloquy"].cat.categories
    assert "CD8+/CD45RA+ Naive" in list(again.uns["cell_type_celloquy"]["reference"]["labels"])


def test_a_name_that_ends_in_no_format_is_refused_before_anything_is_computed(
    reference, adata, tmp_path
):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=r"'out.csv' ends in '.csv'") as refusal:
        cq.annotate(tmp_path / "cells.h5ad", out=tmp_path / "out.csv", reference=reference)
    assert refusal.value.hint == "name it 'out.h5ad'."
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]


def test_a_backed_object_gets_its_results_too(reference, adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    found, expected = (cq.annotate(cells, reference=reference) for cells in (backed, adata))
    assert labels_of(found) == labels_of(expected)
    assert backed.obs["cell_type_celloquy"].astype(str).tolist() == labels_of(expected)
    backed.file.close()


def test_an_adata_has_no_copy_to_write(reference, adata, tmp_path):
    with pytest.raises(InputError, match="`out` writes a copy of a file, and an AnnData"):
        cq.annotate(adata, reference=reference, out=tmp_path / "out.h5ad")


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_a_file_gives_a_file_and_stays_as_it_is(reference, adata, tmp_path, ending):
    folder = tmp_path / "Größe 細胞"
    folder.mkdir()
    path = folder / f"zellen.{ending}"
    write_h5ad(adata, path)
    before = path.read_bytes() if path.is_file() else None
    annotation = cq.annotate(path, reference=reference, out=folder / "out.h5ad")
    assert before is None or path.read_bytes() == before
    written = ad.read_h5ad(folder / "out.h5ad")
    expected = cq.annotate(adata, reference=reference)
    assert labels_of(annotation) == labels_of(expected)
    assert written.obs["cell_type_celloquy"].astype(str).tolist() == labels_of(expected)
    assert written.uns["cell_type_celloquy"]["verb"] == "annotate"
    np.testing.assert_array_equal(written.X.toarray(), adata.X.toarray())
    assert sorted(p.name for p in folder.iterdir()) == sorted(["out.h5ad", path.name])
    with pytest.raises(InputError, match="exists already"):
        cq.annotate(path, reference=reference, out=folder / "out.h5ad")


def test_a_file_may_take_its_own_place_and_keeps_its_cells(reference, adata, tmp_path):
    path = tmp_path / "cells.h5ad"
    write_h5ad(adata, path)
    cq.annotate(path, reference=reference, out=path, overwrite=True)
    written = ad.read_h5ad(path)
    np.testing.assert_array_equal(written.X.toarray(), adata.X.toarray())
    assert written.obs.columns[0] == "cell_type"
    assert "cell_type_celloquy" in written.obs


def test_a_folder_does_not_take_its_own_place(reference, adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.zarr")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "cells.zarr", target_is_directory=True)
    before = sorted(tmp_path.rglob("*"))
    for out in ("cells.zarr", "link.zarr"):
        with pytest.raises(InputError, match="holds the cells themselves, and is a f") as refusal:
            cq.annotate(
                tmp_path / "cells.zarr", reference=reference, out=tmp_path / out, overwrite=True
            )
        assert "--out" in refusal.value.hint
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_without_out_is_only_looked_at(reference, adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    before = (tmp_path / "cells.h5ad").read_bytes()
    annotation = cq.annotate(tmp_path / "cells.h5ad", reference=reference)
    assert annotation.table.index.tolist() == adata.obs_names.tolist()
    assert (tmp_path / "cells.h5ad").read_bytes() == before


def test_more_cells_than_a_chunk_are_labelled_as_few_are(reference, adata, tmp_path):
    expected = cq.annotate(adata.copy(), reference=reference)
    many = ad.concat([adata] * 150, index_unique="-")  # 4,500 cells: chunks of 1,000, buffers again
    write_h5ad(many, tmp_path / "cells.h5ad")
    found = cq.annotate(tmp_path / "cells.h5ad", reference=reference)
    assert labels_of(found) == labels_of(expected) * 150
    np.testing.assert_allclose(found.score, np.tile(expected.score, 150), atol=1e-5)
    block, obs = read_block(tmp_path / "cells.h5ad")
    assert (block.expression != many.X).nnz == 0
    assert obs.index.tolist() == many.obs_names.tolist()


def test_values_that_the_spread_sample_did_not_meet_are_refused_where_they_are(
    reference, adata, tmp_path
):
    many = ad.concat([adata] * 150, index_unique="-")
    for bad, told in ((-1.0, "-1"), (np.nan, "nan"), (np.inf, "inf")):
        path = tmp_path / f"{told}.h5ad"
        wrong = many.copy()
        wrong.X.data[-1] = bad
        write_h5ad(wrong, path)
        with pytest.raises(InputError, match=rf"the value {told}|holds .* values") as refusal:
            cq.annotate(path, reference=reference)
        assert refusal.value.hint


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
def test_a_full_disk_is_told_and_leaves_no_half_file(reference, adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    save_reference(reference, tmp_path / "saved")
    script = """
        import resource, signal, sys
        from celloquy.errors import InputError
        from celloquy.learn import load_reference, save_reference
        from celloquy.roles import annotate
        folder, limit = sys.argv[1], int(sys.argv[2])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            annotate(f"{folder}/cells.h5ad", reference=f"{folder}/saved", out=f"{folder}/out.h5ad")
        except InputError as error:
            print("cells:", error, error.hint)
        try:
            save_reference(load_reference(f"{folder}/saved"), f"{folder}/again")
        except InputError as error:
            print("reference:", error, error.hint)
    """
    done = run(script, tmp_path, (tmp_path / "cells.h5ad").stat().st_size - 1_000)
    assert "cells: The disk or quota is full" in done.stdout, done.stderr
    assert "reference: The disk or quota is full" in done.stdout, done.stderr
    assert not (tmp_path / "again").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(("out.h5ad.h", ".out"))]
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_run_leaves_no_half_file_and_goes_on_from_its_parts(reference, adata, tmp_path):
    many = ad.concat([adata] * 840, index_unique="-")  # 25,200 cells: three parts
    write_h5ad(many, tmp_path / "cells.h5ad")
    save_reference(reference, tmp_path / "saved")
    script = """
        import os, signal, sys, threading, time
        from celloquy.roles import annotate
        folder, kill = sys.argv[1], sys.argv[2] == "kill"
        def watch():
            while not os.path.exists(f"{folder}/out.h5ad.parts/part-00000.json"):
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)
        if kill:
            threading.Thread(target=watch, daemon=True).start()
        annotate(f"{folder}/cells.h5ad", reference=f"{folder}/saved", out=f"{folder}/out.h5ad")
    """
    assert run(script, tmp_path, "kill").returncode == -signal.SIGKILL
    assert not (tmp_path / "out.h5ad").exists()
    done = run(script, tmp_path, "finish")
    assert done.returncode == 0, done.stderr
    n_done = int(done.stderr.split(" cells in ")[0].splitlines()[-1].replace(",", ""))
    assert n_done in {15_200, 5_200}  # the parts that were whole were not made again
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.h5ad", "out.h5ad", "saved"]
    written = ad.read_h5ad(tmp_path / "out.h5ad").obs["cell_type_celloquy"].astype(str)
    assert written.tolist() == labels_of(cq.annotate(adata, reference=reference)) * 840


def test_parts_of_another_run_are_used_only_where_it_was_the_same(reference, adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    parts = tmp_path / "out.h5ad.parts"
    parts.mkdir()
    (parts / "plan.json").write_text('{"schema": 1, "config": {"panel": "refit"}}')
    (parts / "part-00000.json").write_text("{}")
    chosen = replace(AnnotateOptions(), panel="stored")
    ask = {"reference": reference, "out": tmp_path / "out.h5ad", "options": chosen}
    with pytest.raises(InputError, match="holds the parts of another run"):
        cq.annotate(tmp_path / "cells.h5ad", **ask)
    cq.annotate(tmp_path / "cells.h5ad", **ask, overwrite=True)
    assert not parts.exists()
