"""What people have in Python of the sky (numbers, texts, astropy's objects) as a query takes it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from skylike.cuts.coordinates import Cone, Position, parse_angle, parse_cone, parse_position
from skylike.errors import CoordinateError
from skylike.interfaces.arguments import items_of, shortened
from skylike.interfaces.position_columns import has_columns, position_table_of_columns
from skylike.search.position_table import MAX_POSITIONS, PositionTable, read_position_table

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity
    from pandas import DataFrame

Angle: TypeAlias = "float | str | Quantity"
"""A number in the unit that the argument has, a text with a unit, or a quantity of astropy."""

Place: TypeAlias = "str | Position | SkyCoord | Sequence[Any]"
"""A text as ``--position`` takes it, a SkyCoord, or a pair of right ascension and declination."""

Places: TypeAlias = "Place | Iterable[Place]"

Table: TypeAlias = "str | Path | SkyCoord | npt.ArrayLike | Mapping[str, Any] | DataFrame"
"""A file or a table with positions, a SkyCoord of many, or an (n, 2) array of degrees."""

Region: TypeAlias = "str | Cone | Sequence[Any]"
"""A text as ``--cone`` takes it, (position, radius), or (ra, dec, radius)."""


def positions_of(value: "Places | None") -> tuple[Position, ...]:
    """Return positions, given one, several (a SkyCoord of many, an (n, 2) array) or none.

    Raises
    ------
    CoordinateError
        Something is not a position.
    """
    return () if value is None else tuple(_iter_positions(value))


def position_table_of(value: "Table | None") -> PositionTable | None:
    """Return a table of positions.

    They are in a file, in a data frame or another table with columns of right ascension and
    declination, in a SkyCoord of many or in an (n, 2) array of degrees.

    Raises
    ------
    SurveyFileError
        The file or table has no positions.
    CoordinateError
        Something is not a position.
    """
    if value is None:
        return None
    if isinstance(value, str | Path):
        return read_position_table(Path(value))
    if has_columns(value):
        return position_table_of_columns(value)
    found = positions_of(value)
    if not 1 <= len(found) <= MAX_POSITIONS:
        raise CoordinateError(
            f"positions= holds {len(found)} positions; give 1 to {MAX_POSITIONS} of them"
        )
    return PositionTable(
        name="positions",
        ra=np.array([position.ra for position in found]),
        dec=np.array([position.dec for position in found]),
        rows=np.arange(1, len(found) + 1),
    )


def _iter_positions(value: Any) -> Iterator[Position]:  # noqa: ANN401 - whatever the user has
    if isinstance(value, str):
        yield parse_position(value)
        return
    if isinstance(value, Position):
        yield value
        return
    if hasattr(value, "transform_to"):
        yield from _sky_coordinates(value)
        return
    items = items_of(value)
    if items is None:
        raise CoordinateError(
            f"{shortened(value)} is no position; give 'RA DEC', a pair (ra, dec) in degrees or a "
            "SkyCoord"
        )
    if len(items) == 2 and all(_is_angle(item) for item in items):
        yield _position(degrees_of(items[0], unit="deg"), degrees_of(items[1], unit="deg"))
        return
    for item in items:
        yield from _iter_positions(item)


def _sky_coordinates(coordinates: "SkyCoord") -> Iterator[Position]:
    try:
        icrs = coordinates.icrs
    except (TypeError, ValueError, AttributeError) as error:  # a place or time is missing
        raise CoordinateError(f"{coordinates!r} has no ICRS position: {error}") from error
    for ra, dec in zip(np.ravel(icrs.ra.deg), np.ravel(icrs.dec.deg), strict=True):
        yield _position(float(ra), float(dec))


def _is_angle(value: Any) -> bool:  # noqa: ANN401 - whatever the user has
    is_one = not isinstance(value, str | Position) and not hasattr(value, "transform_to")
    return is_one and items_of(value) is None


def _position(ra: float, dec: float) -> Position:
    return parse_position(f"{ra!r} {dec!r}")  # it says what is wrong with them


def degrees_of(value: "Angle", *, unit: str) -> float:
    """Return an angle in degrees.

    Parameters
    ----------
    unit
        What a number without a unit is in: ``deg``, ``arcmin`` or ``arcsec``.

    Raises
    ------
    CoordinateError
        It is no angle.
    """
    if hasattr(value, "to_value"):
        try:
            return float(value.to_value("deg"))
        except (TypeError, ValueError) as error:  # astropy's UnitConversionError is both
            raise CoordinateError(f"{value!r} is no angle: {error}") from error
    if isinstance(value, str):
        return parse_angle(value, unit)
    try:
        return parse_angle(f"{float(value)!r} {unit}", unit)
    except (TypeError, ValueError):
        raise CoordinateError(
            f"{value!r} is no angle; give a number of {unit}, a text such as '10 {unit}', "
            "or a quantity of astropy"
        ) from None


def arcsec_of(value: "Angle") -> float:
    """Return an angle in arcsec, which is the unit of a plain number.

    Raises
    ------
    CoordinateError
        It is no angle.
    """
    if isinstance(value, int | float | np.number) or (isinstance(value, str) and _is_number(value)):
        return float(value)  # by way of degrees the last digit would change
    return degrees_of(value, unit="arcsec") * 3600


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def cone_of(value: "Region | None") -> Cone | None:
    """Return a cone; a radius without a unit is in degrees.

    Raises
    ------
    CoordinateError
        It is none, or impossible.
    """
    if value is None or isinstance(value, Cone):
        return value
    if isinstance(value, str):
        return parse_cone(value)
    parts = items_of(value) or ()
    centers = positions_of(parts[:-1]) if len(parts) in {2, 3} else ()
    if len(centers) != 1:
        raise CoordinateError(
            f"{shortened(value)} is no cone; give (position, radius), such as "
            "('13:29:52 +47:11:43', '10 deg'), (ra, dec, radius) in degrees, or 'RA DEC RADIUS'"
        )
    return parse_cone(f"{centers[0].ra!r} {centers[0].dec!r} {degrees_of(parts[-1], unit='deg')!r}")
