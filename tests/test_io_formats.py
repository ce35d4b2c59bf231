"""Every format gives the same cells: read whole, or as a stream of any chunk size."""

from __future__ import annotations

import gzip
import warnings

import anndata as ad
import h5py
import numcodecs
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from celloquy import io as cqio
from celloquy.errors import InputError
from celloquy.io import open_stream, read

# four cells: one without molecules, and a gene that no cell expresses
COUNTS = np.array([[0, 3, 0, 1], [0, 0, 0, 0], [2, 0, 0, 5], [0, 0, 0, 7]], np.float32)
CELLS = ["AAAC-1", "AAAG-1", "ACGT-1", "TTTT-1"]
GENES = ["CD3E", "MS4A1", "NKG7", "LYZ"]
IDS = ["ENSG00000198851", "ENSG00000156738", "ENSG00000105374", "ENSG00000090382"]


@pytest.fixture
def adata() -> ad.AnnData:
    obs = pd.DataFrame({"cell_type": pd.Categorical(["T", "B", "T", "T"])}, index=CELLS)
    var = pd.DataFrame({"ensembl_id": IDS}, index=GENES)
    adata = ad.AnnData(sp.csr_matrix(np.log1p(COUNTS)), obs=obs, var=var)
    adata.layers["counts"] = sp.csr_matrix(COUNTS)
    adata.raw = ad.AnnData(sp.csr_matrix(COUNTS), obs=obs, var=var)
    adata.obsm["spatial"] = np.arange(8, dtype=float).reshape(4, 2)
    return adata


def streamed(source, chunk_size=3, **options) -> np.ndarray:
    with open_stream(source, **options) as stream:
        blocks = [chunk.to_csr().toarray() for chunk in stream.chunks(chunk_size)]
        return np.concatenate([*blocks, np.empty((0, stream.n_vars), np.float32)])


def write_tenx_folder(folder, counts=COUNTS, *, version=3, types=None, pack=True):
    folder.mkdir()
    matrix = sp.coo_matrix(counts.T.astype(int))
    order = np.lexsort((matrix.row, matrix.col))
    lines = ["%%MatrixMarket matrix coordinate integer general", "%metadata_json: {}"]
    lines.append(f"{matrix.shape[0]} {matrix.shape[1]} {matrix.nnz}")
    lines += [f"{matrix.row[i] + 1} {matrix.col[i] + 1} {matrix.data[i]}" for i in order]
    types = types or ["Gene Expression"] * len(GENES)
    features = zip(IDS, GENES, types, strict=True) if version == 3 else zip(IDS, GENES, strict=True)
    texts = {
        "matrix.mtx": lines,
        "barcodes.tsv": CELLS,
        ("features.tsv" if version == 3 else "genes.tsv"): ["\t".join(row) for row in features],
    }
    for name, rows in texts.items():
        text = ("\n".join(rows) + "\n").encode()
        packed = version == 3 and pack
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(text) if packed else text)
    return folder


def write_tenx_h5(path, *, version=3, types=None, genomes=("GRCh38",)):
    csr = sp.csr_matrix(COUNTS.astype(np.int32))
    text = h5py.string_dtype("ascii", 20)
    with h5py.File(path, "w") as file:
        for name in ["matrix"] if version == 3 else genomes:
            group = file.create_group(name)
            group["data"], group["indices"], group["indptr"] = csr.data, csr.indices, csr.indptr
            group["shape"] = np.array(COUNTS.T.shape, np.int32)
            group.create_dataset("barcodes", data=CELLS, dtype=text)
            if version == 3:
                features = group.create_group("features")
                features.create_dataset("id", data=IDS, dtype=text)
                features.create_dataset("name", data=GENES, dtype=text)
                kinds = types or ["Gene Expression"] * len(GENES)
                features.create_dataset("feature_type", data=kinds, dtype=text)
            else:
                group.create_dataset("genes", data=IDS, dtype=text)
                group.create_dataset("gene_names", data=GENES, dtype=text)
    return path


def write_loom(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=COUNTS.T, chunks=(2, 2), compression="gzip")
        file.create_dataset("layers/spliced", data=COUNTS.T * 2)
        file.create_dataset("row_attrs/Gene", data=GENES, dtype=h5py.string_dtype())
        file.create_dataset("row_attrs/Accession", data=IDS, dtype=h5py.string_dtype())
        file.create_dataset("col_attrs/CellID", data=CELLS, dtype=h5py.string_dtype())
        file.create_dataset("col_attrs/n_counts", data=COUNTS.sum(axis=1))
    return path


