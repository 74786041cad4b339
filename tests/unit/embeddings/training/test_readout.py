"""The readout: what varies within a galaxy's views counts little."""

import numpy as np
import pytest

from skylike.embeddings.training.readout import feature_weights, solve_readout


@pytest.fixture
def made():
    """500 galaxies in 5 raw features: 0 and 1 tell galaxies apart, 2 tells views apart."""
    rng = np.random.default_rng(3)
    galaxies = rng.normal(size=(500, 5)) * [1.0, 1.0, 1.0, 0.1, 0.1]
    views = galaxies + rng.normal(size=(4, 500, 5)) * [0.05, 0.05, 3.0, 0.02, 0.02]
    return galaxies, views


def _recall_at_1(center, matrix, plain, view) -> float:
    unit = [(x - center) @ matrix for x in (plain, view)]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in unit]
    return float(((unit[1] @ unit[0].T).argmax(axis=1) == np.arange(len(plain))).mean())


def test_views_find_their_galaxy_better_after_the_fit(made):
    plain, views = made

    center, matrix = solve_readout(plain, views[:3], weights=np.ones(5), shrinkage=0.01, outputs=4)

    before = _recall_at_1(plain.mean(axis=0), np.eye(5), plain, views[3])
    after = _recall_at_1(center, matrix, plain, views[3])
    assert before < 0.2
    assert after > 0.5


def test_within_covariance_becomes_at_most_one(made):
    plain, views = made

    _, matrix = solve_readout(plain, views, weights=np.ones(5), shrinkage=0.01, outputs=5)

    spread = (views - views.mean(axis=0)) @ matrix
    covariance = np.einsum("kni,knj->ij", spread, spread) / (500 * 3)
    assert np.linalg.eigvalsh(covariance).max() == pytest.approx(1.0, abs=0.02)


def test_leading_outputs_are_those_in_which_galaxies_differ_most(made):
    plain, views = made

    _, matrix = solve_readout(plain, views, weights=np.ones(5), shrinkage=0.01, outputs=2)

    assert np.abs(matrix[:2]).min(axis=0).max() > 20 * np.abs(matrix[2]).max()


def test_outputs_beyond_the_raw_features_are_zero(made):
    plain, views = made

    _, matrix = solve_readout(plain, views, weights=np.ones(5), shrinkage=1.0, outputs=8)

    assert matrix.shape == (5, 8)
    assert not matrix[:, 5:].any()


def test_weights_standardize_and_give_pooled_values_their_share(made):
    plain, _ = made

    weights = feature_weights(plain, 2, 0.5)

    scale = (plain * weights).std(axis=0)
    np.testing.assert_allclose(scale[:2], 0.5, rtol=0.01)
    np.testing.assert_allclose(scale[2], 1.0, rtol=0.03)
