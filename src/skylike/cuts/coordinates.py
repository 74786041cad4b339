"""Positions, angles and cones as people type them, to degrees (ICRS)."""

import math
import re
import warnings
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from skylike.errors import CoordinateError

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_PARTS = r"[0-9]+:[0-9]+(?::[0-9]+(?:\.[0-9]*)?)?"
_SPACED = r"[0-9]+ +[0-9]+ +[0-9]+(?:\.[0-9]*)?"
_PART = r"[0-9]+(?:\.[0-9]*)?"
_HOURS = rf"{_PART}h(?: *{_PART}m(?: *{_PART}s)?)?"
_DEGREES = rf"{_PART}(?:d|°)(?: *{_PART}(?:m|'|\u2032)(?: *{_PART}(?:s|\"|\u2033))?)?"
_SPACE_IN_SIGN = re.compile(r"(?<=^[+-]) ")
_GAP = r"(?: *, *| +| *(?=[+-]))"
_DECIMAL = re.compile(rf"({_NUMBER})(?: *(?:deg|d|°))?(?: *, *| +)({_NUMBER})(?: *(?:deg|d|°))?")
_SEXAGESIMAL = (
    re.compile(rf"({_PARTS}){_GAP}([+-]? ?{_PARTS})"),
    re.compile(rf"({_SPACED}){_GAP}([+-]? ?{_SPACED})"),
    re.compile(rf"({_HOURS}){_GAP}([+-]? ?{_DEGREES})"),
)
_ACCEPTED: Final = (
    "write right ascension and declination as '199.33 20.64' (degrees), '13:29:52.7 +47:11:43'"
    " (hours, degrees) or '13h29m52.7s +47d11m43s'"
)

_UNIT_IN_DEGREES: Final = {
    **dict.fromkeys(["deg", "degree", "degrees", "d", "°"], 1.0),
    **dict.fromkeys(["arcmin", "arcminute", "arcminutes", "'", "\u2032"], 1 / 60),
    **dict.fromkeys(["arcsec", "arcsecond", "arcseconds", '"', "\u2033"], 1 / 3600),
    **dict.fromkeys(["rad", "radian", "radians"], 180 / math.pi),
}
_SAID_UNITS: Final = (("deg", 1, 3600), ("arcmin", 60, 120), ("arcsec", 3600, -math.inf))
"""Unit, how many make a degree, and from how many arcsec on it is said."""

_ANGLE = re.compile(rf"({_NUMBER}) *([a-z°'\"\u2032\u2033]*)")
_NUMBER_ALONE = re.compile(_NUMBER)
_CONE = re.compile(rf"(.+?)(?: *, *| +)({_NUMBER} *[a-zA-Z°'\"\u2032\u2033]*)")


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


def said_angle(degrees: float) -> str:
    """Say an angle as people do, in a fitting unit, to four digits: ``10 arcmin``, ``4 deg``."""
    unit, factor = next(
        (unit, factor) for unit, factor, least in _SAID_UNITS if degrees * 3600 >= least
    )
    return f"{degrees * factor:.4g} {unit}"


def _trimmed(number: str) -> str:
    return number.rstrip("0").rstrip(".")


def parse_position(text: str) -> Position:
    """Read a position: decimal degrees, or hours and degrees with minutes and seconds.

    Examples
    --------
    >>> parse_position("199.33, 20.64")
    Position(ra=199.33, dec=20.64)
    >>> parse_position("00:42:44 -00:30:00").dec
    -0.5

    Raises
    ------
    CoordinateError
        It is not understood, could mean two things, or lies outside the sky.
    """
    plain = _plain(text)
    decimal = _DECIMAL.fullmatch(plain)
    if decimal is not None:
        return _checked(float(decimal[1]), float(decimal[2]), text)
    for pattern in _SEXAGESIMAL:
        parts = pattern.fullmatch(plain)
        if parts is not None:
            return _checked(
                _angle(parts[1], "hourangle", text), _angle(parts[2], "deg", text), text
            )
    if re.fullmatch(rf"{_NUMBER} +[+-]?{_PARTS}|{_PARTS} +{_NUMBER}", plain) is not None:
        raise CoordinateError(
            f"the position {text!r} has its parts in two notations, so that right ascension"
            f" could be hours or degrees; {_ACCEPTED}"
        )
    raise CoordinateError(f"the position {text!r} is not understood; {_ACCEPTED}")


def _plain(text: str) -> str:
    return " ".join(text.replace("\N{MINUS SIGN}", "-").split())


def _angle(part: str, unit: str, text: str) -> float:
    from astropy.coordinates import Angle  # noqa: PLC0415 - half a second that --help need not wait

    try:
        with warnings.catch_warnings():
            # Of 60 minutes or seconds, more often than not a typing error, astropy only warns.
            warnings.simplefilter("error")
            # Hours make 12:00:00 to 179.99999999999997; 12 decimals are 4 nanoarcseconds.
            return round(float(Angle(_SPACE_IN_SIGN.sub("", part), unit).degree), 12)
    except (ValueError, Warning) as error:
        raise CoordinateError(
            f"the position {text!r} is impossible: {part.strip()} has hours, minutes or seconds"
            " out of range"
        ) from error


def _checked(ra: float, dec: float, text: str) -> Position:
    if not 0 <= ra < 360:
        raise CoordinateError(
            f"the position {text!r} is impossible: right ascension {ra:g} is not within 0 to 360"
            " degrees"
        )
    if not -90 <= dec <= 90:
        raise CoordinateError(
            f"the position {text!r} is impossible: declination {dec:g} is not within -90 to +90"
            " degrees"
        )
    return Position(ra, dec)


def parse_angle(text: str, default_unit: str) -> float:
    """Read an angle such as ``10 deg``, ``5'`` or ``30 arcsec``, to degrees.

    Parameters
    ----------
    default_unit
        Unit of a plain number: ``deg``, ``arcmin`` or ``arcsec``.

    Raises
    ------
    CoordinateError
        It is not a number with a unit of angle.
    """
    match = _ANGLE.fullmatch(_plain(text).lower())
    unit = _UNIT_IN_DEGREES.get(match[2] or default_unit) if match is not None else None
    if match is None or unit is None or not math.isfinite(float(match[1])):
        raise CoordinateError(
            f"the angle {text!r} is not understood; write a number and deg, arcmin or arcsec,"
            " such as '10 arcmin'"
        )
    return float(match[1]) * unit


def check_cone(ra: float, dec: float, radius: float) -> Cone:
    """Make a cone of numbers, in degrees.

    Raises
    ------
    CoordinateError
        The center is not on the sky, or the radius not above 0 and at most 180.
    """
    center = _checked(ra, dec, f"{ra:g} {dec:g}")
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
    match = _CONE.fullmatch(_plain(text))
    if match is None or _NUMBER_ALONE.fullmatch(match[1]):
        raise CoordinateError(
            f"the cone {text!r} is not understood; write 'RA DEC RADIUS', such as"
            " '150.1 2.2 1 deg' or '13:29:52.7 +47:11:43 10 arcmin'"
        )
    center = parse_position(match[1])
    return check_cone(center.ra, center.dec, parse_angle(match[2], "deg"))
