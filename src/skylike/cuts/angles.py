"""Single angles as people type them, to degrees."""

import math
import re
import warnings
from typing import Final

from skylike.errors import CoordinateError

NUMBER: Final = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
COLONS: Final = r"[0-9]+:[0-9]+(?::[0-9]+(?:\.[0-9]*)?)?"
SPACES: Final = r"[0-9]+ +[0-9]+ +[0-9]+(?:\.[0-9]*)?"
_PART = r"[0-9]+(?:\.[0-9]*)?"
_HOURS = rf"{_PART}h(?: *{_PART}m(?: *{_PART}s)?)?"
_DEGREES = rf"{_PART}(?:d|°)(?: *{_PART}(?:m|'|\u2032)(?: *{_PART}(?:s|\"|\u2033))?)?"

_UNIT_IN_DEGREES: Final = {
    **dict.fromkeys(["deg", "degree", "degrees", "d", "°"], 1.0),
    **dict.fromkeys(["arcmin", "arcminute", "arcminutes", "'", "\u2032"], 1 / 60),
    **dict.fromkeys(["arcsec", "arcsecond", "arcseconds", '"', "\u2033"], 1 / 3600),
    **dict.fromkeys(["rad", "radian", "radians"], 180 / math.pi),
}
_HOUR_UNITS: Final = dict.fromkeys(["h", "hour", "hours", "hourangle"], 15.0)
_UNITS = "|".join(sorted(map(re.escape, _UNIT_IN_DEGREES), key=len, reverse=True))
_UNITS_OF_RA = "|".join(sorted([_UNITS, *_HOUR_UNITS], key=len, reverse=True))

RA_WITH_UNIT: Final = rf"{_HOURS}|{_DEGREES}|{NUMBER} ?(?:{_UNITS_OF_RA})"
DEC_WITH_UNIT: Final = rf"[+-]? ?(?:{_DEGREES})|{NUMBER} ?(?:{_UNITS})"

_SAID_UNITS: Final = (("deg", 1, 3600), ("arcmin", 60, 120), ("arcsec", 3600, -math.inf))
"""Unit, how many make a degree, and from how many arcsec on it is said."""

_ANGLE = re.compile(rf"({NUMBER}) *([a-z°'\"\u2032\u2033]*)")
_SPACE_IN_SIGN = re.compile(r"(?<=^[+-]) ")


def plain(text: str) -> str:
    """Return a text with single spaces and the hyphen for a minus sign."""
    return " ".join(text.replace("\N{MINUS SIGN}", "-").split())


def parse_angle(text: str, default_unit: str) -> float:
    """Read an angle such as ``10 deg``, ``5'``, ``30 arcsec`` or ``0.1 rad``, to degrees.

    Parameters
    ----------
    default_unit
        Unit of a plain number: ``deg``, ``arcmin`` or ``arcsec``.

    Raises
    ------
    CoordinateError
        It is not a number with a unit of angle.
    """
    degrees = _in_units(plain(text), default_unit, _UNIT_IN_DEGREES)
    if degrees is None:
        raise CoordinateError(
            f"the angle {text!r} is not understood; write a number and deg, arcmin or arcsec,"
            " such as '10 arcmin'"
        )
    return degrees


def parse_right_ascension(text: str) -> float:
    """Read a right ascension on its own, to degrees; whether it is on the sky is not checked.

    A plain number is in degrees, ``13:29:52`` and ``13 29 52`` are in hours.

    Raises
    ------
    CoordinateError
        It is not understood, or has 60 minutes or seconds.
    """
    return _coordinate(text, "right ascension", "hourangle", RA_WITH_UNIT)


def parse_declination(text: str) -> float:
    """Read a declination on its own, to degrees; whether it is on the sky is not checked.

    Raises
    ------
    CoordinateError
        It is not understood, or has 60 minutes or seconds.
    """
    return _coordinate(text, "declination", "deg", DEC_WITH_UNIT)


def _coordinate(text: str, name: str, unit: str, with_unit: str) -> float:
    part = plain(text)
    sign = "[+-]? ?" if unit == "deg" else ""
    if re.fullmatch(NUMBER, part) and math.isfinite(float(part)):
        return float(part)
    if re.fullmatch(f"{sign}(?:{COLONS}|{SPACES})", part):
        return sexagesimal(part, unit, text)
    if re.fullmatch(with_unit, part):
        return degrees_with_unit(part, text)
    raise CoordinateError(
        f"the {name} {text!r} is not understood; write degrees (199.33), a number with a unit, or"
        f" {'hours 13h29m52.7s' if unit == 'hourangle' else 'degrees +47d11m43s'}"
    )


def degrees_with_unit(part: str, text: str) -> float:
    """Return the degrees of what matches :data:`RA_WITH_UNIT` or :data:`DEC_WITH_UNIT`.

    Raises
    ------
    CoordinateError
        It has 60 minutes or seconds; the message repeats ``text``.
    """
    if re.fullmatch(_HOURS, part):
        return sexagesimal(part, "hourangle", text)
    if re.fullmatch(f"[+-]? ?(?:{_DEGREES})", part):
        return sexagesimal(part, "deg", text)
    degrees = _in_units(part, "", _UNIT_IN_DEGREES | _HOUR_UNITS)
    if degrees is None:
        raise CoordinateError(f"the angle {part!r} in {text!r} is out of range")
    return degrees


def _in_units(part: str, default_unit: str, units: dict[str, float]) -> float | None:
    match = _ANGLE.fullmatch(part.lower())
    unit = units.get(match[2] or default_unit) if match is not None else None
    if match is None or unit is None or not math.isfinite(float(match[1]) * unit):
        return None
    return float(match[1]) * unit


def sexagesimal(part: str, unit: str, text: str) -> float:
    """Return the degrees of hours (unit ``hourangle``) or degrees with minutes and seconds.

    Raises
    ------
    CoordinateError
        Minutes or seconds are 60 or more; the message repeats ``text``.
    """
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


def said_angle(degrees: float) -> str:
    """Say an angle as people do, in a fitting unit, to four digits: ``10 arcmin``, ``4 deg``."""
    unit, factor = next(
        (unit, factor) for unit, factor, least in _SAID_UNITS if degrees * 3600 >= least
    )
    return f"{degrees * factor:.4g} {unit}"
