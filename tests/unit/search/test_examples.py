import numpy as np
import pytest

from search_factory import random_units
from skylike.errors import SettingsError
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
