"""Kinds of values: what was done to counts is found again."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from celloquy.checks import slot_kind


def poisson_counts(n_obs=60, n_vars=400, depth=800, seed=0):
    rng = np.random.default_rng(seed)
    shares = rng.lognormal(0, 1.5, n_vars)
    depths = depth * rng.lognormal(0, 0.4, n_obs)
    return rng.poisson(depths[:, None] * shares / shares.sum()).astype(np.float64)


def normalised(counts, total):
    return counts / counts.sum(axis=1, keepdims=True) * total


COUNTS = poisson_counts()

CHANGED = {
    "counts": ("counts", COUNTS),
    "float32 counts": ("counts", COUNTS.astype(np.float32)),
    "uint8 counts": ("counts", np.minimum(COUNTS, 255).astype(np.uint8)),
    "counts through float16": ("counts", np.float16(COUNTS)),
    "a binary matrix": ("counts", COUNTS > 0),
    "log1p of 10,000": ("log1p", np.log1p(normalised(COUNTS, 1e4))),
    "log1p of a million": ("log1p", np.log1p(normalised(COUNTS, 1e6))),
    "log1p of bare counts": ("log1p", np.log1p(COUNTS)),
    "log1p rounded to 3 decimals": ("log1p", np.log1p(normalised(COUNTS, 1e4)).round(3)),
    "log1p of a panel": ("log1p", np.log1p(normalised(COUNTS, 1e4))[:, ::5]),
    "log1p of 3 cells": ("log1p", np.log1p(normalised(COUNTS, 1e4))[:3]),
    "log1p of 1 cell": ("log1p", np.log1p(normalised(COUNTS, 1e4))[:1]),
    "log2 of a million": ("log2", np.log2(1 + normalised(COUNTS, 1e6))),
    "log2 of a panel": ("log2", np.log2(1 + normalised(COUNTS, 1e4))[:, ::5]),
    "log10 of 10,000": ("log10", np.log10(1 + normalised(COUNTS, 1e4))),
    "log10 of a panel": ("log10", np.log10(1 + normalised(COUNTS, 1e4))[:, ::5]),
    "counts per million": ("cpm", normalised(COUNTS, 1e6)),
    "counts per million, rounded": ("cpm", normalised(COUNTS, 1e6).round()),
    "shares": ("cpm", normalised(COUNTS, 1.0)),
    "a panel of counts per 10,000": ("cpm", normalised(COUNTS, 1e4)[:, ::5]),
    "z-scores": ("scaled", (COUNTS - COUNTS.mean(axis=0)) / (COUNTS.std(axis=0) + 1)),
    "a zero matrix": ("unknown", np.zeros((5, 4))),
    "no cells": ("unknown", np.zeros((0, 4))),
    "no genes": ("unknown", np.zeros((4, 0))),
    "counts plus one half": ("unknown", COUNTS + 0.5),
    "log1p twice": ("unknown", np.log1p(np.log1p(normalised(COUNTS, 1e4)))),
    "square roots": ("unknown", np.sqrt(COUNTS)),
    "one positive number": ("unknown", np.full((3, 3), 0.7)),
    "whole numbers below zero": ("unknown", COUNTS - 1),
    "numbers no cell can hold": ("unknown", np.full((2, 2), 1e308)),
}


@pytest.mark.parametrize(("kind", "values"), CHANGED.values(), ids=CHANGED)
def test_what_was_done_to_counts_is_found_again(kind, values):
    assert slot_kind(values).kind == kind


def test_a_deep_cell_exceeds_every_threshold_and_is_still_log1p():
    # log1p of ten million reads a cell reaches 14, beyond the 9.22 that other tools allow.
    logs = np.log1p(normalised(poisson_counts(depth=1e6), 1e7))
    assert logs.max() > 9.22
    assert slot_kind(logs).kind == "log1p"


def test_the_total_of_the_normalisation_is_named():
    assert "1,000,000" in slot_kind(np.log1p(normalised(COUNTS, 1e6))).evidence


def test_unnormalised_logs_are_said_to_be_so():
    assert "not normalised" in slot_kind(np.log1p(COUNTS)).evidence


def test_the_added_half_and_the_second_logarithm_are_named():
    assert "plus 0.5" in slot_kind(COUNTS + 0.5).evidence
    assert "taken twice" in slot_kind(np.log1p(np.log1p(normalised(COUNTS, 1e4)))).evidence


def test_the_share_and_the_lowest_of_negatives_are_named():
    assert slot_kind(np.array([[-1.5, 2.0, 3.0, 4.0]])).evidence == (
        "25.00% of the values are negative, the lowest is -1.5"
    )


def test_counts_with_fractions_are_counts_with_less_confidence():
    estimated = COUNTS.copy()
    estimated[:, ::3] *= 0.917
    found = slot_kind(estimated)
    assert found.kind == "counts"
    assert found.confidence < slot_kind(COUNTS).confidence


def test_missing_and_infinite_values_are_left_aside():
    values = COUNTS.copy()
    values[0, :3] = np.nan, np.inf, -np.inf
    assert slot_kind(values) == slot_kind(np.where(np.isfinite(values), values, 0))


def test_a_sample_past_the_limit_of_stored_values_is_thinned_by_whole_cells(monkeypatch):
    monkeypatch.setattr("celloquy.checks._kinds.MOST_STORED", 500)
    assert slot_kind(np.log1p(normalised(COUNTS, 1e4))).kind == "log1p"


MATRICES = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int32, np.uint8]),
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
)


@settings(max_examples=150, deadline=None)
@given(matrix=MATRICES)
def test_no_matrix_is_too_odd_and_none_is_changed(matrix):
    before = matrix.copy()
    found = slot_kind(matrix)
    assert 0 <= found.confidence <= 1
    assert found.evidence
    np.testing.assert_array_equal(matrix, before)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(CHANGED)),
    seed=st.integers(0, 99),
    make=st.sampled_from([np.asarray, sp.csr_matrix, sp.csc_matrix, sp.coo_array]),
)
def test_order_and_storage_do_not_change_the_kind(name, seed, make):
    kind, values = CHANGED[name]
    rng = np.random.default_rng(seed)
    shuffled = np.asarray(values, dtype=np.float64)[rng.permutation(len(values))]
    shuffled = shuffled[:, rng.permutation(values.shape[1])]
    assert slot_kind(make(shuffled)).kind == kind


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from([name for name in CHANGED if "no cell" not in name]))
def test_single_precision_does_not_change_the_kind(name):
    kind, values = CHANGED[name]
    assert slot_kind(np.asarray(values, dtype=np.float32)).kind == kind
