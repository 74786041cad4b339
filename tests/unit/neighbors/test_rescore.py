"""Float64 similarities of pairs, however many each row has."""

import numpy as np
import pytest

from neighbor_factory import random_magnitudes, stage_in_memory, unit_float16
from skylike.neighbors.engine.candidates import Candidates
from skylike.neighbors.engine.rescore import pair_cosines, settle


@pytest.mark.parametrize(
    "counts", [[1] * 100, [0, 200, 0, 1, 31, 33, 0], [32, 32, 64], [0, 0]], ids=str
)
def test_pair_cosines_equal_float64_whatever_the_pairs_of_a_row(counts: list[int]):
    generator = np.random.default_rng(61)
    vectors = unit_float16(generator.standard_normal((300, 24)))
    vectors[5] = np.float16(6e-8)  # the smallest there is
    staged = stage_in_memory(vectors, random_magnitudes(generator, 300))
    rows = np.sort(generator.choice(300, len(counts), replace=False))
    row = np.repeat(np.arange(len(counts)), counts)
    place = generator.integers(0, 300, len(row))

    found = pair_cosines(staged, rows, row, place)

    exact = staged.vectors.astype(np.float64)
    dots = np.array([exact[rows[r]] @ exact[p] for r, p in zip(row, place, strict=True)])
    assert np.array_equal(found, dots / (staged.norms[place] * staged.norms[rows[row]]))


def test_settle_orders_what_scores_leave_open_and_cuts_ties_by_identifier():
    vectors = unit_float16(np.array([[1.0, 0, 0], [3, 1, 0], [3, 0, 1], [3, -1, 0], [0, 0, 1]]))
    staged = stage_in_memory(vectors, np.full(5, 18.0, np.float32), np.array([1, 9, 7, 8, 2]))
    place = {galaxy_id: at for at, galaxy_id in enumerate(staged.galaxy_ids.tolist())}
    rows = np.array([place[1]])
    z = staged.vectors / staged.norms[:, None] - staged.center
    half_squares = ((z**2).sum(axis=1) / 2).astype(np.float32)
    scores = (z[rows] @ z.T - half_squares).astype(np.float32)[0]
    given = np.array([[place[9], place[8], place[7], place[2]]])  # ties in the wrong order

    settled = settle(
        Candidates(rows, given, scores[given], np.full(1, -np.inf, np.float32)),
        staged,
        half_squares=half_squares,
        k=2,
        roundoffs=16.0,
    )

    assert settled.bound_holds
    assert not settled.incomplete.any()
    assert staged.galaxy_ids[settled.lists.positions].tolist() == [7, 8]
    assert settled.lists.lengths.tolist() == [2]
