"""Answers in words: which types and genes they name, and what those are worth."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.evaluation import EvaluateOptions, evaluate_answers, judge_answer, ontology_of
from celloquy.evaluation._text_names import find_genes, type_names
from celloquy.knowledge import data_add

ROWS = [
    ("CL:0000000", "cell", "", ""),
    ("CL:0000542", "lymphocyte", "CL:0000000", ""),
    ("CL:0000236", "B cell", "CL:0000542", "B lymphocyte"),
    ("CL:0000788", "naive B cell", "CL:0000236", ""),
    ("CL:0000084", "T cell", "CL:0000542", "T lymphocyte"),
    ("CL:0000624", "CD4-positive, alpha-beta T cell", "CL:0000084", ""),
    ("CL:0000623", "natural killer cell", "CL:0000542", "NK cell"),
]


@pytest.fixture
def ontology():
    return ontology_of(pd.DataFrame(ROWS, columns=["id", "label", "parents", "synonyms"]))


@pytest.mark.parametrize(
    ("answer", "truth", "verdict"),
    [
        ("This is a B cell.", "B cells", "right"),
        ("B", "B", "right"),
        ("B-lymphocytes", "B cell", "right"),
        ("A lymphocyte, more exactly a B cell", "B cell", "right"),
        ("A lymphocyte", "B cell", "parent"),
        ("naive B cells", "B cell", "child"),
        ("A B cell or a T cell", "B cell", "hedged"),
        ("A T cell", "B cell", "wrong"),
        ("Not a B cell but a T cell", "B cell", "wrong"),
        ("A B cell, not a T cell", "B cell", "right"),
        ("I cannot tell what kind of cell it is.", "B cell", "none"),
        ("", "B cell", "none"),
        ("A CD4+ T cell", "CD4 T cells", "right"),
        ("A CD4-positive alpha-beta T cell", "CD4 T cells", "right"),  # without its comma
        ("NK, T cells are rarer", "NK cells", "hedged"),
    ],
)
def test_the_verdict_is_that_of_a_reader(ontology, answer, truth, verdict):
    assert judge_answer(answer, truth, ontology=ontology).verdict == verdict


def test_without_an_ontology_only_the_types_own_name_is_right():
    assert judge_answer("A B-cell", "B cells").verdict == "right"
    assert judge_answer("A lymphocyte", "B cells").verdict == "none"
    assert judge_answer("A plasma cell", "B cells").verdict == "wrong"  # the panel knows it


def test_the_longest_name_counts_and_not_the_names_inside_it(ontology):
    found = type_names(["T cell"], ontology=ontology).find("CD4-positive, alpha-beta T cells")
    assert [one.name for one in found] == ["CL:0000624"]


def test_genes_inside_the_name_of_a_type_are_none_of_their_own():
    judged = judge_answer("CD4 T cell: CD4 and CD3E are high", "CD4 T cell", genes={"CD4", "CD3E"})
    assert judged.read.genes == ("CD4", "CD3E")  # the second CD4
    assert judge_answer("A CD4 T cell", "CD4 T cell", genes={"CD4"}).read.genes == ()


def test_words_that_read_like_genes_and_are_none_are_listed():
    found, strange = find_genes("MS4A1, HLA-DRA, XYZ12, cd3e, DNA and T2", {"MS4A1", "HLA-DRA"})
    assert [one.name for one in found] == ["MS4A1", "HLA-DRA"]
    assert strange == ["XYZ12", "T2"]


def test_markers_of_types_above_hold_for_the_types_below(ontology):
    judged = judge_answer("CD3D, CD4, MS4A1", "CD4 T cells", ontology=ontology)
    assert judged.markers == ("CD3D", "CD4")
    assert judge_answer("CD3D", "no such type", ontology=ontology).markers is None


@pytest.fixture
def cells():
    # two B and two T cells; CD79A is expressed by the B cells, CD3E by one T cell
    answers = [
        "B cell (CD79A, CD3E)", "B cell (CD79A)", "T cell: CD3E", "B cell: CD79A, FOO7",
    ]  # fmt: skip
    obs = pd.DataFrame(
        {"truth": ["B cell", "B cell", "T cell", "T cell"], "told": answers, "donor": list("xyxy")},
        index=[f"c{i}" for i in range(4)],
    )
    matrix = sp.csr_matrix(np.array([[3, 0], [1, 0], [0, 2], [0, 0]], dtype=np.float32))
    return ad.AnnData(matrix, obs=obs, var=pd.DataFrame(index=["CD79A", "CD3E"]))


def judged(source, **more):
    return evaluate_answers(source, truth="truth", answer="told", **more)


def test_types_markers_and_expression_are_those_counted_by_hand(cells):
    report = judged(cells, groups="donor")
    # right: 3 of 4. Markers: 1/2, 1, 1, 0. Expressed: 1/2, 1, 1, 0
    assert report.metrics["right"] == 0.75
    assert report.metrics["markers"] == pytest.approx((0.5 + 1 + 1 + 0) / 4)
    assert report.metrics["expressed"] == pytest.approx((0.5 + 1 + 1 + 0) / 4)
    assert report.verdicts["wrong"] == 1
    assert report.n == {
        "answers": 4, "with genes to look up": 4, "with measured genes": 4, "groups (donor)": 2,
    }  # fmt: skip
    # donor x: 1 and 1 right; donor y: 1 and 0
    assert (report.intervals["right"].low, report.intervals["right"].high) == (0.5, 1.0)


def test_the_most_frequent_type_and_answers_of_other_cells_stand_beside(cells):
    report = judged(cells)
    # three answers say B and one says T; half of the cells are B: 3/4 · 1/2 + 1/4 · 1/2
    assert report.baselines["answers of other cells"]["right"] == pytest.approx(0.5)
    assert report.baselines["most frequent type (B cell)"]["right"] == pytest.approx(0.5)
    # CD79A in 2 of 4 cells, CD3E in 1 of 4: (3/8 + 1/2 + 1/4 + 1/2) / 4
    expected = (3 / 8 + 1 / 2 + 1 / 4 + 1 / 2) / 4
    assert report.baselines["answers of other cells"]["expressed"] == pytest.approx(expected)


def test_a_file_a_table_and_memory_say_the_same_of_the_types(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    whole = judged(tmp_path / "cells.h5ad")
    assert whole.metrics == judged(cells).metrics
    table = judged(cells.obs)
    assert "expressed" not in table.metrics
    assert table.metrics["right"] == whole.metrics["right"]


def test_cells_without_truth_are_left_out_and_their_expression_too(cells):
    cells.obs.loc["c0", "truth"] = None
    report = judged(cells)
    assert report.n["answers"] == 3
    assert report.metrics["expressed"] == pytest.approx(2 / 3)
    assert report.answers["row"].tolist() == [1, 2, 3]


def test_what_reads_like_a_gene_and_is_none_is_told(cells):
    said = "\n".join(judged(cells).notes)
    assert "1 word that read like genes and are no gene of the file or the panel: 'FOO7'" in said
    assert "No groups were named" in said


def test_denied_genes_are_told_and_not_judged(cells):
    cells.obs["told"] = ["B cell without CD3E"] * 4
    report = judged(cells)
    assert np.isnan(report.metrics["markers"])
    assert "4 answers deny genes, which are not judged" in "\n".join(report.notes)


def test_the_report_reads_well_and_is_plain_json(cells):
    report = judged(cells, groups="donor")
    told = str(report)
    assert "right 3, wrong 1" in told
    assert "wrong: 'B cell: CD79A, FOO7' of 'T cell'" in told
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["verdicts"]["right"] == 3


def test_a_missing_column_is_refused(cells):
    with pytest.raises(InputError, match="has no column 'tolds'; the closest is 'told'"):
        evaluate_answers(cells, truth="truth", answer="tolds")


@pytest.mark.data
def test_the_real_ontology_knows_what_lies_above(cells, data_folder):
    data_add("ontology", data_folder / "tables" / "cell_ontology_basic.tsv.gz")
    cells.obs["told"] = ["A lymphocyte", "A leukocyte", "An immune cell or leukocyte", "A monocyte"]
    report = judged(cells, options=EvaluateOptions(ontology=True))
    assert report.metrics["right"] == 0
    assert report.metrics["right_or_parent"] == 0.75
