"""``celloquy predict``: what it prints where, what it writes, and what it refuses."""

from __future__ import annotations

import io
import json
import math
import sys

import anndata as ad
import pandas as pd
import pytest
from typer.testing import CliRunner

from celloquy.apps.cli import app, main
from celloquy.io import write_h5ad
from labelled_cells import labelled_cells
from lm_server import chat, serving

LOGP = {"B": -0.3, "NK": -2.0, "T": -2.5}
SCORE = math.exp(-0.3) / sum(map(math.exp, LOGP.values()))


@pytest.fixture
def folder(tmp_path):
    adata = labelled_cells(10, seed=2)
    adata.obs["donor"] = ["d1"] * 10 + ["d2"] * 20
    write_h5ad(adata, tmp_path / "cells.h5ad")
    write_h5ad(labelled_cells(10, seed=5), tmp_path / "known.h5ad")
    (tmp_path / "labels.txt").write_text("B\nNK\nT\n")
    script = {"entries": [{"answer": "B", "logp": LOGP}], "max_tokens": 60, "log": "log.jsonl"}
    (tmp_path / "script.json").write_text(json.dumps(script))
    return tmp_path


def arguments(folder, *more, task="cell_type"):
    given = [folder / "cells.h5ad", "--task", task, "--lm", f"fake:{folder / 'script.json'}", *more]
    return ["predict", *map(str, given)]


def labelled(folder, *more):
    return arguments(folder, "--labels", folder / "labels.txt", *more)


def done(given):
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def refused(monkeypatch, capsys, given):
    """Run the command as a shell does, and give what it told."""
    monkeypatch.setattr(sys, "argv", ["celloquy", *given])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    return capsys.readouterr().err


def test_a_file_is_written_with_labels_and_the_screen_tells_what_they_are(folder):
    result = done(labelled(folder, "--out", folder / "out.h5ad", "--top-n", 3, "--probabilities"))
    written = ad.read_h5ad(folder / "out.h5ad")
    assert set(written.obs["cell_type_celloquy"]) == {"B"}
    assert {"cell_type_celloquy_second", "cell_type_celloquy_3"} <= set(written.obs)
    assert written.obsm["cell_type_celloquy_probabilities"].shape == (30, 3)
    assert result.stdout == ""
    assert "30 cells · 100.0% labelled" in result.stderr
    assert "not calibrated" in result.stderr


def test_without_a_file_the_table_goes_to_the_screen(folder):
    table = pd.read_csv(io.StringIO(done(labelled(folder)).stdout), sep="\t", index_col="cell")
    assert table.shape == (30, 6)
    assert table["cell_type_celloquy_score"].iloc[0] == pytest.approx(SCORE)
    cells = json.loads(done(labelled(folder, "--json")).stdout)["cells"]
    assert [cell["cell"] for cell in cells] == table.index.tolist()


def test_json_tells_counts_and_record(folder):
    said = json.loads(done(labelled(folder, "--json", "--out", folder / "out.h5ad")).stdout)
    assert said["labels"] == {"B": 30}
    assert said["record"]["task"]["name"] == "cell_type"
    assert "cells" not in said


def test_constants_and_columns_reach_the_prompt(folder):
    done(labelled(folder, "--obs", "organism=donor"))
    assert '"d1"' in json.loads((folder / "log.jsonl").read_text().splitlines()[0])["prompt"]
    script = {"entries": [{"contains": "Erlotinib", "answer": "resistant"}]}
    (folder / "script.json").write_text(json.dumps(script))
    result = done(arguments(folder, "--set", "drug=Erlotinib", task="drug_sensitivity"))
    assert result.stdout.count("resistant") >= 30


def test_a_dry_run_shows_the_first_prompt_and_the_tokens_and_asks_nothing(folder):
    result = done(labelled(folder, "--dry-run", "--out", folder / "out.h5ad"))
    assert "30 prompts of " in result.stdout
    assert "GENE" in result.stdout
    assert not (folder / "log.jsonl").exists()
    assert not (folder / "out.h5ad").exists()
    assert "genes of 30 prompts would not fit" in result.stdout
    few = done(labelled(folder, "--dry-run", "--n-top-genes", 3)).stdout
    assert "all genes that are named fit" in few
    plan = json.loads(done(labelled(folder, "--dry-run", "--json")).stdout)
    assert plan["n_prompts"] == 30
    assert plan["n_prompts_cut"] == 30  # the script reads 60 words


def test_a_dry_run_of_a_server_shows_the_exact_request(folder):
    with serving(lambda asked: chat("B")) as server:
        given = labelled(folder, "--dry-run", "--obs", "organism=donor")
        given[given.index("--lm") + 1] = f"openai:tiny@{server.url}"
        said = done(given).stdout
        assert server.asked == []
    assert f"POST {server.url}/chat/completions" in said
    assert "GENE" in said
    assert "30 cells" in said
    assert "of obs: donor" in said
    assert "cell2-" not in said


def test_a_server_elsewhere_needs_permission(folder, monkeypatch, capsys):
    given = labelled(folder)
    given[given.index("--lm") + 1] = "openai:tiny@https://api.example.org/v1"
    told = refused(monkeypatch, capsys, given)
    assert "error: Prompts would leave this machine, to 'api.example.org'" in told
    assert "--allow-remote api.example.org" in told


