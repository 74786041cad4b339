import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skylike.evaluation.ranking import (
    ceiling_precision,
    chance_ndcg,
    chance_precision,
    ndcg,
    precision_by_query,
)
from skylike.evaluation.similar import NOBODY, as_stored, similar_lists


def naive_ndcg(ranked: list[int], relevance: list[float], query: int, k: int) -> float:
    """The metric from its definition, one query at a time."""

    def dcg(values):
        return sum((2**value - 1) / math.log2(rank + 1) for rank, value in enumerate(values, 1))

    others = sorted((r for i, r in enumerate(relevance) if i != query), reverse=True)
    ideal = dcg(others[:k])
    return dcg([relevance[i] for i in ranked[:k]]) / ideal if ideal > 0 else math.nan


def all_orders(n: int, seed: int) -> np.ndarray:
    """For each galaxy a random order of all others."""
    random = np.random.default_rng(seed)
    return np.array([random.permutation([j for j in range(n) if j != i]) for i in range(n)])


@given(
    st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.5, 1.0]), min_size=3, max_size=14),
    st.integers(1, 12),
    st.integers(0, 1000),
)
def test_ndcg_equals_its_definition(relevance: list[float], k: int, seed: int):
    lists = all_orders(len(relevance), seed)
    k = min(k, lists.shape[1])

    found = ndcg(lists, np.array(relevance), k=k)

    wanted = [naive_ndcg(list(lists[i]), relevance, i, k) for i in range(len(relevance))]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_ndcg_by_hand():
    lists = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])

    found = ndcg(lists, np.array([1.0, 0.0, 1.0, 0.0]), k=2, queries=np.array([0, 1]))

    # Query 0: the one other relevant galaxy is second. Query 1: both come first.
    np.testing.assert_allclose(found, [1 / math.log2(3), 1.0])


def test_ndcg_where_nothing_but_the_query_is_relevant_is_unknown():
    assert np.isnan(ndcg(all_orders(4, 0), np.array([0.9, 0.0, 0.0, 0.0]), k=3)[0])


def test_ndcg_of_a_query_without_results_is_zero():
    lists = np.full((3, 2), NOBODY)

    assert ndcg(lists, np.array([1.0, 1.0, 1.0]), k=2).tolist() == [0, 0, 0]


def test_chance_ndcg_is_the_mean_of_random_orders():
    relevance = np.array([1.0, 0.9, 0.0, 0.3, 0.0, 0.0, 0.6])

    drawn = np.mean([ndcg(all_orders(7, seed), relevance, k=4) for seed in range(3000)], axis=0)

    np.testing.assert_allclose(chance_ndcg(relevance, k=4), drawn, atol=0.015)


def test_chance_precision_is_the_mean_of_random_orders():
    classes = np.array([0, 0, 0, 1, 1, 2])

    drawn = np.mean(
        [precision_by_query(all_orders(6, s), classes, k=2) for s in range(3000)], axis=0
    )

    np.testing.assert_allclose(chance_precision(classes), drawn, atol=0.025)


def test_precision_by_hand_counts_missing_places_as_misses():
    lists = np.array([[1, 2, NOBODY], [0, 2, 3], [3, 0, 1], [NOBODY, NOBODY, NOBODY]])

    found = precision_by_query(lists, np.array([0, 0, 1, 1]), k=3)

    np.testing.assert_allclose(found, [1 / 3, 1 / 3, 1 / 3, 0])


def test_no_ranking_has_more_precision_than_the_ceiling():
    classes = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1])
    best = np.array(
        [sorted(set(range(9)) - {i}, key=lambda j: classes[j] != c) for i, c in enumerate(classes)]
    )

    for k in (1, 2, 5):
        np.testing.assert_allclose(
            precision_by_query(best, classes, k=k), ceiling_precision(classes, k=k)
        )


def test_similar_lists_equal_brute_force_with_ties_to_the_earlier_place():
    random = np.random.default_rng(3)
    vectors = random.normal(size=(40, 8))
    vectors[[5, 17, 30]] = vectors[4]  # copies tie
    stored = as_stored(vectors)

    found = similar_lists(stored, k=12)

    wide = stored.astype(np.float64)
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    cosines = np.array([[math.fsum(a * b) for b in unit] for a in unit])
    for i in range(40):
        others = sorted(set(range(40)) - {i}, key=lambda j: (-cosines[i, j], j))
        assert found[i].tolist() == others[:12]


def test_an_image_without_a_vector_has_no_list_and_is_in_none():
    vectors = np.random.default_rng(4).normal(size=(6, 4))
    vectors[2] = 0.0
    vectors[3] = np.nan

    found = similar_lists(as_stored(vectors), k=5)

    assert (found[[2, 3]] == NOBODY).all()
    assert sorted(found[0].tolist()) == [NOBODY, NOBODY, 1, 4, 5]


@pytest.mark.parametrize("n", [0, 1])
def test_lists_of_too_few_vectors_are_empty(n: int):
    assert (similar_lists(as_stored(np.ones((n, 3))), k=2) == NOBODY).all()
