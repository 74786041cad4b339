"""The magnitude window beside the full search, on arrays."""

import numpy as np
import pytest

from neighbor_factory import brute_force, random_magnitudes, unit_float16
from skylike.errors import SettingsError
from skylike.evaluation.cosines import nearest_places, unit_rows
from skylike.evaluation.window import WindowOptions
from skylike.evaluation.window_overlaps import (
    Averages,
    by_magnitude,
    candidate_shares,
    run_overlaps,
    window_overlaps,
)
from skylike.neighbors.verify import Rules
from skylike.progress import SILENT


def nearest(vectors, ids, places, *, k, batch=7):
    """Search batch after batch, in an order that is not that of the identifiers."""
    order = np.random.default_rng(3).permutation(len(ids))
    batches = [
        (ids[order[i : i + batch]], vectors[order[i : i + batch]])
        for i in range(0, len(ids), batch)
    ]
    with SILENT.task("x") as task:
        return nearest_places(unit_rows(vectors[places]), places, batches, ids, k=k, task=task)


def rules(ids, magnitudes, width=0.5):
    return Rules(ids, np.array(magnitudes, np.float32), width, 10)


def test_nearest_places_equal_a_brute_force_in_numpy():
    random = np.random.default_rng(1)
    vectors = unit_float16(random.normal(size=(120, 8)))
    vectors[40:60] = vectors[20:40]  # ties, which the identifier decides
    ids = np.sort(random.choice(10_000, 120, replace=False)).astype(np.int32)
    truth = brute_force(ids, vectors, np.zeros(120, np.float32), k=15, width=None)

    found = nearest(vectors, ids, np.arange(120), k=15)

    for row, galaxy_id in enumerate(ids):
        assert ids[found[row]].tolist() == truth[int(galaxy_id)][0].tolist()


def test_nearest_places_pass_over_zero_vectors_and_end_where_there_are_no_more():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 0], [0, 1]], np.float16)

    found = nearest(vectors, np.array([1, 2, 3, 4], np.int32), np.array([0]), k=5)

    assert found.tolist() == [[1, 3, -1, -1, -1]]


def test_overlap_counts_what_the_window_keeps_of_the_first_k_edges_included():
    ids = np.array([10, 20, 30, 40, 50], np.int32)
    own = rules(ids, [18.0, 18.5, 18.6, 17.5, np.nan])
    full = np.array([[1, 2, 3, 4]])  # of galaxy 10: inside, outside, inside, outside

    shares = window_overlaps(full, np.array([0]), own, [1, 2, 3, 4, 999])

    assert shares.tolist() == [[1.0, 0.5, 2 / 3, 0.5, 0.5]]


def test_galaxies_without_a_magnitude_keep_each_other_only():
    ids = np.array([10, 20, 30], np.int32)
    own = rules(ids, [np.nan, np.nan, 18.0])

    shares = window_overlaps(np.array([[1, 2]]), np.array([0]), own, [1, 2])

    assert shares.tolist() == [[1.0, 0.5]]


def test_overlap_equals_that_of_lists_by_brute_force():
    random = np.random.default_rng(2)
    vectors = unit_float16(random.normal(size=(200, 6)))
    magnitudes = random_magnitudes(random, 200, missing=9)
    ids = np.arange(1, 201, dtype=np.int32)
    whole = brute_force(ids, vectors, magnitudes, k=199, width=None)
    windowed = brute_force(ids, vectors, magnitudes, k=199, width=0.5)

    full = nearest(vectors, ids, np.arange(200), k=199)
    shares = window_overlaps(full, np.arange(200), rules(ids, magnitudes), [5, 50])

    for row, galaxy_id in enumerate(ids.tolist()):
        for place, k in enumerate((5, 50)):
            common = np.intersect1d(whole[galaxy_id][0][:k], windowed[galaxy_id][0][:k])
            assert shares[row, place] == pytest.approx(len(common) / k)


def test_overlap_of_random_vectors_is_that_by_chance():
    random = np.random.default_rng(4)
    vectors = unit_float16(random.normal(size=(1500, 32)))
    magnitudes = random_magnitudes(random, 1500)
    ids = np.arange(1, 1501, dtype=np.int32)

    full = nearest(vectors, ids, np.arange(300), k=100, batch=512)
    shares = window_overlaps(full, np.arange(300), rules(ids, magnitudes), [100])

    assert shares.mean() == pytest.approx(
        candidate_shares(ids, magnitudes, 0.5)[:300].mean(), abs=0.01
    )


def test_candidate_shares_count_others_in_the_window():
    magnitudes = np.array([18.0, 18.5, 19.5, np.nan, np.nan], np.float32)

    shares = candidate_shares(np.arange(5, dtype=np.int32), magnitudes, 0.5)

    assert shares.tolist() == [0.25, 0.25, 0.0, 0.25, 0.25]


def test_stored_lists_are_compared_down_to_each_depth_and_missing_ones_left_out():
    ids = np.array([10, 20, 30, 40], np.int32)
    lists = {10: np.array([20, 40, 30], np.int32)}

    shares = run_overlaps(
        np.array([[1, 2, 3], [0, 2, 3]]), ids[:2], rules(ids, [18] * 4), lists, [1, 2, 3]
    )

    assert shares[0].tolist() == [1.0, 0.5, 1.0]
    assert np.isnan(shares[1]).all()


def test_bins_hold_whole_magnitudes_and_those_without_one():
    shares = np.array([[1.0], [0.5], [0.0], [0.25]])
    averages = Averages((10,), shares, None, np.full(4, 0.1), seed=0)

    bins = by_magnitude(np.array([17.0, 17.9, 18.0, np.nan], np.float32), averages)

    assert [(b.low, b.high, b.n) for b in bins] == [(17, 18, 2), (18, 19, 1), (None, None, 1)]
    assert [b.overlaps[0].overlap.value for b in bins] == [0.75, 0.0, 0.25]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": (0, 10)}, "use ranks from 1"),
        ({"band": "w1"}, "band 'w1' is unknown"),
        ({"width": float("nan")}, "window width nan"),
        ({"sample": 0}, "a sample of 0"),
        ({"among": 10}, "less than 2 or than the sample of 1000"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_options_out_of_range_are_refused(options, said):
    with pytest.raises(SettingsError, match=said):
        WindowOptions(**options)
