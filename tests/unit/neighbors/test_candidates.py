"""Selection beside a full sort: whatever the guess of the k-th best does, nothing is lost."""

import numpy as np
import pytest

from neighbor_factory import brute_force, random_magnitudes, search, stage_in_memory, unit_float16
from skylike.neighbors.engine import candidates
from skylike.neighbors.engine.candidates import Candidates, join, lowest_needed, select

K = 300
Q, WIDTH = 24, 4000
ROUNDOFFS = 16.0
HALF_SQUARES = np.full(Q, 0.4, np.float32)
POSITIONS = np.arange(10_000, 10_000 + WIDTH)


def chosen(scores: np.ndarray, positions: np.ndarray = POSITIONS, **options) -> Candidates:
    return select(
        scores,
        positions,
        rows=np.arange(len(scores)),
        half_squares=HALF_SQUARES,
        k=K,
        roundoffs=ROUNDOFFS,
        **options,
    )


def assert_all_needed_are_there(found: Candidates, scores: np.ndarray) -> None:
    """Check order, that each score is its place's, and that no needed place is missing."""
    best = -np.sort(-scores, axis=1)
    needed = lowest_needed(best[:, K - 1], HALF_SQUARES, roundoffs=ROUNDOFFS)
    assert found.scores.shape[1] == max(K, (scores >= needed[:, None]).sum(axis=1).max())
    for row, own in enumerate(scores):
        places = found.positions[row][found.positions[row] >= 0]
        assert len(np.unique(places)) == len(places)
        assert np.array_equal(found.scores[row, : len(places)], own[places - POSITIONS[0]])
        assert (found.scores[row, len(places) :] == -np.inf).all()
        assert np.array_equal(found.scores[row, : len(places)], best[row, : len(places)])
        assert np.isin(POSITIONS[own >= needed[row]], places).all()


def random_scores(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(-0.2, 0.1, (Q, WIDTH)).astype(np.float32)


def test_select_equals_a_full_sort_for_scores_of_both_signs_and_zeros():
    scores = random_scores(1)
    scores[:, ::7] = -scores[:, ::7]
    scores[0, :500], scores[1, :500] = 0.0, -0.0
    scores[1, 1:500:2] = 0.0
    scores[2] = -np.abs(scores[2])

    assert_all_needed_are_there(chosen(scores), scores)


def test_select_loses_nothing_where_the_sampled_columns_hold_the_best():
    # Of every other row: there the guess is far too high.
    scores = random_scores(2)
    stride = K // candidates.SAMPLED_RANK
    assert stride > 1
    scores[1::2, ::stride] += 5.0
    scores[1::2, stride * (K - 10) :: stride] -= 5.0
    below = candidates._guess_kth(scores, K) <= -np.sort(-scores, axis=1)[:, K - 1]
    assert below[::2].all()
    assert not below[1::2].any()

    assert_all_needed_are_there(chosen(scores), scores)


def test_select_loses_nothing_where_the_guess_is_too_high_by_less_than_the_error():
    scores = np.full((Q, WIDTH), -3.0, np.float32)
    stride = K // candidates.SAMPLED_RANK
    scores[:, ::stride][:, : K - 10] = 0.1
    scores[:, 1::stride][:, :30] = np.float32(0.1) - np.spacing(np.float32(0.1))
    scores[:, 1::stride][:, 30:60] = np.float32(0.1) - 20 * np.spacing(np.float32(0.1))

    found = chosen(scores)

    assert candidates._guess_kth(scores, K)[0] > np.sort(scores[0])[-K]
    assert (found.positions >= 0).sum(axis=1).tolist() == [K - 10 + 60] * Q
    assert_all_needed_are_there(found, scores)


def test_select_keeps_every_tie_of_the_last_rank():
    scores = random_scores(3)
    scores[:, 100:900] = scores.max() + 1  # more than k copies
    scores[1] = 0.25

    found = chosen(scores)

    assert (found.positions[0] >= 0).sum() == 800
    assert (found.positions[1] >= 0).sum() == WIDTH
    assert found.positions[1].tolist() == POSITIONS.tolist()


def test_select_gives_short_rows_where_there_are_fewer_than_k():
    scores = random_scores(4)
    scores[0, 5:] = -np.inf
    scores[1] = -np.inf
    scores[2, K:] = -np.inf

    found = chosen(scores)

    assert (found.positions >= 0).sum(axis=1)[:3].tolist() == [5, 0, K]
    assert_all_needed_are_there(found, scores)


@pytest.mark.parametrize("width", [1, K - 1, K, K + 1])
def test_select_takes_few_columns(width: int):
    scores = random_scores(5)[:, :width].copy()

    found = chosen(scores, POSITIONS[:width])

    assert np.array_equal(found.scores[:, :K], -np.sort(-scores, axis=1)[:, :K])


def test_select_block_by_block_with_a_rising_floor_equals_one_block():
    scores = random_scores(6)
    scores[:, 990:1010] = scores[:, :1]  # ties across two blocks
    scores[3, :3000] = -np.inf  # the k-th best is known late
    found: Candidates | None = None
    for first in range(0, WIDTH, 1000):
        part = slice(first, first + 1000)
        if found is None:
            found = chosen(scores[:, part].copy(), POSITIONS[part])
            continue
        floor = lowest_needed(found.kth_best(K), HALF_SQUARES, roundoffs=ROUNDOFFS)
        here = chosen(scores[:, part].copy(), POSITIONS[part], floor=floor)
        found = chosen(*join(found, here), floor=floor)

    assert found is not None
    assert_all_needed_are_there(found, scores)
    assert np.array_equal(found.scores, chosen(scores).scores)


@pytest.mark.parametrize("blocks", [{}, {"tile_rows": 70, "memory_bytes": 48 * 4 * 200}])
def test_search_equals_brute_force_where_the_kth_best_is_guessed(blocks: dict, monkeypatch):
    monkeypatch.setattr(candidates, "SAMPLED_RANK", 5)
    monkeypatch.setattr(candidates, "SAMPLING_SIGMAS", 0.5)  # a third of the guesses fail
    generator = np.random.default_rng(7)
    vectors = generator.standard_normal((900, 48))
    vectors[200:320] = vectors[200]
    staged = stage_in_memory(unit_float16(vectors), random_magnitudes(generator, 900, missing=40))
    options = {"score_bytes": 1, **blocks} if blocks else {}

    found = search(staged, width=0.5, k=60, engine="product", **options)

    truth = brute_force(staged.galaxy_ids, staged.vectors, staged.magnitudes, k=60, width=0.5)
    assert {key: ids.tolist() for key, (ids, _) in found.items()} == {
        key: ids.tolist() for key, (ids, _) in truth.items()
    }
