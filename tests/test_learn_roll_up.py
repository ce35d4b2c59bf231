"""Probabilities added up a table of parents."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.learn import ancestry_of, roll_up

PARENTS = {
    "CD4 T": "T",
    "CD8 T": ["T", "cytotoxic"],
    "NK": ("lymphocyte", "cytotoxic"),
    "T": "lymphocyte",
    "B": "lymphocyte",
    "lymphocyte": "blood",
    "monocyte": "blood",
    "cytotoxic": "",
    "Purkinje": "neuron",
}
LABELS = ["CD4 T", "CD8 T", "NK", "B", "monocyte"]


def rolled(*row, labels=LABELS, **beside):
    found = roll_up(np.array([row]), ancestry_of(labels, PARENTS), **beside)
    return found.names[0], round(float(found.score[0]), 6), bool(found.is_rolled_up[0])


def test_only_what_lies_above_the_labels_is_kept():
    found = ancestry_of(LABELS, PARENTS)
    assert found.names == (*LABELS, "T", "blood", "cytotoxic", "lymphocyte")
    assert found.depths.tolist() == [3, 3, 2, 2, 1, 2, 0, 0, 1]


def test_a_label_that_is_likely_enough_is_named():
    assert rolled(0.7, 0.1, 0.1, 0.1, 0.0) == ("CD4 T", 0.7, False)


def test_where_children_are_uncertain_their_parent_is_named():
    assert rolled(0.4, 0.4, 0.1, 0.1, 0.0) == ("T", 0.8, True)
    assert rolled(0.3, 0.0, 0.3, 0.3, 0.1) == ("lymphocyte", 0.9, True)
    assert rolled(0.2, 0.2, 0.0, 0.1, 0.5, min_score=0.9) == ("blood", 1.0, True)


def test_a_type_with_two_parents_counts_for_both_and_once_above_them():
    assert rolled(0.1, 0.3, 0.4, 0.0, 0.2, min_score=0.7) == ("lymphocyte", 0.8, True)
    assert rolled(0.0, 0.3, 0.3, 0.0, 0.4) == ("lymphocyte", 0.6, True)  # deeper than "cytotoxic"


def test_a_label_may_lie_above_another():
    labels = ["T", "CD4 T", "B"]
    assert rolled(0.3, 0.4, 0.3, labels=labels) == ("T", 0.7, False)


def test_where_nothing_is_likely_enough_the_type_is_unknown():
    assert rolled(0.3, 0.3, 0.4, labels=["Purkinje", "hepatocyte", "B"]) == ("unknown", 0.4, False)


def test_labels_outside_of_the_table_stand_alone():
    assert rolled(0.6, 0.4, labels=["hepatocyte", "B"]) == ("hepatocyte", 0.6, False)


def test_thirds_that_sum_to_the_threshold_reach_it():
    assert rolled(1 / 3, 1 / 3, 0, 1 / 3, 0, min_score=1)[0] == "lymphocyte"


def test_cells_without_probabilities_are_unknown():
    found = roll_up(np.full((1, 5), np.nan), ancestry_of(LABELS, PARENTS))
    assert found.names.tolist() == ["unknown"]
    assert np.isnan(found.score).all()


def test_a_long_line_of_ancestors_is_no_obstacle():
    found = ancestry_of(["0"], {str(i): str(i + 1) for i in range(2000)})
    assert found.depths[0] == 2000


edges = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=16)


@given(edges, st.randoms())
def test_ancestors_are_those_of_a_graph(pairs, random):
    graph = nx.DiGraph([(str(max(pair)), str(min(pair))) for pair in pairs if len({*pair}) == 2])
    graph.add_nodes_from(map(str, range(9)))
    labels = random.sample(sorted(graph), 4)
    found = ancestry_of(labels, {node: sorted(graph.successors(node)) for node in graph})
    for row, label in enumerate(labels):
        above = {found.names[i] for i in np.flatnonzero(found.contains[row])}
        assert above == {label} | nx.descendants(graph, label)
    for name, depth in zip(found.names, found.depths, strict=True):
        part = graph.subgraph({name} | nx.descendants(graph, name))
        assert depth == nx.dag_longest_path_length(part)


def test_a_table_that_leads_in_a_circle_is_refused():
    with pytest.raises(InputError, match=r"leads in a circle: a > b > c > a\."):
        ancestry_of(["x", "a"], {"a": "b", "b": ["d", "c"], "c": "a"})
    with pytest.raises(InputError, match=r"leads in a circle: a > a\."):
        ancestry_of(["a"], {"a": "a"})


def test_a_label_given_twice_is_refused():
    with pytest.raises(InputError, match=r"The label 'B' is given twice"):
        ancestry_of(["B", "T", "B"], {})


def test_what_does_not_fit_the_labels_is_refused():
    ancestry = ancestry_of(LABELS, PARENTS)
    with pytest.raises(InputError, match=r"2 columns of probabilities for 5 labels"):
        roll_up(np.ones((1, 2)), ancestry)
    with pytest.raises(InputError, match=r"`min_score` must be above 0 and at most 1, got 0"):
        roll_up(np.ones((1, 5)), ancestry, min_score=0)
