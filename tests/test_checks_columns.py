"""Columns of obs that look like labels, donors or batches."""

from __future__ import annotations

import numpy as np
import pandas as pd

from celloquy.checks._columns import column_problems, suggest_columns, telling_columns


def obs(**columns):
    return pd.DataFrame(columns, index=[f"cell_{i}" for i in range(60)])


def roles(frame):
    return {s.column: s.role for s in suggest_columns(frame)}


def test_columns_are_told_by_name():
    frame = obs(
        cell_type=["T", "B", "NK"] * 20,
        leiden=["0", "1"] * 30,
        donor_id=["d1", "d2"] * 30,
        batch=["b1", "b2"] * 30,
        treatment=["ctrl", "stim"] * 30,
        n_counts=np.arange(60.0),
    )
    assert roles(frame) == {
        "cell_type": "label",
        "leiden": "cluster",
        "donor_id": "donor",
        "batch": "batch",
        "treatment": "condition",
    }


def test_labels_come_with_the_option_to_pass():
    assert suggest_columns(obs(celltype=["T", "B"] * 30))[0].option == "label_key='celltype'"


def test_one_value_a_value_a_cell_and_measured_numbers_group_nothing():
    frame = obs(
        cell_type=["T"] * 60,
        sample_id=[f"s{i}" for i in range(60)],
        batch_score=np.linspace(0, 1, 60),
        cell_type_ontology_term_id=["CL:0000084", "CL:0000236"] * 30,
    )
    assert roles(frame) == {}


def test_only_columns_with_a_telling_name_are_read():
    assert telling_columns(["cell_type", "n_genes", "donor", "cell_type_score"]) == [
        "cell_type",
        "donor",
    ]


def test_missing_rare_and_unused_labels_are_counted():
    labels = pd.Categorical(
        ["T"] * 30 + ["B"] * 25 + ["NK"] * 3 + [None] * 2, categories=["T", "B", "NK", "Mast"]
    )
    frame = obs(cell_type=labels)
    problems = {p.code: p for p in column_problems(frame, suggest_columns(frame))}
    assert problems["missing-labels"].count == 2
    assert problems["rare-labels"].examples == ("NK (3)",)
    assert problems["unused-categories"].examples == ("Mast",)


def test_nullable_columns_of_pandas_are_read():
    frame = obs(
        cell_type=pd.array(["T", "B", None] * 20, dtype="string"),
        batch=pd.array([1, 2, None] * 20, dtype="Int64"),
        donor=pd.array([True, False, None] * 20, dtype="boolean"),
    )
    assert roles(frame) == {"cell_type": "label", "donor": "donor", "batch": "batch"}
    (problem,) = [
        p for p in column_problems(frame, suggest_columns(frame)) if p.code == "missing-labels"
    ]
    assert problem.count == 20


def test_values_that_cannot_be_hashed_do_not_stop_it():
    frame = obs(cell_type=[[1], [2]] * 30)
    assert suggest_columns(frame)[0].n_values == 2
