"""Heads of celloquy.learn: against scikit-learn, and the laws."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression as SklearnLogistic
from sklearn.neighbors import KNeighborsClassifier

from celloquy.errors import InputError
from celloquy.learn import BoostedTrees, LogisticRegression, NearestNeighbours, NeuralNet
from celloquy.learn._head import head_from_state
from celloquy.learn._markers import marker_features

HEADS = {
    "knn": NearestNeighbours,
    "logistic": LogisticRegression,
    "trees": lambda: BoostedTrees(n_rounds=10),
    "mlp": lambda: NeuralNet(n_hidden=16),
}


def clouds(n_labels, *, seed=0, n=90, d=6):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_labels, n)
    vectors = rng.standard_normal((n, d)) + 1.5 * rng.standard_normal((n_labels, d))[codes]
    return vectors.astype(np.float32), codes


@pytest.mark.parametrize("n_labels", [2, 4])
@pytest.mark.parametrize("balanced", [True, False])
def test_logistic_regression_is_that_of_scikit_learn(n_labels, balanced):
    vectors, codes = clouds(n_labels)
    queries, _ = clouds(n_labels, seed=1)
    weight = "balanced" if balanced else None
    theirs = SklearnLogistic(C=0.5, class_weight=weight, max_iter=300, tol=1e-6).fit(vectors, codes)
    ours = LogisticRegression(inverse_penalty=0.5, balanced=balanced)
    ours.fit(sp.csr_matrix(vectors), codes, n_labels=n_labels)
    np.testing.assert_allclose(
        ours.probabilities(queries), theirs.predict_proba(queries), atol=2e-3
    )


def test_markers_are_the_features_with_the_largest_f_of_one_label_against_the_rest():
    vectors, codes = clouds(3, n=200, d=20)
    expected = set()
    for label in range(3):
        expected |= set(np.argsort(-f_classif(vectors, codes == label)[0])[:4].tolist())
    for given in (vectors, sp.csr_matrix(vectors)):
        assert marker_features(given, codes, n_markers=4).tolist() == sorted(expected)


def test_a_feature_that_never_varies_is_no_marker():
    vectors = np.array([[1, 7, 0], [2, 7, 0], [3, 7, 0]], dtype=np.float32)
    assert marker_features(vectors, np.array([0, 1, 1]), n_markers=3).tolist() == [0]


def test_logistic_regression_on_markers_is_that_of_scikit_learn_on_those_columns():
    vectors, codes = clouds(3, n=200, d=20)
    ours = LogisticRegression(n_markers=4).fit(vectors, codes, n_labels=3)
    kept = vectors[:, ours.features]
    theirs = SklearnLogistic(C=0.1, class_weight="balanced", max_iter=300).fit(kept, codes)
    assert len(ours.features) < 20
    np.testing.assert_allclose(ours.probabilities(vectors), theirs.predict_proba(kept), atol=2e-3)


@pytest.mark.parametrize("weighted", [True, False])
def test_the_vote_is_that_of_scikit_learn(weighted):
    vectors, codes = clouds(3)
    queries = np.concatenate([clouds(3, seed=1)[0], vectors[:2]])
    weights = "distance" if weighted else "uniform"
    theirs = KNeighborsClassifier(15, weights=weights).fit(vectors.astype(float), codes)
    ours = NearestNeighbours(weighted=weighted).fit(vectors, codes, n_labels=3)
    np.testing.assert_allclose(
        ours.probabilities(queries), theirs.predict_proba(queries.astype(float)), atol=1e-6
    )


def test_the_single_nearest_neighbour_gives_its_own_label():
    vectors = np.array([[1, 0], [0, 1]], dtype=np.float32)
    head = NearestNeighbours(n_neighbours=1, metric="cosine")
    head.fit(vectors, np.array([1, 0]), n_labels=2)
    assert head.probabilities(np.array([[5, 1]], dtype=np.float32)).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("n_labels", [2, 4])
def test_boosted_trees_are_those_of_scikit_learn(n_labels):
    vectors, codes = clouds(n_labels, n=300)
    queries, _ = clouds(n_labels, seed=1)
    theirs = HistGradientBoostingClassifier(
        max_iter=10, early_stopping=False, class_weight="balanced", random_state=0
    ).fit(vectors, codes)
    ours = BoostedTrees(n_rounds=10).fit(vectors, codes, n_labels=n_labels)
    np.testing.assert_allclose(
        ours.probabilities(queries), theirs.predict_proba(queries), atol=1e-9
    )


@pytest.mark.parametrize("n_labels", [2, 4])
def test_the_neural_net_learns_clouds_that_lie_apart(n_labels):
    vectors, codes = clouds(n_labels, n=400)
    head = NeuralNet().fit(vectors[:300] * 2, codes[:300], n_labels=n_labels)
    told = head.probabilities(vectors[300:] * 2).argmax(axis=1)
    linear = SklearnLogistic().fit(vectors[:300] * 2, codes[:300])
    assert np.mean(told == codes[300:]) >= linear.score(vectors[300:] * 2, codes[300:]) - 0.05


@pytest.mark.parametrize("name", HEADS)
def test_probabilities_sum_to_one_and_are_not_negative(name):
    vectors, codes = clouds(3)
    told = HEADS[name]().fit(vectors, codes, n_labels=3).probabilities(vectors)
    np.testing.assert_allclose(told.sum(axis=1), 1)
    assert (told >= 0).all()


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("n_labels", [1, 2, 3])
def test_what_was_saved_tells_what_was_fitted(name, n_labels):
    vectors, codes = clouds(n_labels)
    head = HEADS[name]().fit(vectors, codes, n_labels=n_labels)
    again = head_from_state(head.state())
    np.testing.assert_allclose(
        again.probabilities(vectors), head.probabilities(vectors), atol=1e-12
    )


@pytest.mark.parametrize("name", HEADS)
def test_a_cell_alone_is_told_what_it_is_told_among_others(name):
    vectors, codes = clouds(3)
    head = HEADS[name]().fit(vectors, codes, n_labels=3)
    together = head.probabilities(vectors)
    alone = np.concatenate([head.probabilities(vectors[i : i + 1]) for i in range(0, 90, 9)])
    np.testing.assert_allclose(alone, together[::9], atol=1e-9)


@pytest.mark.parametrize("name", HEADS)
def test_one_label_is_certain(name):
    vectors, _ = clouds(2)
    head = HEADS[name]().fit(vectors, np.zeros(90, dtype=np.int64), n_labels=1)
    assert head.probabilities(vectors[:3]).tolist() == [[1.0]] * 3


@pytest.mark.parametrize("name", HEADS)
def test_a_label_with_one_cell_is_learnt_and_one_without_gets_nothing(name):
    vectors, codes = clouds(2)
    codes[0], codes[1:] = 3, np.where(codes[1:] == 1, 2, 0)
    told = HEADS[name]().fit(vectors, codes, n_labels=4).probabilities(vectors)
    assert (told[:, 1] == 0).all()
    assert told[0, 3] > 0


@pytest.mark.parametrize("name", HEADS)
def test_fitting_twice_gives_the_same_and_leaves_global_randomness_alone(name):
    vectors, codes = clouds(3)
    np.random.seed(11)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one = HEADS[name]().fit(vectors, codes, n_labels=3).probabilities(vectors)
    two = HEADS[name]().fit(vectors, codes, n_labels=3).probabilities(vectors)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("name", ["logistic", "knn"])
def test_the_order_of_features_does_not_matter(name):
    vectors, codes = clouds(3)
    straight = HEADS[name]().fit(vectors, codes, n_labels=3).probabilities(vectors)
    turned = vectors[:, ::-1].copy()
    other = HEADS[name]().fit(turned, codes, n_labels=3).probabilities(turned)
    np.testing.assert_allclose(other, straight, atol=2e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NearestNeighbours(n_neighbours=0), "`n_neighbours` must be at least 1, got 0"),
        (lambda: LogisticRegression(n_markers=0), "`n_markers` must be at least 1, got 0"),
        (lambda: LogisticRegression(inverse_penalty=0), "`inverse_penalty` must be above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("damage", ["child", "feature", "circle"])
def test_trees_that_point_outside_themselves_are_refused(damage):
    vectors, codes = clouds(3)
    state = BoostedTrees(n_rounds=2).fit(vectors, codes, n_labels=3).state()
    nodes = state.arrays["nodes"]
    inner = np.flatnonzero(nodes[:, 1] >= 0)[0]
    place, value = {"child": (1, 10_000), "feature": (0, 6), "circle": (2, 0)}[damage]
    nodes[inner, place] = value
    with pytest.raises(ValueError, match="point outside their tree"):
        BoostedTrees.from_state(state)
