import numpy as np
import pytest

from search_factory import random_units
from skylike.embeddings.compact import CompactBasis, fit
from skylike.errors import EmptyStageError, SettingsError
from skylike.search.examples import Example, combine, normalize, unique


def test_combine_when_one_example_was_stored_compares_with_the_stored_vector_itself():
    stored = random_units(1, 128)[0].astype(np.float16)
    unit = normalize(stored, label="it", dimension=128)

    target = combine([Example("galaxy 1", unit, 10.0, 20.0, 1, stored=stored)])

    assert np.array_equal(target.half, stored)
    assert target.rounding < 1e-15
    assert target.galaxy_ids == (1,)


def test_combine_when_there_are_several_is_their_mean_direction():
    first, second = np.eye(4)[:2]

    target = combine([Example("a", first), Example("b", second)])

    assert np.allclose(target.vector, [0.5**0.5, 0.5**0.5, 0, 0], rtol=0, atol=1e-15)


def test_combine_says_how_far_rounding_moves_any_cosine():
    (vector,) = random_units(1, 128, seed=5)

    target = combine([Example("vector 1", vector)])

    half = target.half.astype(np.float64)
    others = random_units(500, 128, seed=6)
    moved = np.abs(others @ (half / np.linalg.norm(half)) - others @ vector).max()
    assert 0 < moved <= target.rounding < 1e-3


def test_combine_when_positions_are_unknown_has_fewer_anchors():
    vectors = random_units(2, 8)

    target = combine([Example("a", vectors[0], 0.0, 90.0, 7), Example("b", vectors[1])])

    assert np.allclose(target.anchors, [[0, 0, 1]])


def test_unique_when_a_galaxy_is_given_twice_keeps_it_once():
    first, second = random_units(2, 8)
    examples = [
        Example("galaxy 7", first, galaxy_id=7),
        Example("vector 1", second),
        Example("position 1 2", first, galaxy_id=7),
        Example("vector 2", second),
    ]

    assert [example.label for example in unique(examples)] == ["galaxy 7", "vector 1", "vector 2"]


def test_combine_when_examples_cancel_is_an_error():
    (vector,) = random_units(1, 8)

    with pytest.raises(SettingsError, match="cancel each other"):
        combine([Example("a", vector), Example("b", -vector)])


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.ones(7), "7 entries, the encoder's embeddings have 8"),
        (np.full(8, np.nan), "NaN or infinity"),
        (np.zeros(8), "is zero"),
        (np.ones((1, 8)), "8 entries"),
    ],
)
def test_normalize_when_the_vector_is_impossible_says_why(vector, message):
    with pytest.raises(SettingsError, match=message):
        normalize(vector, label="vector 1", dimension=8)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_normalize_when_the_scale_is_extreme_has_unit_length(scale):
    unit = normalize(scale * np.arange(1.0, 9.0), label="it", dimension=8)

    assert np.isclose(np.linalg.norm(unit), 1, rtol=0, atol=1e-15)


def examples_of(vectors, *, first_id=1):
    return [
        Example(f"galaxy {n}", vector, galaxy_id=n) for n, vector in enumerate(vectors, first_id)
    ]


def clumps(*, n=300, d=24, seed=3):
    """Galaxies of two kinds that differ along one axis, and far more along axes of no meaning."""
    random = np.random.default_rng(seed)
    is_wanted = random.random(n) < 0.3
    vectors = np.full((n, d), 1.0) + random.normal(size=(n, d)) * np.r_[0.1, [1.0] * 3, [0.1] * 20]
    vectors[:, 0] += 0.4 * is_wanted
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), is_wanted


def basis_of(vectors) -> CompactBasis:
    return fit([vectors.astype(np.float16)], dimension=vectors.shape[1], components=12)


def test_combine_when_there_is_one_example_and_no_reject_ignores_the_basis():
    vectors, _ = clumps()
    (example,) = examples_of(vectors[:1])

    assert np.array_equal(combine([example], (), basis_of(vectors)).vector, example.vector)


def test_combine_when_there_are_rejects_brings_examples_above_them():
    vectors, is_wanted = clumps()
    examples, rejects = vectors[is_wanted][:10], vectors[~is_wanted][:10]
    others = vectors[~is_wanted][10:], vectors[is_wanted][10:]

    def separation(target):
        unwanted, wanted = (rows @ target.vector for rows in others)
        return (wanted.mean() - unwanted.mean()) / np.sqrt((wanted.var() + unwanted.var()) / 2)

    basis = basis_of(vectors)
    plain = combine(examples_of(examples))
    several = combine(examples_of(examples), (), basis)
    turned = combine(examples_of(examples), examples_of(rejects, first_id=50), basis)

    assert separation(plain) < 0.2
    assert separation(several) > separation(plain)
    assert separation(turned) > 1.2 * separation(several)


def test_combine_when_rejects_are_more_turns_farther_from_the_example():
    vectors, is_wanted = clumps()
    examples = examples_of(vectors[is_wanted][:1])
    basis = basis_of(vectors)

    turns = [
        combine(examples, examples_of(vectors[~is_wanted][:n], first_id=50), basis).vector
        @ examples[0].vector
        for n in (1, 5, 40)
    ]

    assert 1 > turns[0] > turns[1] > turns[2] > 0


def test_combine_gives_the_same_whatever_the_order():
    vectors, is_wanted = clumps()
    examples, rejects = (
        examples_of(vectors[is_wanted][:5]),
        examples_of(vectors[~is_wanted][:5], first_id=50),
    )
    basis = basis_of(vectors)

    first = combine(examples, rejects, basis).vector
    second = combine(examples[::-1], rejects[::-1], basis).vector

    assert np.allclose(first, second, rtol=0, atol=1e-14)
    assert abs(np.linalg.norm(first) - 1) < 1e-14


def test_combine_excludes_examples_and_rejects():
    vectors, _ = clumps()

    target = combine(
        examples_of(vectors[:2]), examples_of(vectors[5:7], first_id=50), basis_of(vectors)
    )

    assert target.galaxy_ids == (1, 2)
    assert target.rejected_ids == (50, 51)
    assert target.excluded_ids == (1, 2, 50, 51)
    assert target.words == "the mean of the 2 examples, turned away from the 2 rejects"


def test_combine_when_the_reject_is_the_example_once_more_stays_with_it():
    vectors, _ = clumps()
    basis = basis_of(vectors)

    target = combine(examples_of(vectors[:1]), examples_of(vectors[:1], first_id=50), basis)

    assert np.allclose(target.vector, vectors[0], rtol=0, atol=1e-12)


def test_combine_when_all_galaxies_are_alike_is_the_mean():
    basis = CompactBasis(np.eye(4)[0], np.eye(4)[:2], np.zeros(2))
    first, second = np.eye(4)[:2]

    target = combine(examples_of([first, second]), (), basis)

    assert np.allclose(target.vector, [0.5**0.5, 0.5**0.5, 0, 0], rtol=0, atol=1e-15)


def test_combine_when_there_are_rejects_and_no_axes_says_what_to_run():
    first, second = random_units(2, 8)

    with pytest.raises(EmptyStageError, match="run `skylike embed`"):
        combine(examples_of([first]), examples_of([second], first_id=2))