def write_zarr(adata, path, zarr_format=3):
    chosen = {"zarr_write_format": zarr_format, "auto_shard_zarr_v3": False}
    with warnings.catch_warnings(), ad.settings.override(**chosen):
        warnings.simplefilter("ignore")  # about the formats, by anndata and zarr
        adata.write_zarr(path)


WRITERS = {
    "cells.h5ad": lambda adata, path: adata.write_h5ad(path),
    "gzip.h5ad": lambda adata, path: adata.write_h5ad(path, compression="gzip"),
    "lzf.h5ad": lambda adata, path: adata.write_h5ad(path, compression="lzf"),
    "cells.zarr": write_zarr,
}


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, np.asarray, sp.csr_array])
@pytest.mark.parametrize("name", WRITERS)
def test_h5ad_and_zarr_give_every_slot_however_it_is_stored(adata, tmp_path, name, form):
    adata.X = form(adata.X.toarray())
    adata.layers["counts"] = form(COUNTS)
    WRITERS[name](adata, tmp_path / name)
    np.testing.assert_array_equal(streamed(tmp_path / name), np.log1p(COUNTS))
    np.testing.assert_array_equal(streamed(tmp_path / name, layer="counts"), COUNTS)
    np.testing.assert_array_equal(streamed(tmp_path / name, use_raw=True), COUNTS)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_both_versions_of_zarr_are_read(adata, tmp_path, zarr_format):
    write_zarr(adata, tmp_path / "cells.zarr", zarr_format)
    kind = zarr.open_group(tmp_path / "cells.zarr", mode="r").metadata.zarr_format
    assert kind == zarr_format
    np.testing.assert_array_equal(streamed(tmp_path / "cells.zarr", layer="counts"), COUNTS)
    with open_stream(tmp_path / "cells.zarr") as stream:
        assert stream.obs(["cell_type"])["cell_type"].tolist() == ["T", "B", "T", "T"]
        assert stream.var.index.tolist() == GENES
        assert stream.obsm("spatial").shape == (4, 2)


@pytest.mark.parametrize("version", [2, 3])
def test_tenx_folders_of_both_versions_are_read(tmp_path, version):
    folder = write_tenx_folder(tmp_path / "filtered", version=version)
    with open_stream(folder) as stream:
        assert stream.obs().index.tolist() == CELLS
        assert stream.var.index.tolist() == GENES
        assert stream.var["gene_ids"].tolist() == IDS
        assert stream.format == "10x mtx"
    np.testing.assert_array_equal(streamed(folder), COUNTS)
    np.testing.assert_array_equal(read(folder).X.toarray(), COUNTS)


def test_a_matrix_file_stands_for_its_folder_and_may_have_a_prefix(tmp_path):
    folder = write_tenx_folder(tmp_path / "geo")
    for file in list(folder.iterdir()):
        file.rename(folder / f"GSM1_{file.name}")
    np.testing.assert_array_equal(streamed(folder), COUNTS)
    np.testing.assert_array_equal(streamed(folder / "GSM1_matrix.mtx.gz"), COUNTS)


def test_entries_in_any_order_and_lines_with_any_white_space_give_the_same_cells(tmp_path):
    folder = write_tenx_folder(tmp_path / "folder", version=2)
    lines = (folder / "matrix.mtx").read_text().splitlines()
    shuffled = [*lines[:3], *["\t".join(line.split()) + "  " for line in lines[:2:-1]]]
    (folder / "matrix.mtx").write_text("\n".join(shuffled))
    np.testing.assert_array_equal(streamed(folder), COUNTS)


def test_a_matrix_of_cells_by_genes_is_told_by_its_sides(tmp_path):
    wide = np.hstack([COUNTS, COUNTS])[:, :7]
    folder = tmp_path / "scipy"
    folder.mkdir()
    scipy.io.mmwrite(folder / "matrix.mtx", sp.coo_matrix(wide))
    (folder / "barcodes.tsv").write_text("\n".join(CELLS))
    (folder / "genes.tsv").write_text("\n".join(f"id{i}\tgene{i}" for i in range(7)))
    np.testing.assert_array_equal(streamed(folder), wide)