def test_truth_is_measured_beside_a_baseline_and_drawn(folder):
    result = done(labelled(folder, "--truth", "cell_type", "--plots", folder / "plots", "--json"))
    measured = json.loads(result.stdout)["measured"]
    assert measured["accuracy"] == pytest.approx(1 / 3)
    assert measured["accuracy_of_largest_label"] == pytest.approx(1 / 3)
    # all cells are labelled B with one score, and a third is right
    assert measured["calibration_error"] == pytest.approx(SCORE - 1 / 3)
    assert "(baseline): 0.333" in result.stderr
    assert (folder / "plots" / "reliability.png").is_file()


def test_true_labels_that_are_no_answers_are_refused_before_anything_is_asked(
    folder, monkeypatch, capsys
):
    adata = ad.read_h5ad(folder / "cells.h5ad")
    adata.obs["other"] = [f"type {label}" for label in adata.obs["cell_type"]]
    adata.obs["nothing"] = pd.Categorical([None] * 30)
    adata.write_h5ad(folder / "cells.h5ad")
    told = refused(monkeypatch, capsys, labelled(folder, "--truth", "other"))
    assert "No true label of 'other' is one of the answers: 'type B', 'type NK', 'type T'" in told
    assert "there, 'B', 'NK', 'T' here." in told
    assert "hint: write both alike, or leave `--truth` out." in told
    told = refused(monkeypatch, capsys, labelled(folder, "--truth", "nothing"))
    assert "No cell has a true label in 'nothing'." in told
    (folder / "parents.tsv").write_text("child\tparent\nB\ttype B\n")
    said = done(labelled(folder, "--truth", "other", "--parents", folder / "parents.tsv")).stderr
    assert "20 cells have a true label that is none of the answers, such as 'type NK'" in said


def test_what_is_not_finite_is_left_out_and_json_stays_json(folder):
    given = labelled(folder, "--truth", "cell_type", "--min-score", 1)
    assert "accuracy of labelled cells" not in done(given).stderr
    measured = json.loads(done([*given, "--json"]).stdout)["measured"]
    assert measured["accuracy_answered"] is None


def test_a_run_that_could_not_be_written_or_drawn_asks_nothing(folder, monkeypatch, capsys):
    adata = ad.read_h5ad(folder / "cells.h5ad")
    adata.obs["cell_type_celloquy"] = "B"
    adata.write_h5ad(folder / "cells.h5ad")
    calibrated = ["--calibrate-on", folder / "known.h5ad", "--label-key", "cell_type"]
    given = labelled(folder, "--out", folder / "out.h5ad", *calibrated)
    assert "`obs` has 'cell_type_celloquy' already" in refused(monkeypatch, capsys, given)
    given = labelled(folder, "--truth", "cell_type", "--plots", folder / "labels.txt")
    told = refused(monkeypatch, capsys, given)
    assert "labels.txt' is a file, and pictures go into a folder." in told
    assert not (folder / "log.jsonl").exists()


def test_scores_are_calibrated_on_other_cells_and_the_file_is_used_again(folder):
    calibration = folder / "calibration.json"
    result = done(
        labelled(
            folder, "--calibrate-on", folder / "known.h5ad", "--label-key", "cell_type",
            "--calibration", calibration, "--json", "--min-score", 0,
        )
    )  # fmt: skip
    record = json.loads(result.stdout)["record"]
    assert record["calibrated"]
    assert "fitted on 30 cells" in result.stderr
    again = done(labelled(folder, "--calibration", calibration, "--json", "--min-score", 0))
    assert json.loads(again.stdout)["record"]["temperature"] == record["temperature"]


def test_parents_and_groups_are_reached(folder):
    (folder / "parents.tsv").write_text("child\tparent\nB\tlymphocyte\nNK\tlymphocyte\n")
    given = labelled(folder, "--parents", folder / "parents.tsv", "--min-score", 0.9, "--json")
    assert json.loads(done(given).stdout)["labels"] == {"lymphocyte": 30}
    (folder / "labels.txt").write_text("blood\nlung\n")
    script = {"entries": [{"answer": "blood"}]}
    (folder / "script.json").write_text(json.dumps(script))
    given = arguments(
        folder, "--labels", folder / "labels.txt", "--group-by", "donor", "--json",
        task="multicell_tissue",
    )  # fmt: skip
    said = json.loads(done(given).stdout)
    assert said["labels"] == {"blood": 30}
    assert said["record"]["n_prompts"] == 2


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--set", "drug"), "`--set drug` names no input and value"),
        (("--set", "a=1", "--set", "a=2"), "gives 'a' twice: '1' and '2'"),
        (("--calibrate-on", "known.h5ad"), "`--calibrate-on` and `--label-key` belong together"),
        (("--plots", "plots"), "`--plots` draws annotated cells"),
        (("--truth", "cell_typ"), "no column 'cell_typ'; the closest is 'cell_type'"),
        (("--labels", "nowhere.txt"), "There is no file of labels 'nowhere.txt'"),
        (("--refuse-cut",), "genes of 30 of 30 cells do not all fit"),
        (("--task", "cell_typo"), "There is no task 'cell_typo'"),
    ],
)
def test_wrong_wishes_are_told_before_anything_is_asked(folder, more, told, monkeypatch, capsys):
    assert told in refused(monkeypatch, capsys, labelled(folder, *more))
    assert not (folder / "log.jsonl").exists()
