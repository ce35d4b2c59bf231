"""`celloquy fit-projection`, and `celloquy encode --projection`."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

import celloquy as cq
from celloquy.apps.cli import app
from celloquy.io import write_h5ad
from labelled_cells import labelled_cells


@pytest.mark.slow
def test_a_projection_of_one_file_is_used_on_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("labelled", 1), ("new", 2)):
        adata = labelled_cells(6, seed=seed)
        adata.obs["donor"] = np.tile(["x", "y"], 9)
        write_h5ad(adata, tmp_path / f"{name}.h5ad")

    def run(line):
        done = CliRunner().invoke(app, line.split())
        assert done.exit_code == 0, done.output
        return done.output

    run("encode labelled.h5ad --lm st:minilm --out encoded.h5ad")
    fit = "fit-projection encoded.h5ad --label-key cell_type --batch-key donor --out projection"
    assert run(fit) == (
        "384 dimensions to 2, from 18 cells of 3 labels in 2 batches · projection\n"
    )
    told = run("encode new.h5ad --lm st:minilm --projection projection --out projected.h5ad")
    assert "18 cells in obsm['X_celloquy'] by st:minilm, projected to 2 dimensions" in told
    assert cq.read(tmp_path / "projected.h5ad").obsm["X_celloquy"].shape == (18, 2)
