"""Tables as anndata of any age, R's writers and hand-made files store them."""

from __future__ import annotations

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.io import open_stream, read

TEXT = h5py.string_dtype()


@pytest.fixture
def path(tmp_path):
    adata = ad.AnnData(sp.csr_matrix(np.eye(3, dtype=np.float32)))
    adata.obs_names, adata.var_names = ["a", "b", "c"], ["CD3E", "LYZ", "MS4A1"]
    adata.obs["score"] = [1.0, 2.0, 3.0]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def obs_of(path, *columns) -> pd.DataFrame:
    with open_stream(path) as stream:
        return stream.obs(columns)


def test_every_kind_of_column_reads_as_anndata_reads_it(tmp_path):
    obs = pd.DataFrame(
        {
            "text": ["x", "y\nz", "ä"],
            "label": pd.Categorical(["T", None, "B"], categories=["T", "B", "NK"]),
            "grade": pd.Categorical([1, 2, 1], ordered=True),
            "is_doublet": [True, False, True],
            "maybe": pd.array([True, None, False], dtype="boolean"),
            "count": pd.array([1, None, 3], dtype="Int64"),
            "share": [0.5, np.nan, 1.0],
        },
        index=["a", "b", "c"],
    )
    ad.AnnData(np.eye(3), obs=obs).write_h5ad(tmp_path / "cells.h5ad")
    found = obs_of(tmp_path / "cells.h5ad", *obs.columns)
    expected = ad.read_h5ad(tmp_path / "cells.h5ad").obs
    pd.testing.assert_frame_equal(found, expected, check_index_type=False)
    assert found["label"].cat.codes.tolist() == [0, -1, 1]
    assert found["grade"].cat.ordered


def test_text_of_fixed_length_and_a_missing_encoding_are_read(path):
    with h5py.File(path, "a") as file:
        for part in ("obs", "var"):
            del file[part].attrs["encoding-type"]
            del file[part].attrs["column-order"]
        del file["obs/_index"]
        file["obs/_index"] = np.array([b"x1", b"x2", "zé".encode()])
        file["obs/tissue"] = np.array([b"liver", b"lung", b"liver"])
        del file["X"].attrs["encoding-type"]
    assert obs_of(path, "tissue")["tissue"].tolist() == ["liver", "lung", "liver"]
    assert obs_of(path).index.tolist() == ["x1", "x2", "zé"]
    with open_stream(path) as stream:
        assert set(stream.obs_columns) == {"score", "tissue"}
        assert stream.rows(0, 3).to_csr().toarray().tolist() == np.eye(3).tolist()


def test_an_index_without_its_attribute_is_found_by_its_usual_names(path):
    with h5py.File(path, "a") as file:
        del file["obs"].attrs["_index"]
        file.move("obs/_index", "obs/index")
    assert obs_of(path).index.tolist() == ["a", "b", "c"]
    assert "index" not in obs_of(path, "score")


def test_cells_without_names_are_numbered_and_it_is_said(path):
    with h5py.File(path, "a") as file:
        del file["obs"].attrs["_index"], file["obs/_index"]
    with pytest.warns(UserWarning, match=r"The cells of 'cells.h5ad' have no names"):
        assert obs_of(path).index.tolist() == ["0", "1", "2"]


def test_genes_without_names_are_refused_with_the_columns_there_are(path):
    with h5py.File(path, "a") as file:
        del file["var"].attrs["_index"], file["var/_index"]
        file["var/feature"] = np.array([b"CD3E", b"LYZ", b"MS4A1"])
    with open_stream(path) as stream, pytest.raises(InputError, match="have no names") as refusal:
        stream.var  # noqa: B018 - reading it is the test
    assert "feature" in refusal.value.hint


def test_categories_beside_the_table_are_read(path):
    with h5py.File(path, "a") as file:  # anndata 0.7
        file["obs/label"] = np.array([1, 0, -1], np.int8)
        file["obs"].create_group("__categories")["label"] = np.array([b"B", b"T"])
        file["obs/label"].attrs["categories"] = file["obs/__categories/label"].ref
    labels = obs_of(path, "label")["label"]
    assert labels.astype(object).tolist() == ["T", "B", np.nan]
    assert labels.cat.codes.tolist() == [1, 0, -1]


