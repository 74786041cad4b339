"""Parts of a job: i/n as people write it, contiguous, without gaps or overlaps."""

import pytest

from skylike.errors import SettingsError
from skylike.jobs.shares import Cluster, Part, choose_share


@pytest.mark.parametrize(("shards", "parts"), [(10, 3), (3, 10), (1, 1), (64, 8), (0, 2)])
def test_parts_of_any_number_of_shards_are_contiguous_and_hold_each_shard_once(
    shards: int, parts: int
):
    ranges = [Part(number, parts).shards(shards) for number in range(1, parts + 1)]

    assert [shard for part in ranges for shard in part] == list(range(shards))
    sizes = [len(part) for part in ranges]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["3/8", " 3 / 8 "])
def test_part_is_read_as_people_write_it(text: str):
    assert Part.parse(text) == Part(3, 8)


@pytest.mark.parametrize(
    "text", ["", "3", "0/8", "9/8", "3/0", "-1/8", "3/8/9", "a/b", "1.5/3", "/8", "3/", "²/8"]
)
def test_part_that_is_none_is_refused(text: str):
    with pytest.raises(SettingsError, match=r"use i/n with 1 <= i <= n, such as 3/8"):
        Part.parse(text)


def test_share_is_a_part_or_a_cluster_or_nothing_but_not_both():
    assert choose_share("2/4", None) == Part(2, 4)
    assert choose_share(None, "tcp://host:8786") == Cluster("tcp://host:8786")
    assert choose_share(None, None) is None
    with pytest.raises(SettingsError, match="exclude each other"):
        choose_share("2/4", "tcp://host:8786")