def test_antibodies_are_left_out_and_said(tmp_path):
    types = ["Gene Expression", "Antibody Capture", "Gene Expression", "Gene Expression"]
    write_tenx_h5(tmp_path / "v3.h5", types=types)
    write_tenx_folder(tmp_path / "v3", types=types)
    for path in (tmp_path / "v3.h5", tmp_path / "v3"):
        with pytest.warns(UserWarning, match="3 genes and 1 'Antibody Capture'; only genes"):
            stream = open_stream(path)
        with stream:
            assert stream.var.index.tolist() == ["CD3E", "NKG7", "LYZ"]
            assert "Antibody" in stream.notes[0]
            (chunk,) = stream.chunks()
            np.testing.assert_array_equal(chunk.to_csr().toarray(), COUNTS[:, [0, 2, 3]])


def test_a_file_of_antibodies_alone_is_refused(tmp_path):
    write_tenx_h5(tmp_path / "adt.h5", types=["Antibody Capture"] * 4)
    with pytest.raises(InputError, match=r"no feature of type 'Gene Expression', only 4"):
        open_stream(tmp_path / "adt.h5")


@pytest.mark.parametrize("version", [2, 3])
def test_tenx_h5_of_both_versions_is_read(tmp_path, version):
    path = write_tenx_h5(tmp_path / "filtered.h5", version=version)
    np.testing.assert_array_equal(streamed(path), COUNTS)
    adata = read(path)
    assert adata.obs_names.tolist() == CELLS
    assert adata.var["gene_ids"].tolist() == IDS


def test_tenx_h5_of_two_genomes_is_refused(tmp_path):
    path = write_tenx_h5(tmp_path / "mixed.h5", version=2, genomes=("hg19", "mm10"))
    with pytest.raises(InputError, match="2 genomes: hg19, mm10"):
        open_stream(path)


def test_loom_is_read_by_cell(tmp_path):
    path = write_loom(tmp_path / "cells.loom")
    for chunk_size in (1, 3, 100):
        np.testing.assert_array_equal(streamed(path, chunk_size), COUNTS)
        np.testing.assert_array_equal(streamed(path, chunk_size, layer="spliced"), COUNTS * 2)
    with open_stream(path) as stream:
        assert stream.var["Accession"].tolist() == IDS
        assert stream.obs(["n_counts"])["n_counts"].tolist() == [4, 0, 7, 7]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz"])
@pytest.mark.parametrize("transpose", [False, True])
def test_text_tables_are_read_in_both_directions(tmp_path, ending, transpose):
    frame = pd.DataFrame(COUNTS.astype(int), index=CELLS, columns=GENES)
    path = tmp_path / f"counts{ending}"
    table = frame.T if transpose else frame
    table.to_csv(path, sep="," if ".csv" in ending else "\t")
    assert streamed(path, transpose=transpose).dtype == np.float32
    np.testing.assert_array_equal(streamed(path, transpose=transpose), COUNTS)
    adata = read(path, transpose=transpose)
    assert (adata.obs_names.tolist(), adata.var_names.tolist()) == (CELLS, GENES)


def test_a_table_as_r_writes_it_has_one_name_less_in_its_first_line(tmp_path):
    text = 'CD3E\tLYZ\n"cell one"\t1\t0.1\n"cell two"\t0\t2\n'
    (tmp_path / "r.tsv").write_text(text)
    with open_stream(tmp_path / "r.tsv") as stream:
        assert stream.obs().index.tolist() == ["cell one", "cell two"]
        assert stream.rows(0, 2).to_csr().toarray().tolist() == [[1, 0.1], [0, 2]]


def test_repeated_gene_names_of_a_table_stay_as_they_are(tmp_path):
    (tmp_path / "t.csv").write_text("cell,CD3E,CD3E\na,1,2\n")
    with open_stream(tmp_path / "t.csv") as stream:
        assert stream.var.index.tolist() == ["CD3E", "CD3E"]


def test_a_first_column_with_a_gene_name_over_it_is_warned_about(tmp_path):
    (tmp_path / "t.csv").write_text("CD3E,LYZ\n1,2\n")
    with pytest.warns(UserWarning, match="'CD3E', is taken for names"):
        open_stream(tmp_path / "t.csv")


