"""The verification notices every kind of wrong list, and blames no run for what came after it."""

from itertools import pairwise

import numpy as np
import pytest

from neighbor_factory import brute_force, random_magnitudes, unit_float16
from skylike.neighbors.input_hashes import row_hashes
from skylike.neighbors.staleness import InputWatch, RunInput
from skylike.neighbors.verify import (
    SIMILARITY_TOLERANCE,
    Rules,
    Verification,
    least_fraction_right,
    verify_lists,
)
from skylike.progress import SILENT

N, WIDTH, K = 300, 0.5, 20
NONE = np.empty(0, np.int32)


class Sky:
    """Galaxies, their true lists, and the galaxies of a later day."""

    def __init__(self) -> None:
        generator = np.random.default_rng(21)
        self.ids = np.arange(1, N + 1, dtype=np.int32)
        self.vectors = unit_float16(generator.standard_normal((N, 16)))
        self.magnitudes = random_magnitudes(generator, N, missing=20)
        self.lists = self.truth()
        self.long = next(key for key, (ids, _) in self.lists.items() if len(ids) == K)
        self.given = RunInput(self.ids, row_hashes(self.vectors, self.magnitudes), NONE)

    def truth(self) -> dict:
        true = brute_force(self.ids, self.vectors, self.magnitudes, k=K, width=WIDTH)
        return {key: (ids, cosines.astype(np.float32)) for key, (ids, cosines) in true.items()}

    def verify(self, watch: InputWatch | None = None) -> Verification:
        edges = [0, 150, 151, len(self.ids)]
        batches = [(self.ids[a:b], self.vectors[a:b]) for a, b in pairwise(edges)]
        rules = Rules(self.ids, self.magnitudes, WIDTH, K)
        with SILENT.task("test") as task:
            queries = (self.ids, self.vectors)
            return verify_lists(self.lists, queries, batches, rules, task, watch=watch)

    def replace(self, change) -> None:
        ids, similarities = self.lists[self.long]
        self.lists[self.long] = change(ids.copy(), similarities.copy())

    def add(self, number: int, like: int) -> None:
        """Add galaxies that look like another one, and so belong into many lists."""
        row = like - 1
        generator = np.random.default_rng(22)
        close = self.vectors[row] + 0.01 * generator.standard_normal((number, 16))
        self.ids = np.arange(1, len(self.ids) + number + 1, dtype=np.int32)
        self.vectors = np.concatenate([self.vectors, unit_float16(close)])
        self.magnitudes = np.append(self.magnitudes, np.full(number, self.magnitudes[row]))

    def remove(self, galaxy_id: int) -> None:
        left = self.ids != galaxy_id
        self.ids, self.vectors = self.ids[left], self.vectors[left]
        self.magnitudes = self.magnitudes[left]


@pytest.fixture
def sky() -> Sky:
    return Sky()


def test_verify_lists_finds_true_lists_perfect(sky: Sky):
    result = sky.verify()

    assert result.is_perfect
    assert (result.recall, result.current_recall, result.galaxies) == (1, 1, N)
    assert result.neighbors == sum(len(ids) for ids, _ in sky.lists.values())


@pytest.mark.parametrize("rank", [0, 7, K - 1])
def test_verify_lists_counts_a_dropped_neighbor_once(sky: Sky, rank: int):
    sky.replace(lambda ids, similarities: (np.delete(ids, rank), np.delete(similarities, rank)))

    result = sky.verify()

    assert (result.missing, result.order_errors, result.window_violations) == (1, 0, 0)
    assert result.recall == 1 - 1 / result.neighbors
    assert result.wrong_lists == 1


def test_verify_lists_counts_swapped_neighbors(sky: Sky):
    def swap(ids, similarities):
        ids[[3, 4]], similarities[[3, 4]] = ids[[4, 3]], similarities[[4, 3]]
        return ids, similarities

    sky.replace(swap)

    result = sky.verify()

    assert (result.missing, result.order_errors, result.wrong_lists) == (0, 2, 1)
    assert result.similarity_error < SIMILARITY_TOLERANCE


def test_verify_lists_compares_similarities_by_galaxy_where_only_identifiers_are_swapped(sky: Sky):
    ids, similarities = sky.lists[sky.long]
    sky.replace(lambda ids, similarities: (ids[[1, 0, *range(2, K)]], similarities))

    assert sky.verify().similarity_error == pytest.approx(similarities[0] - similarities[1])
    assert ids[0] != ids[1]


def test_verify_lists_counts_a_galaxy_that_takes_the_place_of_a_better_one(sky: Sky):
    everything = brute_force(sky.ids, sky.vectors, sky.magnitudes, k=K + 1, width=WIDTH)
    next_id, next_cosine = (entry[K] for entry in everything[sky.long])
    sky.replace(
        lambda ids, similarities: (
            np.append(ids[:-1], np.int32(next_id)),
            np.append(similarities[:-1], np.float32(next_cosine)),
        )
    )

    result = sky.verify()

    assert (result.missing, result.order_errors, result.window_violations) == (1, 1, 0)


def test_verify_lists_counts_a_list_that_is_too_long(sky: Sky):
    everything = brute_force(sky.ids, sky.vectors, sky.magnitudes, k=K + 1, width=WIDTH)
    ids, cosines = everything[sky.long]
    sky.lists[sky.long] = (ids, cosines.astype(np.float32))

    result = sky.verify()

    assert (result.missing, result.order_errors, result.wrong_lists) == (0, 1, 1)


