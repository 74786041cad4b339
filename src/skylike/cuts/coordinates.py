"""Positions, boxes and cones as people type them, to degrees (ICRS)."""

import re
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from skylike.cuts.angles import (
    COLONS,
    DEC_WITH_UNIT,
    NUMBER,
    RA_WITH_UNIT,
    SPACES,
    degrees_with_unit,
    parse_angle,
    parse_declination,
    parse_right_ascension,
    plain,
    said_angle,
    sexagesimal,
)
from skylike.errors import CoordinateError

__all__ = [
    "Box",
    "Cone",
    "Position",
    "check_box",
    "check_cone",
    "check_position",
    "parse_angle",
    "parse_cone",
    "parse_declination",
    "parse_position",
    "parse_right_ascension",
    "said_angle",
]

_GAP = r"(?: *, *| +| *(?=[+-]))"
_SIGN = r"[+-]? ?"
_DEG = r"(?: *(?:deg|d|°))?"
_DECIMAL = re.compile(rf"({NUMBER}){_DEG}(?: *, *| +)({NUMBER}){_DEG}")
_SEXAGESIMAL = (
    re.compile(rf"({COLONS}){_GAP}({_SIGN}{COLONS})"),
    re.compile(rf"({SPACES}){_GAP}({_SIGN}{SPACES})"),
)
_WITH_UNITS = re.compile(rf"({RA_WITH_UNIT}){_GAP}({DEC_WITH_UNIT})")
_GALACTIC = re.compile(rf"l *= *({NUMBER}){_DEG}(?: *, *| +)b *= *({NUMBER}){_DEG}")
_RA = rf"{NUMBER}|{COLONS}|{RA_WITH_UNIT}"
_DEC = rf"{NUMBER}|{_SIGN}{COLONS}|{DEC_WITH_UNIT}"
_TWO_NOTATIONS = re.compile(rf"(?:{_RA}){_GAP}(?:{_DEC})")
_ACCEPTED: Final = (
    "write right ascension and declination as '199.33 20.64' (degrees), '13:29:52.7 +47:11:43'"
    " (hours, degrees) or '13h29m52.7s +47d11m43s'"
)

_NUMBER_ALONE = re.compile(rf"{NUMBER}{_DEG}")
_CONE = re.compile(rf"(.+?)(?: *, *| +)({NUMBER} *[a-zA-Z°'\"\u2032\u2033]*)")


@dataclass(frozen=True)
class Position:
    """A point on the sky.

    Attributes
    ----------
    ra, dec
        ICRS degrees, 0 <= ra < 360 and -90 <= dec <= 90.
    """

    ra: float
    dec: float

    @override
    def __str__(self) -> str:
        return f"{self.ra:.12g} {self.dec:+.12g}"


@dataclass(frozen=True)
class Box:
    """What lies between two right ascensions and two declinations, edges included.

    Attributes
    ----------
    ra_min, ra_max
        Degrees, 0 to 360; if ``ra_min > ra_max`` the box crosses right ascension 0.
    dec_min, dec_max
        Degrees, ``dec_min <= dec_max``.
    """

    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float


@dataclass(frozen=True)
class Cone:
    """A circle on the sky with all that is in it, edge included.

    Attributes
    ----------
    ra, dec
        Center, ICRS degrees.
    radius
        Degrees, 0 < radius <= 180.
    """

    ra: float
    dec: float
    radius: float

    @override
    def __str__(self) -> str:
        return f"{self.ra:.12g} {self.dec:+.12g} {self.radius:.12g} deg"

    @override
    def __format__(self, form: str) -> str:
        """Return it in full, or for the form ``short`` rounded to less than 0.02 arcsec."""
        if form != "short":
            return format(str(self), form)
        ra, dec = _trimmed(f"{self.ra:.5f}"), _trimmed(f"{self.dec:+.5f}")
        return f"{said_angle(self.radius)} around {ra} {dec}"


def _trimmed(number: str) -> str:
    return number.rstrip("0").rstrip(".")


def parse_position(text: str, *, full_circle: bool = False) -> Position:
    """Read a position: degrees, hours and degrees with minutes and seconds, or with units.

    Parameters
    ----------
    full_circle
        Accept a right ascension of 360 degrees, as the end of a range, and return it so.

    Examples
    --------
    >>> parse_position("199.33, 20.64")
    Position(ra=199.33, dec=20.64)
    >>> parse_position("00:42:44 -00:30:00").dec
    -0.5
    >>> parse_position("3.2 rad -0.1 rad").ra
    183.34649444186346

    Raises
    ------
    CoordinateError
        It is not understood, could mean two things, or lies outside the sky.
    """
    words = plain(text)
    found = _read_position(words, text)
    if found is not None:
        return check_position(*found, text=text, full_circle=full_circle)
    if _TWO_NOTATIONS.fullmatch(words) is not None:
        raise CoordinateError(
            f"the position {text!r} has its parts in two notations, so that right ascension"
            f" could be hours or degrees; {_ACCEPTED}"
        )
    raise CoordinateError(f"the position {text!r} is not understood; {_ACCEPTED}")


