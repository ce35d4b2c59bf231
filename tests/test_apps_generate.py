"""``celloquy generate``: the twin of :func:`celloquy.generate`."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from typer.testing import CliRunner

from celloquy.apps.cli import app
from celloquy.errors import InputError
from celloquy.text import RankCurve
from decoder_models import GENES, write_decoder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generate")
    write_decoder(folder / "lm", family="gpt2")
    (folder / "genes.txt").write_text("\n".join(GENES), encoding="utf-8")
    RankCurve("linear_log_rank", "log1p", slope=-1.0, intercept=3.0).save(folder / "curve.json")
    counts = np.array([[3, 2, 1], [1, 0, 2]], dtype=np.float32)
    cells = ad.AnnData(counts)
    cells.obs_names, cells.var_names = ["a", "b"], GENES[:3]
    cells.write_h5ad(folder / "control.h5ad")
    return folder


def run(place, *words, task="pseudo_cell"):
    given = ["--genes", place / "genes.txt", "--rank-curve", place / "curve.json"]
    given += ["--n-top-genes", 5, "--lm", f"hf:{place / 'lm'}", *words]
    done = CliRunner().invoke(app, ["generate", "--task", task, *map(str, given)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_cells_are_written_and_summed_up(place, tmp_path):
    out = tmp_path / "new.h5ad"
    done = run(place, "--set", "cell_type=B cell", "-n", 3, "--top-k", 20, "--out", out)
    assert done.exit_code == 0
    assert "15 genes named · 0 words were no gene, 0 repeats" in done.output
    assert done.output.count("3 cells") == 1
    cells = ad.read_h5ad(out)
    assert cells.n_obs == 3
    assert cells.uns["celloquy_generate"]["limits"]["top_k"] == 20


@pytest.mark.slow
def test_control_cells_are_perturbed(place, tmp_path):
    out = tmp_path / "new.h5ad"
    run(
        place, "--set", "perturbation=STAT1 knock-out", "--control", place / "control.h5ad",
        "--at-most", "--temperature", 0, "--out", out, task="perturbation_response",
    )  # fmt: skip
    assert list(ad.read_h5ad(out).obs["control"]) == ["a", "b"]


def test_a_dry_run_shows_the_first_prompt_and_writes_nothing(place, tmp_path):
    done = run(place, "--set", "cell_type=B cell", "--dry-run", "--out", tmp_path / "new.h5ad")
    assert "B cell" in done.output
    assert "1 answer of at most 64 tokens" in done.output
    assert list(tmp_path.iterdir()) == []


def test_what_is_given_wrongly_is_refused(place, tmp_path):
    with pytest.raises(InputError, match="There is no file to write the cells to"):
        run(place, "--set", "cell_type=B cell")
    with pytest.raises(InputError, match="`--set B cell` names no input and value"):
        run(place, "--set", "B cell", "--out", tmp_path / "new.h5ad")
