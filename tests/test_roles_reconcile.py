"""Two names of a cluster become one by the rule that the docs state."""

from __future__ import annotations

import math

import pytest

from celloquy.knowledge import marker_panel
from celloquy.roles._reconcile import Votes, best_of_panel, panel_support, reconcile, same_name

GENES = tuple(marker_panel()["gene"].unique())
B_GENES = ("CD79A", "MS4A1", "CD79B", "LYZ")


def decided(by_markers, by_cells, share=0.6, *, genes=B_GENES, parents=None):
    found = reconcile(Votes(by_markers, by_cells, share, genes), measured=GENES, parents=parents)
    return found.name, found.decided_by, found.agree


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("B cell", "B cells", True),
        ("CD8+ T-cell", "cd8+ t cells", True),
        ("Dendritic", "dendritic ", True),
        ("T cell", "NK cell", False),
        ("class", "clas", False),
    ],
)
def test_names_that_differ_in_case_dash_or_plural_are_one(one, other, same):
    assert same_name(one, other) is same


def test_two_equal_names_agree_and_the_cells_spelling_stays():
    assert decided("B cells", "B cell") == ("B cell", "both", True)


def test_where_one_says_nothing_the_other_counts_and_is_listed():
    assert decided("unknown", "B cell") == ("B cell", "cells", False)
    assert decided("B cell", "unknown") == ("B cell", "markers", False)
    assert decided("unknown", "unknown") == ("unknown", "nothing", True)


def test_without_labels_of_cells_there_is_nothing_to_agree_with():
    assert decided("B cell", None, math.nan) == ("B cell", "markers", None)
    assert decided("unknown", None, math.nan) == ("unknown", "nothing", None)


def test_a_parent_and_its_child_agree_on_the_parent():
    parents = {"CD4 T cell": "T cell", "T cell": "lymphocyte"}
    assert decided("CD4 T cell", "T cell", parents=parents) == ("T cell", "both", True)
    assert decided("lymphocyte", "CD4 T cell", parents=parents) == ("lymphocyte", "both", True)
    circle = {"a": "b", "b": "a"}
    assert decided("a", "c", parents=circle) == ("unknown", "nothing", False)


def test_the_panel_decides_between_two_types_that_it_knows():
    assert decided("B cell", "T cell", 0.95) == ("B cell", "panel", False)
    assert decided("T cell", "B cell", 0.1) == ("B cell", "panel", False)


def test_where_the_panel_cannot_tell_most_cells_decide_else_nobody():
    assert decided("CD19+ B", "strange", 0.8) == ("strange", "cells", False)
    assert decided("CD19+ B", "strange", 0.79) == ("unknown", "nothing", False)
    assert decided("B cell", "T cell", 0.9, genes=()) == ("T cell", "cells", False)


def test_the_panel_counts_only_genes_that_were_measured():
    of_b = marker_panel().query("cell_type == 'B cell'")["gene"].tolist()
    assert panel_support("B cells", B_GENES) == (3, len(of_b))
    assert panel_support("B cell", B_GENES, measured=["CD79A", "LYZ"]) == (1, 1)
    assert panel_support("B cell", B_GENES, measured=["LYZ"]) is None
    assert panel_support("CD19+ B", B_GENES) is None
    assert best_of_panel(B_GENES, measured=GENES) == "B cell"
    assert best_of_panel(["LYZ"], measured=GENES) == ""
