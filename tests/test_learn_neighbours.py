"""celloquy.learn._neighbours: exact, whatever the numbers and the batch are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from celloquy.errors import InputError
from celloquy.learn import NeighbourIndex


def exhaustive(queries, reference, metric, k):
    """Search in float64 over all pairs, ties by row number."""
    queries, reference = queries.astype(np.float64), reference.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        distances = np.nan_to_num(cdist(queries, reference, metric), nan=1.0)
    rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(distances, rows, axis=1)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_neighbours_are_those_of_an_exhaustive_float64_search(metric, offset):
    rng = np.random.default_rng(0)
    reference = (rng.standard_normal((5_000, 24)) + offset).astype(np.float32)
    queries = (rng.standard_normal((64, 24)) + offset).astype(np.float32)
    found = NeighbourIndex(reference, metric=metric).search(queries, k=10)
    rows, distances = exhaustive(queries, reference, metric, 10)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1_000), st.integers(1, 60), st.integers(1, 5), st.integers(1, 70))
def test_ties_go_to_the_lower_row(seed, n_rows, d, k):
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 3, (n_rows, d)).astype(np.float32)
    queries = rng.integers(0, 3, (6, d)).astype(np.float32)
    found = NeighbourIndex(reference).search(queries, k=k)
    squares = ((queries[:, None] - reference[None]) ** 2).sum(axis=2)
    rows = np.argsort(squares, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.rows, rows)


def test_a_thousand_copies_of_one_cell_answer_with_the_lowest_rows():
    rng = np.random.default_rng(1)
    reference = np.repeat(rng.standard_normal((1, 8)), 1_000, axis=0).astype(np.float32)
    found = NeighbourIndex(reference).search(reference[:3] + 1, k=4)
    assert found.rows.tolist() == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_query_alone_finds_what_it_finds_among_others_to_the_last_bit(metric):
    rng = np.random.default_rng(2)
    reference = rng.standard_normal((700, 40)).astype(np.float32)
    queries = rng.standard_normal((50, 40)).astype(np.float32)
    index = NeighbourIndex(reference, metric=metric)
    together = index.search(queries, k=7)
    for i in range(0, 50, 7):
        alone = index.search(queries[i : i + 1], k=7)
        np.testing.assert_array_equal(alone.rows[0], together.rows[i])
        np.testing.assert_array_equal(alone.distances[0], together.distances[i])


def test_a_zero_vector_is_at_cosine_distance_one_from_everything():
    reference = np.zeros((60, 3), dtype=np.float32)
    reference[50:] = np.eye(3, dtype=np.float32)[[0] * 10]
    found = NeighbourIndex(reference, metric="cosine").search(
        np.array([[1, 0, 0], [0, 0, 0]], dtype=np.float32), k=12
    )
    assert found.rows[0].tolist() == [*range(50, 60), 0, 1]
    assert found.rows[1].tolist() == list(range(12))
    assert found.distances[1].tolist() == [1.0] * 12


def test_leave_one_out_never_answers_with_the_cell_itself():
    rng = np.random.default_rng(3)
    reference = rng.standard_normal((80, 5)).astype(np.float32)
    reference[:40] = reference[0]
    found = NeighbourIndex(reference).leave_one_out(k=6)
    assert found.rows.shape == (80, 6)
    own = found.rows == np.arange(80)[:, None]
    assert not own.any()
    distances = cdist(reference[40:].astype(float), reference.astype(float))
    distances[np.arange(40), np.arange(40, 80)] = np.inf
    np.testing.assert_allclose(found.distances[40:], np.sort(distances, axis=1)[:, :6], rtol=1e-5)


def test_no_queries_give_no_neighbours():
    index = NeighbourIndex(np.ones((3, 2), dtype=np.float32))
    assert index.search(np.empty((0, 2), dtype=np.float32), k=2).rows.shape == (0, 2)


def test_fewer_rows_than_asked_for_are_all_given():
    index = NeighbourIndex(np.eye(3, dtype=np.float32))
    assert index.search(np.eye(3, dtype=np.float32)[:1], k=9).rows.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda r: NeighbourIndex(r, metric="manhattan"), "'euclidean' or 'cosine', got"),
        (lambda r: NeighbourIndex(r[:0]), "no rows to search"),
        (lambda r: NeighbourIndex(r * np.nan), "3 rows of `reference` hold infinite"),
        (lambda r: NeighbourIndex(r).search(r, k=0), "`k` must be at least 1, got 0"),
        (lambda r: NeighbourIndex(r).search(r[:, :1], k=1), "queries have 1 dimensions"),
    ],
)
def test_what_cannot_be_searched_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make(np.eye(3, dtype=np.float32))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_leading_directions_of_a_large_reference_change_no_answer(metric):
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((40, 64)) * np.linspace(6, 0.5, 64)
    drawn = centres[rng.integers(0, 40, 21_000)] + 0.5 * rng.standard_normal((21_000, 64))
    drawn[50:90] = drawn[50]  # copies of one cell, more than are kept as candidates
    reference, queries = drawn[:17_000].astype(np.float32), drawn[16_900:].astype(np.float32)
    index = NeighbourIndex(reference, metric=metric)
    first = index.search(queries[:200], k=10)
    assert index._leading is None
    whole = index.search(queries, k=10)
    assert index._leading is not None
    np.testing.assert_array_equal(whole.rows[:200], first.rows)
    np.testing.assert_array_equal(whole.distances[:200], first.distances)
    rows, distances = exhaustive(queries[:200], reference, metric, 10)
    np.testing.assert_array_equal(first.rows, rows)
    np.testing.assert_allclose(first.distances, distances, rtol=1e-6, atol=1e-6)
    copies = index.search(reference[50:51], k=10)
    np.testing.assert_array_equal(copies.rows[0], np.arange(50, 60))


def test_a_reference_without_leading_directions_is_searched_whole():
    rng = np.random.default_rng(4)
    reference = rng.standard_normal((17_000, 64)).astype(np.float32)
    index = NeighbourIndex(reference)
    found = index.search(reference[:4_096], k=1)
    assert index._leading is None
    np.testing.assert_array_equal(found.rows[:, 0], np.arange(4_096))
