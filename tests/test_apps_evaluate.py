"""``celloquy evaluate``: labels by default, other jobs by their name, reports in three forms."""

from __future__ import annotations

import json
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

from celloquy.apps.cli import app, main
from labelled_cells import labelled_cells

LABELS = ["--truth", "truth", "--prediction", "told"]


@pytest.fixture
def cells(tmp_path):
    obs = pd.DataFrame(
        {
            "truth": ["B", "B", "T", "T"],
            "told": ["B", "T", "T", "Unassigned"],
            "sure": [0.9, 0.6, 0.8, 0.2],
            "donor": ["a", "a", "b", "b"],
        },
        index=[f"c{i}" for i in range(4)],
    )
    path = tmp_path / "cells.h5ad"
    ad.AnnData(sp.csr_matrix((4, 2), dtype=np.float32), obs=obs).write_h5ad(path)
    return path


def done(*given):
    result = CliRunner().invoke(app, ["evaluate", *map(str, given)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def refused(monkeypatch, capsys, *given):
    monkeypatch.setattr(sys, "argv", ["celloquy", "evaluate", *map(str, given)])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code, capsys.readouterr().err


def test_labels_are_judged_without_naming_the_job(cells):
    told = done(cells, *LABELS, "--groups", "donor", "--confidence", "sure").stdout
    assert "4 cells, 2 true labels, 2 groups (donor)" in told
    assert "majority class (B)" in told
    assert "calibration_error" in told
    assert (
        told
        == done("annotation", cells, *LABELS, "--groups", "donor", "--confidence", "sure").stdout
    )


def test_options_may_stand_before_the_file(cells):
    assert done(*LABELS, cells).stdout == done(cells, *LABELS).stdout


def test_a_word_can_be_named_that_means_no_answer(cells):
    read = json.loads(done(cells, *LABELS, "--unknown", "Unassigned", "--json").stdout)
    assert read["metrics"]["coverage"] == 0.75
    assert read["metrics"]["accuracy"] == 0.5


def test_reports_are_written_as_json_text_and_markdown(cells, tmp_path):
    for name in ("report.json", "report.txt", "report.md"):
        result = done(cells, *LABELS, "--out", tmp_path / name)
        assert name in result.stderr
    assert json.loads((tmp_path / "report.json").read_text())["n"]["cells"] == 4
    text = (tmp_path / "report.txt").read_text()
    assert text in (tmp_path / "report.md").read_text()
    assert "majority class (B)" in text


def test_nothing_is_overwritten_unasked(cells, tmp_path, monkeypatch, capsys):
    (tmp_path / "report.json").write_text("mine")
    code, told = refused(monkeypatch, capsys, cells, *LABELS, "--out", tmp_path / "report.json")
    assert code == 1
    assert "exists" in told
    assert (tmp_path / "report.json").read_text() == "mine"
    done(cells, *LABELS, "--out", tmp_path / "report.json", "--overwrite")


def test_an_ending_that_is_no_form_of_a_report_is_wrong_use(cells, tmp_path, monkeypatch, capsys):
    code, told = refused(monkeypatch, capsys, cells, *LABELS, "--out", tmp_path / "report.html")
    assert code == 2
    assert ".json, .md, .txt" in " ".join(told.split())


def test_two_files_are_joined_by_name(cells, tmp_path, monkeypatch, capsys):
    told = ad.read_h5ad(cells)[::-1].copy()
    del told.obs["truth"]
    told.write_h5ad(tmp_path / "told.h5ad")
    report = done(tmp_path / "told.h5ad", *LABELS, "--truth-file", cells)
    assert "4 cells in another order were joined by name" in report.stdout
    told[:3].copy().write_h5ad(tmp_path / "few.h5ad")
    given = [tmp_path / "few.h5ad", *LABELS, "--truth-file", cells]
    code, said = refused(monkeypatch, capsys, *given)
    assert code == 1
    assert "error: The two files hold different cells: 1 of 4" in said
    assert "hint: `only_shared=True` (`--only-shared`)" in said
    assert "Only the 3 cells" in done(*given, "--only-shared").stdout


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Writing zarr v2")
def test_a_file_named_like_a_job_is_a_file_where_nothing_else_can_be_meant(
    cells, tmp_path, monkeypatch
):
    expected = done(cells, *LABELS).stdout
    monkeypatch.chdir(tmp_path)
    ad.read_h5ad(cells).write_zarr("annotation")
    assert done("annotation", *LABELS).stdout == expected
    assert done("./annotation", *LABELS).stdout == expected
    assert done("annotation", "cells.h5ad", *LABELS).stdout == expected
    assert done("annotation", *LABELS, "cells.h5ad").stdout == expected


def test_drug_response_is_judged_by_patient(cells):
    told = done(
        "drug", cells, "--truth", "truth", "--prediction", "told", "--groups", "donor",
        "--positive", "B", "--probability", "sure", "--unknown", "Unassigned",
    ).stdout  # fmt: skip
    assert "4 cells, 2 groups (donor), 2 classes" in told
    assert "the response cannot be told from the donor" in told
    assert "labels shuffled in each group" in told


def test_answers_in_words_are_judged_and_what_was_read_is_written(
    cells, tmp_path, monkeypatch, capsys
):
    given = ["answers", cells, "--truth", "truth", "--answer", "told", "--groups", "donor"]
    told = done(*given, "--table", tmp_path / "read.tsv").stdout
    assert "answers of other cells" in told
    table = pd.read_csv(tmp_path / "read.tsv", sep="\t")
    assert table["verdict"].tolist() == ["right", "wrong", "right", "none"]
    code, said = refused(monkeypatch, capsys, *given, "--table", tmp_path / "read.xlsx")
    assert code == 2
    assert "ends in neither .csv nor .tsv" in " ".join(said.split())


def test_help_tells_the_jobs():
    told = CliRunner().invoke(app, ["evaluate", "--help"]).stdout
    assert "annotation" in told
    assert "--labels-by" in CliRunner().invoke(app, ["evaluate", "annotation", "--help"]).stdout


@pytest.fixture
def expression(tmp_path):
    adata = labelled_cells(20, seed=1)
    adata.obs["donor"] = np.tile(["a", "b"], 30)
    adata.obs["perturbation"] = np.tile(["control", "GENE3"], 30)
    adata.obsm["X_celloquy"] = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    adata.write_h5ad(tmp_path / "expression.h5ad")
    return tmp_path / "expression.h5ad"


@pytest.mark.slow
def test_generated_sentences_are_compared_with_sentences_where_a_length_is_given(expression):
    given = ["generated", expression, "--real", expression, "--json"]
    whole, first = (json.loads(done(*given, *more).stdout) for more in ([], ["--n-top-genes", 1]))
    # of cells cut to one gene only as many sentences differ as there are genes
    assert first["metrics"]["distinct_cells"] < whole["metrics"]["distinct_cells"]
    assert first["metrics"]["length"] == whole["metrics"]["length"]  # told of what was written


def test_generated_cells_cannot_be_cut_to_no_gene(expression, monkeypatch, capsys):
    given = ["generated", expression, "--real", expression, "--n-top-genes", 0]
    code, told = refused(monkeypatch, capsys, *given)
    assert code == 1
    assert "`n_top_genes` must be at least 1, got 0" in told


@pytest.mark.slow
def test_cells_are_judged_as_generated_reconstructed_and_perturbed_cells(expression):
    real = ["--real", expression, "--json"]
    found = json.loads(done("generated", expression, *real, "--max-obs", 60).stdout)
    assert {"metrics", "baselines", "notes"} <= set(found)
    found = json.loads(done("reconstruction", expression, *real, "--groups", "donor").stdout)
    assert found["metrics"]
    found = json.loads(done("perturbation", expression, *real).stdout)
    assert found["metrics"]


def test_an_embedding_that_is_not_there_is_refused(expression, monkeypatch, capsys):
    given = ["embedding", expression, "--rep", "X_celloqui", "--batch-key", "donor"]
    code, told = refused(monkeypatch, capsys, *given)
    assert code == 1
    assert "X_celloqui" in told


def test_an_unwritable_report_is_refused_before_anything_is_computed(
    expression, tmp_path, monkeypatch, capsys
):
    given = ["embedding", expression, "--out", tmp_path / "missing" / "report.json"]
    code, told = refused(monkeypatch, capsys, *given)
    assert code == 1
    assert "does not exist" in told
