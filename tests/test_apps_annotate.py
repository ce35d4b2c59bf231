"""``celloquy annotate --markers``: clusters named by a language model, local or behind a server."""

from __future__ import annotations

import io
import json
import sys

import anndata as ad
import pandas as pd
import pytest
from typer.testing import CliRunner

from celloquy.apps.cli import app, main
from celloquy.io import write_h5ad
from labelled_cells import labelled_cells
from lm_models import write_encoder
from lm_server import chat, serving


@pytest.fixture
def folder(tmp_path):
    adata = labelled_cells(15, seed=2)
    adata.obs["leiden"] = adata.obs["cell_type"].cat.codes.astype(str).astype("category")
    write_h5ad(adata, tmp_path / "cells.h5ad")
    write_h5ad(labelled_cells(seed=1), tmp_path / "reference.h5ad")
    (tmp_path / "labels.txt").write_text("B\nNK\nT\n")
    entries = [{"contains": "GENE1 ", "answer": "B"}, {"contains": "GENE11 ", "answer": "NK"}]
    script = {"entries": entries, "otherwise": "T", "log": "log.jsonl"}
    (tmp_path / "script.json").write_text(json.dumps(script))
    return tmp_path


def arguments(folder, *more, lm=None):
    lm = lm or f"fake:{folder / 'script.json'}"
    given = [folder / "cells.h5ad", "--clusters", "leiden", "--lm", lm, "--markers", *more]
    return ["annotate", *map(str, given)]


def done(given):
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def refused(monkeypatch, capsys, given):
    monkeypatch.setattr(sys, "argv", ["celloquy", *given])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code, capsys.readouterr().err


def table_of(result):
    return pd.read_csv(io.StringIO(result.stdout), sep="\t", dtype={"cluster": str})


def test_clusters_are_named_and_the_evidence_goes_to_the_screen(folder):
    result = done(arguments(folder, "--labels", folder / "labels.txt", "--set", "tissue=blood"))
    table = table_of(result)
    assert table["name"].tolist() == ["B", "NK", "T"]
    assert table["markers"].str.split().str.len().min() >= 3
    assert "3 clusters · 3 named" in result.stderr
    assert '"blood"' in (folder / "log.jsonl").read_text().replace('\\"', '"')


def test_a_reference_and_a_model_are_reconciled_in_one_file(folder):
    script = {"entries": [{"answer": "T"}]}
    (folder / "script.json").write_text(json.dumps(script))
    out = folder / "out.h5ad"
    result = done(
        arguments(
            folder, "--reference", folder / "reference.h5ad", "--label-key", "cell_type",
            "--out", out, "--json",
        )
    )  # fmt: skip
    said = json.loads(result.stdout)
    assert said["record"]["labels"] == ["B", "NK", "T"]
    assert [row["agree"] for row in said["clusters"]] == ["no", "no", "yes"]
    assert [row["decided_by"] for row in said["clusters"]] == ["cells", "cells", "both"]
    assert "markers and cells disagree on 2" in result.stderr
    written = ad.read_h5ad(out)
    assert {"cell_type_celloquy", "leiden_celloquy"} <= set(written.obs)
    again = done(arguments(folder, "--per-cell", "cell_type", "--json"))
    assert [row["by_cells"] for row in json.loads(again.stdout)["clusters"]] == ["B", "NK", "T"]


def test_without_labels_names_are_looked_up(folder):
    script = {"entries": [{"contains": "GENE1 ", "answer": "B cells"}], "otherwise": "Wonder"}
    (folder / "script.json").write_text(json.dumps(script))
    table = table_of(done(arguments(folder)))
    assert table["name"].tolist() == ["B cell", "Wonder", "Wonder"]
    assert table["is_known"].tolist() == [True, False, False]


@pytest.mark.slow
def test_a_server_names_clusters_and_gets_markers_only(folder):
    def reply(asked):
        said = "B" if "GENE1 " in asked.body["messages"][0]["content"] else "T"
        return chat(json.dumps({"answer": said}))

    with serving(reply) as server:
        lm = f"openai:tiny@{server.url}"
        given = arguments(folder, "--labels", folder / "labels.txt", lm=lm)
        shown = done([*given, "--dry-run"]).stdout
        assert server.asked == []
        assert f"POST {server.url}/chat/completions" in shown
        table = table_of(done(given))
        sent = json.dumps([asked.body for asked in server.asked])
    assert table["name"].tolist() == ["B", "T", "T"]
    assert "cell2-" not in sent
    assert "cells.h5ad" not in sent


def test_a_dry_run_of_a_local_model_shows_the_first_prompt(folder):
    shown = done(arguments(folder, "--dry-run")).stdout
    assert "3 prompts, one a cluster" in shown
    assert "GENE" in shown
    assert not (folder / "log.jsonl").exists()


@pytest.mark.parametrize(
    ("more", "status", "told"),
    [
        (["--markers", "--lm", "fake:chance"], 1, "no column of clusters is given"),
        (["--markers", "--clusters", "leiden"], 2, "Missing option '--lm'"),
        (["--clusters", "leiden"], 2, "Missing option '--reference'"),
        (["--reference", "r.h5ad"], 2, "Missing option '--out'"),
        (["--markers", "--lm", "fake:chance", "--plots", "p"], 2, "'--plots' draws cells"),
        (
            ["--markers", "--lm", "openai:x@https://api.example.org", "--clusters", "leiden"],
            1,
            "--allow-remote api.example.org",
        ),
        (
            ["--markers", "--lm", "fake:chance", "--clusters", "leiden", "--per-cell", "cell_type",
             "--reference", "r.h5ad"],
            1,
            "come from `--reference` or from `--per-cell`",
        ),
    ],
)  # fmt: skip
def test_wrong_use_is_told(folder, more, status, told, monkeypatch, capsys):
    code, said = refused(monkeypatch, capsys, ["annotate", str(folder / "cells.h5ad"), *more])
    assert code == status
    assert told in " ".join(said.replace("│", " ").split())


@pytest.mark.slow
def test_the_model_that_reads_cells_can_be_chosen(folder):
    write_encoder(folder / "encoder")
    done([
        "annotate", str(folder / "cells.h5ad"), "--reference", str(folder / "reference.h5ad"),
        "--label-key", "cell_type", "--representation", "text", "--head", "knn", "--lm",
        f"st:{folder / 'encoder'}", "--precision", "fp32", "--out", str(folder / "out.h5ad"),
    ])  # fmt: skip
    record = ad.read_h5ad(folder / "out.h5ad").uns["cell_type_celloquy"]
    assert record["text"]["lm"] == f"st:{folder / 'encoder'}"
