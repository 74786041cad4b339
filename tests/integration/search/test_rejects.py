"""Examples and rejects on a real server against a brute force over the same target."""

import numpy as np
import pytest

from search_factory import Sky, fill, random_units, scattered_sky
from skylike.embeddings.compact import default_components, fit, unit_rows
from skylike.errors import GalaxyNotFoundError, SettingsError
from skylike.search.examples import Example, combine
from skylike.search.query import Query
from skylike.search.search import search


def ids(result) -> list[int]:
    return result.rows["galaxy_id"].to_pylist()


@pytest.fixture
def sky(engine) -> Sky:
    random = np.random.default_rng(5)
    centers = np.abs(random_units(6, 32, seed=4))
    vectors = centers[random.integers(0, 6, 300)] + 0.1 * random.normal(size=(300, 32))
    made = scattered_sky(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    fill(engine, made)
    return made


def target_of(sky, galaxies, rejects=()):
    basis = fit([sky.vectors], dimension=32, components=default_components(32))

    def looked_up(galaxy_id):
        (unit,) = unit_rows(sky.vectors[galaxy_id - 1 : galaxy_id])
        return Example(str(galaxy_id), unit, galaxy_id=galaxy_id)

    return combine([*map(looked_up, galaxies)], [*map(looked_up, rejects)], basis).vector


@pytest.mark.parametrize(
    ("galaxies", "rejects"), [((3,), (9,)), ((3, 9), ()), ((3, 9, 20), (4, 50, 51, 7))]
)
def test_search_with_examples_and_rejects_is_the_brute_force(engine, sky, galaxies, rejects):
    result = search(engine, Query(galaxies=galaxies, rejects=rejects, k=40, min_separation=0.0))

    target = target_of(sky, galaxies, rejects)
    without = {*galaxies, *rejects}
    assert ids(result) == [n for n in sky.ranked(target) if n not in without][:40]
    found = result.rows["similarity"].to_numpy()
    assert np.allclose(found, sky.similarities(target)[np.array(ids(result)) - 1], atol=1e-9)
    assert result.provenance.exact


def test_search_with_rejects_changes_the_answer_and_says_so(engine, sky):
    plain = search(engine, Query(galaxies=(3,), k=20))
    first = ids(plain)[:3]

    turned = search(engine, Query(galaxies=(3,), rejects=tuple(first), k=20))

    assert not set(first) & set(ids(turned))
    assert turned.provenance.query == (
        f"galaxy 3; unlike galaxy {first[0]}; galaxy {first[1]}; galaxy {first[2]}"
    )
    assert "The vector: the example, turned away from the 3 rejects." in turned.provenance.sql


def test_search_when_a_reject_is_not_there_says_so(engine, sky):
    with pytest.raises(GalaxyNotFoundError, match="galaxy 999 is not in the database"):
        search(engine, Query(galaxies=(3,), rejects=(999,)))


def test_search_when_a_position_is_that_of_a_reject_says_so(engine, sky):
    from skylike.cuts.coordinates import Position

    position = Position(float(sky.ra[6]), float(sky.dec[6]))

    with pytest.raises(SettingsError, match=r"position .* is an example, and galaxy 7 is a reject"):
        search(engine, Query(positions=(position,), rejects=(7,)))
