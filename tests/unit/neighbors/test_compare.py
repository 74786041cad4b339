"""Overlaps of lists, samples of unknown populations, and what a comparison says."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from skylike.neighbors.compare import (
    Comparison,
    Overlap,
    different_settings,
    draw,
    list_overlaps,
)
from skylike.neighbors.compare_report import comparison_json, comparison_lines
from skylike.neighbors.store import NeighborRun


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


@pytest.mark.parametrize(
    ("one", "other", "overlaps"),
    [
        (ids(1, 2, 3, 4), ids(1, 2, 3, 4), [1, 1, 1]),
        (ids(1, 2, 3, 4), ids(4, 3, 2, 1), [0, 0, 1]),
        (ids(1, 2, 3, 4), ids(2, 1, 4, 3), [0, 1, 1]),
        (ids(1, 2, 3, 4), ids(5, 6, 7, 8), [0, 0, 0]),
        (ids(1, 2, 3, 4), ids(1, 9, 2, 3), [1, 0.5, 0.75]),
        (ids(1, 2), ids(1, 2, 3, 4), [1, 1, 0.5]),
        (ids(1, 2), ids(2, 3), [0, 0.5, 0.5]),
        (ids(), ids(), [1, 1, 1]),
        (ids(), ids(7), [0, 0, 0]),
    ],
)
def test_list_overlaps_count_what_both_have_down_to_each_depth(one, other, overlaps):
    assert list_overlaps(one, other, (1, 2, 4)).tolist() == overlaps


def test_list_overlaps_equal_the_definition_for_random_lists():
    generator = np.random.default_rng(81)
    for _ in range(50):
        one, other = (generator.permutation(60)[:40].astype(np.int32) for _ in range(2))
        found = list_overlaps(one, other, (10, 25, 40))
        expected = [len(set(one[:m].tolist()) & set(other[:m].tolist())) / m for m in (10, 25, 40)]
        assert found.tolist() == expected


def test_draw_gives_each_galaxy_the_same_chance_wherever_its_page_is():
    pages = [np.arange(0, 70, dtype=np.int32), np.arange(70, 100, dtype=np.int32)]
    counts = np.zeros(100)
    for seed in range(400):
        drawn, total = draw(pages, size=20, generator=np.random.default_rng(seed))
        assert (len(np.unique(drawn)), total) == (20, 100)
        counts[drawn] += 1

    # 400 draws of 1 in 5: 80 +- 8 each
    assert counts.min() > 40
    assert counts.max() < 120
    assert counts[:70].mean() == pytest.approx(80, abs=2)


@pytest.mark.parametrize("size", [5, 6, 100])
def test_draw_takes_all_where_there_are_no_more(size: int):
    drawn, total = draw([ids(3, 1), ids(9, 5, 7)], size=size, generator=np.random.default_rng(1))

    assert drawn.tolist() == [1, 3, 5, 7, 9]
    assert total == 5


def test_draw_of_nothing_is_nothing():
    drawn, total = draw([], size=5, generator=np.random.default_rng(1))

    assert (len(drawn), total) == (0, 0)


def make_run(run_id: int, **changed: object) -> NeighborRun:
    known: dict[str, object] = dict.fromkeys(NeighborRun.__dataclass_fields__)
    known |= {"run_id": run_id, "encoder": "small", "k": 999, "band": "r", "width": 0.5}
    known |= {"state": "complete", "revision": 0, "started_at": datetime(2026, 1, 1, tzinfo=UTC)}
    known |= {"software": {"skylike": "1.0", "device": "cpu", "shard_galaxies": 8192}}
    return NeighborRun(**(known | changed))


def test_different_settings_name_what_differs_and_only_that():
    one = make_run(1)
    other = make_run(
        2, k=100, band=None, width=None, software={"skylike": "1.1", "numpy": "2", "device": "cpu"}
    )

    settings = different_settings(one, other)

    assert [(each.name, each.first, each.second) for each in settings] == [
        ("k", 999, 100),
        ("band", "r", None),
        ("width", 0.5, None),
        ("numpy", None, "2"),
        ("skylike", "1.0", "1.1"),
    ]
    assert different_settings(one, make_run(3)) == ()


def test_comparison_says_the_same_in_words_and_json():
    first, second = make_run(1), make_run(2, encoder="large")
    found = Comparison(
        first=first,
        second=second,
        common=5000,
        only_first=3,
        only_second=0,
        compared=1000,
        overlaps=(Overlap(10, 0.5, 0.01), Overlap(999, 0.75, 0.0)),
        identical=0.125,
        settings=different_settings(first, second),
    )

    assert comparison_lines(found) == [
        "Run 1 (complete) beside run 2 (complete): 5,000 galaxies in both, 3 only in run 1, "
        "0 only in run 2.",
        "Mean overlap of the lists (1,000 drawn at random):",
        "  first 10     0.5000 +- 0.0100",
        "  first 999    0.7500",
        "  identical    0.1250 of the lists",
        "Different:",
        "  encoder: small / large",
    ]
    told = json.loads(comparison_json(found))
    assert told["overlaps"][0] == {"depth": 10, "mean": 0.5, "standard_error": 0.01}
    assert told["settings"] == [{"name": "encoder", "first": "small", "second": "large"}]
    assert (told["first"]["run"], told["second"]["encoder"]) == (1, "large")
