import numpy as np
import pytest

from skylike.evaluation.bootstrap import estimate_balanced, estimate_mean, resampled_means


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        values = random.binomial(10, 0.3, size=60) / 10

        found = estimate_mean(values, seed=trial, resamples=400)

        covered += found.low <= 0.3 <= found.high
    assert 0.91 <= covered / 400 <= 0.98


def test_the_interval_is_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(5.0, 2.0, size=400)

    found = estimate_mean(values, seed=0)

    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_classes_weigh_the_same_whatever_their_size():
    found = estimate_balanced([np.ones(1000), np.zeros(10)], seed=0)

    assert (found.value, found.low, found.high, found.n) == (0.5, 0.5, 0.5, 1010)


def test_the_balanced_interval_adds_the_variances_of_the_classes():
    random = np.random.default_rng(2)
    groups = [random.normal(size=200), random.normal(size=200)]

    found = estimate_balanced(groups, seed=0)

    wanted = np.sqrt(sum(group.var() / 200 for group in groups)) / 2
    assert found.high - found.low == pytest.approx(2 * 1.96 * wanted, rel=0.1)


def test_unknown_values_are_left_out():
    found = estimate_mean(np.array([1.0, np.nan, 0.0]), seed=0)

    assert (found.value, found.n) == (0.5, 2)


def test_nothing_to_average_gives_an_unknown_mean():
    found = estimate_mean(np.array([np.nan]), seed=0)

    assert found.n == 0
    assert np.isnan([found.value, found.low, found.high]).all()


def test_the_same_seed_gives_the_same_resamples_whatever_the_block():
    values = np.random.default_rng(5).normal(size=50)

    first, second = resampled_means(values, seed=7), resampled_means(values, seed=7)
    other = resampled_means(values, seed=8)

    assert (first == second).all()
    assert (first != other).any()