def outside(sky: Sky) -> int:
    place = sky.long - 1
    return int(sky.ids[np.nanargmax(np.abs(sky.magnitudes - sky.magnitudes[place]))])


INTRUDERS = {
    "outside the window": outside,
    "the galaxy itself": lambda sky: sky.long,
    "not there": lambda _: 1_000_000,
    "negative": lambda _: -1,
    "without magnitude": lambda sky: int(sky.ids[np.isnan(sky.magnitudes)][0]),
    "listed twice": lambda sky: int(sky.lists[sky.long][0][1]),
}


@pytest.mark.parametrize("intruder", INTRUDERS.values(), ids=INTRUDERS.keys())
def test_verify_lists_counts_who_is_no_candidate(sky: Sky, intruder):
    def put_in(ids, similarities):
        ids[5] = intruder(sky)
        return ids, similarities

    sky.replace(put_in)

    result = sky.verify()

    assert (result.window_violations, result.missing) == (1, 1)
    assert result.wrong_lists == 1


@pytest.mark.parametrize("wrong", [1e-2, -1e-2, np.nan, np.inf])
def test_verify_lists_notices_a_wrong_similarity(sky: Sky, wrong: float):
    def spoil(ids, similarities):
        similarities[7] += np.float32(wrong)
        return ids, similarities

    sky.replace(spoil)

    result = sky.verify()

    assert result.similarity_error == pytest.approx(abs(np.nan_to_num(wrong, nan=np.inf)), rel=1e-3)
    assert (result.recall, result.order_errors, result.wrong_lists) == (1, 0, 1)


def test_verify_lists_notices_that_similarities_are_missing(sky: Sky):
    sky.replace(lambda ids, similarities: (ids, similarities[:-1]))

    assert not sky.verify().is_perfect


def test_verify_lists_counts_a_galaxy_without_list(sky: Sky):
    del sky.lists[sky.long]

    result = sky.verify()

    assert (result.missing, result.wrong_lists) == (K, 1)


def test_verify_lists_does_not_blame_a_run_for_galaxies_that_came_later(sky: Sky):
    sky.add(50, like=sky.long)

    watched = sky.verify(InputWatch(sky.given))

    assert sky.verify().recall < 1
    assert watched.is_perfect
    assert watched.galaxies == N
    assert watched.current_recall < 0.9


def test_verify_lists_does_not_blame_a_run_for_galaxies_that_changed_or_went(sky: Sky):
    ids = sky.lists[sky.long][0]
    moved, turned, gone = (int(ids[rank]) for rank in (0, 5, K - 1))
    sky.magnitudes[moved - 1] = sky.magnitudes[moved - 1] + 4
    sky.vectors[turned - 1] = -sky.vectors[turned - 1]
    sky.remove(gone)
    watch = InputWatch(sky.given)

    result = sky.verify(watch)

    stale = watch.staleness()
    assert (stale.new, stale.changed, stale.gone) == (0, 2, 1)
    assert result.is_perfect
    assert result.galaxies == N - 3
    assert result.current_recall < 1


def test_verify_lists_finds_errors_among_the_galaxies_that_stayed(sky: Sky):
    ids = sky.lists[sky.long][0]
    sky.remove(int(ids[3]))
    sky.replace(lambda ids, similarities: (ids[:-1], similarities[:-1]))

    result = sky.verify(InputWatch(sky.given))

    assert (result.missing, result.wrong_lists) == (1, 1)


def test_verify_lists_where_everything_changed_compares_nothing(sky: Sky):
    sky.vectors = sky.vectors[::-1].copy()

    result = sky.verify(InputWatch(sky.given))

    assert (result.galaxies, result.neighbors) == (0, 0)
    assert result.current_recall < 0.5


def test_verify_lists_leaves_out_galaxies_that_lost_their_direction(sky: Sky):
    sky.vectors[sky.long - 1] = 0
    watch = InputWatch(sky.given)

    result = sky.verify(watch)

    assert result.is_perfect
    assert result.galaxies == N - 1
    assert watch.staleness().gone == 1


def test_input_watch_without_hashes_takes_newer_galaxies_for_changed(sky: Sky):
    watch = InputWatch(RunInput(sky.ids[:200], None, sky.ids[10:30]))

    same = watch.see(sky.ids, sky.vectors, sky.magnitudes)

    assert np.flatnonzero(same).tolist() == [*range(10), *range(30, 200)]
    stale = watch.staleness()
    assert (stale.new, stale.changed, stale.gone) == (N - 200, 20, 0)


def test_input_watch_takes_a_galaxy_that_was_only_written_again_for_the_same(sky: Sky):
    watch = InputWatch(sky.given)

    same = watch.see(sky.ids, sky.vectors.copy(), sky.magnitudes.copy())

    assert same.all()
    assert not watch.staleness()


@pytest.mark.parametrize(
    ("sample", "population", "least"),
    [(200, 10**6, 0.98513), (30_000, 10**9, 0.99990), (50, 50, 1.0), (0, 10, 0.0)],
)
def test_least_fraction_right_is_what_a_sample_without_error_proves(sample, population, least):
    assert least_fraction_right(sample, population) == pytest.approx(least, abs=1e-5)


def test_least_fraction_right_leaves_a_chance_of_five_percent():
    bound = least_fraction_right(100, 10**6)

    assert bound**100 == pytest.approx(0.05)
