"""Distances of clouds and sentences: worked by hand, and against POT, scikit-learn and a table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.evaluation import _distances as distances
from celloquy.evaluation._generated_edit import edit_distances

ALL = [
    distances.mmd, distances.energy_distance, distances.wasserstein,
    distances.gromov_wasserstein, distances.frechet,
]  # fmt: skip


def table_of(one, other):
    """Levenshtein's distance by the whole table, as the definition has it."""
    table = np.zeros((len(one) + 1, len(other) + 1), dtype=int)
    table[:, 0], table[0] = np.arange(len(one) + 1), np.arange(len(other) + 1)
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            steps = table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b)
            table[i, j] = min(steps)
    return table[-1, -1]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), max_size=7), min_size=1, max_size=4))
def test_an_edit_distance_is_that_of_the_whole_table(sentences):
    found = edit_distances(sentences, sentences)
    for i, one in enumerate(sentences):
        for j, other in enumerate(sentences):
            assert found[i, j] == pytest.approx(table_of(one, other) / max(len(one), len(other), 1))


@pytest.mark.parametrize("length", [63, 64, 65, 128, 130])
def test_an_edit_distance_of_long_sentences_is_that_of_the_whole_table(length):
    rng = np.random.default_rng(length)
    sides = [rng.integers(0, 40, (2, length)).tolist(), rng.integers(0, 40, (3, 100)).tolist()]
    found = edit_distances(*sides)
    for i, one in enumerate(sides[0]):
        for j, other in enumerate(sides[1]):
            assert found[i, j] == pytest.approx(table_of(one, other) / max(length, 100))


def test_a_sentence_of_other_genes_is_as_far_as_can_be():
    assert edit_distances([[1, 2, 3]], [[4, 5, 6, 7]]).item() == 1.0
    assert edit_distances([[]], [[], [3]]).tolist() == [[0.0, 1.0]]


def test_wasserstein_on_a_line_is_that_of_scipy():
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=30), rng.normal(1, 2, size=20)
    found = distances.wasserstein(one[:, None], other[:, None])
    assert found == pytest.approx(wasserstein_distance(one, other))


def test_energy_distance_is_that_of_scipy_but_for_its_bias():
    from scipy.stats import energy_distance

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=25), rng.normal(1, 1, size=25)
    within = [np.abs(side[:, None] - side[None]).mean() for side in (one, other)]
    biased = energy_distance(one, other) ** 2  # of all pairs, those of a cell with itself too
    expected = biased + sum(within) - sum(value * 25 / 24 for value in within)
    assert distances.energy_distance(one[:, None], other[:, None]) == pytest.approx(expected)


def test_frechet_of_normal_clouds_has_the_closed_form():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(400, 3)) @ np.diag([1.0, 2.0, 3.0])
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    moved = one @ turn + [1.0, 2.0, 3.0]
    from scipy.linalg import sqrtm

    first, second = np.cov(one, rowvar=False), np.cov(moved, rowvar=False)
    gap = one.mean(axis=0) - moved.mean(axis=0)
    expected = gap @ gap + np.trace(first + second - 2 * np.real(sqrtm(first @ second)))
    assert distances.frechet(one, moved) == pytest.approx(expected)


def test_gromov_wasserstein_sees_no_turn_and_no_unit():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(20, 2))
    turned = cells @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    assert distances.gromov_wasserstein(turned, cells) == pytest.approx(0, abs=1e-9)
    stretched = distances.gromov_wasserstein(2 * cells, cells)
    assert stretched == pytest.approx(distances.gromov_wasserstein(200 * cells, 100 * cells))
    # of a match with itself, (2 d - d)² on average, in units of the mean distance squared
    d = np.sqrt(((cells[:, None] - cells[None]) ** 2).sum(axis=2))
    assert stretched <= (d**2).mean() / (d.sum() / (20 * 19)) ** 2 + 1e-9


@pytest.mark.parametrize("distance", ALL)
def test_like_clouds_are_nearer_than_unlike_ones(distance):
    rng = np.random.default_rng(0)
    real, like = rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
    unlike = rng.normal(size=(60, 4)) * [3, 1, 1, 1] + 2
    assert distance(like, real) < distance(unlike, real) / 2


@pytest.mark.parametrize("distance", ALL)
def test_clouds_that_cannot_be_compared_are_refused(distance):
    with pytest.raises(InputError, match="takes two cells a side; there are 1 and 3"):
        distance(np.zeros((1, 2)), np.zeros((3, 2)))
    with pytest.raises(InputError, match="One side has 2 dimensions and the other 3"):
        distance(np.zeros((4, 2)), np.zeros((3, 3)))
