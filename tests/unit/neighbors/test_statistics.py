"""Rarity, hubness, mutual neighbors and groups beside plain loops over all pairs."""

import numpy as np
import pytest

from neighbor_factory import brute_force, random_magnitudes, stage_in_memory, unit_float16
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.statistics.duplicates import (
    ALIKE,
    NO_GROUP,
    PLACEHOLDER,
    SAME_SKY_ARCSEC,
    find_groups,
    iter_close_pairs,
    mean_dissimilarity,
    name_groups,
)
from skylike.neighbors.statistics.mutual import FIRST, NOBODY, count_mutual, count_occurrences
from skylike.neighbors.statistics.pairs import pair_distances
from skylike.neighbors.statistics.rarity import (
    FEWEST,
    HALF_WINDOW,
    RANK,
    rank_in_lists,
    relative_rarity,
)


def random_staged(n: int = 300, *, missing: int = 0, seed: int = 1) -> StagedVectors:
    generator = np.random.default_rng(seed)
    vectors = unit_float16(generator.standard_normal((n, 16)) + 0.7)
    return stage_in_memory(vectors, random_magnitudes(generator, n, missing=missing))


def cosine(staged: StagedVectors, i: int, j: int) -> float:
    a, b = staged.vectors[i].astype(np.float64), staged.vectors[j].astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_distances_of_pairs_are_those_of_unit_vectors():
    staged = random_staged()
    generator = np.random.default_rng(2)
    # More than one thread's part.
    rows, others = np.sort(generator.integers(0, 300, 9000)), generator.integers(0, 300, 9000)

    distances = pair_distances(staged, rows, others)

    expected = [
        np.sqrt(max(0.0, 2 - 2 * cosine(staged, i, j)))
        for i, j in zip(rows.tolist(), others.tolist(), strict=True)
    ]
    assert np.abs(distances - expected).max() < 1e-7
    assert (distances[rows == others] == 0).all()


def test_distance_of_nearly_equal_vectors_keeps_its_digits():
    vectors = np.zeros((2, 8), np.float16)
    vectors[:, 0], vectors[1, 1] = 1, 2.0**-24
    staged = stage_in_memory(vectors, np.array([17, 18], np.float32))

    (distance,) = pair_distances(staged, np.array([0]), np.array([1]))

    assert distance == pytest.approx(2.0**-24, rel=1e-12)  # 1 - cos is below float64's last bit


def plain_rarity(distances: np.ndarray, magnitudes: np.ndarray) -> np.ndarray:
    found = np.full(len(distances), np.nan)
    for is_known in (True, False):
        group = [
            n
            for n in range(len(distances))
            if not np.isnan(distances[n]) and np.isfinite(magnitudes[n]) == is_known
        ]
        for place, n in enumerate(group):
            if is_known:
                half = min(place, len(group) - 1 - place, HALF_WINDOW)
                half = max(half, FEWEST)
                among = group[max(place - half, 0) : place + half + 1]
            else:
                among = group
            found[n] = distances[n] / np.median(distances[among])
    return found


