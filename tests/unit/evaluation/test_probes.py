import numpy as np
import pytest
from scipy.optimize import approx_fprime

from skylike.evaluation.probes import (
    UNDECIDED,
    Standardization,
    fit_softmax,
    linear_probe,
    neighbor_vote,
    probabilities,
    stratified_folds,
)


def test_the_vote_goes_to_the_most_frequent_class_and_ties_to_the_nearest():
    classes = np.array([0, 1, 1, 2, 2, 0])
    lists = np.array([[1, 2, 3], [3, 1, 0], [5, 3, 4], [0, 1, 3], [-1, -1, -1], [3, -1, -1]])

    voted = neighbor_vote(lists, classes, k=3)

    assert voted.tolist() == [1, 2, 2, 0, UNDECIDED, 2]


def test_the_vote_of_one_is_the_nearest():
    classes = np.array([0, 1, 2])

    assert neighbor_vote(np.array([[1, 2], [2, 0], [0, 1]]), classes, k=1).tolist() == [1, 2, 0]


def test_folds_share_each_class_evenly():
    classes = np.repeat([0, 1, 2], [53, 21, 4])

    folds = stratified_folds(classes, folds=5, seed=1)

    counts = np.array([np.bincount(folds[classes == c], minlength=5) for c in range(3)])
    assert (np.ptp(counts, axis=1) <= 1).all()
    assert np.ptp(np.bincount(folds)) <= 1


def test_the_fit_is_where_the_loss_is_smallest():
    random = np.random.default_rng(0)
    rows = random.normal(size=(80, 3))
    classes = random.integers(0, 3, size=80)

    weights = fit_softmax(rows, classes, 3, penalty=0.1)

    def loss(flat):
        trial = flat.reshape(3, 4)
        likelihood = probabilities(rows, trial)[np.arange(80), classes]
        return -np.log(likelihood).mean() + 0.05 * (trial[:, :-1] ** 2).sum()

    assert np.abs(approx_fprime(weights.ravel(), loss, 1e-6)).max() < 1e-3


def test_the_fit_recovers_the_law_that_made_the_classes():
    random = np.random.default_rng(1)
    rows = random.normal(size=(20_000, 2))
    truth = np.array([[2.0, 0.0, 0.0], [-1.0, 1.0, 0.5], [-1.0, -1.0, -0.5]])
    share = probabilities(rows, truth)
    classes = (random.random((20_000, 1)) > share.cumsum(axis=1)).sum(axis=1)

    weights = fit_softmax(rows, classes, 3, penalty=1e-6)

    np.testing.assert_allclose(weights - weights.mean(0), truth - truth.mean(0), atol=0.08)


def test_a_probe_tells_classes_that_planes_separate_whatever_the_scale_of_the_features():
    random = np.random.default_rng(2)
    classes = np.repeat([0, 1, 2], 40)
    vectors = random.normal(size=(120, 5)) + 6 * np.eye(5)[classes]

    predicted = linear_probe(vectors * [1e-4, 1, 1e4, 1, 1], classes)

    assert (predicted == classes).mean() > 0.97


def test_a_probe_of_noise_is_at_chance():
    random = np.random.default_rng(3)
    classes = np.repeat([0, 1], 100)

    predicted = linear_probe(random.normal(size=(200, 150)), classes)

    # More features than training galaxies: had it seen those it judges, it would know them all.
    assert 0.35 < (predicted == classes).mean() < 0.65


def test_a_class_of_one_is_missed_without_harm():
    random = np.random.default_rng(4)
    classes = np.array([0] * 30 + [1] * 30 + [2])
    vectors = random.normal(size=(61, 4)) + 5 * np.eye(4)[classes]

    predicted = linear_probe(vectors, classes)

    assert predicted[-1] in {0, 1}
    assert (predicted[:-1] == classes[:-1]).mean() > 0.95


@pytest.mark.parametrize("constant", [0.0, 3.7, 1e-20])
def test_a_feature_that_never_varies_becomes_zero(constant: float):
    rows = np.column_stack([np.full(50, constant), np.arange(50.0)])

    scaled = Standardization(rows)(rows)

    np.testing.assert_allclose(scaled[:, 0], 0, atol=1e-9)
    np.testing.assert_allclose([scaled[:, 1].mean(), scaled[:, 1].std()], [0, 1], atol=1e-12)
