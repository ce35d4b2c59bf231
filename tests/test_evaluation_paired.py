"""Paired tests over groups: by hand, and beside scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, wilcoxon

from celloquy.errors import InputError
from celloquy.evaluation import paired_test


def test_five_groups_cannot_reach_a_p_of_5_percent():
    test = paired_test([0.9] * 5, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert test.wilcoxon_p == pytest.approx(2 / 2**5)
    assert test.sign_p == pytest.approx(2 / 2**5)
    assert test.notes == ("With 5 groups that differ, no p can be below 0.0625.",)
    assert paired_test([0.9] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).notes == ()


def test_equal_groups_take_no_part():
    # gaps 0, +1, +2, -3 tenths: ranks 1, 2 against 3; 3 of 8 signings have a sum of ranks <= 3
    test = paired_test([0.5, 0.6, 0.7, 0.2], [0.5, 0.5, 0.5, 0.5])
    assert (test.n_better, test.n_worse, test.n_groups) == (2, 1, 4)
    assert test.wilcoxon_p == pytest.approx(1.0)
    assert test.sign_p == pytest.approx(1.0)


def test_models_that_are_equal_everywhere_differ_in_nothing():
    test = paired_test([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert (test.difference, test.wilcoxon_p, test.sign_p) == (0.0, 1.0, 1.0)


def test_one_group_that_differs_is_as_likely_better_as_worse():
    test = paired_test([0.5, 0.6], [0.5, 0.4])
    assert (test.wilcoxon_p, test.sign_p, test.n_better) == (1.0, 1.0, 1)


def test_many_groups_have_the_p_values_of_scipy():
    rng = np.random.default_rng(1)
    one, other = rng.random(30), rng.random(30)
    test = paired_test(one, other)
    assert test.wilcoxon_p == pytest.approx(wilcoxon(one, other).pvalue)
    n_better = int((one > other).sum())
    assert test.sign_p == pytest.approx(binomtest(n_better, 30).pvalue)
    assert test.interval.low < test.difference < test.interval.high


def test_equal_gaps_are_tied_whatever_their_rounding():
    # 0.3 - 0.2 and 0.2 - 0.1 differ in the last bit; ranks of ties are shared
    test = paired_test([0.3, 0.2, 0.1], [0.2, 0.1, 0.2])
    assert test.wilcoxon_p == pytest.approx(wilcoxon([1, 1, -1], method="exact").pvalue, abs=0.3)
    assert (test.n_better, test.n_worse) == (2, 1)


def test_groups_without_a_number_on_either_side_are_left_out():
    assert paired_test([0.5, np.nan, 0.7], [0.4, 0.5, np.nan]).n_groups == 1


def test_one_group_is_no_test():
    test = paired_test([0.5], [0.4])
    assert np.isnan(test.sign_p)
    assert test.interval is None
    assert test.notes == ("One group is no test: the difference stands without one.",)
    assert str(test) == "+0.100, better in 1 and worse in 0 of 1 groups"
    assert test.to_dict()["interval"] is None
    assert test.to_dict()["sign_p"] is None


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(InputError, match="The first model has 2 numbers and the second 1"):
        paired_test([0.5, 0.6], [0.4])
    with pytest.raises(InputError, match="None of 2 groups has a number of both models"):
        paired_test([0.5, np.nan], [np.nan, 0.5])
