"""Compact vectors: their distances, less the slack, never exceed the true ones."""

import numpy as np
import numpy.typing as npt
import pytest

from skylike.embeddings.compact import Moments, default_components, fit, project, unit_rows


def distances(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.linalg.norm(vectors[:, None] - vectors[None, :], axis=2)


def random_vectors(kind: str) -> npt.NDArray[np.float16]:
    rng = np.random.default_rng(3)
    n, d = 300, 32
    exact = {
        "random": rng.normal(size=(n, d)),
        "positive": rng.gamma(0.5, size=(n, d)),
        "low_rank": rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)),
        "nearly_collapsed": 1.0 + 1e-3 * rng.normal(size=(n, d)),
        "collapsed": np.ones((n, d)),
        "few_distinct": rng.normal(size=(4, d))[rng.integers(0, 4, n)],
    }[kind]
    return (exact / np.linalg.norm(exact, axis=1, keepdims=True)).astype(np.float16)


KINDS = ("random", "positive", "low_rank", "nearly_collapsed", "collapsed", "few_distinct")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("components", [1, 7, 16, 32])
def test_compact_distance_less_twice_the_slack_is_a_lower_bound(kind: str, components: int):
    vectors = random_vectors(kind)
    basis = fit([vectors[:100], vectors[100:]], dimension=32, components=components)

    compact, slack = project(vectors, basis)

    # As pgvector does it: float32 throughout.
    short = compact.astype(np.float32)
    found = np.sqrt(((short[:, None] - short[None, :]) ** 2).sum(axis=2, dtype=np.float32))
    assert compact.shape == (300, components + 1)
    assert np.all(found - 2 * slack <= distances(unit_rows(vectors)))
    assert slack < 2e-3


def test_the_bound_holds_for_vectors_that_the_basis_has_not_seen():
    vectors = random_vectors("positive")
    basis = fit([vectors[:50]], dimension=32, components=8)

    compact, slack = project(vectors, basis)

    found = distances(compact.astype(np.float64))
    assert np.all(found - 2 * slack <= distances(unit_rows(vectors)))


def test_with_all_components_the_bound_is_the_distance():
    vectors = random_vectors("random")
    basis = fit([vectors], dimension=32, components=32)

    compact, slack = project(vectors, basis)

    found = distances(compact.astype(np.float64))
    np.testing.assert_allclose(found, distances(unit_rows(vectors)), atol=2 * slack)


def test_basis_is_that_of_the_covariance():
    vectors = random_vectors("low_rank")

    basis = fit([vectors], dimension=32, components=5)

    exact = unit_rows(vectors)
    variance = np.linalg.eigvalsh(np.cov(exact.T, bias=True))[::-1]
    np.testing.assert_allclose(basis.mean, exact.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(basis.directions @ basis.directions.T, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(basis.explained_variance, variance[:5] / variance.sum(), atol=1e-9)
    assert basis.explained_variance[:3].sum() > 0.99


def test_sums_of_several_processes_add_up_to_those_of_one():
    vectors = random_vectors("random")
    one, together = Moments(32), Moments(32)
    one.add(vectors)

    for part in (vectors[:100], vectors[100:]):
        moments = Moments(32)
        moments.add(part)
        together.add_packed(moments.pack(), n=moments.n)

    found, expected = together.basis(5), one.basis(5)
    assert together.n == 300
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-14)
    np.testing.assert_allclose(found.explained_variance, expected.explained_variance, atol=1e-12)
    np.testing.assert_allclose(np.abs((found.directions * expected.directions).sum(1)), 1)


def test_collapsed_vectors_explain_no_variance():
    basis = fit([random_vectors("collapsed")], dimension=32, components=4)

    assert np.all(basis.explained_variance == 0)


@pytest.mark.parametrize(("dimension", "components"), [(2048, 63), (512, 63), (64, 32), (2, 1)])
def test_default_number_of_components(dimension: int, components: int):
    assert default_components(dimension) == components
