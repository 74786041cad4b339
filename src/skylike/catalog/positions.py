"""Sky positions as tables write them, into ICRS degrees."""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from astropy import units as u

from skylike.errors import SurveyFileError
from skylike.survey.batches import ColumnArray

_HOURS: Final = frozenset({"h", "hr", "hour", "hours", "hourangle", '"h:m:s"', "h:m:s", "hms"})
_DEGREES: Final = frozenset({"deg", "degree", "degrees", '"d:m:s"', "d:m:s", "dms", "angle"})

_SEXAGESIMAL: Final = re.compile(
    r"""^\s*([-+\u2212]?)\s*(\d{1,3})\s*(?:[:hd\u00b0]|\s)\s*(\d{1,2})\s*(?:[:m'\u2032]|\s)\s*
        (\d{1,2}(?:\.\d*)?)\s*(?:s|"|''|\u2033)?\s*$""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True)
class Positions:
    """Positions of the rows of a batch, and which of them cannot be."""

    ra: npt.NDArray[np.float64]
    """(n,) degrees, 0 <= ra < 360 where the position is possible; otherwise 0."""
    dec: npt.NDArray[np.float64]
    """(n,) degrees; 0 where the position is not possible."""
    is_missing: npt.NDArray[np.bool_]
    """(n,) a coordinate is missing, not a number, or infinite."""
    is_off_sky: npt.NDArray[np.bool_]
    """(n,) both are finite, but |ra| > 360 or |dec| > 90."""


def read_positions(
    ra: ColumnArray, dec: ColumnArray, *, ra_unit: str | None = None, dec_unit: str | None = None
) -> Positions:
    """Read right ascensions and declinations.

    Parameters
    ----------
    ra, dec
        Numbers, or text that is sexagesimal (hours for ``ra``, unless its unit says degrees) or a
        number.
    ra_unit, dec_unit
        As the file writes it; None is degrees.

    Raises
    ------
    SurveyFileError
        A unit is not one of an angle.
    """
    ra_deg = _degrees(ra, ra_unit, is_ra=True)
    dec_deg = _degrees(dec, dec_unit, is_ra=False)
    is_missing = ~(np.isfinite(ra_deg) & np.isfinite(dec_deg))
    with np.errstate(invalid="ignore"):
        is_off_sky = ~is_missing & ((np.abs(ra_deg) > 360) | (np.abs(dec_deg) > 90))
    possible = ~(is_missing | is_off_sky)
    wrapped = np.mod(np.where(possible, ra_deg, 0.0), 360.0)
    # A tiny negative number modulo 360 rounds to 360 itself.
    wrapped[wrapped >= 360.0] = 0.0
    return Positions(wrapped, np.where(possible, dec_deg, 0.0), is_missing, is_off_sky)


def _degrees(column: ColumnArray, unit: str | None, *, is_ra: bool) -> npt.NDArray[np.float64]:
    factor = _degrees_in_unit(unit)
    missing = np.ma.getmaskarray(column)
    if column.dtype.kind not in "UO":
        degrees: npt.NDArray[np.float64] = column.data.astype(np.float64) * factor
    else:
        # Sexagesimal right ascension is in hours, whatever a unit of the degrees beside it says.
        in_degrees = unit is not None and unit.strip().lower() in _DEGREES and factor == 1.0
        turn = 15.0 if is_ra and not in_degrees else 1.0
        degrees = np.array([_parse(str(text), turn=turn, factor=factor) for text in column.data])
    return np.where(missing, np.nan, degrees)


def _degrees_in_unit(unit: str | None) -> float:
    name = (unit or "deg").strip().lower()
    if name in _DEGREES:
        return 1.0
    if name in _HOURS:
        return 15.0
    try:
        return float(u.Unit(name).to(u.deg))
    except (ValueError, u.UnitConversionError) as error:
        raise SurveyFileError(
            f"positions in the unit {unit!r} are not understood; give them in degrees or hours"
        ) from error


def _parse(text: str, *, turn: float, factor: float) -> float:
    match = _SEXAGESIMAL.match(text)
    if match is None:
        try:
            return float(text) * factor
        except ValueError:
            return float("nan")
    sign, whole, minutes, seconds = match.groups()
    if int(minutes) >= 60 or float(seconds) >= 60:
        return float("nan")
    value = int(whole) + int(minutes) / 60 + float(seconds) / 3600
    return (-value if sign in {"-", "\u2212"} else value) * turn