@pytest.mark.parametrize("n", [1, 2, 30, 60, 400])
def test_rarity_is_the_distance_over_the_median_of_like_magnitude(n: int):
    generator = np.random.default_rng(n)
    magnitudes = np.sort(random_magnitudes(generator, n, missing=n // 10))
    distances = generator.uniform(0.2, 0.9, n)
    distances[generator.random(n) < 0.1] = np.nan

    found = relative_rarity(distances, magnitudes)

    np.testing.assert_allclose(found, plain_rarity(distances, magnitudes), rtol=1e-14)


def test_rarity_of_galaxies_without_a_window_is_relative_to_all():
    distances = np.array([0.1, 0.2, 0.3, 0.8])

    found = relative_rarity(distances, np.full(4, np.nan, np.float32))

    np.testing.assert_allclose(found, distances / 0.25)


def test_rarity_follows_no_trend_with_magnitude():
    n = 2000
    magnitudes = np.linspace(14, 20, n).astype(np.float32)
    trend = np.linspace(0.9, 0.2, n)  # bright galaxies have few candidates
    distances = trend.copy()
    distances[1500] *= 1.5

    found = relative_rarity(distances, magnitudes)

    inner = slice(FEWEST, n - FEWEST)
    assert np.argmax(found) == 1500
    assert np.abs(np.delete(found, 1500)[inner] - 1).max() < 1e-3


def test_rarity_is_unknown_where_most_are_duplicates_and_where_lists_are_short():
    magnitudes = np.full(100, 18, np.float32)
    distances = np.zeros(100)
    distances[0] = np.nan
    distances[50] = 0.5

    assert np.isnan(relative_rarity(distances, magnitudes)).all()


def test_rank_that_counts_is_never_beyond_the_lists():
    assert rank_in_lists(999) == RANK
    assert rank_in_lists(RANK - 1) == RANK - 1


def first_neighbors(staged: StagedVectors, *, k: int = FIRST) -> np.ndarray:
    lists = brute_force(
        staged.galaxy_ids, staged.vectors, staged.magnitudes, k=min(k, FIRST), width=0.3
    )
    place = {int(galaxy_id): n for n, galaxy_id in enumerate(staged.galaxy_ids)}
    first = np.full((len(staged), FIRST), NOBODY, np.int32)
    for galaxy_id, (ids, _) in lists.items():
        first[place[galaxy_id], : len(ids)] = [place[int(n)] for n in ids]
    return first


@pytest.mark.parametrize("block", [7, 8192])
def test_hubness_and_mutual_neighbors_equal_plain_loops(
    block: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("skylike.neighbors.statistics.mutual._BLOCK", block)
    first = first_neighbors(random_staged(150, missing=5))
    assert (first == NOBODY).any()  # there are short lists

    lists = [[n for n in row if n != NOBODY] for row in first.tolist()]
    n = len(first)
    hubness = [sum(i in lists[j] for j in range(n)) for i in range(n)]
    mutual = [sum(i in lists[j] for j in lists[i]) for i in range(n)]

    assert count_occurrences(first).tolist() == hubness
    assert count_mutual(first).tolist() == mutual
    assert 0 < sum(mutual) < sum(hubness)


def angular_separation(ra: np.ndarray, dec: np.ndarray, i: int, j: int) -> float:
    """In arcsec, by the haversine formula."""
    a, b = np.radians(dec[i]), np.radians(dec[j])
    half = np.radians(ra[i] - ra[j]) / 2
    h = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(half) ** 2
    return float(np.degrees(2 * np.arcsin(np.sqrt(h))) * 3600)


def crowded_sky(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions around RA 0, around a pole and in a strip, in clumps of half an arcminute."""
    centers = np.array([(0.0, 10.0), (359.999, 10.0), (120.0, 89.995), (300.0, -89.999)])
    chosen = centers[generator.integers(0, 4, n)]
    dec = np.clip(chosen[:, 1] + generator.uniform(-0.02, 0.02, n), -90, 90)
    ra = (chosen[:, 0] + generator.uniform(-0.02, 0.02, n) / np.cos(np.radians(dec))) % 360
    return ra, dec


@pytest.mark.parametrize("strip_rows", [1, 40, 1 << 20])
def test_close_pairs_are_all_pairs_within_the_limit(strip_rows: int):
    ra, dec = crowded_sky(250, np.random.default_rng(7))
    ra[3] = np.nan
    expected = {
        (i, j)
        for i in range(250)
        for j in range(i + 1, 250)
        if i != 3 != j and angular_separation(ra, dec, i, j) < SAME_SKY_ARCSEC
    }
    assert len(expected) > 100

    found = [
        tuple(sorted(pair))
        for pairs in iter_close_pairs(ra, dec, strip_rows=strip_rows)
        for pair in pairs.tolist()
    ]

    assert len(found) == len(set(found))
    assert set(found) == expected


def test_close_pairs_leave_out_positions_that_stand_for_none(caplog: pytest.LogCaptureFixture):
    n = PLACEHOLDER + 1
    ra, dec = np.zeros(n + 2), np.zeros(n + 2)
    ra[n:] = 50.0, 50.001

    (pairs,) = iter_close_pairs(ra, dec)

    assert sorted(pairs[0].tolist()) == [n, n + 1]
    assert f"{n} galaxies share a position" in caplog.text


def test_mean_dissimilarity_is_that_of_all_pairs():
    staged = random_staged(40)

    plain = [1 - cosine(staged, i, j) for i in range(40) for j in range(40) if i != j]

    assert mean_dissimilarity(staged) == pytest.approx(np.mean(plain), rel=1e-12)
    assert mean_dissimilarity(random_staged(1)) == 0


def test_groups_are_chains_of_close_and_similar_pairs():
    generator = np.random.default_rng(11)
    n = 160
    ra, dec = crowded_sky(n, generator)
    # Four kinds, each of galaxies that are the more alike the nearer their numbers are.
    vectors = generator.standard_normal((4, 16))[np.arange(n) % 4]
    vectors = unit_float16(
        vectors + generator.uniform(0, 0.5, (n, 1)) * generator.normal(size=(n, 16))
    )
    staged = stage_in_memory(vectors, random_magnitudes(generator, n), np.arange(n) * 7 + 3)
    order = (staged.galaxy_ids - 3) // 7
    ra, dec = ra[order], dec[order]

    groups = find_groups(staged, ra, dec)

    limit = ALIKE * mean_dissimilarity(staged)
    alike = {
        i: [
            j
            for j in range(n)
            if angular_separation(ra, dec, i, j) < SAME_SKY_ARCSEC
            and 1 - cosine(staged, i, j) <= limit
        ]
        for i in range(n)
    }
    truth = np.full(n, NO_GROUP)
    for i in range(n):
        chain, reached = [i], {i}
        while chain:
            new = set(alike[chain.pop()]) - reached
            chain, reached = [*chain, *new], reached | new
        if len(reached) > 1:
            truth[i] = staged.galaxy_ids[list(reached)].min()
    assert groups.tolist() == truth.tolist()
    assert 3 < len(set(truth.tolist())) < n / 2


def test_groups_are_none_where_no_pair_is_alike():
    groups = name_groups(np.empty((0, 2), np.int64), np.array([5, 6], np.int32))

    assert groups.tolist() == [NO_GROUP, NO_GROUP]


def test_groups_are_named_by_their_smallest_identifier():
    ids = np.array([9, 4, 7, 2, 8], np.int32)

    groups = name_groups(np.array([[0, 1], [2, 0], [3, 4]]), ids)

    assert groups.tolist() == [4, 4, 4, 2, 2]
