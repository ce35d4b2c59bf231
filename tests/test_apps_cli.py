"""The command line: every verb on small files, its exit status, and what it tells where."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

import celloquy as cq
from celloquy.apps.cli import app, main
from celloquy.io import write_h5ad
from celloquy.text import RankCurve, read_sentences
from labelled_cells import labelled_cells, log1p_of
from lm_models import write_encoder

VERBS = [
    "check",
    "sentences",
    "reconstruct",
    "encode",
    "annotate",
    "predict",
    "doctor",
    "demo",
    "data",
]


@pytest.fixture
def cells(tmp_path):
    path = tmp_path / "cells.h5ad"
    write_h5ad(labelled_cells(10, seed=2), path)
    return path


@pytest.fixture
def scaled(tmp_path):
    """Write cells whose X is z-scored, beside a raw that can be used."""
    adata = labelled_cells(10, seed=3)
    adata.raw = log1p_of(adata)
    adata.X = adata.X.toarray() - adata.X.toarray().mean(axis=0)
    write_h5ad(adata, tmp_path / "scaled.h5ad")
    return tmp_path / "scaled.h5ad"


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "reference.h5ad"
    write_h5ad(labelled_cells(seed=1), path)
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments):
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refused(monkeypatch, capsys, *arguments):
    """Run the command as a shell does, and give its exit status and what it told."""
    monkeypatch.setattr(sys, "argv", ["celloquy", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code, capsys.readouterr()


def shell(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "celloquy", *map(str, arguments)],
        check=False, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


# check


def test_check_tells_what_is_in_a_file(cells):
    told = done("check", cells).stdout
    assert "counts" in told
    assert "30 cells" in told


def test_check_in_json_is_json_and_ends_with_1_where_a_verb_would_refuse(cells, scaled):
    found = json.loads(done("check", cells, "--json").stdout)
    assert found["ok"] is True
    result = invoke("check", scaled, "--json")
    assert result.exit_code == 1
    held = json.loads(result.stdout)
    assert held["ok"] is False
    assert [p["severity"] for p in held["problems"]].count("refuse") >= 1
    assert done("check", scaled, "--raw").exit_code == 0


def test_check_compares_genes_with_a_reference(cells, reference):
    assert "200" in done("check", cells, "--reference", reference).stdout


# sentences and reconstruct


def test_sentences_of_a_file_go_to_parquet(cells, tmp_path):
    out = tmp_path / "sentences.parquet"
    result = done("sentences", cells, "--out", out, "--n-top-genes", 7, "--obs", "cell_type")
    written = read_sentences(out)
    expected = cq.sentences(ad.read_h5ad(cells), n_top_genes=7, obs_features=["cell_type"])
    assert written.text.tolist() == expected.text.tolist()
    assert result.stdout == ""
    assert "30 sentences name 210 genes" in result.stderr
    assert "are not named" in result.stderr


def test_options_of_genes_reach_the_sentences(cells, tmp_path):
    out = tmp_path / "s.parquet"
    done("sentences", cells, "-o", out, "--n-top-genes", 0, "--exclude", "GENE3", "--minimum", 2)
    words = " ".join(read_sentences(out).text).split()
    assert "GENE3" not in words
    counts = ad.read_h5ad(cells).to_df().drop(columns="GENE3")
    assert len(words) == int((counts > 2).to_numpy().sum())


def test_sentences_of_ensembl_ids_warn_unless_ids_are_asked_for(cells, tmp_path):
    adata = ad.read_h5ad(cells)[:1].copy()
    adata.var_names = [f"ENSG{i:011d}.4" for i in range(adata.n_vars)]
    adata.write_h5ad(tmp_path / "ids.h5ad")
    with pytest.warns(UserWarning, match=r"genes of 'ids\.h5ad' are named by Ensembl ids"):
        told = done("sentences", tmp_path / "ids.h5ad", "-o", tmp_path / "s.parquet").stderr
    assert "\n1 sentence names " in told
    out = tmp_path / "t.parquet"
    told = done("sentences", tmp_path / "ids.h5ad", "-o", out, "--to", "ensembl").stderr
    assert "warning" not in told
    assert "." not in read_sentences(out).text.iloc[0]


def test_sentences_with_values_come_back_as_they_were(cells, tmp_path):
    done("sentences", cells, "-o", tmp_path / "s.parquet", "--n-top-genes", 0, "--values")
    result = done("reconstruct", tmp_path / "s.parquet", "-o", tmp_path / "back.h5ad")
    back, was = ad.read_h5ad(tmp_path / "back.h5ad"), ad.read_h5ad(cells)
    np.testing.assert_array_equal(back[:, was.var_names].X.toarray(), was.X.toarray())
    assert "30 cells × 200 genes · back.h5ad" in result.stderr
    assert "warning" not in result.stderr


def test_sentences_without_values_take_a_curve_and_the_packaged_one_is_told(cells, tmp_path):
    done("sentences", cells, "-o", tmp_path / "s.parquet")
    told = done("reconstruct", tmp_path / "s.parquet", "-o", tmp_path / "back.h5ad").stderr
    assert len(re.findall(r"^warning: No rank curve was given", told, re.MULTILINE)) == 1
    RankCurve("linear_log_rank", "log1p", slope=-1.0, intercept=9.0).save(tmp_path / "c.json")
    told = done(
        "reconstruct", tmp_path / "s.parquet", "-o", tmp_path / "line.h5ad",
        "--rank-curve", tmp_path / "c.json",
    ).stderr  # fmt: skip
    assert "warning" not in told
    by_line = ad.read_h5ad(tmp_path / "line.h5ad")
    # the first gene has rank 1 in Cell2Sentence's line, so the logarithm of one is zero
    assert by_line.X.max() == pytest.approx(9.0, abs=1e-5)


# encode and annotate


@pytest.mark.slow
def test_encode_writes_a_copy_with_vectors(cells, tmp_path):
    lm = f"st:{write_encoder(tmp_path / 'lm')}"
    before = cells.read_bytes()
    result = done("encode", cells, "-o", tmp_path / "out.h5ad", "--lm", lm, "--device", "cpu")
    assert ad.read_h5ad(tmp_path / "out.h5ad").obsm["X_celloquy"].shape == (30, 64)
    assert "30 cells in obsm['X_celloquy']" in result.stderr
    assert cells.read_bytes() == before
    done(
        "encode", cells, "-o", tmp_path / "genes.h5ad", "--lm", lm, "--by", "genes",
        "--key-added", "X_g", "--device", "cpu",
    )  # fmt: skip
    assert ad.read_h5ad(tmp_path / "genes.h5ad").obsm["X_g"].shape == (30, 64)


def test_annotate_writes_a_copy_with_labels(cells, reference, tmp_path):
    result = done(
        "annotate", cells, "--reference", reference, "--label-key", "cell_type",
        "--out", tmp_path / "out.h5ad", "--save-reference", tmp_path / "saved",
        "--clusters", "cell_type",
    )  # fmt: skip
    obs = ad.read_h5ad(tmp_path / "out.h5ad").obs
    named = obs["cell_type_celloquy"].astype(str) != "unknown"
    assert named.mean() > 0.8
    assert (obs["cell_type_celloquy"].astype(str) == obs["cell_type"].astype(str))[named].all()
    assert "cell_type_celloquy_majority" in obs
    assert result.stdout == ""
    assert "30 cells" in result.stderr
    done("annotate", cells, "--reference", tmp_path / "saved", "--out", tmp_path / "again.h5ad")
    again = ad.read_h5ad(tmp_path / "again.h5ad").obs
    assert again["cell_type_celloquy"].tolist() == obs["cell_type_celloquy"].tolist()


@pytest.mark.slow
def test_annotate_takes_the_slots_and_names_that_are_told(scaled, tmp_path):
    adata = labelled_cells(seed=1)
    adata.layers["counts"] = adata.X.copy()
    adata.X = sp.csr_matrix(adata.shape, dtype=np.float32)
    adata.var["symbol"] = adata.var_names
    adata.var_names = [f"row{i}" for i in range(adata.n_vars)]
    write_h5ad(adata, tmp_path / "reference.h5ad")
    done(
        "annotate", scaled, "--raw", "--reference", tmp_path / "reference.h5ad",
        "--reference-layer", "counts", "--reference-gene-column", "symbol",
        "--label-key", "cell_type", "--key-added", "mine", "--out", tmp_path / "out.h5ad",
        "--representation", "pca", "--head", "knn",
    )  # fmt: skip
    obs = ad.read_h5ad(tmp_path / "out.h5ad").obs
    named = obs["mine"].astype(str) != "unknown"
    assert (obs["mine"].astype(str) == obs["cell_type"].astype(str))[named].mean() > 0.9


@pytest.mark.slow
def test_annotate_draws_what_was_annotated(scaled, reference, tmp_path):
    result = done(
        "annotate", scaled, "--raw", "--reference", reference, "--label-key", "cell_type",
        "--out", tmp_path / "out.h5ad", "--plots", tmp_path / "a" / "plots",
        "--clusters", "cell_type",
    )  # fmt: skip
    drawn = sorted(path.name for path in (tmp_path / "a" / "plots").iterdir())
    assert drawn == ["composition.png", "top_genes.png", "umap_labels.png", "umap_scores.png"]
    for path in (tmp_path / "a" / "plots").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.name in result.stderr
    again = invoke(
        "annotate", scaled, "--raw", "--reference", reference, "--label-key", "cell_type",
        "--out", tmp_path / "out2.h5ad", "--plots", tmp_path / "a" / "plots",
    )  # fmt: skip
    assert "exists already" in str(again.exception)
    assert not (tmp_path / "out2.h5ad").exists()


# what is refused


def test_a_refusal_is_two_lines_and_no_traceback(cells, reference, tmp_path, monkeypatch, capsys):
    code, told = refused(
        monkeypatch, capsys, "annotate", cells, "--reference", reference,
        "--label-key", "celltype", "--out", tmp_path / "out.h5ad",
    )  # fmt: skip
    assert code == 1
    assert told.out == ""
    error, hint = told.err.splitlines()
    assert error.startswith("error: `obs` of 'reference.h5ad' has no column 'celltype'")
    assert "the closest is 'cell_type'" in error
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(
    "verb",
    [
        "sentences",
        pytest.param("encode", marks=pytest.mark.slow),
        "annotate",
        pytest.param("reconstruct", marks=pytest.mark.slow),
    ],
)
def test_nothing_is_overwritten_unasked(verb, cells, reference, tmp_path, monkeypatch, capsys):
    source, out = cells, tmp_path / ("out.parquet" if verb == "sentences" else "out.h5ad")
    more = []
    if verb == "annotate":
        more = ["--reference", reference, "--label-key", "cell_type"]
    if verb == "encode":
        more = ["--lm", f"st:{write_encoder(tmp_path / 'lm')}"]
    if verb == "reconstruct":
        source = tmp_path / "s.parquet"
        done("sentences", cells, "-o", source)
    out.write_text("mine")
    code, told = refused(monkeypatch, capsys, verb, source, "-o", out, *more)
    assert code == 1
    assert "exists already" in told.err
    assert "--overwrite" in told.err
    assert out.read_text() == "mine"
    done(verb, source, "-o", out, *more, "--overwrite")
    assert out.read_bytes()[:4] != b"mine"


@pytest.mark.parametrize(
    "arguments",
    [
        ["sentences", "cells.h5ad"],
        ["annotate", "cells.h5ad", "--out", "x.h5ad"],
        ["encode", "cells.h5ad", "--out", "x.h5ad", "--by", "words"],
        ["inspect", "cells.h5ad"],
        ["check", "cells.h5ad", "--jason"],
        ["sentences", "cells.h5ad", "--out", "x", "--n-top-genes", "many"],
    ],
)
def test_wrong_use_ends_with_2_and_makes_nothing(arguments, cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "no.h5ad"], "no file 'no.h5ad'"),
        (["sentences", "no.h5ad", "-o", "x.parquet"], "no file 'no.h5ad'"),
        (["sentences", "cells.h5ad", "-o", "no/x.parquet"], "does not exist"),
        (["sentences", "cells.h5ad", "-o", "x.parquet", "--style", "celllama"], "no style"),
        (["sentences", "cells.h5ad", "-o", "x.parquet", "--obs", "celltype"], "'cell_type'"),
        (["sentences", "cells.h5ad", "-o", "x.parquet", "--layer", "counts"], "no layer"),
        (["reconstruct", "cells.h5ad", "-o", "x.h5ad"], "not a whole Parquet file"),
        (["encode", "cells.h5ad", "-o", "x.h5ad", "--lm", "st:nothing"], "nothing"),
        (
            ["annotate", "cells.h5ad", "-o", "x.h5ad", "--reference", "cells.h5ad"],
            "`label_key` is None",
        ),
        (
            ["annotate", "cells.h5ad", "-o", "x.h5ad", "--reference", "cells.h5ad",
             "--label-key", "cell_type", "--head", "knnn"],
            "the closest is 'knn'",
        ),
        (["demo", "--reference", "cells.h5ad"], "needs a reference and a query"),
        (["data", "add", "hgncc", "cells.h5ad"], "'hgnc'"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_ends_with_1_and_makes_nothing(
    arguments, told, cells, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    code, output = refused(monkeypatch, capsys, *arguments)
    assert code == 1
    assert output.err.startswith("error: ")
    assert told in output.err
    assert "hint: " in output.err
    assert "Traceback" not in output.err
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]


def test_debug_shows_the_traceback():
    told = shell("--debug", "check", "no.h5ad")
    assert told.returncode == 1
    assert "Traceback" in told.stderr
    assert "InputError" in told.stderr


# in a shell of its own


@pytest.mark.slow
def test_in_a_shell_a_refused_file_ends_with_1_and_is_told_without_colour(scaled):
    told = shell("check", scaled, NO_COLOR="1")
    assert told.returncode == 1, told.stderr
    assert "scaled" in told.stdout
    assert "\x1b" not in told.stdout
    assert told.stderr == ""


@pytest.mark.slow
def test_in_a_shell_sentences_are_written_and_an_error_is_told(cells, tmp_path):
    first = shell("sentences", cells, "--out", tmp_path / "sätze.parquet", "--style", "celloquy")
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    again = shell("sentences", cells, "--out", tmp_path / "sätze.parquet")
    assert again.returncode == 1
    assert [line.split(":")[0] for line in again.stderr.splitlines()] == ["error", "hint"]
    assert shell("sentences", cells).returncode == 2


# help, doctor, data


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb):
    told = done(verb, "--help").stdout
    assert "Usage:" in told
    assert "Raises" not in told


def test_the_help_names_every_verb_and_the_version_is_told():
    told = done("--help").stdout
    for verb in VERBS:
        assert verb in told
    assert done("--version").stdout.strip() == cq.__version__


def test_without_a_verb_the_help_is_shown():
    result = invoke()
    assert result.exit_code == 2
    assert "Usage:" in result.output


def test_doctor_tells_versions_extras_devices_and_tables():
    found = json.loads(done("doctor", "--json").stdout)
    assert found["packages"]["celloquy"] == cq.__version__
    assert set(found) == {"system", "packages", "extras", "devices", "cache"}
    told = done("doctor").stdout
    assert "devices:" in told
    assert "anndata: " in told


def test_data_lists_tables_with_licence_and_state():
    tables = json.loads(done("data", "list", "--json").stdout)
    assert "hgnc" in [table["name"] for table in tables]
    assert all(table["licence"] for table in tables)
    told = done("data", "list").stdout
    assert "licence:" in told


@pytest.mark.data
@pytest.mark.slow
def test_a_table_that_a_user_has_is_added_and_then_listed(data_folder):
    file = data_folder / "tables" / "hgnc_complete_set.txt.gz"
    told = done("data", "add", "hgnc", file).stdout
    assert re.search(r"hgnc: 4\d,\d{3} rows", told)
    tables = {t["name"]: t for t in json.loads(done("data", "list", "--json").stdout)}
    assert tables["hgnc"]["state"] == "here"
    assert "here (" in done("data", "list").stdout


def test_a_warning_is_one_line_without_a_place_in_the_code(tmp_path, monkeypatch, capsys):
    (tmp_path / "genes.txt").write_text("CD3E\nCD4\nLYZ\n")
    words = [
        "generate", "--task", "random_cell", "--lm", "fake:chance", "--n-top-genes", "2",
        "--genes", str(tmp_path / "genes.txt"), "--out", str(tmp_path / "new.h5ad"),
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["celloquy", *words])
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 0
    told = capsys.readouterr().err
    assert "\nwarning: No rank curve was given" in f"\n{told}"
    assert ".py" not in told
