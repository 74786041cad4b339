import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_factory import random_units
from skylike.search.exact import (
    Candidates,
    Scored,
    certified_ranking,
    cosine_error_bound,
    score,
)


def approximate_server(scores, *, noise):
    """A server whose scores err by at most ``noise``, and how often it was asked."""
    ids = np.arange(1, len(scores) + 1, dtype=np.int32)
    random = np.random.default_rng(7)
    seen = scores + random.uniform(-noise, noise, len(scores))
    order = np.argsort(-seen)
    asked = []

    def fetch(n):
        asked.append(n)
        near = len(ids)
        if n < near:
            near = int((seen >= seen[order[n - 1]] - 2 * noise).sum())
        rest = seen[order[near]] + noise if near < len(ids) else -np.inf
        return Candidates(ids[order[:near]], rest)

    def score_rows(wanted):
        return Scored(wanted, scores[wanted - 1], np.zeros((len(wanted), 3)))

    return fetch, score_rows, asked


def rank(scores, *, noise, k):
    fetch, score_rows, asked = approximate_server(scores, noise=noise)
    ranking = certified_ranking(
        fetch, score_rows, k=k, anchors=np.empty((0, 3)), min_separation=0.0
    )
    return ranking, asked


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.3])
@pytest.mark.parametrize("k", [1, 10, 150, 3000])
def test_ranking_when_the_server_errs_is_the_true_one(noise, k):
    scores = np.random.default_rng(3).uniform(-1, 1, 2000)

    ranking, _ = rank(scores, noise=noise, k=k)

    truth = np.lexsort((np.arange(2000), -scores))[:k] + 1
    assert ranking.galaxy_ids.tolist() == truth.tolist()
    assert np.array_equal(ranking.similarities, scores[truth - 1])


@settings(max_examples=200, deadline=None)
@given(
    scores=st.lists(
        st.sampled_from([-1.0, -0.5, 0.0, 0.5, 0.5 + 1e-12, 0.5 + 1e-6, 1.0]), max_size=150
    ),
    noise=st.sampled_from([0.0, 1e-13, 1e-6, 0.1, 2.0]),
    k=st.integers(1, 60),
)
def test_ranking_when_scores_are_adversarial_is_the_true_one(scores, noise, k):
    values = np.array(scores, dtype=np.float64)

    ranking, _ = rank(values, noise=noise, k=k)

    truth = np.lexsort((np.arange(len(values)), -values))[:k] + 1
    assert ranking.galaxy_ids.tolist() == truth.tolist()


def test_ranking_when_scores_tie_goes_by_identifier():
    scores = np.round(np.random.default_rng(3).uniform(-1, 1, 2000), 1)

    ranking, _ = rank(scores, noise=1e-6, k=300)

    truth = np.lexsort((np.arange(2000), -scores))[:300] + 1
    assert ranking.galaxy_ids.tolist() == truth.tolist()


def test_ranking_when_all_scores_are_equal_reads_all_rows():
    ranking, _ = rank(np.full(500, 0.25), noise=0.0, k=5)

    assert ranking.galaxy_ids.tolist() == [1, 2, 3, 4, 5]
    assert ranking.exhausted


def test_ranking_when_the_server_is_precise_asks_once():
    _, asked = rank(np.random.default_rng(3).uniform(-1, 1, 2000), noise=1e-7, k=10)

    assert len(asked) == 1


def test_ranking_when_nothing_matches_is_empty():
    ranking, _ = rank(np.empty(0), noise=0.0, k=5)

    assert len(ranking.galaxy_ids) == 0
    assert ranking.exhausted


def float32_cosine(vectors, target):
    """The arithmetic of pgvector: float32 sums, in the least fortunate order."""
    products = np.cumsum(vectors.astype(np.float32) * target.astype(np.float32), axis=1)[:, -1]
    norms = np.cumsum(vectors.astype(np.float32) ** 2, axis=1)[:, -1]
    norm = np.cumsum(target.astype(np.float32) ** 2)[-1]
    return products / np.sqrt(norms.astype(np.float64) * float(norm))


@pytest.mark.parametrize("d", [8, 128, 2048])
def test_error_bound_when_vectors_are_unfortunate_holds(d):
    random = np.random.default_rng(d)
    growing = np.geomspace(1, 1e-4, d) * np.ones((50, 1))
    constant = np.full((50, d), d**-0.5) * random.uniform(0.5, 2, (50, 1))
    vectors = np.vstack([random_units(50, d), np.abs(random_units(50, d)), growing, constant])
    stored = vectors.astype(np.float16)
    for query in (stored[0], stored[60], stored[120], stored[160]):
        target = query.astype(np.float64)
        error = np.abs(
            float32_cosine(stored, query) - score(stored, target / np.linalg.norm(target))
        )

        assert error.max() <= cosine_error_bound(d)
        assert error.max() > 0


def test_score_when_vectors_are_equal_is_equal_wherever_they_stand():
    vector = random_units(1, 2047)[0].astype(np.float16)
    (target,) = random_units(1, 2047, seed=2)

    scores = score(np.vstack([vector] * 37), target)

    assert len(set(scores.tolist())) == 1
    assert score(vector[None], target)[0] == scores[0]
