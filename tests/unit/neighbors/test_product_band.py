"""Products that serve the rows of a tile and later those of its columns."""

from itertools import pairwise

import numpy as np
import pytest

from neighbor_factory import brute_force, random_magnitudes, stage_in_memory, unit_float16
from skylike.neighbors.engine.product_band import Piece, ProductBand
from skylike.neighbors.engine.search import NeighborSearch, SearchPlan
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import magnitude_windows

N, D, K = 600, 24, 40
PRODUCTS = np.arange(30 * 30, dtype=np.float32).reshape(30, 30)


def piece(first: int, last: int, stop: int = 30) -> Piece:
    return Piece(first, last, PRODUCTS[first:last, last:stop].copy())


def test_band_gives_pieces_back_to_the_first_gap_or_the_left_edge():
    band = ProductBand(10**6)
    for bounds in [(0, 4), (6, 10), (10, 15), (15, 20)]:
        band.keep(piece(*bounds), 0)

    assert [p.first for p in band.before(20, 0)] == [15, 10, 6]
    assert [p.first for p in band.before(20, 12)] == [15, 10]
    assert [p.first for p in band.before(20, 15)] == [15]
    assert band.before(19, 0) == []


def test_band_drops_what_is_left_of_all_windows_and_the_oldest_for_memory():
    band = ProductBand(4 * (5 * 15 + 5 * 10))
    for bounds in [(5, 10), (10, 15), (15, 20)]:
        band.keep(piece(*bounds), 0)
    assert [p.first for p in band.before(20, 0)] == [15, 10]

    band.keep(piece(20, 25), 15)
    assert [p.first for p in band.before(25, 0)] == [20, 15]


def test_band_without_memory_keeps_nothing():
    band = ProductBand(1)
    band.keep(piece(0, 5), 0)

    assert band.before(5, 0) == []


def test_band_keeps_a_tile_once_that_is_searched_twice():
    band = ProductBand(10**6)
    for bounds in [(0, 5), (5, 10), (5, 10)]:
        band.keep(piece(*bounds), 0)

    assert [p.first for p in band.before(10, 0)] == [5, 0]


@pytest.mark.parametrize(("rows", "stop"), [((10, 14), 30), ((12, 18), 15), ((20, 22), 15)])
def test_piece_gives_its_products_by_the_other_row(rows: tuple[int, int], stop: int):
    left = 3
    scores = np.full((rows[1] - rows[0], 10), np.nan, np.float32)

    piece(0, 8, stop).copy_to(scores, left, rows)

    truth = PRODUCTS.T[rows[0] : rows[1], left:8].copy()
    truth[max(stop - rows[0], 0) :] = 0  # out of reach of the piece's rows
    assert np.array_equal(scores[:, :5], truth)
    assert np.isnan(scores[:, 5:]).all()


def make_sky() -> StagedVectors:
    generator = np.random.default_rng(71)
    vectors = generator.standard_normal((N, D))
    vectors[100:150] = vectors[100]  # ties within a tile and across tiles
    magnitudes = np.round(random_magnitudes(generator, N, missing=30), 1)
    return stage_in_memory(unit_float16(vectors), magnitudes, generator.permutation(3 * N)[:N] + 1)


@pytest.mark.parametrize("width", [0.5, 0.1, None])
@pytest.mark.parametrize("score_bytes", [None, 60_000, 1])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [0, 2, 3, 1, 1], [4, 3, 2, 1, 0]], ids=str)
def test_lists_do_not_depend_on_the_order_of_shards_nor_on_what_is_kept(
    width: float | None, score_bytes: int | None, order: list[int]
):
    staged = make_sky()
    shards = list(pairwise([0, 90, 250, 251, 400, N]))
    plan = SearchPlan(k=K, engine="product", tile_rows=40, score_bytes=score_bytes)
    truth = brute_force(staged.galaxy_ids, staged.vectors, staged.magnitudes, k=K, width=width)
    found = {}
    with NeighborSearch(staged, magnitude_windows(staged.magnitudes, width), plan) as search:
        for shard in order:
            for lists in search.lists(*shards[shard]):
                ids = np.split(staged.galaxy_ids[lists.positions], np.cumsum(lists.lengths)[:-1])
                found |= dict(zip(staged.galaxy_ids[lists.rows].tolist(), ids, strict=True))

    for shard in set(order):
        for galaxy_id in staged.galaxy_ids[slice(*shards[shard])].tolist():
            assert found[galaxy_id].tolist() == truth[galaxy_id][0].tolist()
