"""The marker panel of the package."""

from __future__ import annotations

import re

import pytest

from celloquy.knowledge import data_add, guess_organism, map_genes, marker_panel, read_table


def test_every_marker_has_a_cell_ontology_id_a_gene_and_a_paper():
    panel = marker_panel()
    assert panel.columns.tolist() == ["cell_type", "cl_id", "gene", "tissue", "doi"]
    assert panel["cl_id"].str.fullmatch(r"CL:\d{7}").all()
    assert panel["doi"].map(lambda doi: re.fullmatch(r"10\.\d{4,}/\S+", doi) is not None).all()
    assert (panel != "").all(axis=None)
    assert not panel.duplicated(["cell_type", "gene"]).any()
    assert guess_organism(panel["gene"]) == "human"


def test_a_cell_type_and_its_id_belong_together():
    pairs = marker_panel()[["cell_type", "cl_id"]].drop_duplicates()
    assert pairs["cell_type"].is_unique
    assert pairs["cl_id"].is_unique


def test_every_cell_type_has_at_least_two_markers_but_one():
    few = marker_panel().groupby("cell_type").size()
    assert few[few < 2].index.tolist() == ["pancreatic PP cell"]


def test_the_panel_can_be_changed_without_harm():
    marker_panel().drop(columns="gene", inplace=True)
    assert "gene" in marker_panel()


@pytest.mark.data
def test_genes_are_approved_symbols_and_types_are_terms_of_the_ontology(data_folder):
    panel = marker_panel()
    data_add("hgnc", data_folder / "tables" / "hgnc_complete_set.txt.gz")
    data_add("ontology", data_folder / "tables" / "cell_ontology_basic.tsv.gz")
    report = map_genes(panel["gene"], to="symbol", organism="human", collisions="sum").report
    assert report.unchanged == len(panel)
    label = read_table("ontology").set_index("id")["label"]
    assert (panel["cl_id"].map(label) == panel["cell_type"]).all()
