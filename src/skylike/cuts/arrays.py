"""Columns with NULLs as pairs of arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skylike.cuts.kinds import ColumnKind

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Values:
    """Values and where they are NULL.

    Attributes
    ----------
    data
        (n,), or () of a constant; any value where NULL.
    null
        Same shape, bool.
    """

    data: Array
    null: npt.NDArray[np.bool_]


def known(data: object) -> Values:
    """Return values that are nowhere NULL."""
    found = np.asarray(data)
    return Values(found, np.zeros(found.shape, dtype=bool))


def negated(values: Values) -> Values:
    """Return the opposite of conditions; that of NULL is NULL."""
    return Values(~values.data, values.null)


def numbers(data: Array, null: npt.NDArray[np.bool_]) -> Values:
    """Return float64 numbers that are NULL where they are NaN, and NaN where they are NULL."""
    is_null = null | np.isnan(data)
    return Values(np.where(is_null, np.nan, data), is_null)


def coalesced(choices: list[Values]) -> Values:
    """Return the first of several values that is not NULL."""
    data, null = choices[0].data, choices[0].null
    for choice in choices[1:]:
        data = np.where(null, choice.data, data)
        null = null & choice.null
    return Values(data, null)


def read_column(given: Array, kind: ColumnKind) -> Values:
    """Read a column as its kind.

    Parameters
    ----------
    given
        (n,) of any type; masked entries, NaN, NaT and, in object arrays, None are NULL.

    Returns
    -------
    Values
        Integers as they are, other numbers float64, texts str, times datetime64[us], else bool.
    """
    null = np.ma.getmaskarray(given) if np.ma.isMaskedArray(given) else np.zeros(given.shape, bool)
    data = np.asarray(np.ma.getdata(given))
    if data.dtype.kind == "O":
        null = null | np.array([_is_missing(value) for value in data], dtype=bool)
    if kind is ColumnKind.TEXT:
        return Values(_as_text(data, null), null)
    if kind is ColumnKind.BOOLEAN:
        return Values(np.where(null, False, data).astype(bool), null)
    if kind is ColumnKind.TIME:
        times = np.where(null, np.datetime64("NaT"), data).astype("datetime64[us]")
        return Values(times, np.isnat(times))
    if data.dtype.kind in "iu":
        return Values(data, null)
    return numbers(np.where(null, np.nan, data).astype(np.float64), null)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _as_text(data: Array, null: npt.NDArray[np.bool_]) -> Array:
    if data.dtype.kind == "S":
        return np.char.decode(data, "utf-8", "replace")
    if data.dtype.kind != "O":
        return data.astype(np.str_)
    words = ["" if missing else _word(value) for value, missing in zip(data, null, strict=True)]
    return np.array(words, dtype=np.str_)


def _word(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
