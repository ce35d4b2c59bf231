"""How celloquy-mini is made: its sources, the level of a gene, its tokenizer; and what ships."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from celloquy.apps._demo_mini import blood_labels
from celloquy.apps.demo import packaged_cells
from celloquy.evaluation import coarse_blood_types, measure_annotation
from celloquy.io import read
from celloquy.knowledge import KnownGenes
from celloquy.lm import load_lm
from celloquy.lm._added_genes import token_ids
from celloquy.lm._mini import mini_folder, require_mini
from celloquy.roles import PredictOptions, generate, predict
from celloquy.tasks import load_task

MADE_IN = Path(__file__).parent.parent / "mini"
sys.path.insert(0, str(MADE_IN))
import prepare  # noqa: E402

MAY_SHIP = ("CC BY 4.0", "CC0", "public domain", "no stated restriction")


def test_every_source_has_a_study_an_origin_and_a_licence_that_lets_weights_ship():
    sources = prepare.read_sources()
    assert len({one["file"] for one in sources}) == len(sources) > 15
    for one in sources:
        assert one["study"]
        assert one["origin"]
        assert one["licence"].endswith(MAY_SHIP), one["file"]
        assert set(one.get("labels", {}).values()).isdisjoint({"", "unknown", "unassigned"})


@pytest.mark.data
def test_the_sources_agree_with_the_data_folder_on_studies_and_licences(data_folder):
    with (data_folder / "MANIFEST.tsv").open(encoding="utf-8") as file:
        rows = {Path(row["file"]).name: row for row in csv.DictReader(file, delimiter="\t")}
    with (data_folder / "STUDIES.tsv").open(encoding="utf-8") as file:
        studies = {row["study"]: row["files"] for row in csv.DictReader(file, delimiter="\t")}
    of_file = {}
    for one in prepare.read_sources():
        assert "measure only" not in rows[one["file"]]["data_licence"]
        of_file[Path(one["file"]).stem] = one["study"]
    for files in studies.values():
        named = {study for stem, study in of_file.items() if stem in files}
        assert len(named) < 2, files


def test_a_gene_that_differs_between_labels_has_a_lower_level_than_one_that_does_not():
    values = sparse.csr_matrix(np.array([[4.0, 8, 0]] * 10 + [[4.0, 0, 0]] * 10))
    measured = np.array([True, True, False])
    block = prepare.Block("one", values, ["a"] * 10 + ["b"] * 10, measured)
    level, typical = prepare.levels([block])
    # means 4, 4, 0; the labels' log profiles are log 5 and log 5, then log 9 and 0, a spread of
    # log(9) / 2
    spread = np.array([0, np.log(9) / 2, 0])
    by_hand = (np.array([4.0, 4.0, 0.0]) + 5) / (spread + 1e-3) ** 2
    np.testing.assert_allclose(level, by_hand)
    np.testing.assert_allclose(typical, [np.log(5), np.log(9), 0])


def test_each_gene_is_one_token_with_its_space_and_text_comes_back():
    genes = KnownGenes(("CD4", "CD40", "HLA-DRB1", "MT-CO1"), (1.0,) * 4, ("",) * 4, ("",) * 4)
    tokenizer = prepare.make_tokenizer(genes, ["B cell", "CD4 T cell"])
    text = "MT-CO1 CD40 HLA-DRB1 CD4"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert ids == [token_ids(tokenizer, [name])[0] for name in text.split()]
    assert tokenizer.decode(ids).strip() == text
    assert tokenizer.decode(tokenizer.encode("naïve γδ T cell", add_special_tokens=False)) == (
        "naïve γδ T cell"
    )


def test_the_task_of_its_own_asks_for_one_of_two_labels():
    task = load_task(MADE_IN / "drug_exposure.yaml")
    assert task.answer.labels == ("treated", "control")


@pytest.fixture(scope="module")
def folder():
    return require_mini()


def test_what_ships_is_small_and_has_a_card_that_names_every_source(folder):
    assert mini_folder() == folder
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 25 * 2**20
    assert not [path for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pkl"}]
    card = (folder / "README.md").read_text("utf-8")
    for one in prepare.read_sources():
        is_told = f"| {one['study']} |" in card.split("## What it learned from")[1]
        assert is_told == (one["study"] != "Zheng 2017")


@pytest.fixture(scope="module")
def lm(folder):
    return load_lm("celloquy-mini")


@pytest.mark.slow
def test_it_names_the_cells_of_a_study_that_it_never_saw(lm):
    cells = unseen()
    known = cells[cells.obs["cell_type"].notna()].copy()
    options = PredictOptions(min_score=0.0)
    found = predict(
        known, "cell_type", lm=lm, labels=list(blood_labels(lm)), key_added="mini", options=options
    )
    told = found.table["mini"].astype(str).map(blood_labels(lm))
    measured = measure_annotation(known.obs["cell_type"].astype(str), told)
    majority = known.obs["cell_type"].value_counts(normalize=True).iloc[0]
    assert measured.accuracy > majority + 0.3


@pytest.mark.slow
def test_it_writes_only_genes_that_it_knows_and_none_twice(lm):
    new = generate("pseudo_cell", {"cell_type": "B cell"}, n=4, lm=lm)
    drawn = new.uns["celloquy_generate"]["limits"]
    assert (drawn["temperature"], drawn["guidance_scale"]) == (0.8, 2.0)
    known = set(lm.reading.known.symbols)
    for answer in new.obs["answer"]:
        genes = answer.split()
        assert len(genes) == len(set(genes)) == 64
        assert known.issuperset(genes)
    assert {"MS4A1", "CD79A", "CD74"} & set(" ".join(new.obs["answer"]).split())


@pytest.mark.slow
def test_its_cells_answer_alike_whatever_genes_come_first_and_whoever_stands_beside(lm):
    cells = unseen()[:40]
    turned = cells[::-1, ::-1].copy()
    tables = [
        predict(
            one.copy(), "cell_type", lm=lm, labels=list(blood_labels(lm)), key_added="mini"
        ).table
        for one in (cells, turned)
    ]
    pd.testing.assert_series_equal(
        tables[0]["mini_score"], tables[1]["mini_score"].loc[tables[0].index], rtol=1e-4
    )


@pytest.mark.slow
@pytest.mark.data
def test_ensembl_ids_as_names_give_the_labels_of_the_symbols(lm, data_folder):
    cells = read(data_folder / "cells" / "pbmc3k_10x_v1.h5ad")[:40].copy()
    by_id = cells.copy()
    by_id.var_names = cells.var["ensembl_id"].astype(str)
    by_id.var.index.name = None
    # the likeliest label: a few ids of this file are retired (CCL5's), so scores shift a little
    options = PredictOptions(min_score=0.0)
    told, same = (predict(one, "cell_type", lm=lm, options=options).table for one in (cells, by_id))
    is_equal = told["cell_type_celloquy"].astype(str) == same["cell_type_celloquy"].astype(str)
    assert is_equal.mean() > 0.95
    assert told["cell_type_celloquy"].nunique() > 2


def unseen():
    adata = read(packaged_cells())
    cells = adata.raw.to_adata()
    cells.obs["cell_type"] = pd.Categorical(coarse_blood_types(adata.obs["bulk_labels"]))
    return cells
