"""What cannot be read is refused: what was found, where, and one next step."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import textwrap
from contextlib import contextmanager
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import test_io_formats as formats
from celloquy.errors import InputError
from celloquy.io import open_stream, read, write_h5ad


@pytest.fixture
def adata() -> ad.AnnData:
    adata = ad.AnnData(sp.csr_matrix(np.eye(4, dtype=np.float32)))
    adata.layers["counts"] = adata.X.copy()
    return adata


def refusal_of(path, **options) -> str:
    with pytest.raises(InputError) as refusal:
        read(path, **options)
    assert refusal.value.hint
    assert refusal.traceback[-1].path.name.startswith("_")  # ours, not h5py's or pandas'
    return f"{refusal.value} | {refusal.value.hint}"


def refusal_of_stream(path) -> str:
    with pytest.raises(InputError) as refusal:
        _read_all(path)
    return str(refusal.value)


def _read_all(path) -> None:
    with open_stream(path) as stream:
        stream.fingerprint()
        list(stream.chunks())


def test_a_missing_file_is_told_with_the_closest_name(tmp_path):
    (tmp_path / "pbmc3k.h5ad").touch()
    assert "the closest is 'pbmc3k.h5ad'" in refusal_of(tmp_path / "pbmc3.h5ad")
    assert "its folder does not exist" in refusal_of(tmp_path / "no" / "pbmc3.h5ad")


@pytest.mark.parametrize("name", ["a.h5ad", "a.h5", "a.loom", "a.csv", "a.tsv.gz", "matrix.mtx"])
def test_an_empty_file_is_told(tmp_path, name):
    (tmp_path / name).touch()
    assert "is empty (0 bytes)" in refusal_of(tmp_path / name)


def test_a_web_page_in_place_of_a_file_is_shown(tmp_path):
    (tmp_path / "cells.h5ad").write_text("<!DOCTYPE html><html>404</html>")
    said = refusal_of(tmp_path / "cells.h5ad")
    assert "is no HDF5 file: its 31 bytes begin with b'<!DOCTYP'" in said


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_cut_off_h5ad_is_told(adata, tmp_path, share):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    whole = (tmp_path / "cells.h5ad").read_bytes()
    (tmp_path / "cells.h5ad").write_bytes(whole[: int(len(whole) * share)])
    assert "is cut off or damaged" in refusal_of(tmp_path / "cells.h5ad")


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"fletcher32": True}])
def test_damaged_values_are_told_and_not_read(tmp_path, options):
    rng = np.random.default_rng(0)
    counts = sp.random(300, 40, 0.5, format="csr", random_state=rng)
    ad.AnnData(counts).write_h5ad(tmp_path / "cells.h5ad", compression="gzip")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        held = file["X/data"][...]
        del file["X/data"]
        file["X"].create_dataset("data", data=held, compression="gzip", chunks=(500,), **options)
        chunk = file["X/data"].id.get_chunk_info(0)
    with (tmp_path / "cells.h5ad").open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * min(64, chunk.size))
    stream = open_stream(tmp_path / "cells.h5ad")
    with stream, pytest.raises(InputError, match=r"X of 'cells.h5ad' is damaged"):
        list(stream.chunks(10))


def test_a_file_cut_off_while_it_is_read_is_told(tmp_path):
    counts = sp.random(300, 40, 0.5, format="csr", random_state=0)
    ad.AnnData(counts).write_h5ad(tmp_path / "cells.h5ad")
    with open_stream(tmp_path / "cells.h5ad") as stream:
        with h5py.File(tmp_path / "cells.h5ad") as file:
            info = file["X/data"].id
            stream.obs()
            begin = info.get_offset() or info.get_chunk_info(0).byte_offset
        os.truncate(tmp_path / "cells.h5ad", begin + 100)
        with pytest.raises(InputError, match=r"X of 'cells.h5ad' is cut off: the file ends at"):
            list(stream.chunks(10))


def test_a_column_outside_the_matrix_is_told(adata, tmp_path):
    for wrong in (-1, 4, 2**31 - 1):
        adata.write_h5ad(tmp_path / "cells.h5ad")
        with h5py.File(tmp_path / "cells.h5ad", "a") as file:
            file["X/indices"][2] = wrong
        stream = open_stream(tmp_path / "cells.h5ad")
        with stream, pytest.raises(InputError, match=f"is damaged: it names column {wrong} of 4"):
            stream.rows(0, 4)


@pytest.mark.parametrize(
    ("place", "values", "said"),
    [
        ("X/indptr", [0, 3, 2, 3, 4], "the borders of cells 0 to 4 do not rise"),
        ("X/indptr", [0, 1, 2, 3, 9], "the borders of cells 0 to 4 do not rise"),
        ("X/indptr", [0, 1, 2, 4], "4 row borders for 4 cells, 4 columns for 4 values"),
        ("X/indices", [0, 1, 2], "3 columns for 4 values"),
        ("X/data", ["a", "b", "c", "d"], "holds values of type 'object', which are no numbers"),
        ("obs/_index", [b"a", b"b"], "X has 4 cells, but `obs` has 2 rows"),
        ("var/_index", [b"a", b"b"], "X has 4 genes, but `var` has 2 rows"),
    ],
)
def test_parts_that_do_not_fit_are_told(adata, tmp_path, place, values, said):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        del file[place]
        file[place] = values
    assert said in refusal_of_stream(tmp_path / "cells.h5ad")


def test_a_csc_matrix_that_does_not_fit_is_told(tmp_path):
    ad.AnnData(sp.csc_matrix(np.eye(3))).write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        file["X/indices"][1] = 7
    with pytest.raises(InputError, match="an entry stands at cell 8, gene 2 of 3 cells"):
        open_stream(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        file["X/indptr"][1] = 9
    with pytest.raises(InputError, match="its 4 borders do not fit 3 genes"):
        open_stream(tmp_path / "cells.h5ad")


def test_slots_that_are_not_there_are_told_in_every_format(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    formats.write_zarr(adata, tmp_path / "cells.zarr")
    formats.write_loom(tmp_path / "cells.loom")
    formats.write_tenx_h5(tmp_path / "tenx.h5")
    formats.write_tenx_folder(tmp_path / "tenx")
    (tmp_path / "cells.csv").write_text("cell,A\nx,1\n")
    for source in [adata, *sorted(tmp_path.iterdir())]:
        with pytest.raises(InputError, match="has no layer 'count'"):
            open_stream(source, layer="count")
        with pytest.raises(InputError, match="has no `raw`") as refusal:
            open_stream(source, use_raw=True)
        assert "leave `use_raw`" in refusal.value.hint
    assert "the closest is 'counts'" in refusal_of(tmp_path / "cells.h5ad", layer="count")
    with pytest.raises(InputError, match="name two slots, and one is read"):
        open_stream(adata, layer="counts", use_raw=True)


def test_an_h5ad_without_x_names_the_slots_it_has(adata, tmp_path):
    adata.raw = adata
    adata.X = None
    adata.write_h5ad(tmp_path / "cells.h5ad")
    formats.write_zarr(adata, tmp_path / "cells.zarr")
    for source in (adata, tmp_path / "cells.h5ad", tmp_path / "cells.zarr"):
        with pytest.raises(InputError, match="has no X") as refusal:
            open_stream(source)
        assert refusal.value.hint == "choose another slot: layer='counts' or use_raw=True."
    assert read(tmp_path / "cells.h5ad", layer="counts").X.shape == (4, 4)
    with pytest.raises(InputError, match="has no X") as refusal:
        open_stream(ad.AnnData(obs=pd.DataFrame(index=["a"])))
    assert refusal.value.hint == "set `adata.X`."


def test_an_hdf5_file_of_something_else_is_told(tmp_path):
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["weights"] = [1.0]
    assert "has no `var`, so it is no AnnData file; it holds: weights" in refusal_of(
        tmp_path / "other.h5ad"
    )
    with h5py.File(tmp_path / "table.h5ad", "w") as file:
        file["X"], file["obs"], file["var"] = np.eye(2), [1.0], [1.0]
    assert "neither a table nor a group of columns" in refusal_of(tmp_path / "table.h5ad")


def test_a_slot_that_is_no_matrix_is_told(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        file["layers/flat"] = [1.0, 2.0]
        file.create_group("layers/odd")["data"] = [1.0]
        file.copy("X", "layers/shapeless")
        del file["layers/shapeless"].attrs["shape"]
    assert "is no matrix: its shape is (2,)" in refusal_of(tmp_path / "cells.h5ad", layer="flat")
    assert "lacks indices, indptr" in refusal_of(tmp_path / "cells.h5ad", layer="odd")
    assert "does not say its shape" in refusal_of(tmp_path / "cells.h5ad", layer="shapeless")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("atlas.rds", 'readRDS("atlas.rds")'),
        ("atlas.RData", 'load("atlas.RData")'),
        ("atlas.h5Seurat", 'SeuratDisk::Convert("atlas.h5Seurat", dest = "h5ad")'),
        ("atlas.h5mu", '.mod["rna"].write("atlas.h5ad")'),
    ],
)
def test_files_of_other_programs_are_refused_with_the_line_that_converts_them(tmp_path, name, line):
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    said = refusal_of(tmp_path / name)
    assert "is a file of another program" in said
    assert line in said


def test_other_endings_and_addresses_are_refused(tmp_path):
    (tmp_path / "cells.xlsx").write_text("x")
    assert "ends in '.xlsx', which is not read" in refusal_of(tmp_path / "cells.xlsx")
    assert "is an address" in refusal_of("https://example.org/cells.h5ad")


def test_a_folder_that_holds_no_cells_is_told_and_one_inside_is_named(tmp_path):
    assert "it holds: nothing" in refusal_of(tmp_path)
    formats.write_tenx_folder(tmp_path / "filtered_feature_bc_matrix")
    said = refusal_of(tmp_path)
    assert "neither a zarr store nor a 10x folder" in said
    assert f"pass '{tmp_path / 'filtered_feature_bc_matrix'}'" in said


def test_a_damaged_zarr_store_is_told(tmp_path):
    (tmp_path / "cells.zarr").mkdir()
    (tmp_path / "cells.zarr" / "zarr.json").write_text("{")
    assert "is no zarr group, or it is damaged" in refusal_of(tmp_path / "cells.zarr")


def test_damaged_tenx_folders_are_told(tmp_path):
    folder = formats.write_tenx_folder(tmp_path / "tenx", version=2)
    matrix = folder / "matrix.mtx"
    text = matrix.read_text()
    for broken, said in [
        (text.rsplit("\n", 2)[0], "it names 5 entries and holds 4"),
        (text + "1 1 1\n", "it names 5 entries and holds 6"),
        (text.replace("4 4 5", "4 5 5"), "is 4 by 5, but beside it 4 genes and 4 cells are named"),
        (text.replace("4 4 5", "4 x 5"), "the line of its size is b'4 x 5"),
        (text.replace("coordinate", "array"), "is no sparse Matrix Market file"),
        (text.replace("\n2 1 3", "\n9 1 3"), "an entry stands at cell 1, gene 9"),
        (text.replace("\n2 1 3", "\n2 x 3"), "holds a line that is no entry"),
        ("<html>", "is no sparse Matrix Market file: it begins with '<html>'"),
    ]:
        matrix.write_text(broken)
        assert said in refusal_of(folder)
    matrix.write_text(text)
    (folder / "matrix.mtx.gz").write_bytes(gzip.compress(text.encode())[:-20])
    assert "holds 2 matrices: matrix.mtx, matrix.mtx.gz" in refusal_of(folder)
    matrix.unlink()
    assert "its gzip data end too early" in refusal_of(folder)
    (folder / "barcodes.tsv").unlink()
    assert "has 'matrix.mtx.gz' but none of barcodes.tsv.gz, barcodes.tsv" in refusal_of(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cells\na\nb\n", "its first line 'cells\\n' has one column"),
        ("cell,A,type\nx,1,B cell\n", "Column 'type' of 't.csv' holds text, such as 'B cell'"),
        ("cell,A,B\nx,1,2\ny,1,2,3,4\n", "is no table"),
    ],
)
def test_damaged_tables_are_told(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    assert said in refusal_of(tmp_path / "t.csv")


def test_tables_in_other_encodings_or_cut_off_are_told(tmp_path):
    (tmp_path / "t.csv").write_bytes("cell,Gène\nx,1\n".encode("latin-1"))
    assert "is no UTF-8 text" in refusal_of(tmp_path / "t.csv")
    text = "cell,A\n" + "".join(f"c{i},{i}\n" for i in range(5_000))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode())[:-30])
    assert "its gzip data end too early" in refusal_of(tmp_path / "t.csv.gz")


def test_transposing_is_for_tables(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    for source in (adata, tmp_path / "cells.h5ad"):
        with pytest.raises(InputError, match="`transpose=True` is for text tables"):
            open_stream(source, transpose=True)


def test_paths_and_names_may_have_any_letters(adata, tmp_path):
    folder = tmp_path / "Zellen Größe 细胞 \U0001f9ec"
    folder.mkdir()
    adata.obs_names = ["größe", "细胞", "a b", "c\nd"]
    write_h5ad(adata, folder / "größe 1.h5ad")
    assert read(folder / "größe 1.h5ad").obs_names.tolist() == adata.obs_names.tolist()
    with open_stream(folder / "größe 1.h5ad") as stream:
        assert stream.obs().index.tolist() == adata.obs_names.tolist()
        assert stream.rows(0, 4).to_csr().toarray().tolist() == np.eye(4).tolist()


@contextmanager
def as_nobody():
    """Give up the right of root to read everything, for a moment; others have no such right."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_a_file_that_may_not_be_read_is_told(adata):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        Path(folder).chmod(0o755)
        path = Path(folder) / "cells.h5ad"
        adata.write_h5ad(path)
        path.chmod(0)
        with as_nobody():
            told = refusal_of(path)
    assert "may not be read by this user" in told


def test_a_temporary_folder_that_is_full_is_told(tmp_path):
    script = textwrap.dedent("""
        import resource, signal, sys
        import anndata as ad, numpy as np, scipy.sparse as sp
        from celloquy.io import _spool, open_stream
        from celloquy.errors import InputError
        ad.AnnData(sp.csc_matrix(np.ones((300, 50)))).write_h5ad(sys.argv[1])
        _spool.MEMORY_BYTES = 1_000
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            open_stream(sys.argv[1])
        except InputError as error:
            print(error, error.hint)
    """)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "csc.h5ad")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "is full; rows are kept there" in done.stdout
    assert "set TMPDIR" in done.stdout


@pytest.mark.parametrize(
    ("source", "found"), [([1, 2], "a list"), (None, "a NoneType"), (3, "an int")]
)
def test_what_is_neither_cells_nor_a_path_is_named(source, found):
    with pytest.raises(InputError, match=rf"an AnnData or a path; got {found}\.") as refusal:
        open_stream(source)
    assert "anndata.AnnData(matrix, obs, var)" in refusal.value.hint
