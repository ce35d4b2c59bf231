"""All cells of a source as one block in memory."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.io import write_h5ad
from celloquy.roles import read_block


def test_a_file_of_many_compressed_chunks_gives_the_cells_that_it_holds(tmp_path):
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(0.5, (8_200, 60)).astype(np.float32))
    adata = ad.AnnData(counts)
    adata.var_names = [f"GENE{i}" for i in range(60)]
    adata.obs_names = [f"cell{i}" for i in range(8_200)]
    adata.write_h5ad(tmp_path / "cells.h5ad", compression="gzip")
    write_h5ad(adata, tmp_path / "plain.h5ad")
    for name in ("cells.h5ad", "plain.h5ad"):
        block, obs = read_block(tmp_path / name)
        order = block.vocabulary.find(list(adata.var_names))
        assert obs.index.tolist() == adata.obs_names.tolist()
        assert abs(block.expression[:, order] - counts).sum() == 0


def test_a_set_without_cells_is_refused_in_the_words_of_judging(tmp_path):
    write_h5ad(ad.AnnData(np.zeros((0, 3), np.float32)), tmp_path / "none.h5ad")
    with pytest.raises(InputError, match="has no cells, so there is nothing for `evaluate` to do"):
        read_block(tmp_path / "none.h5ad")
