"""Real tables and real cells."""

from __future__ import annotations

import time

import anndata as ad
import numpy as np
import pytest

from celloquy.knowledge import (
    data_add,
    gene_table,
    guess_organism,
    is_mitochondrial,
    is_protein_coding,
    is_ribosomal,
    looks_like_ensembl,
    map_genes,
    ortholog_table,
    read_table,
    to_ensembl,
    to_human,
    to_symbols,
)

pytestmark = [pytest.mark.data, pytest.mark.slow]

TABLES = {
    "hgnc": ["hgnc_complete_set.txt.gz"],
    "orthologs": ["ortholog_human2mouse_ensembl105_celltypist.csv"],
    "summaries": ["gene_knowledge_human_hgnc_refseq.tsv.gz"],
    "ontology": ["cell_ontology_basic.tsv.gz", "cl_blood_and_immune_upper_slim_2026.obo"],
    "markers": ["markers_scCATCH_cellmatch.tsv.gz"],
    "interactions": ["ppi_intact_imex_human_symbols.tsv.gz"],
}


@pytest.fixture
def tables(data_folder):
    for name in ("hgnc", "orthologs"):
        data_add(name, data_folder / "tables" / TABLES[name][0])


@pytest.fixture
def pbmc3k(data_folder):
    return ad.read_h5ad(data_folder / "cells" / "pbmc3k_10x_v1.h5ad")


def named(found):
    return np.array(found.names, dtype=object)[found.columns]


@pytest.mark.parametrize(
    ("name", "file"), [(name, file) for name, files in TABLES.items() for file in files]
)
def test_every_real_table_is_added_and_read_back(data_folder, name, file):
    entry = data_add(name, data_folder / "tables" / file)
    table = read_table(name)
    assert len(table) == entry.rows > 100
    assert (table.iloc[:, :2] != "").any(axis=None)


def test_ids_and_names_of_pbmc3k_come_to_the_same_symbols(tables, pbmc3k):
    options = {"to": "symbol", "organism": "human", "collisions": "sum"}
    by_id = named(map_genes(pbmc3k.var["ensembl_id"], **options))
    by_name = named(map_genes(pbmc3k.var_names, **options))
    approved = set(gene_table("human").symbols)
    both = [
        name in approved and gene in approved for name, gene in zip(by_name, by_id, strict=True)
    ]
    assert sum(both) > 20_000
    assert (by_id == by_name)[both].mean() > 0.995


def test_retired_symbols_of_pbmc3k_are_repaired(tables, pbmc3k):
    found = map_genes(pbmc3k.var_names, to="symbol", collisions="sum")
    names = dict(zip(pbmc3k.var_names, named(found), strict=True))
    expected = {"CPSF3L": "INTS11", "SEPT2": "SEPTIN2", "MARCH1": "MARCHF1", "FAM132A": "C1QTNF12"}
    assert {old: names[old] for old in expected} == expected
    assert found.report.mapped > 1_000


def test_real_expression_is_preserved_and_mapping_twice_is_mapping_once(tables, pbmc3k):
    once = to_symbols(pbmc3k, collisions="sum")
    assert once.n_vars < pbmc3k.n_vars
    assert (once.X.sum(axis=1) == pbmc3k.X.sum(axis=1)).all()
    assert once.X.format == "csr"
    twice = to_symbols(once, collisions="sum")
    assert twice.var_names.equals(once.var_names)
    assert (twice.X != once.X).nnz == 0


def test_pbmc3k_goes_to_ensembl_by_the_ids_it_has(pbmc3k):
    assert (to_ensembl(pbmc3k).var_names == pbmc3k.var["ensembl_id"]).all()


def test_mouse_bone_marrow_becomes_human(tables, data_folder):
    mouse = ad.read_h5ad(data_folder / "cells" / "mouse_bone_marrow_baccin_362.h5ad")
    human = to_human(mouse, collisions="sum")
    assert guess_organism(mouse.var_names) == "mouse"
    assert guess_organism(human.var_names) == "human"
    assert human.n_vars > 0.75 * mouse.n_vars
    position = list(human.var_names).index
    for old, new in (("Cd79a", "CD79A"), ("Trp53", "TP53"), ("Elane", "ELANE")):
        column = human.X[:, [position(new)]] - mouse.X[:, [list(mouse.var_names).index(old)]]
        assert column.nnz == 0 or abs(column).sum() == 0


def test_marks_by_name_agree_with_hgnc(tables, data_folder):
    data_add("hgnc", data_folder / "tables" / "hgnc_complete_set.txt.gz")
    hgnc = read_table("hgnc")
    genomic = hgnc["symbol"].str.startswith("MT-") & (hgnc["ensembl_id"] != "")
    assert genomic.sum() == 37
    assert (is_mitochondrial(hgnc["ensembl_id"]) == genomic).all()
    ribosomal = hgnc[is_ribosomal(hgnc["symbol"])]
    assert len(ribosomal) == 87
    assert (ribosomal["biotype"] == "protein-coding gene").all()
    assert is_protein_coding(hgnc["symbol"], organism="human").sum() == 19_225


def test_orthologs_of_mouse_marker_genes_are_found(tables):
    to_human = ortholog_table().to_human
    assert to_human["Cd3e"] == ("CD3E",)
    assert to_human["mt-Nd1"] == ("MT-ND1",)


def test_thirty_six_thousand_names_are_mapped_in_half_a_second(tables, pbmc3k):
    names = [*pbmc3k.var_names, *(f"RP{i}-1A.1" for i in range(36_000 - pbmc3k.n_vars))]
    times = []
    for _ in range(4):
        start = time.process_time()
        map_genes(names, to="symbol", organism="human", collisions="sum")
        times.append(time.process_time() - start)
    assert min(times) < 0.5


def test_every_set_of_cells_is_of_the_organism_its_name_says(data_folder):
    for path in sorted((data_folder / "cells").glob("*.h5ad")):
        backed = ad.read_h5ad(path, backed="r")
        expected = "mouse" if path.name.startswith("mouse") else "human"
        assert guess_organism(backed.var_names) == expected, path.name
        if "ensembl_id" in backed.var:
            assert any(map(looks_like_ensembl, backed.var["ensembl_id"]))
        backed.file.close()
