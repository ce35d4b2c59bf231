"""Texts of several cells, and genes as prompts."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from celloquy.errors import InputError
from celloquy.text._budget import pack
from celloquy.text._gene_prompts import gene_in_cell_prompts, gene_prompts
from celloquy.text._multicell import DrawOptions, multicell_sentences
from celloquy.text._prompt import plain_text
from celloquy.text._sentences import sentences


def make(n_obs: int = 10) -> ad.AnnData:
    x = np.random.default_rng(0).integers(1, 9, (n_obs, 6)).astype(float)
    obs = pd.DataFrame(
        {"donor": ["d1"] * (n_obs - 2) + ["d2", None], "tissue": "lung"},
        index=[f"c{i}" for i in range(n_obs)],
    )
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=list("ABCDEF")))


def test_cells_stand_one_after_the_other_without_a_lone_full_stop():
    adata = make(4)
    adata.X = np.array([[3, 2, 1, 0, 0, 0], [0, 0, 0, 3, 2, 1], [1] * 6, [1] * 6], dtype=float)
    found = multicell_sentences(
        sentences(adata[:2].copy(), n_top_genes=2), by="donor", options=DrawOptions(n_cells=2)
    )
    (text,) = found.text
    assert text in {"Cell 1:\nA B.\nCell 2:\nD E.", "Cell 1:\nD E.\nCell 2:\nA B."}
    assert found.groups.to_dict("list") == {"donor": ["d1"], "n_cells": [2]}


def test_a_shortfall_is_said_and_cells_without_group_are_left_out():
    with pytest.warns(UserWarning, match="1 groups have fewer than 3 cells"):
        found = multicell_sentences(
            sentences(make()), by=["donor", "tissue"], options=DrawOptions(n_cells=3, n_texts=9)
        )
    assert found.groups["n_cells"].tolist() == [3, 3, 1]
    assert found.short.to_dict("list") == {"donor": ["d2"], "tissue": ["lung"], "n_cells": [1]}
    drawn = np.concatenate(found.cells)
    assert len(set(drawn)) == len(drawn)
    assert 9 not in drawn


def test_the_same_seed_draws_the_same_cells_in_any_order_of_rows():
    adata = make()[:8].copy()
    moved = adata[[3, 1, 4, 0, 5, 7, 2, 6]].copy()
    one, other = (multicell_sentences(sentences(a), by="donor").text for a in (adata, moved))
    assert one == other
    third = multicell_sentences(sentences(adata), by="donor", options=DrawOptions(seed=1)).text
    assert third != one


def test_with_replacement_there_is_no_shortfall():
    options = DrawOptions(n_cells=20, n_texts=2, replace=True)
    found = multicell_sentences(sentences(make()), by="donor", options=options)
    assert [len(cells) for cells in found.cells] == [20] * 4
    assert found.short.empty


def test_a_budget_keeps_every_cell():
    found = multicell_sentences(sentences(make()[:8].copy()), by="donor")
    packed = pack(found.prompts, list, limit=70)
    assert plain_text(packed.prompts[0]).count("Cell ") == 5
    assert packed.n_cut[0] > 0


def test_what_cannot_be_drawn_is_refused():
    cells = sentences(make())
    with pytest.raises(InputError, match="no column 'doner'; the closest is 'donor'"):
        multicell_sentences(cells, by="doner")
    with pytest.raises(InputError, match="`n_cells` must be at least 1, got 0"):
        DrawOptions(n_cells=0)
    adata = make()
    adata.obs["empty"] = None
    with pytest.raises(InputError, match="No cell has a value in empty"):
        multicell_sentences(sentences(adata), by="empty")
    adata.obs_names = ["a"] * 10
    with pytest.raises(InputError, match="'a' repeats"):
        multicell_sentences(sentences(adata), by="donor")


def test_genes_are_written_alone_and_in_a_cell():
    ranked = sentences(make(2), n_top_genes=2).ranked
    assert plain_text(gene_prompts(ranked.vocabulary)[0]) == "Gene A"
    assert [plain_text(p) for p in gene_prompts(ranked.vocabulary, genes=["C"])] == ["Gene C"]
    first = plain_text(gene_in_cell_prompts(ranked, genes=["A", "B"])[0])
    names = " ".join(ranked.names(0))
    assert first == f"A cell with genes ranked by expression: {names}. In this cell, Gene A"
    with pytest.raises(InputError, match="has no gene 'X'"):
        gene_prompts(ranked.vocabulary, genes=["X"])
    with pytest.raises(InputError, match="There are 2 cells and 1 genes"):
        gene_in_cell_prompts(ranked, genes=["A"])
