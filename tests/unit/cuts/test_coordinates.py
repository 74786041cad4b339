"""Positions, angles and cones as people type them."""

import pytest

from skylike.cuts.coordinates import (
    Box,
    Position,
    check_box,
    parse_angle,
    parse_cone,
    parse_declination,
    parse_position,
    parse_right_ascension,
)
from skylike.errors import CoordinateError


@pytest.mark.parametrize(
    ("text", "ra", "dec"),
    [
        ("199.33 20.64", 199.33, 20.64),
        ("199.33,20.64", 199.33, 20.64),
        ("  199.33 ,  -20.64 ", 199.33, -20.64),
        ("199.33d 20.6d", 199.33, 20.6),
        ("199.33 deg -20.6 deg", 199.33, -20.6),
        ("13:29:52.7 +47:11:43", 202.4695833333, 47.1952777778),
        ("13:29:52.7+47:11:43", 202.4695833333, 47.1952777778),
        ("13 29 52.7 -47 11 43", 202.4695833333, -47.1952777778),
        ("13h29m52.7s +47d11m43s", 202.4695833333, 47.1952777778),
        ("13h 29m 52.7s, \N{MINUS SIGN}47° 11\u2032 43\u2033", 202.4695833333, -47.1952777778),
        ("00:42:44 -00:30:00", 10.6833333333, -0.5),
        ("12:00 -00:00:36", 180.0, -0.01),
        ("0 -90", 0.0, -90.0),
        ("199.33 deg 20.6 deg", 199.33, 20.6),
        ("13h29m +47d11m", 202.25, 47.1833333333),
        ("13.5h -20.5d", 202.5, -20.5),
        ("13.5 hours, -20.5 deg", 202.5, -20.5),
        ("202d30m 600 arcmin", 202.5, 10.0),
        ("3.2 rad -0.1 rad", 183.346494441863, -5.7295779513),
    ],
)
def test_parse_position_when_understood_then_gives_degrees(text: str, ra: float, dec: float):
    position = parse_position(text)

    assert position.ra == pytest.approx(ra, abs=1e-9)
    assert position.dec == pytest.approx(dec, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not understood; write right ascension"),
        ("199.33", "not understood"),
        ("M 51", "not understood"),
        ("1 2 3", "not understood"),
        ("nan 20", "not understood"),
        ("360 20", "right ascension 360 is not within 0 to 360"),
        ("-0.1 20", "right ascension"),
        ("1e400 20", "right ascension inf"),
        ("10 90.001", "declination 90.001"),
        ("24:00:01 10:00:00", "out of range|right ascension"),
        ("12:60:00 10:00:00", "out of range"),
        ("12:00:60 10:00:00", "out of range"),
        ("12:00:00 90:00:01", "declination"),
        ("12:00:00 10.5", "could be hours or degrees"),
        ("12.5 +10:30:00", "could be hours or degrees"),
        ("13h29m 10.5", "two notations"),
        ("13:29:52 +10d30m", "two notations"),
        ("199.33 +20d38m", "two notations"),
        ("13h60m +10d", "out of range"),
        ("7 rad 0 rad", "right ascension 401"),
        ("10 h 20 h", "not understood"),
        ("l=361 b=0", "l must be within 0 to 360"),
        ("l=10", "not understood"),
    ],
)
def test_parse_position_when_not_understood_or_impossible_then_says_why(text: str, reason: str):
    with pytest.raises(CoordinateError, match=reason):
        parse_position(text)


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("10 deg", 10),
        ("10deg", 10),
        ("30'", 0.5),
        ("36 arcsec", 0.01),
        ('36"', 0.01),
        ("2", 2),
        ("0.1 rad", 5.729578),
    ],
)
def test_parse_angle_when_understood_then_gives_degrees(text: str, degrees: float):
    assert parse_angle(text, "deg") == pytest.approx(degrees)


