"""Suites: their files, their cells, and what a run of one measures and keeps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.metrics import f1_score

from celloquy.errors import InputError
from celloquy.evaluation import data_folder, known_suites, load_suite, run_suite, set_records
from celloquy.evaluation._suite_cells import SuiteCells
from celloquy.evaluation._suite_designs import LabelDesign
from celloquy.lm import ScriptedModel
from suite_cells import FOLDS, LEFT_OUT, SUITE, write_cells, write_suite


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("data")
    write_cells(made)
    return made


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return load_suite(write_suite(tmp_path_factory.mktemp("suite") / "small.toml"))


@pytest.fixture(scope="module")
def run(folder, suite, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    return out, run_suite(suite, folder, out=out)


@pytest.mark.parametrize("name", known_suites())
def test_every_suite_of_the_package_loads_in_both_forms(name):
    suite = load_suite(name)
    assert suite.name == name
    small = suite.smaller()
    assert small.n_cells <= suite.n_cells
    assert not small.lms
    assert len(small.seeds) == 1


def test_pairs_of_one_study_stand_apart_and_pairs_that_share_cells_are_left_out(suite, folder):
    cases = LabelDesign(SuiteCells(suite, folder)).cases()
    assert {(c.reference, c.query, c.kind, c.unit) for c in cases} == {
        ("one", "two", "independent studies", "first to second"),
        ("two", "one", "independent studies", "second to first"),
        ("one", "two again", "independent studies", "first to second"),
        ("two again", "one", "independent studies", "second to first"),
    }
    assert len(cases) == 8


def test_a_pair_learns_from_one_set_and_labels_the_other(suite, folder):
    cells = LabelDesign(SuiteCells(suite, folder))
    for case in cells.cases():
        pool = cells.pool(case)
        train, test = cells.rows(case, pool)
        assert not set(train) & set(test)
        assert len(train) + len(test) == len(pool.cells.labels)
        assert (train[0] == 0) == (case.reference == case.pool[0])


def test_no_donor_is_learnt_from_and_labelled(tmp_path, folder):
    cells = LabelDesign(SuiteCells(load_suite(write_suite(tmp_path / "s.toml", LEFT_OUT)), folder))
    left_out = []
    for case in cells.cases():
        pool = cells.pool(case)
        train, test = cells.rows(case, pool)
        donors = pool.cells.groups
        assert not set(donors[train]) & set(donors[test])
        assert set(donors[test]) == {case.query}
        assert len(test) == 15
        left_out.append(case.query)
    assert left_out == ["a", "b", "c"]


def test_folds_say_that_they_were_drawn_by_cell(tmp_path, folder):
    cells = LabelDesign(SuiteCells(load_suite(write_suite(tmp_path / "s.toml", FOLDS)), folder))
    cases = cells.cases()
    assert {case.kind for case in cases} == {"one, drawn by cell"}
    assert len(cases) == 5
    tested = [cells.rows(case, cells.pool(case))[1] for case in cases]
    pool = cells.pool(cases[0])
    n_kept = len(pool.cells.labels)
    assert sorted(np.concatenate(tested)) == list(range(n_kept))
    # of 15 cells, a label that was drawn fewer than five times is in no fold, and is counted
    assert n_kept + sum(pool.too_few.values()) == 15
    assert all(n < 5 for n in pool.too_few.values())
    assert pool.too_few


def test_a_number_is_scikit_learns_number_of_the_stored_answers(run):
    _, records = run
    for found in records:
        labels = np.array(found["labels"])
        truth, told = labels[found["truth"]], labels[found["prediction"]]
        expected = f1_score(truth, told, average="macro", labels=sorted(set(truth)),
                            zero_division=0)  # fmt: skip
        assert found["metrics"]["macro_f1"] == pytest.approx(expected)
        assert found["n_obs"] == len(truth)


def test_every_method_is_measured_on_every_case_and_the_default_beats_the_majority(run):
    _, records = run
    assert len(records) == 3 * 8
    by_name = {name: [f for f in records if f["method"]["name"] == name]
               for name in ("default", "majority")}  # fmt: skip
    assert np.mean([f["metrics"]["macro_f1"] for f in by_name["default"]]) > 0.9
    for found in by_name["majority"]:  # precision is the label's share, recall 1; two others 0
        share = np.mean(np.equal(found["truth"], found["prediction"][0]))
        assert found["metrics"]["macro_f1"] == pytest.approx(2 * share / (share + 1) / 3)


def test_a_second_run_measures_nothing_again_and_only_what_is_missing(run, suite, folder):
    out, records = run
    files = sorted((out / "cells").iterdir())
    before = {path: path.stat().st_mtime_ns for path in files}
    files[3].unlink()
    again = run_suite(suite, folder, out=out)
    after = {path: path.stat().st_mtime_ns for path in sorted((out / "cells").iterdir())}
    assert [path for path in files if after[path] != before[path]] == [files[3]]
    assert [f["prediction"] for f in again] == [f["prediction"] for f in records]


def test_a_language_model_that_scores_is_asked_for_the_label(folder, tmp_path):
    text = LEFT_OUT.replace("n_cells = 15", 'n_cells = 6\ntask = "cell_type"')
    first = {"B": 0, "NK": 10, "T": 20}  # type number k has the genes 10 k to 10 k + 9 as markers

    def count(prompt, label):
        named = set(prompt.split())
        return float(len(named & {f"GENE{first[label] + i}" for i in range(10)}))

    lm = ScriptedModel(logp=count)
    suite = load_suite(write_suite(tmp_path / "s.toml", text))
    records = run_suite(suite, folder, out=tmp_path / "out", lms=[lm])
    asked = [found for found in records if found["method"]["name"].endswith(" asked")]
    assert [found["case"]["query"] for found in asked] == ["a", "b", "c"]
    assert {found["method"]["head"] for found in asked} == {"asked, no reference"}
    assert np.mean([found["metrics"]["accuracy"] for found in asked]) > 0.8


def test_results_of_other_cells_are_refused_and_replaced_only_if_asked(run, suite, folder):
    out, _ = run
    other = suite.model_copy(update={"n_cells": 30, "seeds": (0,), "methods": ("majority",)})
    with pytest.raises(InputError, match=r"is a result of other cells or settings\.\nhint"):
        run_suite(other, folder, out=out)
    path = next((out / "cells").glob("majority*"))
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="is broken, or no result of this version"):
        run_suite(suite, folder, out=out)
    replaced = run_suite(suite, folder, out=out, overwrite=True)
    assert len(replaced) == 24


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_where_it_stopped(folder, tmp_path):
    suite = write_suite(tmp_path / "small.toml", SUITE.replace("[0, 1]", "[0, 1, 2, 3]"))
    out = tmp_path / "results"
    words = [sys.executable, "-m", "celloquy", "benchmark", str(suite), "--data", str(folder),
             "--out", str(out)]  # fmt: skip
    killed = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(out.glob("cells/*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = {path: path.stat().st_mtime_ns for path in out.glob("cells/[a-z]*.json")}
    assert 3 <= len(done) < 48
    assert not (out / "report.json").exists()
    subprocess.run(words, check=True, capture_output=True, env=os.environ | {"NO_COLOR": "1"})
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    report = json.loads((out / "report.json").read_text())
    whole = run_suite(load_suite(suite), folder, out=tmp_path / "whole")
    assert [f["macro_f1"] for f in report["results"]] == pytest.approx(
        [f["metrics"]["macro_f1"] for f in whole]
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "', 'titel = "', "has no key 'titel'; the closest is 'title'"),
        ("n_cells = 60", "n_cells = 0", "`n_cells` is 0"),
        (
            '"logistic"]',
            '"logistics"]',
            "there is no method 'logistics'; the closest is 'logistic'",
        ),
        ('["two"]', '["tow"]', "there is no set 'tow'; the closest is 'two'"),
        ('name = "two"', 'name = "one"', "two sets have one name"),
        ('study = "second"', 'study = "first"', "pairs need sets of two studies"),
        ('design = "pairs"', 'design = "leave-one-out"', "'one' has no `group`"),
        ('file = "one.h5ad"', "", "needs `file`, which is missing"),
        ("[small]", "[smalls]", "has no key 'smalls'; the closest is 'small'"),
        ('origin = "nowhere"', 'orgin = "nowhere"', "the closest is 'origin'"),
        ("seeds = [0, 1]", "seeds = []", "`seeds` is"),
        ('design = "pairs"', "", "labels need a `design`"),
        ("n_cells = 60", 'measures = "label"', "no job 'label'; the closest is 'labels'"),
        ("n_cells = 20", "settings = { pace = 1 }", "there is no setting 'pace'"),
    ],
)
def test_a_suite_that_is_wrong_is_refused_with_the_closest_word(tmp_path, old, new, said):
    with pytest.raises(InputError) as refusal:
        load_suite(write_suite(tmp_path / "small.toml", SUITE.replace(old, new)))
    assert said in str(refusal.value)


def test_an_unknown_suite_is_refused(tmp_path):
    with pytest.raises(InputError, match="no suite 'pbmc-tranfer'; the closest is 'pbmc-transfer'"):
        load_suite("pbmc-tranfer")
    with pytest.raises(InputError, match="There is no suite"):
        load_suite(tmp_path / "none.toml")


def test_a_missing_file_of_cells_is_refused_and_its_origin_told(suite, tmp_path):
    with pytest.raises(InputError, match="The cells of 'one' are not there") as refusal:
        run_suite(suite, tmp_path, out=tmp_path / "out")
    assert "to be had from: nowhere" in refusal.value.hint


def test_a_folder_that_is_not_named_or_not_there_is_refused(monkeypatch, tmp_path):
    monkeypatch.delenv("CELLOQUY_DATA", raising=False)
    with pytest.raises(InputError, match="No folder of cells is named"):
        data_folder(None)
    with pytest.raises(InputError, match="is not there"):
        data_folder(tmp_path / "none")
    assert data_folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('file = "one.h5ad"', 'file = "one.h5ad"\nlabel = "celltype"',
         "have no column 'celltype'; the closest is 'cell_type'"),
        ('part = "b"', 'part = "z"', "No cell of 'two again' has part 'z'"),
        ('part = "b"', 'cell_type = "B"', "have 1 label, and there is nothing to tell apart"),
        ('file = "one.h5ad"', 'file = "one.h5ad"\nlabel = "donor"', "share no label"),
    ],
)  # fmt: skip
def test_cells_that_cannot_be_measured_are_refused(tmp_path, folder, old, new, said):
    suite = load_suite(write_suite(tmp_path / "small.toml", SUITE.replace(old, new)))
    with pytest.raises(InputError) as refusal:
        run_suite(suite, folder, out=tmp_path / "out")
    assert said in str(refusal.value)


def test_sets_without_common_genes_are_refused(tmp_path, suite):
    import anndata as ad

    write_cells(tmp_path)
    path = tmp_path / "cells" / "one.h5ad"
    adata = ad.read_h5ad(path)
    adata.var_names = [f"OTHER{i}" for i in range(adata.n_vars)]
    path.unlink()
    adata.write_h5ad(path)
    with pytest.raises(InputError, match="'one' and 'two' share 0 genes"):
        run_suite(suite, tmp_path, out=tmp_path / "out")


def test_sets_of_two_units_are_refused(tmp_path, suite):
    import anndata as ad

    from labelled_cells import log1p_of

    write_cells(tmp_path)
    path = tmp_path / "cells" / "one.h5ad"
    adata = log1p_of(ad.read_h5ad(path))
    path.unlink()
    adata.write_h5ad(path)
    with pytest.raises(InputError, match="'one' holds log1p and 'two' holds counts"):
        run_suite(suite, tmp_path, out=tmp_path / "out")


def quick(suite):
    return suite.model_copy(update={"methods": ("majority", "logistic"), "seeds": (0,)})


def test_a_label_with_one_cell_is_learnt_and_judged(tmp_path, suite):
    import anndata as ad

    write_cells(tmp_path)
    path = tmp_path / "cells" / "one.h5ad"
    adata = ad.read_h5ad(path)
    rare = adata[[*range(30), 30, *range(60, 90)]].copy()  # one NK cell
    path.unlink()
    rare.write_h5ad(path)
    records = run_suite(quick(suite), tmp_path, out=tmp_path / "out")
    assert all(found["n_left_out"] == 0 for found in records)
    assert {name for found in records for name in found["labels"]} == {"B", "NK", "T"}


def test_query_cells_of_a_type_that_the_reference_lacks_are_left_out_and_counted(tmp_path, suite):
    import anndata as ad

    write_cells(tmp_path)
    path = tmp_path / "cells" / "one.h5ad"
    adata = ad.read_h5ad(path)
    path.unlink()
    adata[adata.obs["cell_type"] != "NK"].copy().write_h5ad(path)
    records = run_suite(quick(suite), tmp_path, out=tmp_path / "out")
    found = next(f for f in records if f["case"]["name"] == "one to two, seed 0")
    assert (found["n_obs"], found["n_left_out"]) == (40, 20)


def test_the_record_of_a_set_holds_the_hash_of_its_file(suite, folder):
    import hashlib

    record = set_records(suite, folder)[0]
    content = (folder / "cells" / "one.h5ad").read_bytes()
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["origin"] == "nowhere"


LABEL_SUITES = [name for name in known_suites() if load_suite(name).measures == "labels"]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", LABEL_SUITES)
def test_the_small_form_learns_labels_of_real_cells(name, data_folder, tmp_path):
    records = run_suite(load_suite(name).smaller(), data_folder, out=tmp_path)
    means = {
        method: np.mean(
            [f["metrics"]["macro_f1"] for f in records if f["method"]["name"] == method]
        )
        for method in ("default", "majority")
    }
    assert means["default"] > means["majority"] + 0.2
