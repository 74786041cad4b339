"""Bounds from compact vectors against the truth, for vectors chosen to break them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_factory import random_units
from skylike.embeddings.compact import CompactBasis, fit, project
from skylike.search.bounds import of_stored, of_vector, without_rest


def isotropic(n, d, random):
    return random.normal(size=(n, d))


def collapsed(n, d, random):
    """All along one direction, cosines 0.9999."""
    return np.abs(random.normal(size=d)) + 5e-3 * random.normal(size=(n, d))


def positive(n, d, random):
    """As after a ReLU."""
    return np.maximum(random.normal(size=(n, d)), 0) + 1e-3


def on_two_axes(n, d, random):
    """No rest at all beyond two components."""
    vectors = np.zeros((n, d))
    vectors[:, :2] = random.normal(size=(n, 2))
    return vectors


def of_any_length(n, d, random):
    return isotropic(n, d, random) * 10.0 ** random.uniform(-4, 3, size=(n, 1))


def opposite_pairs(n, d, random):
    half = isotropic(n // 2, d, random)
    return np.concatenate([half, -half, half[: n - 2 * (n // 2)]])


KINDS = (isotropic, collapsed, positive, on_two_axes, of_any_length, opposite_pairs)


def float32_distances(half, compact):
    """As pgvector computes them: float16 differences, summed in float32."""
    difference = compact.astype(np.float32) - half.astype(np.float32)
    return np.sqrt((difference * difference).sum(axis=1, dtype=np.float32)).astype(np.float64)


def similarities(vectors, target):
    wide = vectors.astype(np.float64)
    unit = target.astype(np.float64) / np.linalg.norm(target.astype(np.float64))
    return np.clip(wide @ unit / np.linalg.norm(wide, axis=1), -1, 1)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10_000),
    components=st.integers(1, 12),
    is_foreign_basis=st.booleans(),
    is_stored=st.booleans(),
)
def test_no_similarity_is_ever_beyond_its_bound(
    kind, seed, components, is_foreign_basis, is_stored
):
    random = np.random.default_rng(seed)
    vectors = kind(80, 24, random).astype(np.float16)
    vectors = vectors[vectors.any(axis=1)]
    # A basis of other vectors bounds as surely, only not as tightly.
    basis = fit(
        [isotropic(80, 24, random).astype(np.float16) if is_foreign_basis else vectors],
        dimension=24,
        components=components,
    )
    compact, slack = project(vectors, basis)
    target = vectors[3].astype(np.float64) if is_stored else random.normal(size=24)
    target = target / np.linalg.norm(target)
    truth = similarities(vectors, target)

    for sign in (1, -1):
        least = sign < 0
        query = (
            of_stored(compact[3], slack=slack, least_similar=least)
            if is_stored
            else of_vector(target, basis, slack=slack, least_similar=least)
        )
        bounds = query.highest_scores(float32_distances(query.half, compact))
        assert (bounds >= sign * truth).all()


def test_bounds_are_tight_where_the_axes_hold_all_that_varies():
    vectors = on_two_axes(200, 16, np.random.default_rng(1)).astype(np.float16)
    basis = fit([vectors], dimension=16, components=4)
    compact, slack = project(vectors, basis)
    query = of_stored(compact[0], slack=slack, least_similar=False)

    bounds = query.highest_scores(float32_distances(query.half, compact))

    assert np.abs(bounds - similarities(vectors, vectors[0])).max() < 5e-3


@pytest.mark.parametrize("is_least", [False, True])
def test_a_basis_that_is_not_orthonormal_only_widens_the_bound(is_least):
    random = np.random.default_rng(3)
    vectors = isotropic(100, 16, random).astype(np.float16)
    exact = fit([vectors], dimension=16, components=5)
    basis = CompactBasis(exact.mean, exact.directions * (1 + 1e-3), exact.explained_variance)
    compact, slack = project(vectors, basis)
    target = vectors[0].astype(np.float64)
    target /= np.linalg.norm(target)
    query = of_vector(target, basis, slack=slack, least_similar=is_least)

    bounds = query.highest_scores(float32_distances(query.half, compact))

    assert slack > 1e-3
    assert (bounds >= query.sign * similarities(vectors, target)).all()


def test_the_likely_distance_ranks_better_than_the_smallest_possible_one():
    # A steep spectrum and a rest that is nearly orthogonal, as embeddings have.
    random = np.random.default_rng(5)
    scales = np.arange(1, 129) ** -0.6
    vectors = (
        random_units(1, 128, seed=6) + 0.3 * scales * random.normal(size=(3000, 128))
    ).astype(np.float16)
    basis = fit([vectors], dimension=128, components=16)
    compact, slack = project(vectors, basis)
    query = of_stored(compact[0], slack=slack, least_similar=False)
    best = set(np.argsort(-similarities(vectors, vectors[0]))[:50])

    def found(half):
        return len(best & set(np.argsort(float32_distances(half, compact))[:60]))

    assert found(without_rest(query)) > found(query.half)
