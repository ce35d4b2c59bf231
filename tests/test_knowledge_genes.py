"""What this machine knows of genes: from the cache, from celltypist's files, or nothing."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from celloquy.errors import InputError
from celloquy.knowledge import (
    GeneTable,
    data_add,
    gene_table,
    is_protein_coding,
    map_genes,
    map_orthologs,
    ortholog_table,
    to_symbols,
)

HGNC = (
    "symbol\tensembl_gene_id\tlocus_group\talias_symbol\tprev_symbol\n"
    "TP53\tENSG00000141510\tprotein-coding gene\tp53|LFS1\t\n"
    "SEPTIN2\tENSG00000168385\tprotein-coding gene\tDIFF6\tSEPT2\n"
    "LINC00595\tENSG00000230417\tnon-coding RNA\t\t\n"
    "LINC00856\tENSG00000230417\tnon-coding RNA\t\t\n"
)


@pytest.fixture
def no_celltypist(monkeypatch):
    """Hide an installed celltypist."""
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, _find=importlib.util.find_spec:
        None if name == "celltypist" else _find(name)
    )  # fmt: skip


@pytest.fixture
def celltypist(tmp_path, monkeypatch):
    """A package of that name with the files of its wheel, which must not be imported."""
    samples = tmp_path / "site" / "celltypist" / "data" / "samples"
    samples.mkdir(parents=True)
    (tmp_path / "site" / "celltypist" / "__init__.py").write_text("raise RuntimeError\n")
    (samples / "GENCODEv44_Gene_id2name.csv").write_text(
        "ENSG00000141510,TP53\nENSG00000284770,TBCE\nENSG00000285053,TBCE\n"
    )
    (samples / "Ensembl105_Human2Mouse_Genes.csv").write_text("TP53,Trp53\nMT-TF,\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return samples


@pytest.fixture
def hgnc(tmp_path):
    path = tmp_path / "hgnc.txt"
    path.write_text(HGNC)
    data_add("hgnc", path)


def test_the_cached_table_knows_symbols_ids_kinds_and_former_names(hgnc):
    table = gene_table("human")
    assert table.symbols == ("TP53", "SEPTIN2", "LINC00595", "LINC00856")
    assert table.knows_former_names
    assert table.source.startswith("hgnc ")
    assert table.find("SEPT2") == (1, "previous")
    assert table.find("p53") == (0, "alias")
    assert is_protein_coding(["LFS1", "LINC00595"], organism="human").tolist() == [True, False]


def test_an_id_that_two_genes_share_names_neither(hgnc):
    assert gene_table("human").find("ENSG00000230417") == (-1, "unknown")


def test_the_table_is_made_once_and_anew_when_the_cache_changes(hgnc, tmp_path):
    assert gene_table("human") is gene_table("human")
    (tmp_path / "new.txt").write_text(HGNC + "XIST\tENSG00000229807\tnon-coding RNA\t\t\n")
    data_add("hgnc", tmp_path / "new.txt", overwrite=True)
    assert len(gene_table("human")) == 5


def test_without_anything_known_the_two_ways_to_know_are_told(no_celltypist):
    with pytest.raises(InputError, match="human genes are not known on this machine") as refusal:
        gene_table("human")
    assert "celloquy data get hgnc" in refusal.value.hint
    with pytest.raises(InputError, match="mouse genes are not known") as refusal:
        gene_table("mouse")
    assert "celloquy data get mgi" in refusal.value.hint
    with pytest.raises(InputError, match="orthologs are not known on this machine") as refusal:
        ortholog_table()
    assert "celloquy data get orthologs" in refusal.value.hint


def test_celltypists_files_are_read_without_importing_the_package(celltypist):
    table = gene_table("human")
    assert table.symbols == ("TP53", "TBCE")
    assert "celltypist" not in sys.modules
    found = to_symbols(["ENSG00000141510.2", "ENSG00000285053", "ENSG00000999999"])
    assert found.names == ("TP53", "TBCE", "ENSG00000999999")
    assert found.ids == ("ENSG00000141510", "ENSG00000284770", "ENSG00000999999")
    assert map_orthologs(["Trp53"]).names == ("TP53",)
    assert "celltypist" not in sys.modules


def test_with_celltypists_files_former_names_and_kinds_are_unknown_and_said_so(celltypist):
    report = map_genes(["ENSG00000141510", "OLD1"], to="symbol").report
    assert "Aliases and previous symbols are not known" in str(report)
    with pytest.raises(InputError, match="Aliases and previous symbols of genes are not known"):
        map_genes(["OLD1", "OLD2"], to="symbol")
    assert map_genes(["TP53", "TBCE"], to="symbol").names == ("TP53", "TBCE")
    with pytest.raises(InputError, match="Which genes code for proteins is not known"):
        is_protein_coding(["TP53", "TBCE"])


def test_the_cache_goes_before_celltypists_files(hgnc, celltypist):
    assert gene_table("human").source.startswith("hgnc ")


def test_mouse_genes_come_from_mgi(tmp_path):
    row = "MGI:1\t{}\tname\t1\t9\t{}\tT\tP\tprotein coding gene\t1\t2\t+\n"
    path = tmp_path / "mgi.rpt"
    path.write_text(row.format("Cd3e", "ENSMUSG00000032093")
                    + row.format("Xist", "ENSMUSG00000086503")
                    + row.format("Cd3e", "ENSMUSG00000099999"))  # fmt: skip
    data_add("mgi", path)
    found = to_symbols(["ENSMUSG00000086503.1", "ENSMUSG00000099999"])
    assert found.names == ("Xist", "Cd3e")
    assert found.ids == ("ENSMUSG00000086503", "ENSMUSG00000032093")
    assert is_protein_coding(["Cd3e", "Gm1"], organism="mouse").tolist() == [True, False]


def test_orthologs_of_the_cache_take_approved_symbols_where_hgnc_is_known(hgnc, tmp_path):
    path = tmp_path / "orthologs.csv"
    path.write_text("SEPT2,Sept2\nTP53,Trp53\n")
    data_add("orthologs", path)
    found = map_orthologs(["Sept2", "Trp53"])
    assert found.names == ("SEPTIN2", "TP53")
    assert found.ids == ("ENSG00000168385", "ENSG00000141510")


def test_the_best_supported_ortholog_comes_first(tmp_path):
    path = tmp_path / "hcop.tsv"
    path.write_text(
        "human_ensembl_gene\thuman_symbol\tmouse_ensembl_gene\tmouse_symbol\tsupport\n"
        "E1\tFCGR2A\tM1\tFcgr3\ta,b,c\nE2\tFCGR3A\tM1\tFcgr3\ta,b,c,d,e,f,g,h,i,j,k\n"
    )
    data_add("orthologs", path)
    assert ortholog_table().to_human["Fcgr3"] == ("FCGR3A", "FCGR2A")


def test_columns_of_different_length_are_refused():
    with pytest.raises(InputError, match=r"differ in number: \[1, 2\]"):
        GeneTable("human", ("A", "B"), ("ENSG00000000001",))