def test_missing_values_of_a_table_are_kept_for_the_checks(tmp_path):
    (tmp_path / "t.csv").write_text("cell,A,B\nNA,1,\nc2,NA,0\n")
    with open_stream(tmp_path / "t.csv") as stream:
        assert stream.obs().index.tolist() == ["NA", "c2"]
        values = stream.rows(0, 2).to_csr().toarray()
    np.testing.assert_array_equal(values, [[1, np.nan], [np.nan, 0]])


def test_large_text_and_matrices_by_gene_go_to_a_temporary_file_and_it_is_said(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cqio._spool, "MEMORY_BYTES", 1_000)
    monkeypatch.setattr(cqio._spool, "BAND_BYTES", 500)
    monkeypatch.setattr(cqio._by_gene, "SPAN", 37)
    counts = sp.random(120, 30, 0.3, format="csc", random_state=0, dtype=np.float32)
    ad.AnnData(counts).write_h5ad(tmp_path / "csc.h5ad")
    frame = pd.DataFrame(counts.toarray())
    frame.to_csv(tmp_path / "cells.csv")
    frame.T.to_csv(tmp_path / "genes.csv")
    sources = {"csc.h5ad": {}, "cells.csv": {}, "genes.csv": {"transpose": True}}
    for name, options in sources.items():
        with pytest.warns(UserWarning, match="written once to a temporary file"):
            found = streamed(tmp_path / name, 7, **options)
        np.testing.assert_allclose(found, counts.toarray(), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.data
def test_every_file_of_the_data_folder_streams_as_anndata_reads_it(data_folder):
    files = sorted((data_folder / "cells").glob("*.h5ad"))
    assert len(files) >= 24
    for path in files:
        whole = ad.read_h5ad(path)
        with open_stream(path) as stream:
            blocks = [chunk.to_csr().copy() for chunk in stream.chunks(700)]
            obs, var = stream.obs(stream.obs_columns), stream.var
        assert (sp.vstack(blocks) != whole.X).nnz == 0
        pd.testing.assert_frame_equal(obs.astype(str), whole.obs.astype(str), check_names=False)
        pd.testing.assert_index_equal(var.index, whole.var_names, check_names=False)


CODECS = [None, *(("blosc", name) for name in ("lz4", "zstd")), ("zstd",), ("gzip",)]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("value_type", ["f4", "f8", "u1", ">i2"])
def test_every_layout_of_zarr_gives_the_same_numbers(
    adata, tmp_path, codec, zarr_format, value_type
):
    counts = sp.random(57, 11, 0.4, format="csr", random_state=1)
    counts.data = (np.arange(1, counts.nnz + 1) % 250).astype(float)
    write_zarr(ad.AnnData(counts), tmp_path / "c.zarr", zarr_format)
    group = zarr.open_group(tmp_path / "c.zarr", mode="a", use_consolidated=False)["X"]
    for name in ("data", "indices"):
        held = group[name][...].astype(value_type if name == "data" else "i4")
        made = {"chunks": (7,), "shape": held.shape, "dtype": held.dtype, "overwrite": True}
        group.create_array(name, compressors=packer(codec, zarr_format), **made)[...] = held
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(tmp_path / "c.zarr")
    with open_stream(tmp_path / "c.zarr") as stream:
        for size in (1, 5, 57):
            found = [chunk.to_csr().toarray() for chunk in stream.chunks(size)]
            np.testing.assert_array_equal(np.concatenate(found), counts.toarray())


def packer(codec, zarr_format):
    if codec is None:
        return None
    if zarr_format == 2:
        options = {"cname": codec[1]} if codec[0] == "blosc" else {}
        return numcodecs.get_codec({"id": codec[0], **options})
    kinds = {"zstd": ZstdCodec, "gzip": GzipCodec, "blosc": BloscCodec}
    return kinds[codec[0]](**({"cname": codec[1]} if codec[0] == "blosc" else {}))


def test_zarr_chunks_that_were_never_written_are_zeros_and_damaged_ones_are_told(tmp_path):
    write_zarr(ad.AnnData(sp.csr_matrix(np.eye(3))), tmp_path / "c.zarr")
    chunk = tmp_path / "c.zarr" / "X" / "data" / "c" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(InputError, match="its stored chunk 0 cannot be inflated"):
        streamed(tmp_path / "c.zarr")
    chunk.unlink()
    assert streamed(tmp_path / "c.zarr").tolist() == np.zeros((3, 3)).tolist()
