import numpy as np
import pytest

from skylike.errors import SettingsError
from skylike.labels.sky_groups import group_positions, hash_fractions, smallest_of_group
from skylike.labels.splits import assign_splits, parse_splits, split_names


def test_splits_when_written_as_fractions_then_are_read():
    assert parse_splits("0.8, 0.1,0.1") == (0.8, 0.1, 0.1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.8,0.1", "sums to 0.9"),
        ("1", "2 to 20 parts"),
        ("0.5,-0.5,1", "not above 0"),
        ("0.5,nan", "not above 0"),
        ("half,half", "not understood"),
        ("", "not understood"),
        (",".join(["0.025"] * 40), "2 to 20 parts"),
    ],
)
def test_splits_when_they_are_none_then_are_refused(text: str, reason: str):
    with pytest.raises(SettingsError, match=reason):
        parse_splits(text)


def test_split_names_when_counted_then_are_those_in_use():
    assert split_names(2) == ("train", "test")
    assert split_names(3) == ("train", "validation", "test")
    assert split_names(4)[3] == "split4"


def test_hash_when_asked_again_then_is_the_same_number():
    # Written down: another number would move galaxies of training sets that exist.
    assert hash_fractions(["test/1"], seed=0)[0] == pytest.approx(0.792832436395037, abs=1e-15)
    assert hash_fractions(["test/1"], seed=0)[0] != hash_fractions(["test/1"], seed=1)[0]


def test_splits_when_there_are_many_then_sizes_follow_the_fractions():
    hashed = hash_fractions(map(str, range(20_000)), seed=0)
    splits = assign_splits(hashed, (0.8, 0.1, 0.1))

    assert (hashed >= 0).all()
    assert (hashed < 1).all()
    for name, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert (splits == name).mean() == pytest.approx(share, abs=0.01)


def test_groups_when_close_pairs_form_a_chain_then_are_one():
    step = 20 / 3600
    ra = np.array([10.0, 10.0 + step, 10.0 + 2 * step, 10.1, 359.9999, 0.0001])

    groups = group_positions(ra, np.zeros(6), within_arcsec=25.152)

    assert groups[0] == groups[1] == groups[2]
    assert groups[4] == groups[5]  # across right ascension 0
    assert len(set(groups.tolist())) == 3


def test_groups_when_exactly_so_far_apart_then_are_two():
    groups = group_positions(np.zeros(2), np.array([0.0, 25.152 / 3600]), within_arcsec=25.15)

    assert groups[0] != groups[1]


def test_groups_when_nothing_belongs_together_then_each_is_alone():
    groups = group_positions(np.zeros(3), np.zeros(3), within_arcsec=0)

    assert sorted(groups.tolist()) == [0, 1, 2]


def test_name_of_a_group_when_it_has_several_galaxies_then_is_the_smallest():
    assert smallest_of_group(["c", "a", "b"], np.array([0, 1, 0])) == ["b", "a", "b"]
