"""Intervals over groups: drawn whole, from a seed of their own."""

from __future__ import annotations

import numpy as np
import pytest

from celloquy.errors import InputError
from celloquy.evaluation._intervals import drawn_groups, group_notes, interval_of, mean_interval


def test_every_resample_holds_as_many_groups_as_there_are():
    drawn = drawn_groups(7, n_resamples=50)
    assert drawn.shape == (50, 7)
    assert (drawn.sum(axis=1) == 7).all()


def test_the_same_seed_draws_the_same_groups_and_touches_no_global_state():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = drawn_groups(5, n_resamples=20, seed=1)
    assert (first == drawn_groups(5, n_resamples=20, seed=1)).all()
    assert (first != drawn_groups(5, n_resamples=20, seed=2)).any()
    assert (before == np.random.get_state()[1]).all()  # noqa: NPY002


def test_the_interval_of_a_mean_has_the_width_that_its_standard_error_says():
    # 400 groups, half 0 and half 1: standard error 0.5 / 20, 95 % is 1.96 of them to each side
    found = mean_interval([0.0, 1.0] * 200, n_resamples=4000)
    assert found.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.005)
    assert found.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.005)
    assert found.n_groups == 400


def test_groups_without_a_number_are_left_out_of_the_mean():
    assert mean_interval([0.5, np.nan, 0.5]).n_groups == 2
    assert mean_interval([0.5, np.nan]) is None
    assert interval_of([np.nan, np.nan], n_groups=2) is None


def test_one_group_has_no_interval():
    with pytest.raises(InputError, match="There is 1 group; an interval over groups needs two"):
        drawn_groups(1)
    assert group_notes(1, named="donor") == (
        "All cells are of one donor, so there is no interval.",
    )


def test_few_groups_are_said_to_give_too_narrow_an_interval():
    assert "8 groups (donor)" in group_notes(8, named="donor")[0]
    assert group_notes(10, named="donor") == ()


def test_no_resample_is_refused():
    with pytest.raises(InputError, match="`n_resamples` must be at least 1, got 0"):
        drawn_groups(3, n_resamples=0)
