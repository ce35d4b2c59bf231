"""The Cell Ontology as a graph: names, what lies above what, and how far."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from celloquy.errors import InputError
from celloquy.evaluation import EvaluateOptions, evaluate_annotation, ontology_of, read_ontology
from celloquy.evaluation._label_counts import count_labels
from celloquy.evaluation._ontology import _aliases
from celloquy.evaluation._ontology_report import evaluate_ontology
from celloquy.knowledge import data_add

ROWS = [
    ("CL:0000000", "cell", "", ""),
    ("CL:0000542", "lymphocyte", "CL:0000000", ""),
    ("CL:0000236", "B cell", "CL:0000542", "B lymphocyte|B-lymphocyte"),
    ("CL:0000788", "naive B cell", "CL:0000236", ""),
    ("CL:0000084", "T cell", "CL:0000542", "T lymphocyte|shared name"),
    ("CL:0000624", "CD4-positive, alpha-beta T cell", "CL:0000084", "shared name"),
    ("CL:0000740", "retinal ganglion cell", "CL:0000000", "delta|delta cell|arc|ganglioncyte"),
]


@pytest.fixture
def ontology():
    return ontology_of(pd.DataFrame(ROWS, columns=["id", "label", "parents", "synonyms"]))


def test_names_are_found_by_id_label_short_name_and_synonym(ontology):
    found = {
        name: (term.cl_id, term.matched_by)
        for name in (
            "CL_0000236", "b cells", "B", "B-Lymphocytes", "CD4 T cells", "CD4+ T", "ganglioncyte",
        )
        if (term := ontology.find(name))
    }  # fmt: skip
    assert found == {
        "CL_0000236": ("CL:0000236", "id"),
        "b cells": ("CL:0000236", "label"),
        "B": ("CL:0000236", "label"),
        "B-Lymphocytes": ("CL:0000236", "synonym"),
        "CD4 T cells": ("CL:0000624", "alias"),
        "CD4+ T": ("CL:0000624", "alias"),
        "ganglioncyte": ("CL:0000740", "synonym"),
    }


@pytest.mark.parametrize("name", ["delta", "delta cell", "arc", "shared name", "CL:9999999", "odd"])
def test_a_name_that_may_mean_something_else_finds_nothing(ontology, name):
    assert ontology.find(name) is None


def test_distances_and_relations_are_those_counted_by_hand(ontology):
    # naive B -> B -> lymphocyte <- T <- CD4 T: 2 up and 2 down
    assert ontology.distance("CL:0000788", "CL:0000624") == 4
    assert ontology.distance("CL:0000624", "CL:0000788") == 4
    assert ontology.distance("CL:0000236", "CL:0000740") == 3
    assert ontology.relation("CL:0000788", "CL:0000542") == "parent"
    assert ontology.relation("CL:0000542", "CL:0000788") == "child"
    assert ontology.relation("CL:0000236", "CL:0000084") == "other"
    assert ontology.relation("CL:0000236", "CL:0000236") == "same"


def test_terms_without_a_common_ancestor_have_no_distance():
    rows = [("CL:0000001", "a", "", ""), ("CL:0000002", "b", "", "")]
    alone = ontology_of(pd.DataFrame(rows, columns=["id", "label", "parents", "synonyms"]))
    assert alone.distance("CL:0000001", "CL:0000002") is None


def test_the_mean_distance_counts_the_answered_cells_with_both_terms(ontology):
    # naive B told B: 1; T told B: 2; T told T: 0; odd and unknown do not count
    truth = ["naive B cell", "T cell", "T cell", "odd", "T cell"]
    told = ["B cell", "B cell", "T cell", "T cell", "unknown"]
    counted = count_labels(truth, told, groups=["a", "a", "b", "b", "b"])
    weights = np.array([[2, 0], [0, 2]])
    report = evaluate_ontology(counted, ontology, weights=weights)
    assert report.metrics == pytest.approx(
        {"ontology_distance": 1, "same": 1 / 3, "parent": 1 / 3, "child": 0, "other": 1 / 3}
    )
    assert report.n == {"cells with both terms": 3}
    # always T: naive B is 3 away, T is 0
    beside = report.baselines["majority class (T cell)"]
    assert beside["ontology_distance"] == pytest.approx(1)
    assert beside["same"] == pytest.approx(2 / 3)
    interval = report.intervals["ontology_distance"]  # a alone: 3/2; b alone: 0
    assert (interval.low, interval.high) == pytest.approx((0.0375, 1.4625))
    assert report.notes == (
        "No cell type of the ontology: 'odd'; 1 of 4 answered cells are left out of the distances.",
    )
    assert report.terms.loc["odd", "matched_by"] == "not found"


def test_labels_that_are_all_strange_to_the_ontology_are_refused(ontology):
    with pytest.raises(InputError, match=r"No cell has a true and a predicted label .*: 'x'") as no:
        evaluate_ontology(count_labels(["x"], ["T cell"]), ontology, weights=None)
    assert "labels_by" in no.value.hint


def test_without_the_table_the_way_to_it_is_told():
    table = pd.DataFrame({"truth": ["T cell"], "told": ["T cell"]})
    with pytest.raises(InputError, match="The table 'ontology' is not in the cache") as refusal:
        evaluate_annotation(
            table, truth="truth", prediction="told", options=EvaluateOptions(ontology=True)
        )
    assert "celloquy data get ontology" in refusal.value.hint


@pytest.mark.data
def test_every_short_name_is_a_term_of_the_real_ontology_and_means_what_it_says(data_folder):
    data_add("ontology", data_folder / "tables" / "cell_ontology_basic.tsv.gz")
    ontology = read_ontology()
    aliases = dict(_aliases(set(ontology.labels)))
    assert len(aliases) >= 30
    assert set(aliases.values()) <= set(ontology.labels)
    for name, term in {
        "Treg": "regulatory T cell", "pDC": "plasmacytoid dendritic cell",
        "FCGR3A+ Monocytes": "non-classical monocyte", "NK cells": "natural killer cell",
        "Naive CD4 T": "naive thymus-derived CD4-positive, alpha-beta T cell",
    }.items():  # fmt: skip
        assert ontology.find(name).label == term


@pytest.mark.data
def test_distances_in_the_real_ontology_are_small_between_kin(data_folder):
    data_add("ontology", data_folder / "tables" / "cell_ontology_basic.tsv.gz")
    ontology = read_ontology()
    b, naive_b, monocyte = (
        ontology.find(name).cl_id for name in ("B cell", "naive B cell", "monocyte")
    )
    assert ontology.relation(naive_b, b) == "parent"
    assert ontology.distance(naive_b, b) < ontology.distance(naive_b, monocyte)
