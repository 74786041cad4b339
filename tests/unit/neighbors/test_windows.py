"""Magnitude windows, tiles and shards."""

import numpy as np
import pytest

from neighbor_factory import random_magnitudes
from skylike.errors import SettingsError
from skylike.neighbors.engine.windows import (
    cut_shards,
    cut_tiles,
    magnitude_windows,
    order_by_magnitude,
)


@pytest.mark.parametrize("width", [0.0, 0.1, 0.3, 0.5, 1.7])
def test_magnitude_windows_equal_the_rule_applied_to_every_pair(width: float):
    generator = np.random.default_rng(1)
    # Tenths of magnitudes: many pairs differ by exactly the width, or by it but for the rounding.
    magnitudes = np.sort(np.round(generator.uniform(14, 20, 400), 1).astype(np.float32))

    windows = magnitude_windows(magnitudes, width)

    wide = magnitudes.astype(np.float64)
    inside = np.abs(wide[:, None] - wide[None, :]) <= width
    places = np.arange(400)
    found = (places >= windows.start[:, None]) & (places < windows.stop[:, None])
    assert np.array_equal(found, inside)


def test_magnitude_windows_hold_a_pair_exactly_as_wide_as_the_window():
    magnitudes = np.array([17.0, 17.5, 18.0, 18.000002], np.float32)

    windows = magnitude_windows(magnitudes, 0.5)

    assert windows.start.tolist() == [0, 0, 1, 2]
    assert windows.stop.tolist() == [2, 3, 4, 4]


def test_magnitude_windows_compare_galaxies_without_magnitude_with_each_other_only():
    magnitudes = np.array([17.0, 17.1, np.nan, np.nan], np.float32)

    windows = magnitude_windows(magnitudes, 0.5)

    assert windows.start.tolist() == [0, 0, 2, 2]
    assert windows.stop.tolist() == [2, 2, 4, 4]


def test_order_by_magnitude_puts_equal_ones_by_identifier_and_unknown_ones_last():
    ids = np.array([9, 4, 7, 2, 5], np.int32)
    magnitudes = np.array([18.0, 18.0, np.nan, 17.0, np.inf], np.float32)

    order = order_by_magnitude(ids, magnitudes)

    assert ids[order].tolist() == [2, 4, 9, 5, 7]


@pytest.mark.parametrize("width", [-0.1, np.nan, np.inf])
def test_magnitude_windows_refuse_a_width_that_is_no_distance(width: float):
    with pytest.raises(SettingsError, match="window width"):
        magnitude_windows(np.array([17.0], np.float32), width)


def test_cut_tiles_covers_all_rows_and_shrinks_where_windows_move_fast():
    magnitudes = np.sort(random_magnitudes(np.random.default_rng(2), 200_000))
    windows = magnitude_windows(magnitudes, 0.05)

    tiles = list(cut_tiles(windows, 0, len(windows), rows=4096))

    assert [first for first, _ in tiles[1:]] == [last for _, last in tiles[:-1]]
    assert (tiles[0][0], tiles[-1][1]) == (0, 200_000)
    sizes = [last - first for first, last in tiles]
    assert sizes[0] < max(sizes)


def test_cut_shards_gives_equal_work_not_equal_rows():
    magnitudes = np.sort(random_magnitudes(np.random.default_rng(3), 100_000))
    windows = magnitude_windows(magnitudes, 0.5)
    pairs = int((windows.stop - windows.start).sum())

    bounds = cut_shards(windows, galaxies=100_000, pairs=pairs // 10)

    work = np.add.reduceat(windows.stop - windows.start + 1000, bounds[:-1])
    assert (bounds[0], bounds[-1]) == (0, 100_000)
    assert work.max() / work.min() < 1.05
    assert np.diff(bounds).max() / np.diff(bounds).min() > 1.5


def test_cut_shards_never_exceeds_the_number_of_galaxies():
    windows = magnitude_windows(np.linspace(10, 20, 1001, dtype=np.float32), 0.0)

    bounds = cut_shards(windows, galaxies=100, pairs=10**12)

    assert np.diff(bounds).max() <= 100
    assert np.diff(bounds).sum() == 1001


def test_cut_shards_loses_no_galaxy_where_one_window_is_most_of_the_work():
    # The paper's script drops the last chunk where a window ends on a chunk's edge.
    magnitudes = np.concatenate([np.full(3, 12.0), np.full(64, 19.0)]).astype(np.float32)

    bounds = cut_shards(magnitude_windows(magnitudes, 0.5), galaxies=32, pairs=100)

    assert bounds[0] == 0
    assert bounds[-1] == 67
    assert (np.diff(bounds) > 0).all()
