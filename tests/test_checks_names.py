"""What is wrong with the names of genes and cells."""

from __future__ import annotations

import pandas as pd
import pytest

from celloquy.checks._names import cell_name_problems, gene_name_problems, is_transposed


def genes(*names, **columns):
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object))


def found(*names, **columns):
    return {problem.code: problem for problem in gene_name_problems(genes(*names, **columns))}


def test_sound_symbols_have_no_problem():
    assert found("CD3E", "MS4A1", "C1orf43", "HLA-A") == {}
    assert found("Cd3e", "Ms4a1", "mt-Nd1") == {}


def test_repeated_names_are_refused_with_their_policy():
    problem = found("CD3E", "CD3E", "LYZ")["repeated-gene-names"]
    assert problem.severity == "refuse"
    assert problem.message == "1 gene names repeat, borne by 2 of 3 genes."
    assert 'collisions="sum"' in problem.mend


def test_repeated_symbols_with_ids_of_their_own_are_told_apart():
    problem = found(
        "PRPF31",
        "PRPF31",
        "LYZ",
        gene_ids=["ENSG00000105618", "ENSG00000274144", "ENSG00000090382"],
    )["repeated-gene-names"]
    assert "with 2 different Ensembl ids in `var['gene_ids']`" in problem.message


def test_ids_that_differ_by_version_are_one_gene():
    problem = found("ENSG00000182378.15", "ENSG00000182378.15_PAR_Y")["repeated-ensembl-ids"]
    assert problem.examples == ("ENSG00000182378",)


def test_names_that_differ_in_capitals_are_noted_and_kept_apart():
    problem = found("Gene1", "GENE1", "CD3E")["case-colliding-gene-names"]
    assert problem.severity == "note"
    assert problem.examples == ("Gene1 / GENE1",)


@pytest.mark.parametrize(
    ("names", "code", "count"),
    [
        (("CD3E", "", " ", "LYZ"), "blank-gene-names", 2),
        (("CD3E", "HLA A", "LYZ"), "spaces-in-gene-names", 1),
        (("CD3E", "1-Mar", "Sep-02"), "spreadsheet-dates", 2),
        (("1", "2", "3"), "numbered-genes", 3),
        (("ENSG00000141510", "ENSG00000198851"), "ensembl-ids", 2),
        (("ENSG00000141510", "CD3E"), "mixed-ids", 1),
        (("ENSG00000141510.17", "CD3E"), "versioned-ids", 1),
        (("CD3E", "ERCC-00002"), "spike-ins", 1),
        (("CD3E", "LYZ", "Cd3e", "Lyz2"), "mixed-organisms", None),
        (("x1", "x2", "x3"), "unknown-organism", None),
    ],
)
def test_a_name_that_misleads_is_found_and_counted(names, code, count):
    assert found(*names)[code].count == count


def test_symbols_beside_ensembl_ids_are_pointed_at():
    ids = ("ENSG00000141510", "ENSG00000198851")
    beside = found(*ids, feature_name=["TP53", "CD3E"])["ensembl-ids"]
    assert beside.mend.startswith("`gene_column='feature_name'`")
    assert "to_symbols(adata)" in found(*ids)["ensembl-ids"].mend


def test_ensa_is_a_symbol_and_not_an_ensembl_id():
    assert "mixed-ids" not in found("ENSA", "CD3E")


def test_columns_that_are_no_genes_are_told_by_their_kind():
    problem = found(
        "CD3E", "LYZ", "CD3_TotalSeq", feature_types=["Gene Expression"] * 2 + ["Antibody Capture"]
    )["other-features"]
    assert problem.count == 1
    assert "Antibody Capture" in problem.message


def test_repeated_and_blank_cell_names_are_counted():
    problems = {p.code: p for p in cell_name_problems(pd.Index(["a", "a", "", "b"]))}
    assert problems["repeated-cell-names"].count == 1
    assert problems["blank-cell-names"].count == 1


@pytest.mark.parametrize(
    ("obs_names", "var_names", "is_lying"),
    [
        (["CD3E", "LYZ"], ["AAACCTGAGCGCTCCA-1", "AAACCTGAGCGCTCCT-1"], True),
        (["ENSG00000141510", "ENSG00000198851.3"], ["c1", "c2"], True),
        (["RPL3", "RPS4X", "MT-CO1", "CD3E"], ["c1", "c2"], True),
        (["CD3E", "LYZ", "NKG7"], [f"cell_{i}" for i in range(20)], True),
        (
            [f"{line}-{i}" for line in ("K562", "HL60", "BJ") for i in range(9)],
            [f"peak_{i}" for i in range(20)],
            False,
        ),
        ([f"A{i}" for i in range(20)], [f"cell_{i}" for i in range(20)], False),
        (["AAACCTGAGCGCTCCA-1"], [str(i) for i in range(20)], False),
        (["K562", "HL60", "BJ"], ["CD3E", "LYZ"], False),
        (["AAACCTGAGCGCTCCA-1"], ["CD3E"], False),
        (["AAACCTGAGCGCTCCA-1"], ["ACACACACACAC"], False),
        ([], [], False),
    ],
)
def test_only_clear_names_tell_a_transposed_matrix(obs_names, var_names, is_lying):
    told = is_transposed(pd.Index(obs_names, dtype=object), pd.Index(var_names, dtype=object))
    assert (told is not None) == is_lying
