"""What people have in Python (numbers, arrays, astropy's objects, files) as a query takes it."""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from skylike.cuts.coordinates import Cone, Position, parse_angle, parse_cone, parse_position
from skylike.errors import CoordinateError, GalaxyNotFoundError, SettingsError
from skylike.search.position_table import MAX_POSITIONS, PositionTable, read_position_table
from skylike.search.query import read_vectors

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity

Galaxies = SupportsIndex | Iterable[SupportsIndex]
"""A ``galaxy_id``, or several: a list, an array, a column of a data frame."""

Angle: TypeAlias = "float | str | Quantity"
"""A number in the unit that the argument has, a text with a unit, or a quantity of astropy."""

Place: TypeAlias = "str | Position | SkyCoord | Sequence[Any]"
"""A text as ``--position`` takes it, a SkyCoord, or a pair of right ascension and declination."""

Places: TypeAlias = "Place | Iterable[Place]"

Table: TypeAlias = "str | Path | SkyCoord | npt.ArrayLike"
"""A file with positions, a SkyCoord of many, or an (n, 2) array of degrees."""

Region: TypeAlias = "str | Cone | Sequence[Any]"
"""A text as ``--cone`` takes it, (position, radius), or (ra, dec, radius)."""

Files = str | Path | Iterable[str | Path]

Vectors = str | Path | npt.ArrayLike
"""One vector (d,), several (n, d), or the name of a NumPy file of such."""

Definitions = str | Iterable[str] | Mapping[str, str]

Duration: TypeAlias = "float | timedelta | Quantity"

_LARGEST_ID: Final = 2**31 - 1
"""``galaxy_id`` is PostgreSQL's integer."""


def galaxy_id_of(value: SupportsIndex) -> int:
    """Return one galaxy identifier.

    Raises
    ------
    SettingsError
        It is not a whole number.
    GalaxyNotFoundError
        No identifier is so small or large.
    """
    if isinstance(value, bool):
        raise _no_galaxy_id(value)
    try:
        number = operator.index(value)
    except TypeError:
        raise _no_galaxy_id(value) from None
    if not 0 <= number <= _LARGEST_ID:
        raise GalaxyNotFoundError(f"galaxy {number} is not in the database: no galaxy_id is such")
    return number


def _no_galaxy_id(value: object) -> SettingsError:
    return SettingsError(f"{value!r} is no galaxy_id; give a whole number, or several in a list")


def galaxy_ids_of(value: "Galaxies | None") -> tuple[int, ...]:
    """Return galaxy identifiers, given one, several or none."""
    if value is None:
        return ()
    items = _items(value)
    if items is None:
        items = (value,)
    return tuple(galaxy_id_of(item) for item in items)


def is_several(value: Galaxies) -> bool:
    """Tell whether galaxies were given in a list, array or column, be it of one."""
    return _items(value) is not None


def _items(value: Any) -> tuple[Any, ...] | None:  # noqa: ANN401 - whatever the user has
    """Return what is in a list, array or column; None for what is one thing."""
    if isinstance(value, str) or getattr(value, "ndim", 1) == 0 or not isinstance(value, Iterable):
        return None
    return tuple(value)


def positions_of(value: "Places | None") -> tuple[Position, ...]:
    """Return positions, given one, several (a SkyCoord of many, an (n, 2) array) or none.

    Raises
    ------
    CoordinateError
        Something is not a position.
    """
    return () if value is None else tuple(_iter_positions(value))


def position_table_of(value: "Table | None") -> PositionTable | None:
    """Return a table of positions: of a file, a SkyCoord of many or an (n, 2) array of degrees.

    Raises
    ------
    SurveyFileError
        The file has no positions.
    CoordinateError
        Something is not a position.
    """
    if value is None:
        return None
    if isinstance(value, str | Path):
        return read_position_table(Path(value))
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
    items = _items(value)
    if items is None:
        raise CoordinateError(
            f"{value!r} is no position; give 'RA DEC', a pair (ra, dec) in degrees or a SkyCoord"
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
    return is_one and _items(value) is None


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
    if isinstance(value, int | float | np.number):
        return float(value)  # by way of degrees the last digit would change
    return degrees_of(value, unit="arcsec") * 3600


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
    parts = _items(value) or ()
    centers = positions_of(parts[:-1]) if len(parts) in {2, 3} else ()
    if len(centers) != 1:
        raise CoordinateError(
            f"{value!r} is no cone; give (position, radius), such as "
            "('13:29:52 +47:11:43', '10 deg'), (ra, dec, radius) in degrees, or 'RA DEC RADIUS'"
        )
    return parse_cone(f"{centers[0].ra!r} {centers[0].dec!r} {degrees_of(parts[-1], unit='deg')!r}")


def paths_of(value: Files | None) -> tuple[Path, ...]:
    """Return paths of files, given one, several or none."""
    if value is None:
        return ()
    return (Path(value),) if isinstance(value, str | Path) else tuple(Path(path) for path in value)


def vectors_of(value: "Vectors | None") -> tuple[npt.NDArray[np.floating], ...]:
    """Return raw vectors (d,) float64.

    Raises
    ------
    SettingsError
        It is no array of numbers of one or two dimensions.
    InputFileError
        The named file cannot be read as that.
    """
    if value is None:
        return ()
    if isinstance(value, str | Path):
        return read_vectors(Path(value))
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"vector=: the vectors make no array of numbers ({error})") from error
    if array.dtype.kind not in "fiu" or array.ndim not in {1, 2} or array.size == 0:
        raise SettingsError(
            f"vector=: an array of {array.dtype} and shape {array.shape} is no vector; "
            "one is (d,), several are (n, d) numbers"
        )
    return tuple(np.array(row, dtype=np.float64) for row in np.atleast_2d(array))


def definitions_of(value: Definitions | None) -> tuple[str, ...]:
    """Return definitions of columns as ``name = expression``."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        return tuple(f"{name} = {expression}" for name, expression in value.items())
    return (value,) if isinstance(value, str) else tuple(value)


def whole_number(value: SupportsIndex, *, name: str) -> int:
    """Return a whole number.

    Raises
    ------
    SettingsError
        It is none.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise SettingsError(f"{name}={value!r} is not a whole number") from None


def seconds_of(value: "Duration | None") -> float | None:
    """Return a duration in seconds, None for no limit of ours.

    Raises
    ------
    SettingsError
        It is no duration above zero.
    """
    if value is None:
        return None
    try:
        if isinstance(value, timedelta):
            seconds = value.total_seconds()
        else:
            seconds = float(value.to_value("s") if hasattr(value, "to_value") else value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < np.inf:
        raise SettingsError(f"timeout={value!r} is no duration; give seconds above 0")
    return seconds
