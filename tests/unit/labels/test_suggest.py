import numpy as np
import numpy.typing as npt
import pytest

from label_factory import clustered_vectors
from skylike.labels.classifier import DEFAULT_PENALTY, Examples, LinearModel, fit
from skylike.labels.metrics import average_precision
from skylike.labels.suggest import DOUBTFUL, LIKELY, shortlist, suggest
from skylike.labels.training import missing_negatives

Vectors = npt.NDArray[np.float16]
Truth = npt.NDArray[np.bool_]


def learn(
    vectors: Vectors, truth: Truth, is_labeled: Truth, random: np.random.Generator
) -> LinearModel:
    members, others = np.flatnonzero(is_labeled & truth), np.flatnonzero(is_labeled & ~truth)
    unlabeled = np.flatnonzero(~is_labeled)
    count = missing_negatives(len(members), len(others), n_unlabeled=len(unlabeled))
    drawn = random.choice(unlabeled, count, replace=False)
    kinds = np.repeat([0, 1, 2], [len(members), len(others), len(drawn)])
    places = np.concatenate([members, others, drawn])
    return fit(Examples(vectors[places], kinds == 0, kinds == 2), penalty=DEFAULT_PENALTY)


def average_precision_after(
    vectors: Vectors, truth: Truth, *, rounds: int, by_suggestion: bool, seed: int
) -> float:
    """Label ten galaxies a round, from one member on, and measure what was learned."""
    random = np.random.default_rng(seed)
    is_labeled = np.zeros(len(vectors), dtype=bool)
    is_labeled[random.choice(np.flatnonzero(truth))] = True
    for _ in range(rounds):
        model = learn(vectors, truth, is_labeled, random)
        free = np.flatnonzero(~is_labeled)
        if by_suggestion:
            margins = model.margins(vectors[free])
            listed = shortlist(margins, k=10)
            found = suggest(margins[listed], vectors[free][listed], k=10, n_candidates=len(free))
            chosen = free[listed[found.places]]
        else:
            chosen = random.choice(free, 10, replace=False)
        is_labeled[chosen] = True
    model = learn(vectors, truth, is_labeled, random)
    return average_precision(model.margins(vectors), truth)


@pytest.mark.parametrize("seed", [0, 1])
def test_suggestions_when_followed_then_need_a_fraction_of_the_labels_of_chance(seed: int):
    vectors, truth = clustered_vectors(3000, seed=seed)

    suggested = average_precision_after(vectors, truth, rounds=5, by_suggestion=True, seed=seed)
    by_chance = average_precision_after(vectors, truth, rounds=15, by_suggestion=False, seed=seed)

    assert suggested > by_chance + 0.1


def test_suggestions_when_asked_again_then_are_the_same():
    vectors, _ = clustered_vectors(500)
    margins = np.random.default_rng(0).normal(size=500)

    first, again = (suggest(margins, vectors, k=20) for _ in range(2))

    assert first.places.tolist() == again.places.tolist()
    assert first.reasons == again.reasons


def test_suggestions_when_listed_then_alternate_and_none_is_twice():
    vectors, _ = clustered_vectors(500)
    margins = np.random.default_rng(0).normal(size=500)

    found = suggest(margins, vectors, k=20)

    assert found.reasons == (LIKELY, DOUBTFUL) * 10
    assert len(set(found.places.tolist())) == 20
    likely, doubtful = margins[found.places[::2]], np.abs(margins[found.places[1::2]])
    assert likely.min() > np.quantile(margins, 0.5)
    assert doubtful.max() < np.quantile(np.abs(margins), 0.5)


def test_suggestions_when_galaxies_are_copies_then_take_few_of_them():
    random = np.random.default_rng(0)
    distinct = random.normal(size=(571, 16))
    vectors = np.vstack([np.repeat(distinct[:1], 30, axis=0), distinct[1:]]).astype(np.float16)
    margins = np.linspace(3, 1, 600)  # the copies are the likeliest

    found = suggest(margins, vectors, k=6)

    assert (found.places < 30).sum() == 1


def test_suggestions_when_candidates_are_few_then_are_all_of_them():
    found = suggest(np.array([1.0, -1.0, 0.5]), np.eye(3, 8, dtype=np.float16), k=10)

    assert sorted(found.places.tolist()) == [0, 1, 2]


def test_suggestions_when_there_is_no_candidate_then_are_none():
    found = suggest(np.empty(0), np.empty((0, 8), np.float16), k=10)

    assert found.places.tolist() == []


def test_shortlist_when_a_score_is_undefined_then_leaves_it_out():
    margins = np.array([np.nan, 3.0, -2.0, 0.1])

    assert shortlist(margins, k=1).tolist() == [1, 2, 3]


def test_suggestions_when_some_show_one_patch_of_sky_then_take_one_of_it():
    vectors, _ = clustered_vectors(60)
    groups = np.repeat(np.arange(20), 3)

    found = suggest(np.linspace(2, -2, 60), vectors, k=30, groups=groups)

    assert sorted(groups[found.places].tolist()) == list(range(20))


def test_suggestions_when_candidates_are_a_whole_small_catalog_then_are_likely_or_doubtful():
    # Diversity must not choose the odd ones of everything there is.
    vectors, _ = clustered_vectors(300)
    margins = np.random.default_rng(0).normal(size=300)

    found = suggest(margins, vectors, k=12)

    assert (margins[found.places[::2]] >= np.sort(margins)[-30]).all()
    assert (np.abs(margins[found.places[1::2]]) <= np.sort(np.abs(margins))[29]).all()