def _read_position(words: str, text: str) -> tuple[float, float] | None:
    parts = _DECIMAL.fullmatch(words)
    if parts is not None:
        return float(parts[1]), float(parts[2])
    for pattern in _SEXAGESIMAL:
        parts = pattern.fullmatch(words)
        if parts is not None:
            return sexagesimal(parts[1], "hourangle", text), sexagesimal(parts[2], "deg", text)
    parts = _WITH_UNITS.fullmatch(words)
    if parts is not None:
        return degrees_with_unit(parts[1], text), degrees_with_unit(parts[2], text)
    parts = _GALACTIC.fullmatch(words.lower())
    if parts is not None:
        return _from_galactic(float(parts[1]), float(parts[2]), text)
    return None


def _from_galactic(longitude: float, latitude: float, text: str) -> tuple[float, float]:
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - as in angles.py

    if not 0 <= longitude <= 360 or not -90 <= latitude <= 90:
        raise CoordinateError(
            f"the position {text!r} is impossible: l must be within 0 to 360 and b within -90 to"
            " +90 degrees"
        )
    icrs = SkyCoord(longitude, latitude, unit="deg", frame="galactic").icrs
    return round(float(icrs.ra.degree), 12) % 360, round(float(icrs.dec.degree), 12)


def check_position(
    ra: float, dec: float, *, text: str | None = None, full_circle: bool = False
) -> Position:
    """Make a position of numbers, in degrees.

    Parameters
    ----------
    text
        What an error message repeats instead of the numbers.
    full_circle
        Accept a right ascension of 360 too.

    Raises
    ------
    CoordinateError
        It lies outside the sky.
    """
    said = repr(text if text is not None else f"{ra:g} {dec:g}")
    if not (0 <= ra < 360 or (full_circle and ra == 360)):
        raise CoordinateError(
            f"the position {said} is impossible: right ascension {ra:g} is not within 0 to 360"
            " degrees"
        )
    if not -90 <= dec <= 90:
        raise CoordinateError(
            f"the position {said} is impossible: declination {dec:g} is not within -90 to +90"
            " degrees"
        )
    return Position(ra, dec)


def check_box(ra_min: float, ra_max: float, dec_min: float, dec_max: float) -> Box:
    """Make a box of numbers, in degrees; 360 is a right ascension too.

    Raises
    ------
    CoordinateError
        A corner is not on the sky, or the declinations are in the wrong order.
    """
    for ra, dec in ((ra_min, dec_min), (ra_max, dec_max)):
        check_position(ra, dec, full_circle=True)
    if dec_min > dec_max:
        raise CoordinateError(
            f"the box has no declination: from {dec_min:g} to {dec_max:g} deg; the southern edge"
            " comes first"
        )
    # A galaxy at 360 is at 0 in the catalog.
    west = ra_min % 360
    east = ra_max if ra_min == 0 else ra_max % 360
    return Box(west, east, dec_min, dec_max)


def check_cone(ra: float, dec: float, radius: float) -> Cone:
    """Make a cone of numbers, in degrees.

    Raises
    ------
    CoordinateError
        The center is not on the sky, or the radius not above 0 and at most 180.
    """
    center = check_position(ra, dec)
    if not 0 < radius <= 180:
        raise CoordinateError(
            f"the radius {radius:g} deg is impossible; it must be above 0 and at most 180 degrees"
        )
    return Cone(center.ra, center.dec, radius)


def parse_cone(text: str) -> Cone:
    """Read a cone: a position, then a radius (degrees unless it has a unit).

    Examples
    --------
    >>> parse_cone("13:29:52.7 +47:11:43 10 arcmin").radius
    0.16666666666666666

    Raises
    ------
    CoordinateError
        It is not understood, or impossible.
    """
    match = _CONE.fullmatch(plain(text))
    if match is None or _NUMBER_ALONE.fullmatch(match[1]):
        raise CoordinateError(
            f"the cone {text!r} is not understood; write 'RA DEC RADIUS', such as"
            " '150.1 2.2 1 deg' or '13:29:52.7 +47:11:43 10 arcmin'"
        )
    center = parse_position(match[1])
    return check_cone(center.ra, center.dec, parse_angle(match[2], "deg"))