def test_tables_of_compound_type_are_read(tmp_path):
    kind = [("index", "S4"), ("label", "i1"), ("score", "f4")]
    obs = np.array([(b"a", 0, 0.5), (b"b", 1, 1.5), (b"c", 0, 2.5)], kind)
    var = np.array([(b"CD3E",), (b"LYZ",)], [("index", "S6")])
    with h5py.File(tmp_path / "old.h5ad", "w") as file:  # anndata 0.6
        matrix = file.create_group("X")
        matrix["data"], matrix["indices"] = np.array([1.0, 2.0]), np.array([1, 0])
        matrix["indptr"] = np.array([0, 1, 1, 2])
        matrix.attrs["h5sparse_format"] = np.bytes_(b"csr")
        matrix.attrs["h5sparse_shape"] = (3, 2)
        file["obs"], file["var"] = obs, var
        file["uns/label_categories"] = np.array([b"B", b"T"])
        file["raw.X"], file["raw.var"] = np.arange(6.0).reshape(3, 2), var
    with open_stream(tmp_path / "old.h5ad") as stream:
        assert stream.obs(["label"])["label"].tolist() == ["B", "T", "B"]
        assert stream.obs(["score"])["score"].tolist() == [0.5, 1.5, 2.5]
        assert stream.var.index.tolist() == ["CD3E", "LYZ"]
        assert stream.rows(0, 3).to_csr().toarray().tolist() == [[0, 1], [0, 0], [2, 0]]
    with open_stream(tmp_path / "old.h5ad", use_raw=True) as stream:
        assert stream.rows(2, 3).to_csr().toarray().tolist() == [[4, 5]]
    assert read(tmp_path / "old.h5ad").X.toarray().tolist() == [[0, 1], [0, 0], [2, 0]]


def test_booleans_as_an_enumeration_are_read(path):
    with h5py.File(path, "a") as file:
        boolean = h5py.enum_dtype({"FALSE": 0, "TRUE": 1}, basetype="i1")
        file["obs"].create_dataset("keep", data=[1, 0, 1], dtype=boolean)
        file["obs"].create_dataset("flag", data=np.array([True, False, True]))
    found = obs_of(path, "keep", "flag")
    assert found["keep"].astype(bool).tolist() == found["flag"].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"codes": [0, 5, 0], "categories": [b"T"]}, "its codes name more than its 1 categories"),
        ({"stuff": [1]}, r"stored in a way that is not known \(stuff\)"),
    ],
)
def test_columns_that_cannot_be_read_are_refused_only_when_asked_for(path, parts, said):
    with h5py.File(path, "a") as file:
        group = file["obs"].create_group("odd")
        for name, values in parts.items():
            group[name] = values
    assert obs_of(path, "score")["score"].tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(InputError, match=said):
        obs_of(path, "odd")


def test_what_anndata_cannot_read_is_read_without_it_and_said(path):
    with h5py.File(path, "a") as file:
        file.create_group("uns/odd").attrs.update(
            {"encoding-type": "from-the-future", "encoding-version": "9"}
        )
    with pytest.warns(UserWarning, match=r"anndata cannot read all of 'cells.h5ad'"):
        adata = read(path)
    assert adata.X.toarray().tolist() == np.eye(3).tolist()
    assert adata.obs["score"].tolist() == [1.0, 2.0, 3.0]


def test_repeated_categories_become_one(path):
    with h5py.File(path, "a") as file:
        group = file["obs"].create_group("label")
        group["codes"], group["categories"] = [0, 1, -1], [b"T", b"T"]
    labels = obs_of(path, "label")["label"]
    assert labels.cat.categories.tolist() == ["T"]
    assert labels.cat.codes.tolist() == [0, 0, -1]
