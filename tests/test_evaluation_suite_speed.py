"""The suite of speed: what is timed and how numbers are made of it; never how fast it is."""

from __future__ import annotations

import json
import math

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp

from celloquy.evaluation import load_suite, make_report, run_suite, set_records
from celloquy.evaluation._suite_job import NotApplicable
from celloquy.evaluation._suite_lms import SuiteModels
from celloquy.evaluation._suite_speed import SpeedJob, _result
from celloquy.evaluation._suite_speed_timing import Taken, load_average, take_in_turn
from celloquy.evaluation._suite_speed_works import (
    SpeedCells,
    annotated,
    by_plain_logistic,
    ids_by_row,
    ids_ranked,
    look_at_values,
    named,
    plain_encoder,
    read_by_chunk,
    read_whole,
    works,
)
from celloquy.text import sentences
from labelled_cells import labelled_cells

SPEED = """
name = "fast"
title = "Speed"
summary = "How fast."
measures = "speed"
n_cells = 70
n_top_genes = 5
methods = ["celloquy", "numpy", "anndata", "scikit-learn"]
settings = { n_rounds = 2, n_annotated = 60 }

[[sets]]
name = "one"
study = "first"
file = "one.h5ad"
origin = "nowhere"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("data")
    (made / "cells").mkdir()
    labelled_cells(20, seed=1).write_h5ad(made / "cells" / "one.h5ad")
    return made


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "fast.toml"
    path.write_text(SPEED, encoding="utf-8")
    return load_suite(path)


@pytest.fixture
def job(suite, folder):
    return SpeedJob(suite, folder, SuiteModels([], n_top_genes=5))


@pytest.fixture
def cells(job, tmp_path):
    return SpeedCells(job.cells.cells("one"), tmp_path, n_read=5)


def test_ways_run_once_before_and_then_in_turn_and_back():
    told = []
    taken = take_in_turn({"a": lambda: told.append("a"), "b": lambda: told.append("b")}, n_rounds=3)
    assert "".join(told) == "ab" + "ba" + "ab" + "ba"
    assert {name: len(one.seconds) for name, one in taken.items()} == {"a": 3, "b": 3}
    assert len(taken["a"].cpu_seconds) == len(taken["a"].peaks) == 3


def test_numbers_are_medians_of_rounds_and_ratios_are_those_of_one_round():
    ours = Taken([1.0, 2.0, 4.0], [2.0, 4.0, 8.0], [10.0, 30.0, 20.0])
    plain = Taken([4.0, 4.0, 4.0], [4.0, 4.0, 4.0], [50.0, 50.0, 50.0])
    found = _result(ours, plain, n_obs=100, load=1.5)
    # 100 cells in 2 s and in 4 s of processor time; 4, 2 and 1 times as fast
    assert found.metrics == {
        "cells_per_second": 50.0, "cells_per_cpu_second": 25.0, "times_plain": 2.0,
        "peak_mb": 20.0, "load": 1.5,
    }  # fmt: skip
    assert (found.n_obs, found.seconds) == (100, 2.0)
    assert found.more == {
        "n_rounds": 3, "rounds": [1.0, 2.0, 4.0], "cpu_rounds": [2.0, 4.0, 8.0],
    }  # fmt: skip
    assert _result(plain, plain, n_obs=1, load=0).metrics["times_plain"] == 1
    assert "times_plain" not in _result(ours, None, n_obs=1, load=0).metrics


def test_no_time_of_the_processor_gives_no_speed():
    assert math.isnan(Taken([1.0], [0.0], [0.0]).cells_per_cpu_second(5))


def test_an_array_that_a_way_holds_shows_in_its_peak():
    taken = take_in_turn({"big": lambda: np.ones(5_000_000).sum(), "small": int}, n_rounds=1)
    if math.isnan(taken["big"].peak):
        assert math.isnan(taken["small"].peak)
    else:
        assert 38 < taken["big"].peak < 60  # 40 MB
        assert taken["small"].peak < 20
    assert load_average() >= 0 or math.isnan(load_average())


def test_the_plain_sentences_are_those_of_the_package_where_values_differ():
    values = np.array([[3.0, 0.0, 9.0], [0.0, 0.5, 0.25], [0.0, 0.0, 0.0]])
    adata = ad.AnnData(sp.csr_matrix(values))
    adata.var_names, adata.obs_names = ["CD3E", "MS4A1", "IL7R"], ["a", "b", "c"]
    assert named(adata, None) == ["IL7R CD3E", "MS4A1 IL7R", ""]
    assert named(adata, 1) == ["IL7R", "MS4A1", ""]
    assert named(adata, None) == sentences(adata, n_top_genes=None).text.tolist()


def test_both_ways_write_the_same_numbers_of_genes_of_as_many_cells(cells):
    lengths = []
    for way in (ids_ranked, ids_by_row):
        way(cells)
        with pa.memory_map(str(cells.folder / "ids.arrow")) as file:
            column = pa.ipc.open_file(file).read_all()["genes"].to_pylist()
        lengths.append([len(one) for one in column])
    assert lengths[0] == lengths[1]
    assert len(lengths[0]) == 60


def test_both_ways_read_every_cell_and_find_nothing_wrong(cells):
    assert read_by_chunk(cells) == read_whole(cells) == 60
    assert not any(look_at_values(cells).values())


def test_the_plain_look_finds_what_is_wrong(cells):
    cells.adata.X.data[:3] = [np.nan, -1.0, 0.5]
    found = look_at_values(cells)
    assert [name for name, is_so in found.items() if is_so] == [
        "missing or infinite", "negative", "not counts",
    ]  # fmt: skip


@pytest.mark.slow
def test_both_ways_label_the_other_half(cells):
    told = [way(cells) for way in (annotated, by_plain_logistic)]
    assert [one.shape for one in told] == [(30, 3), (30, 3)]
    for probabilities in told:
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
        right = np.array(["B", "NK", "T"])[probabilities.argmax(axis=1)] == cells.labels[1::2]
        assert right.mean() > 0.8


def test_every_work_has_a_case_of_its_own_that_names_the_machine(job):
    cases = job.cases()
    assert [one.kind for one in cases] == [work.title for work in works()]
    assert len({one.name for one in cases}) == len(cases)
    assert all("cores to " in one.name for one in cases)
    assert cases[0].query == "70 cells of one: sentences of all genes"
    assert cases[-1].query == "60 cells of one: labels: half of the cells learnt, half labelled"


def test_a_method_without_a_way_has_no_result(job):
    case = next(one for one in job.cases() if one.kind == "reading a file")
    by_name = {method.name: method for method in job.methods()}
    assert job.measure(case, by_name["numpy"]) == NotApplicable("it has no way to do this")
    ours, theirs = (job.measure(case, by_name[name]) for name in ("celloquy", "anndata"))
    assert ours.n_obs == theirs.n_obs == 70  # of 60 cells, ten are there twice
    assert theirs.metrics["times_plain"] == 1
    assert ours.metrics["cells_per_second"] == pytest.approx(70 / np.median(ours.more["rounds"]))
    assert job.measure(case, by_name["celloquy"]) is ours  # timed together, once


@pytest.mark.slow
def test_a_run_tells_cells_a_second_of_every_way(suite, folder, tmp_path):
    out = tmp_path / "results"
    records = run_suite(suite, folder, out=out)
    told = pd.DataFrame([(one["case"]["kind"], one["method"]["name"]) for one in records])
    assert len(told) == len(told.drop_duplicates()) == len(list((out / "cells").iterdir()))
    timed = [one for one in records if "metrics" in one]
    assert len(timed) == 12
    assert all(one["metrics"]["cells_per_second"] > 0 for one in timed)
    assert run_suite(suite, folder, out=out) == records  # nothing is timed again
    report = make_report(suite, records, sets=set_records(suite, folder), command="made")
    assert "times as fast as the plain way" in str(report)
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.slow
def test_minilm_gives_the_vectors_of_the_plain_way(suite, folder, cells):
    job = SpeedJob(suite, folder, SuiteModels(["st:minilm"], n_top_genes=5))
    assert [one.kind for one in job.cases()][-1].startswith("sentences to vectors by ")
    lm = job.models.loaded("st:minilm")
    plain = plain_encoder(lm, device="cpu").encode(cells.texts[:3])
    np.testing.assert_allclose(lm.embed(cells.texts[:3]), plain, atol=1e-4)
