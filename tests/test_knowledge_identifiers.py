"""What a gene's name says by itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celloquy.knowledge import (
    case_collisions,
    clean_names,
    guess_organism,
    ids_column,
    is_excel_date,
    is_mitochondrial,
    is_ribosomal,
    looks_like_ensembl,
    strip_version,
)
from celloquy.knowledge._identifiers import spellings


@pytest.mark.parametrize(
    "name",
    ["ENSG00000141510", "ENSG00000141510.17", "ENSMUSG00000064341", "ENSG00000182378.15_PAR_Y",
     "ENSGR0000182378.9", "ENSDARG00000000001"],
)  # fmt: skip
def test_an_ensembl_gene_id_is_known_by_its_whole_form(name):
    assert looks_like_ensembl(name)


@pytest.mark.parametrize(
    "name",
    ["ENSA", "ENST00000269305", "ENSG0000014151", "ENSG000001415100", "ENSG00000141510.", "",
     "ENSG", "ENSG00000141510-1", " ENSG00000141510"],
)  # fmt: skip
def test_what_only_begins_like_an_ensembl_id_is_a_symbol(name):
    assert not looks_like_ensembl(name)


@given(number=st.integers(0, 10**11 - 1), version=st.integers(0, 99))
def test_an_id_is_the_same_with_and_without_its_version(number, version):
    plain = f"ENSG{number:011d}"
    assert strip_version(f"{plain}.{version}") == strip_version(plain) == plain


@given(st.text(max_size=12))
def test_stripping_twice_is_stripping_once(name):
    assert strip_version(strip_version(name)) == strip_version(name)


def test_the_dot_of_a_clone_name_is_no_version():
    assert strip_version("RP11-34P13.7") == "RP11-34P13.7"


@pytest.mark.parametrize(
    ("names", "organism"),
    [
        (["CD3E", "MS4A1", "C1orf43", "HLA-DRA", "RP11-34P13.7"], "human"),
        (["Cd3e", "Ms4a1", "mt-Nd1", "2610528A11Rik", "Gm1992"], "mouse"),
        (["ENSMUSG00000064341.1", "ENSMUSG00000064345"], "mouse"),
        (["ENSRNOG00000000001"], "rat"),
        (["ENSXXXG00000000001"], "another organism"),
        (["CD3E", "Cd3e"], "mixed"),
        (["hg19_CD3E", "mm10___Cd3e"], "mixed"),
        (["gene_1", "gene_2"], None),
        (["", "T", np.nan], None),
        ([], None),
    ],
)
def test_the_organism_is_read_off_the_form_of_names(names, organism):
    assert guess_organism(names) == organism


def test_mitochondrial_genes_are_known_by_symbol_or_id_in_human_and_mouse():
    yes = ["MT-CO1", "MT.CO1", "mt-Nd1", "GRCh38_MT-ND1", "mm10___mt-Co1", "ENSG00000198804.2"]
    yes += ["ENSMUSG00000065947", "ENSMUSG00000064341.1"]
    no = ["MTOR", "MT1X", "MTRNR2L1", "Mtor", "ENSMUSG00000064362", "", "MT-"]
    assert is_mitochondrial(yes).all()
    assert not is_mitochondrial(no).any()


def test_ribosomal_protein_genes_are_not_their_kinases_pseudogenes_or_mitochondrial_cousins():
    yes = ["RPL13A", "RPLP0", "RPS4Y1", "RPL36AL", "RPL7L1", "RPSA", "Rps27l", "RPL3L", "RPL10"]
    no = ["RPS6KA1", "RPL21P28", "RPS19BP1", "MRPL11", "RPS10-NUDT3", "RPA1", "RPS4XP1", "RPL"]
    assert is_ribosomal(yes).all()
    assert not is_ribosomal(no).any()


@pytest.mark.parametrize("mark", [is_mitochondrial, is_ribosomal])
def test_marks_of_no_names_are_an_empty_truth_array(mark):
    assert mark([]).dtype == bool
    assert len(mark([])) == 0


def test_names_that_a_spreadsheet_spoilt_are_known_and_read_both_ways():
    assert spellings("2-Sep") == ("SEPT2", "SEPTIN2")
    assert spellings("Mar-03") == ("MARCH3", "MARC3")
    assert spellings("1-Dec") == ("DEC1",)
    assert is_excel_date("11-MAR")
    assert not is_excel_date("NKX2-5")


def test_a_mouse_symbol_is_not_taken_for_a_spoilt_human_one():
    assert spellings("Cd3e") == ()


def test_names_that_differ_only_in_case_are_found():
    assert case_collisions(["Gene1", "GENE1", "B", "B", "b"]) == {
        "GENE1": ("Gene1", "GENE1"),
        "B": ("B", "b"),
    }


def test_missing_names_of_every_kind_are_blank():
    assert clean_names([None, np.nan, pd.NA, "NaN", " ", "NA", 7]) == [*[""] * 6, "7"]


def test_the_column_of_ids_is_the_one_most_of_whose_entries_are_ids():
    var = pd.DataFrame(
        {
            "n_cells": [1, 2],
            "feature": ["ENSG00000141510", "TP53"],
            "gene_ids": pd.Categorical(["ENSG00000141510", "ENSG00000168385.1"]),
        }
    )
    assert ids_column(var) == "gene_ids"
    assert ids_column(var[["n_cells"]]) is None
    assert ids_column(var.iloc[:0]) is None
