"""The search beside a float64 brute force: equal in set and in order, whatever the input."""

import numpy as np
import pytest

from neighbor_factory import (
    brute_force,
    random_magnitudes,
    search,
    stage_in_memory,
    unit_float16,
)
from skylike.errors import SettingsError
from skylike.neighbors.engine.search import SearchPlan
from skylike.neighbors.engine.vectors import StagedVectors

D = 48
SMALL_MEMORY = {"memory_bytes": 4 * D * 150, "score_bytes": 1}
PLANS = {
    "product": {},
    "product in blocks": {"tile_rows": 70, **SMALL_MEMORY},
    "faiss": {"engine": "faiss"},
    "faiss in blocks": {"engine": "faiss", "tile_rows": 70, **SMALL_MEMORY},
    "torch": {"engine": "torch"},
    "torch in blocks": {"engine": "torch", "tile_rows": 70, **SMALL_MEMORY},
    "bound too small at first": {"roundoffs": 1e-3},
}


def assert_equal_to_brute_force(staged: StagedVectors, *, width: float | None, **plan) -> None:
    found = search(staged, width=width, **plan)
    truth = brute_force(
        staged.galaxy_ids, staged.vectors, staged.magnitudes, k=plan["k"], width=width
    )
    assert found.keys() == truth.keys()
    for galaxy_id, (ids, similarities) in truth.items():
        assert found[galaxy_id][0].tolist() == ids.tolist(), galaxy_id
        assert np.abs(found[galaxy_id][1] - similarities).max(initial=0) < 1e-6


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
@pytest.mark.parametrize("width", [0.5, 0.3, None])
def test_search_equals_brute_force_with_duplicates_opposites_and_missing_magnitudes(
    plan: dict, width: float | None
):
    generator = np.random.default_rng(11)
    vectors = generator.standard_normal((900, D))  # cosines of both signs
    vectors[200:320] = vectors[200]  # more copies than k: the list ends within a tie
    vectors[320:330] = -vectors[200]
    vectors[330:340] = 2 * vectors[200]
    magnitudes = np.round(random_magnitudes(generator, 900, missing=40), 1)  # edges at the width
    ids = generator.permutation(5000)[:900] + 1

    staged = stage_in_memory(unit_float16(vectors), magnitudes, ids)

    assert_equal_to_brute_force(staged, width=width, k=60, **plan)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_search_equals_brute_force_where_all_embeddings_share_a_direction(plan: dict):
    generator = np.random.default_rng(12)
    vectors = unit_float16(1.0 + 0.01 * generator.standard_normal((900, D)))
    staged = stage_in_memory(vectors, random_magnitudes(generator, 900))
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    assert (exact @ exact.T).min() > 0.999

    assert_equal_to_brute_force(staged, width=0.5, k=60, **plan)


@pytest.mark.parametrize("engine", ["product", "faiss", "torch"])
def test_search_gives_short_lists_where_there_are_few_candidates(engine: str):
    generator = np.random.default_rng(13)
    magnitudes = np.concatenate([[2.0, 4.0, 4.4], random_magnitudes(generator, 300)])
    vectors = unit_float16(generator.standard_normal((303, D)))
    staged = stage_in_memory(vectors, magnitudes.astype(np.float32))

    found = search(staged, width=0.5, k=200, engine=engine)

    assert found[1][0].tolist() == []
    assert found[2][0].tolist() == [3]
    assert all(ids.min(initial=1) >= 1 for ids, _ in found.values())
    assert_equal_to_brute_force(staged, width=0.5, k=200, engine=engine)


@pytest.mark.parametrize("engine", ["product", "faiss", "torch"])
@pytest.mark.parametrize("n", [1, 2, 33, 64])
def test_search_finds_everybody_where_k_exceeds_the_galaxies(engine: str, n: int):
    generator = np.random.default_rng(14)
    vectors = unit_float16(generator.standard_normal((n, D)))
    staged = stage_in_memory(vectors, np.full(n, 18.0, np.float32))

    found = search(staged, width=0.5, k=2000, engine=engine)

    assert all(len(ids) == n - 1 for ids, _ in found.values())
    assert_equal_to_brute_force(staged, width=0.5, k=2000, engine=engine)


def test_search_excludes_the_galaxy_itself_although_a_copy_outranks_it():
    generator = np.random.default_rng(15)
    vectors = generator.standard_normal((50, D))
    vectors[40] = vectors[10]
    staged = stage_in_memory(unit_float16(vectors), np.full(50, 18.0, np.float32))

    found = search(staged, width=0.5, k=5)

    assert found[11][0][0] == 41
    assert found[41][0][0] == 11
    assert all(galaxy_id not in ids for galaxy_id, (ids, _) in found.items())


def test_search_finds_neighbors_that_all_point_away():
    # The paper's script begins its lists with zeros, and loses every neighbor of negative cosine.
    generator = np.random.default_rng(16)
    vectors = np.concatenate(
        [np.eye(1, D), -np.eye(1, D) + 0.3 * generator.standard_normal((20, D))]
    )
    staged = stage_in_memory(unit_float16(vectors), np.full(21, 18.0, np.float32))

    found = search(staged, width=0.5, k=20)

    assert len(found[1][0]) == 20
    assert (found[1][1] < 0).all()
    assert_equal_to_brute_force(staged, width=0.5, k=20)


def test_search_does_not_depend_on_how_vectors_are_scaled():
    generator = np.random.default_rng(17)
    vectors = unit_float16(generator.standard_normal((300, D)))
    scaled = vectors * np.float16(2.0) ** generator.integers(-2, 3, (300, 1)).astype(np.float16)
    magnitudes = random_magnitudes(generator, 300)

    once = search(stage_in_memory(vectors, magnitudes), width=0.5, k=30)
    again = search(stage_in_memory(scaled, magnitudes), width=0.5, k=30)

    assert {key: ids.tolist() for key, (ids, _) in once.items()} == {
        key: ids.tolist() for key, (ids, _) in again.items()
    }


@pytest.mark.parametrize("k", [0, -1, 2001])
def test_search_plan_refuses_a_k_that_no_device_can_select(k: int):
    with pytest.raises(SettingsError, match="use 1 to 2000"):
        SearchPlan(k=k)


def test_search_plan_refuses_the_product_on_a_gpu():
    with pytest.raises(SettingsError, match="on the processor"):
        SearchPlan(k=10, device="cuda", engine="product")