def test_parse_angle_when_a_plain_number_then_takes_the_default_unit():
    assert parse_angle("36", "arcsec") == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("199.33", 199.33),
        ("13:30:00", 202.5),
        ("13 30 00", 202.5),
        ("13h30m", 202.5),
        ("13.5 h", 202.5),
        ("202d30m", 202.5),
        ("3.2 rad", 183.3464944186),
        ("12150 arcmin", 202.5),
    ],
)
def test_parse_right_ascension_when_alone_then_gives_degrees(text: str, degrees: float):
    assert parse_right_ascension(text) == pytest.approx(degrees)


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("-20.5", -20.5),
        ("-20:30", -20.5),
        ("\N{MINUS SIGN}20 30 00", -20.5),
        ("- 20d30m", -20.5),
        ("-0.1 rad", -5.7295779513),
    ],
)
def test_parse_declination_when_alone_then_gives_degrees(text: str, degrees: float):
    assert parse_declination(text) == pytest.approx(degrees)


@pytest.mark.parametrize("text", ["", "ten", "13h", "1 2", "1e999", "nan", "+-3"])
def test_parse_declination_when_not_understood_then_says_so(text: str):
    with pytest.raises(CoordinateError, match=r"the declination .* is not understood"):
        parse_declination(text)


@pytest.mark.parametrize(
    ("text", "ra", "dec"),
    [
        # The center and the north pole of the Galaxy.
        ("l=0 b=0", 266.404988, -28.936178),
        ("L = 45 deg, B = 90 deg", 192.859480, 27.128250),
    ],
)
def test_parse_position_when_galactic_then_gives_icrs(text: str, ra: float, dec: float):
    position = parse_position(text)

    assert (position.ra, position.dec) == pytest.approx((ra, dec), abs=3e-6)


def test_parse_position_when_a_range_may_end_at_360_then_keeps_it():
    assert parse_position("360 5", full_circle=True) == Position(360, 5)


def test_check_box_when_it_ends_at_360_then_holds_right_ascension_0():
    assert check_box(350, 360, -1, 1) == Box(350, 0, -1, 1)
    assert check_box(0, 360, -1, 1) == Box(0, 360, -1, 1)
    assert check_box(360, 10, -1, 1) == Box(0, 10, -1, 1)


@pytest.mark.parametrize("text", ["", "deg", "5 parsec", "1e999 deg", "10 m", "ten deg"])
def test_parse_angle_when_not_an_angle_then_is_refused(text: str):
    with pytest.raises(CoordinateError, match="not understood"):
        parse_angle(text, "deg")


@pytest.mark.parametrize(
    ("text", "radius"),
    [
        ("202.4695833333 47.1952777778 10", 10),
        ("202.4695833333,47.1952777778,10 deg", 10),
        ("13:29:52.7 +47:11:43 6 arcmin", 0.1),
        ("13 29 52.7 +47 11 43 0.1", 0.1),
        ("13h29m52.7s +47d11m43s 6'", 0.1),
    ],
)
def test_parse_cone_when_understood_then_splits_center_and_radius(text: str, radius: float):
    cone = parse_cone(text)

    assert (cone.ra, cone.dec) == pytest.approx((202.4695833333, 47.1952777778), abs=1e-9)
    assert cone.radius == pytest.approx(radius)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("150 2.2", "write 'RA DEC RADIUS'"),
        ("150 2.2 0", "radius 0 deg is impossible"),
        ("150 2.2 -1", "radius -1 deg is impossible"),
        ("150 2.2 181 deg", "radius 181 deg is impossible"),
        ("150 2.2 5 parsec", "angle '5 parsec'"),
        ("150 95 1", "declination 95"),
    ],
)
def test_parse_cone_when_impossible_then_says_why(text: str, reason: str):
    with pytest.raises(CoordinateError, match=reason):
        parse_cone(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("188.410030906 +26.8002608739 4", "4 deg around 188.41003 +26.80026"),
        ("0 -0.5 10 arcmin", "10 arcmin around 0 -0.5"),
        ("120 90 1.5 arcsec", "1.5 arcsec around 120 +90"),
    ],
)
def test_short_cone_when_formatted_then_is_rounded_with_a_fitting_unit(text: str, said: str):
    assert f"{parse_cone(text):short}" == said


def test_cone_when_printed_then_is_in_full():
    cone = parse_cone("188.410030906 +26.8002608739 4")

    assert parse_cone(f"{cone}") == cone
