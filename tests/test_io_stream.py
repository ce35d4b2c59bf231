"""The stream: the same chunks from every form of the same cells."""

from __future__ import annotations

import threading

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from celloquy.errors import InputError
from celloquy.io import _prefetch, open_stream
from celloquy.io._stream import spread_rows

# the third cell has no molecules
COUNTS = np.array([[0, 3, 0, 1], [4, 0, 0, 0], [0, 0, 0, 0], [2, 0, 0, 5], [0, 0, 7, 0]])
FORMS = [
    np.asarray, np.asfortranarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array, sp.csc_array,
]  # fmt: skip


@pytest.fixture
def adata() -> ad.AnnData:
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical(list("abbab")), "n_genes": [2, 1, 0, 2, 1]},
        index=[f"cell{i}" for i in range(5)],
    )
    adata = ad.AnnData(sp.csr_matrix(COUNTS, dtype=np.float32), obs=obs)
    adata.var_names = ["CD3E", "MS4A1", "NKG7", "LYZ"]
    adata.obsm["spatial"] = np.arange(10.0).reshape(5, 2)
    return adata


def dense(stream, chunk_size=2, **span):
    blocks = [chunk.to_csr().toarray() for chunk in stream.chunks(chunk_size, **span)]
    return np.concatenate([*blocks, np.empty((0, stream.n_vars))])


def is_canonical(chunk) -> bool:
    rows = np.split(chunk.indices, chunk.indptr[1:-1])
    return (
        chunk.indptr[0] == 0
        and (chunk.indptr.dtype, chunk.indices.dtype) == (np.int64, np.int32)
        and all((np.diff(row) > 0).all() for row in rows)
    )


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    values=hnp.arrays(
        st.sampled_from(["float32", "float64", "int64", "int32", "uint8", "uint16", "int16"]),
        st.tuples(st.integers(1, 9), st.integers(1, 6)),
        elements=st.integers(0, 200).map(lambda value: max(0, value - 100)),
    ),
    form=st.sampled_from(FORMS),
    chunk_size=st.integers(1, 12),
    bounds=st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted),
    compression=st.sampled_from([None, "gzip", "lzf"]),
)
def test_dense_or_sparse_on_disk_or_not_any_chunk_size_gives_the_same_cells(
    tmp_path, values, form, chunk_size, bounds, compression
):
    start, stop = (min(bound, len(values)) for bound in bounds)
    adata = ad.AnnData(form(values))
    adata.write_h5ad(tmp_path / "cells.h5ad", compression=compression)
    for source in (adata, tmp_path / "cells.h5ad", adata[:]):
        with open_stream(source) as stream:
            chunks = list(stream.chunks(chunk_size, start=start, stop=stop))
            assert [chunk.start for chunk in chunks] == list(range(start, stop, chunk_size))
            assert dense(stream, chunk_size).tolist() == values.tolist()
            found = [row for chunk in stream.chunks(chunk_size, start=start, stop=stop)
                     for row in chunk.to_csr().toarray().tolist()]  # fmt: skip
            assert found == values[start:stop].tolist()
            for chunk in stream.chunks(chunk_size):
                assert is_canonical(chunk)
                assert chunk.data.dtype == values.dtype
                assert chunk.n_obs == len(chunk.obs) == chunk.stop - chunk.start


def test_an_in_memory_csr_matrix_is_not_copied_and_not_changed(adata):
    before = adata.X.copy()
    with open_stream(adata) as stream:
        chunks = list(stream.chunks(2))
    assert all(np.shares_memory(chunk.data, adata.X.data) for chunk in chunks if chunk.data.size)
    assert all(
        np.shares_memory(chunk.indices, adata.X.indices) for chunk in chunks if chunk.data.size
    )
    assert (before != adata.X).nnz == 0


