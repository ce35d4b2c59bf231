"""Columns of obs alone, whatever becomes of the matrix."""

from __future__ import annotations

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest

from celloquy.errors import InputError
from celloquy.io import read_obs


@pytest.fixture
def obs():
    columns = {"donor": pd.Categorical(["a", "b", "a"]), "sure": [0.5, 0.25, 1.0]}
    return pd.DataFrame(columns, index=["c1", "c2", "c3"])


def test_a_file_without_a_matrix_gives_its_obs(obs, tmp_path):
    ad.AnnData(obs=obs).write_h5ad(tmp_path / "labels.h5ad")
    for source in (ad.AnnData(obs=obs), tmp_path / "labels.h5ad"):
        found = read_obs(source, ["sure", "donor"])
        assert found.index.tolist() == ["c1", "c2", "c3"]
        assert found["donor"].tolist() == ["a", "b", "a"]
        assert found["sure"].tolist() == [0.5, 0.25, 1.0]


def test_a_matrix_that_cannot_be_read_is_never_touched(obs, tmp_path):
    path = tmp_path / "cells.h5ad"
    ad.AnnData(np.ones((3, 2), dtype=np.float32), obs=obs).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        del file["X"]
        file["X"] = "no matrix"
    assert read_obs(path, ["donor"])["donor"].tolist() == ["a", "b", "a"]


def test_a_missing_column_is_refused_with_the_closest_or_left_out(obs, tmp_path):
    ad.AnnData(obs=obs).write_h5ad(tmp_path / "labels.h5ad")
    for source in (ad.AnnData(obs=obs), tmp_path / "labels.h5ad"):
        with pytest.raises(InputError, match="no column 'donors'; the closest is 'donor'"):
            read_obs(source, ["donors"])
        assert read_obs(source, ["donors", "sure"], only_known=True).columns.tolist() == ["sure"]


def test_other_kinds_of_files_give_theirs_through_the_stream(tmp_path):
    table = pd.DataFrame({"CD3E": [1, 0], "LYZ": [0, 2]}, index=["c1", "c2"])
    table.to_csv(tmp_path / "counts.csv")
    assert read_obs(tmp_path / "counts.csv", []).index.tolist() == ["c1", "c2"]
    with pytest.raises(InputError, match=r"There is no file 'none\.h5ad'"):
        read_obs(tmp_path / "none.h5ad", [])
