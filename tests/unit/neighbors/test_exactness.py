"""Lists equal a float64 brute force, in set and order, for whatever embeddings and magnitudes."""

from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neighbor_factory import (
    brute_force,
    random_magnitudes,
    search,
    stage_in_memory,
    unit_float16,
)
from skylike.neighbors.engine.search_plan import Engine
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.similarity_codes import UNCODED_ERROR

ENGINES = [name for name in get_args(Engine) if name != "auto"]

every_engine = pytest.mark.parametrize("engine", ENGINES)


def assert_true(staged: StagedVectors, *, width: float | None, k: int, **plan) -> None:
    found = search(staged, width=width, k=k, **plan)
    truth = brute_force(staged.galaxy_ids, staged.vectors, staged.magnitudes, k=k, width=width)
    assert found.keys() == truth.keys()
    for galaxy_id, (ids, cosines) in truth.items():
        assert found[galaxy_id][0].tolist() == ids.tolist(), galaxy_id
        assert np.abs(found[galaxy_id][1] - cosines).max(initial=0) <= UNCODED_ERROR


@st.composite
def skies(draw: st.DrawFn) -> StagedVectors:
    """Draw embeddings and magnitudes full of ties: small whole numbers, copies, opposites."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(1, 90)), draw(st.sampled_from([1, 2, 3, 8, 33]))
    largest = draw(st.sampled_from([1, 3, 50]))
    vectors = generator.integers(-largest, largest + 1, (n, d)).astype(np.float64)
    vectors += draw(st.sampled_from([0.0, 10.0, 100.0])) * largest  # a common direction
    vectors[(vectors == 0).all(axis=1), 0] = 1.0
    copies = generator.integers(0, n, n)
    is_copy = generator.random(n) < draw(st.sampled_from([0.0, 0.3, 0.9]))
    vectors[is_copy] = vectors[copies[is_copy]]
    vectors[generator.random(n) < draw(st.sampled_from([0.0, 0.2]))] *= -1
    step = draw(st.sampled_from([0.1, 0.25, 1.0]))
    magnitudes = (16 + step * generator.integers(0, 12, n)).astype(np.float32)
    magnitudes[generator.random(n) < draw(st.sampled_from([0.0, 0.2]))] = np.nan
    ids = generator.permutation(10 * n)[:n] + 1
    return stage_in_memory(unit_float16(vectors), magnitudes, ids)


@every_engine
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    staged=skies(),
    width=st.sampled_from([None, 0.0, 0.1, 0.3, 0.5]),
    k=st.sampled_from([1, 2, 7, 50, 200]),
    tile_rows=st.sampled_from([None, 1, 17]),
)
def test_search_equals_brute_force(engine: str, staged: StagedVectors, width, k, tile_rows):
    assert_true(staged, width=width, k=k, engine=engine, tile_rows=tile_rows)


@every_engine
@pytest.mark.parametrize("width", [0.5, 0.3, 0.1])
def test_search_decides_the_windows_edge_by_the_last_bit_of_a_magnitude(engine: str, width: float):
    around = []
    for center in [17.0, 17.0 + width, 17.0 - width, 17.5, 16.5]:
        at = np.float32(center)
        around += [at, np.nextafter(at, np.float32(99)), np.nextafter(at, np.float32(0))]
    magnitudes = np.array(around, np.float32)
    n = len(magnitudes)
    generator = np.random.default_rng(51)
    staged = stage_in_memory(unit_float16(generator.standard_normal((n, 12))), magnitudes)

    found = search(staged, width=width, k=n, engine=engine)

    exact = [Fraction(float(magnitude)) for magnitude in magnitudes]
    inside = [
        {j + 1 for j in range(n) if j != i and abs(exact[i] - exact[j]) <= Fraction(width)}
        for i in range(n)
    ]
    assert [set(found[i + 1][0].tolist()) for i in range(n)] == inside
    just_in = [abs(a - b) for a in exact for b in exact if abs(a - b) <= Fraction(width)]
    just_out = [abs(a - b) for a in exact for b in exact if abs(a - b) > Fraction(width)]
    assert float(min(just_out) - max(just_in)) < 1e-5  # the case is sharp


@every_engine
def test_search_includes_both_edges_of_a_window_of_exactly_half_a_magnitude(engine: str):
    after = np.nextafter(np.float32(17.5), np.float32(18))
    magnitudes = np.array([17.0, 17.5, after, 16.5], np.float32)
    staged = stage_in_memory(unit_float16(np.eye(4) + 1), magnitudes)

    found = search(staged, width=0.5, k=4, engine=engine)

    assert {key: sorted(ids.tolist()) for key, (ids, _) in found.items()} == {
        1: [2, 4],
        2: [1, 3],
        3: [2],
        4: [1],
    }


def collapsed(scatter: float) -> StagedVectors:
    """Embeddings around a common direction: cosines of about 1 - scatter^2."""
    generator = np.random.default_rng(52)
    vectors = unit_float16(1.0 + scatter * generator.standard_normal((700, 64)))
    return stage_in_memory(vectors, random_magnitudes(generator, 700))


def recall(lists: dict, truth: dict) -> float:
    found = sum(len(np.intersect1d(lists[key][0], ids)) for key, (ids, _) in truth.items())
    return found / sum(len(ids) for ids, _ in truth.values())


@every_engine
@pytest.mark.parametrize("scatter", [0.1, 0.03, 0.01], ids=["0.99", "0.999", "0.9999"])
def test_search_equals_brute_force_where_embeddings_share_a_direction(engine: str, scatter: float):
    staged = collapsed(scatter)

    assert_true(staged, width=0.5, k=50, engine=engine)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("scatter", "at_most"), [(0.1, 0.9), (0.01, 0.1)], ids=["0.99", "0.9999"])
def test_16_bit_products_without_centering_fail_where_embeddings_share_a_direction(
    scatter: float, at_most: float, kind: torch.dtype
):
    # So the test before this one is a hard one, and centering is what helps.
    staged = collapsed(scatter)
    truth = brute_force(staged.galaxy_ids, staged.vectors, staged.magnitudes, k=50, width=None)
    unit = staged.vectors.astype(np.float64) / staged.norms[:, None]

    plain = recall(by_16_bits(staged.galaxy_ids, unit, kind, k=50), truth)
    centered = recall(by_16_bits(staged.galaxy_ids, unit - unit.mean(axis=0), kind, k=50), truth)

    assert plain < at_most
    assert centered > 0.99
    assert recall(search(staged, width=None, k=50), truth) == 1.0


def by_16_bits(ids: np.ndarray, vectors: np.ndarray, kind: torch.dtype, *, k: int) -> dict:
    """Search by products of 16-bit numbers, the squared lengths subtracted in float64."""
    rows = torch.from_numpy(vectors).to(kind)
    scores = (rows @ rows.T).to(torch.float64).numpy()
    scores -= (vectors**2).sum(axis=1) / 2
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1)[:, :k]
    return {int(own): (ids[row], None) for own, row in zip(ids, order, strict=True)}
