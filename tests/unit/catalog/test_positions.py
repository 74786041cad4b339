import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from skylike.catalog.positions import read_positions
from skylike.errors import SurveyFileError


def test_right_ascensions_are_wrapped_into_one_turn():
    ra = np.ma.array([-30.0, 360.0, -1e-20, 359.9])

    positions = read_positions(ra, np.ma.zeros(4))

    assert positions.ra.tolist() == [330.0, 0.0, 0.0, 359.9]


def test_impossible_positions_are_told_apart():
    ra = np.ma.array([np.nan, 10.0, 10.0, 361.0, 10.0], mask=[0, 0, 0, 0, 1])
    dec = np.ma.array([0.0, np.inf, -99.0, 0.0, 0.0])

    positions = read_positions(ra, dec)

    assert positions.is_missing.tolist() == [True, True, False, False, True]
    assert positions.is_off_sky.tolist() == [False, False, True, True, False]


def test_sexagesimal_text_agrees_with_astropy():
    ra = ["12:34:56.7", "00h00m01.5s", "23 59 59.99"]
    dec = ["-00:30:00", "+89d59m59s", "-45 00 01.5"]
    expected = SkyCoord(ra, dec, unit=("hourangle", "deg"))

    positions = read_positions(np.ma.array(ra), np.ma.array(dec))

    np.testing.assert_allclose(positions.ra, expected.ra.deg, rtol=0, atol=1e-12)
    np.testing.assert_allclose(positions.dec, expected.dec.deg, rtol=0, atol=1e-12)


def test_hours_and_radians_are_converted():
    positions = read_positions(
        np.ma.array([2.0]), np.ma.array([np.pi / 4]), ra_unit="hourangle", dec_unit="rad"
    )

    assert positions.ra[0] == 30.0
    assert positions.dec[0] == pytest.approx(45.0)


def test_minutes_beyond_sixty_are_no_position():
    positions = read_positions(np.ma.array(["10:75:00"]), np.ma.array(["10:00:00"]))

    assert positions.is_missing.all()


def test_a_unit_that_is_no_angle_is_refused():
    with pytest.raises(SurveyFileError, match="'kg'"):
        read_positions(np.ma.array([1.0]), np.ma.array([1.0]), ra_unit="kg")