@pytest.mark.parametrize("form", FORMS)
def test_views_are_streamed_as_what_they_show(adata, form):
    adata.X = form(COUNTS.astype(np.float32))
    adata.layers["counts"] = form(COUNTS * 10)
    adata.raw = adata
    view = adata[[4, 0, 3], ["LYZ", "CD3E"]]
    expected = COUNTS[[4, 0, 3]][:, [3, 0]]
    for options, values in [
        ({}, expected), ({"layer": "counts"}, expected * 10), ({"use_raw": True}, COUNTS[[4, 0, 3]])
    ]:  # fmt: skip
        with open_stream(view, **options) as stream:
            np.testing.assert_array_equal(dense(stream), values)
            assert stream.obs().index.tolist() == ["cell4", "cell0", "cell3"]
            assert stream.n_vars == values.shape[1] == len(stream.var)
            assert stream.obsm("spatial").tolist() == [[8, 9], [0, 1], [6, 7]]


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_backed_objects_are_streamed_and_their_views_refused(adata, tmp_path, form):
    adata.X = form(COUNTS.astype(np.float32))
    adata.raw = adata
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with open_stream(backed) as stream:
        np.testing.assert_array_equal(dense(stream), COUNTS)
        assert stream.source == "cells.h5ad"
        assert is_canonical(stream.rows(1, 4))
    with pytest.raises(InputError, match=r"a view of 'cells.h5ad', which is backed") as refusal:
        open_stream(backed[1:4])
    assert "to_memory" in refusal.value.hint
    with open_stream(backed, use_raw=True) as stream:
        np.testing.assert_array_equal(dense(stream), COUNTS)
    backed.file.close()


def test_values_keep_their_kind(tmp_path):
    kinds = {"bool": "uint8", "float16": "float32", ">f4": "float32", ">i8": "int64"}
    for stored, read_as in {**kinds, "float64": "float64", "uint8": "uint8"}.items():
        values = np.array([[0, 1], [1, 0]]).astype(stored)
        with h5py.File(tmp_path / "c.h5ad", "w") as file:
            ad.AnnData(np.zeros((2, 2))).write_h5ad(tmp_path / "base.h5ad")
            with h5py.File(tmp_path / "base.h5ad") as base:
                for part in ("obs", "var"):
                    base.copy(part, file)
            file["X"] = values
        with open_stream(tmp_path / "c.h5ad") as stream:
            assert stream.rows(0, 2).data.dtype == read_as
            assert dense(stream).tolist() == [[0, 1], [1, 0]]


def test_unsorted_and_repeated_entries_come_sorted_and_summed_and_the_source_stays():
    indices, data = np.array([3, 1, 3, 0, 0]), np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    matrix = sp.csr_matrix((data.copy(), indices.copy(), [0, 3, 3, 5]), shape=(3, 4))
    with open_stream(ad.AnnData(matrix)) as stream:
        (chunk,) = stream.chunks()
        assert chunk.indices.tolist() == [1, 3, 0]
        assert chunk.data.tolist() == [2, 5, 24]
        assert is_canonical(chunk)
    assert (matrix.indices.tolist(), matrix.data.tolist()) == (indices.tolist(), data.tolist())


def test_stored_zeros_and_missing_values_are_kept(tmp_path):
    matrix = sp.csr_matrix((np.array([0.0, np.nan]), [1, 0], [0, 1, 2]), shape=(2, 2))
    for source in (ad.AnnData(matrix), ad.AnnData(matrix.toarray())):
        with open_stream(source) as stream:
            assert np.isnan(stream.rows(1, 2).data).all()
    with open_stream(ad.AnnData(matrix)) as stream:
        assert stream.rows(0, 1).data.tolist() == [0.0]


@pytest.mark.parametrize("width", [np.int32, np.int64])
def test_borders_and_columns_may_be_of_either_width(adata, tmp_path, width):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        for name in ("indptr", "indices"):
            held = file["X"][name][...].astype(width)
            del file["X"][name]
            file["X"][name] = held
    with open_stream(tmp_path / "cells.h5ad") as stream:
        np.testing.assert_array_equal(dense(stream), COUNTS)
        assert is_canonical(stream.rows(0, 5))


