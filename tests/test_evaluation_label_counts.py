"""Metrics from counts: the same as scikit-learn's from cells, for all cells and for each group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
)

from celloquy.errors import InputError
from celloquy.evaluation import _label_counts
from celloquy.evaluation._label_counts import count_labels

CELLS = st.lists(
    st.tuples(
        st.sampled_from(["B", "NK", "T"]),
        st.sampled_from(["B", "NK", "T", "unknown"]),
        st.sampled_from(["a", "b", "c"]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=20)
@given(CELLS)
def test_every_group_has_the_metrics_that_scikit_learn_gives_its_cells(cells):
    truth, told, groups = (np.array(side, dtype=object) for side in zip(*cells, strict=True))
    counted = count_labels(truth, told, groups=groups)
    assert counted.groups == tuple(sorted(set(groups)))
    for place, name in enumerate(counted.groups):
        inside = groups == name
        true, pred = truth[inside].astype(str), told[inside].astype(str)
        found = {metric: value[place] for metric, value in counted.by_group.items()}
        assert found["accuracy"] == pytest.approx(accuracy_score(true, pred))
        f1 = f1_score(true, pred, labels=sorted(set(true)), average="macro", zero_division=0)
        assert found["macro_f1"] == pytest.approx(f1)
        recalls = [(pred[true == label] == label).mean() for label in set(true)]
        assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
        if len({*true, *pred}) > 1:
            assert found["cohen_kappa"] == pytest.approx(cohen_kappa_score(true, pred))


def test_balanced_accuracy_is_scikit_learns_where_all_is_answered():
    truth, told = ["B", "B", "T", "T", "T", "NK"], ["B", "T", "T", "T", "B", "NK"]
    expected = balanced_accuracy_score(truth, told)
    assert count_labels(truth, told).by_group["balanced_accuracy"][0] == pytest.approx(expected)


def test_a_group_that_is_drawn_twice_counts_twice():
    # a: 1 of 1 right; b: 0 of 2 right. Twice a and once b: 2 of 4
    counted = count_labels(["B", "T", "T"], ["B", "B", "B"], groups=["a", "b", "b"])
    assert counted.rates_of(np.array([[2, 1], [1, 1], [0, 1]]))["accuracy"].tolist() == [
        0.5, pytest.approx(1 / 3), 0.0,
    ]  # fmt: skip


def test_many_tables_are_made_a_part_at_a_time_with_the_same_result(monkeypatch):
    rng = np.random.default_rng(0)
    truth, told = rng.choice(list("ABC"), 60), rng.choice(list("ABC"), 60)
    groups = rng.choice(list("xyz"), 60)
    weights = rng.integers(1, 3, (10, 3))
    whole = count_labels(truth, told, groups=groups)
    found, by_group = whole.rates_of(weights), whole.by_group
    monkeypatch.setattr(_label_counts, "_AT_ONCE", 20)
    parts = count_labels(truth, told, groups=groups)
    for name, values in found.items():
        assert parts.rates_of(weights)[name].tolist() == values.tolist()
        assert parts.by_group[name].tolist() == by_group[name].tolist()


def test_what_is_missing_is_refused_with_its_row():
    with pytest.raises(InputError, match="1 of 2 true labels are missing, the first at row 1"):
        count_labels(["B", None], ["B", "B"])
    with pytest.raises(
        InputError, match="1 of 2 predictions are missing, the first at row 0"
    ) as no:
        count_labels(["B", "B"], [np.nan, "B"])
    assert "'unknown'" in no.value.hint
    with pytest.raises(InputError, match="1 of 2 groups are missing, the first at row 1"):
        count_labels(["B", "B"], ["B", "B"], groups=["a", None])
    with pytest.raises(InputError, match="There are 2 cells and 1 groups"):
        count_labels(["B", "B"], ["B", "B"], groups=["a"])
