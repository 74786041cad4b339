"""What people have in Python (numbers, arrays, data frames, files) as a query takes it."""

import operator
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from skylike.errors import GalaxyNotFoundError, SettingsError
from skylike.search.query import read_vectors

if TYPE_CHECKING:
    from astropy.units import Quantity

Galaxies = SupportsIndex | Iterable[SupportsIndex]
"""A ``galaxy_id``, or several: a list, an array, a column of a data frame."""

Files = str | Path | Iterable[str | Path]

Vectors = str | Path | npt.ArrayLike
"""One vector (d,), several (n, d), or the name of a NumPy file of such."""

Definitions = str | Iterable[str] | Mapping[str, str]

Duration: TypeAlias = "float | timedelta | Quantity"

_LONGEST: Final = 80
"""Characters of a value that a message quotes."""

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
    return SettingsError(
        f"{shortened(value)} is no galaxy_id; give a whole number, or several in a list"
    )


def galaxy_ids_of(value: "Galaxies | None") -> tuple[int, ...]:
    """Return galaxy identifiers, given one, several or none."""
    if value is None:
        return ()
    items = items_of(value)
    if items is None:
        items = (value,)
    return tuple(galaxy_id_of(item) for item in items)


def is_several(value: Galaxies) -> bool:
    """Tell whether galaxies were given in a list, array or column, be it of one."""
    return items_of(value) is not None


def items_of(value: Any) -> tuple[Any, ...] | None:  # noqa: ANN401 - whatever the user has
    """Return what is in a list, array or column; None for what is one thing."""
    if isinstance(value, str) or getattr(value, "ndim", 1) == 0 or not isinstance(value, Iterable):
        return None
    return tuple(value)


def shortened(value: object) -> str:
    """Return a value as a message may hold it: in one line, of a table no more than its begin."""
    words = " ".join(repr(value).split())
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."


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