@pytest.mark.parametrize("options", [
    {}, {"chunks": (7,)}, {"chunks": (7,), "compression": "gzip"},
    {"chunks": (7,), "compression": "gzip", "shuffle": True},
    {"chunks": (7,), "compression": "lzf"}, {"chunks": (7,), "fletcher32": True},
    {"chunks": (1000,), "maxshape": (None,), "compression": "gzip"},
])  # fmt: skip
@pytest.mark.parametrize("value_type", ["float32", "float64", "uint8", ">i4"])
def test_every_layout_of_hdf5_gives_the_same_numbers(adata, tmp_path, options, value_type):
    counts = sp.random(57, 11, 0.4, format="csr", random_state=1)
    counts.data = np.arange(1, counts.nnz + 1) % 250
    path = tmp_path / "cells.h5ad"
    ad.AnnData(counts).write_h5ad(path)
    with h5py.File(path, "a") as file:
        for name in ("data", "indices"):
            held = file["X"][name][...]
            del file["X"][name]
            kind = value_type if name == "data" else "int32"
            file["X"].create_dataset(name, data=held.astype(kind), **options)
    with open_stream(path) as stream:
        for size in (1, 5, 57):
            np.testing.assert_array_equal(dense(stream, size), counts.toarray())
        np.testing.assert_array_equal(dense(stream, 4, start=13, stop=40), counts.toarray()[13:40])
        np.testing.assert_array_equal(stream.rows(56, 57).to_csr().toarray(), counts.toarray()[56:])


def test_chunks_that_were_never_written_are_zeros(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        size = file["X/data"].shape
        del file["X/data"]
        file["X"].create_dataset("data", size, "f4", chunks=(2,), compression="gzip")[2:4] = 9
    with open_stream(tmp_path / "cells.h5ad") as stream:
        assert stream.rows(0, 5).data.tolist() == [0, 0, 9, 9, 0, 0]


def test_chunks_of_a_file_reuse_their_memory_and_hold_until_the_next(tmp_path):
    counts = sp.random(400, 50, 0.3, format="csr", random_state=0)
    ad.AnnData(counts).write_h5ad(tmp_path / "cells.h5ad")
    with open_stream(tmp_path / "cells.h5ad") as stream:
        places = set()
        for chunk in stream.chunks(10):
            places.add(chunk.data.__array_interface__["data"][0])
            part = counts[chunk.start : chunk.stop]
            np.testing.assert_array_equal(chunk.to_csr().toarray(), part.toarray())
    assert len(places) < 12


def test_columns_are_read_when_asked_for_and_labels_have_codes(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    for source in (adata, tmp_path / "cells.h5ad"):
        with open_stream(source) as stream:
            assert stream.obs_columns == ("cell_type", "n_genes")
            first, second = stream.chunks(3, columns=["cell_type"])
            assert list(first.obs.columns) == ["cell_type"]
            assert first.obs["cell_type"].cat.codes.tolist() == [0, 1, 1]
            assert second.obs.index.tolist() == ["cell3", "cell4"]
            assert stream.obsm_keys == ("spatial",)


@pytest.mark.parametrize("in_file", [False, True])
def test_a_sample_spreads_over_the_whole_source_in_row_order(tmp_path, in_file):
    counts = sp.csr_matrix(np.arange(1, 101)[:, None])
    source = ad.AnnData(counts)
    if in_file:
        source.write_h5ad(tmp_path / "cells.h5ad", compression="gzip")
        source = tmp_path / "cells.h5ad"
    with open_stream(source) as stream:
        chunk = stream.sample(10, seed=3)
        rows = chunk.data - 1
        assert (rows // 10).tolist() == list(range(10))  # one of every ten
        assert chunk.obs.index.tolist() == [str(row) for row in rows]
        np.testing.assert_array_equal(stream.sample(10, seed=3).data, chunk.data)
        assert stream.sample(10, seed=4).data.tolist() != chunk.data.tolist()
        assert stream.sample(1000).n_obs == 100
        assert stream.sample(0).n_obs == 0


@given(n_total=st.integers(0, 500), n_obs=st.integers(0, 600), seed=st.integers(0, 5))
def test_spread_rows_rise_and_stay_inside(n_total, n_obs, seed):
    rows = spread_rows(n_total, n_obs, seed)
    assert len(rows) == min(n_total, n_obs)
    assert (np.diff(rows) > 0).all()
    assert not len(rows) or (rows[0] >= 0 and rows[-1] < n_total)


def test_a_fingerprint_tells_sources_and_slots_apart(adata, tmp_path):
    adata.layers["counts"] = adata.X
    prints = []
    for name in ("a.h5ad", "b.h5ad"):
        adata.write_h5ad(tmp_path / name)
        for layer in (None, "counts"):
            with open_stream(tmp_path / name, layer=layer) as stream:
                prints.append(stream.fingerprint())
                assert stream.fingerprint() == prints[-1]
    adata.var_names = ["CD3D", "MS4A1", "NKG7", "LYZ"]
    with open_stream(adata) as stream:
        prints.append(stream.fingerprint())
    assert len({str(sorted(found.items())) for found in prints}) == 5
    assert (prints[1]["slot"], prints[1]["n_obs"], prints[1]["n_vars"]) == (
        "layers['counts']",
        5,
        4,
    )


def test_cells_without_cells_or_genes_stream_nothing(tmp_path):
    for shape in [(0, 3), (3, 0), (0, 0)]:
        for form in (np.asarray, sp.csr_matrix):
            adata = ad.AnnData(form(np.zeros(shape, np.float32)))
            adata.write_h5ad(tmp_path / "empty.h5ad")
            for source in (adata, tmp_path / "empty.h5ad"):
                with open_stream(source) as stream:
                    assert (stream.n_obs, stream.n_vars) == shape
                    assert sum(chunk.n_obs for chunk in stream.chunks(2)) == shape[0]
                    assert stream.sample(5).n_obs == shape[0]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda s: s.rows(0, 6), r"Cells 0 to 6 are not in 'AnnData', which has 5"),
        (lambda s: s.chunks(2, start=-1), "Cells -1 to 5"),
        (lambda s: s.chunks(0), "`chunk_size` must be at least 1, got 0"),
        (lambda s: s.sample(-1), "`n_obs` must not be negative, got -1"),
        (lambda s: s.obs(["celltype"]), "has no column 'celltype'; the closest is 'cell_type'"),
        (lambda s: s.obsm("spatal"), "has no array 'spatal'; the closest is 'spatial'"),
    ],
)
def test_what_is_not_there_is_refused(adata, ask, said):
    with open_stream(adata) as stream, pytest.raises(InputError, match=said):
        ask(stream)


