import numpy as np

from skylike.images.link import _first_within

ARCSEC = 1 / 3600


def test_positions_within_an_arcsecond_stand_for_the_first_of_them():
    ra = np.array([10.0, 50.0, 10.0, 10.0, 50.0])
    dec = np.array([0.0, 1.0, 0.6 * ARCSEC, 3 * ARCSEC, 1.0])

    assert _first_within(ra, dec).tolist() == [0, 1, 0, 3, 1]


def test_close_pairs_make_no_chain():
    dec = np.array([0.0, 0.8, 1.6]) * ARCSEC

    assert _first_within(np.full(3, 10.0), dec).tolist() == [0, 0, 2]


def test_positions_meet_across_zero():
    ra = np.array([360 - 0.2 * ARCSEC, 0.2 * ARCSEC])

    assert _first_within(ra, np.zeros(2)).tolist() == [0, 0]


def test_a_position_shared_by_very_many_costs_no_pairs():
    # Their 5e9 pairs would need 80 GB.
    assert (_first_within(np.zeros(100_000), np.zeros(100_000)) == 0).all()


def test_no_position_is_none():
    assert len(_first_within(np.empty(0), np.empty(0))) == 0