def test_a_closed_stream_reads_nothing(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    stream = open_stream(tmp_path / "cells.h5ad")
    stream.close()
    stream.close()
    with pytest.raises(InputError, match=r"The stream of 'cells.h5ad' is closed"):
        stream.rows(0, 1)


def test_reading_ahead_keeps_order_gives_errors_their_place_and_ends_with_its_reader():
    def make(number):
        if number == 5:
            msg = "cell 5"
            raise ValueError(msg)
        return number

    assert list(_prefetch.ahead(lambda number: number, 20)) == list(range(20))
    items = _prefetch.ahead(make, 9)
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="cell 5"):
        next(items)
    items = _prefetch.ahead(lambda number: number, 1_000_000)
    next(items)
    items.close()
    assert not [thread for thread in threading.enumerate() if "read-ahead" in thread.name]


def test_reading_ahead_is_bounded():
    made = []
    items = _prefetch.ahead(made.append, 100)
    next(items)
    threading.Event().wait(0.05)
    assert len(made) <= 3
    items.close()


def test_a_sample_of_rows_that_follow_one_another_is_what_they_hold(tmp_path):
    values = np.arange(1, 261, dtype=np.float32)[:, None] * [1.0, 0.0, 2.0]
    values[7] = 0  # a cell without values, in the midst of a run
    for name, matrix in (("csr", sp.csr_matrix(values)), ("csc", sp.csc_matrix(values)),
                         ("dense", values)):  # fmt: skip
        path = tmp_path / f"{name}.h5ad"
        ad.AnnData(matrix).write_h5ad(path)
        with open_stream(path) as stream:
            chunk = stream.sample(1_000)
            whole = sp.csr_matrix((chunk.data, chunk.indices, chunk.indptr), shape=values.shape)
            np.testing.assert_array_equal(whole.toarray(), values)
            few = stream.sample(200, seed=1)
            rows = spread_rows(260, 200, 1)
            part = sp.csr_matrix((few.data, few.indices, few.indptr), shape=(200, 3))
            np.testing.assert_array_equal(part.toarray(), values[rows])
