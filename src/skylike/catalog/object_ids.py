"""Identifiers of galaxies within a survey: its own integers, or HEALPix of the position."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from astropy import units as u
from astropy.coordinates import Latitude, Longitude
from cdshealpix.nested import lonlat_to_healpix

from skylike.survey.batches import ColumnArray

HEALPIX_ORDER: Final = 29
"""The finest order that fits an int64: cells of 0.4 milliarcsec."""

RELEASE_BITS, BRICKID_BITS, OBJID_BITS = 23, 24, 16
"""Room for each part of a Legacy Surveys key; together 63 bits, so that an int64 stays positive."""


def healpix29(ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the HEALPix index (NESTED, order 29) of positions in degrees, (n,) int64."""
    if len(ra) == 0:
        return np.empty(0, dtype=np.int64)
    cells = lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), HEALPIX_ORDER)
    return np.asarray(cells).astype(np.int64)


def legacy_object_ids(
    release: npt.NDArray[np.int64], brickid: npt.NDArray[np.int64], objid: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Pack the natural key of the Legacy Surveys as release << 40 | brickid << 16 | objid.

    Returns
    -------
    tuple
        Identifiers (n,) int64, and which of them are valid: a part that is negative or too large
        for its bits would collide with another object's identifier.
    """
    valid = _fits(release, RELEASE_BITS) & _fits(brickid, BRICKID_BITS) & _fits(objid, OBJID_BITS)
    packed = (release << (BRICKID_BITS + OBJID_BITS)) | (brickid << OBJID_BITS) | objid
    return np.where(valid, packed, -1), valid


def _fits(values: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.bool_]:
    return np.asarray((values >= 0) & (values < (1 << bits)))


def whole_numbers(
    column: ColumnArray,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return a column as integers, and which of them are exactly what the file means.

    A float beyond 2^53 (2^24 for float32) has lost digits, and so has text with an exponent: such a
    value is no identifier, and neither is a missing, fractional or negative one.

    Returns
    -------
    tuple
        (n,) int64 with 0 where the value is not whole, and (n,) bool.
    """
    present = ~np.ma.getmaskarray(column)
    if column.dtype.kind in "UO":
        return _whole_texts(column.data, present)
    values: npt.NDArray[Any] = column.data
    if values.dtype.kind == "f":
        limit = float(2 ** (np.finfo(values.dtype).nmant + 1))
        with np.errstate(invalid="ignore"):
            whole = present & (values == np.floor(values)) & (values >= 0) & (values < limit)
    elif values.dtype.kind in "iub":
        whole = present & (values >= 0) & (values <= np.iinfo(np.int64).max)
    else:
        whole = np.zeros(len(values), dtype=bool)
    return np.where(whole, values, 0).astype(np.int64), whole


def _whole_texts(
    texts: npt.NDArray[np.generic], present: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    stripped = [str(text).strip() for text in texts]
    whole = present & np.array([_is_int64(text) for text in stripped], dtype=bool)
    values = [int(text) if good else 0 for text, good in zip(stripped, whole, strict=True)]
    return np.array(values, dtype=np.int64), whole


def _is_int64(text: str) -> bool:
    # Nineteen digits may exceed an int64; int() is exact either way.
    return text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63


def id_problem(batches: Iterable[ColumnArray]) -> str | None:
    """Say why a column is no identifier of galaxies, or None where it is one.

    Parameters
    ----------
    batches
        The column, from the first row of the file to the last. 16 bytes of memory for each row.

    Notes
    -----
    A unique column of 0, 1, 2, ... or 1, 2, 3, ... numbers the rows of its file: in a second file
    of the same survey the same numbers would mean other galaxies.
    """
    gathered: list[npt.NDArray[np.int64]] = []
    for column in batches:
        values, whole = whole_numbers(column)
        if not whole.all():
            bad = column.data[int(np.argmin(whole))]
            return f"it holds values that are no exact whole numbers, such as {bad}"
        gathered.append(values)
    values = np.concatenate(gathered) if gathered else np.empty(0, dtype=np.int64)
    n_rows = len(values)
    if n_rows > 1 and values[0] in {0, 1} and bool((np.diff(values) == 1).all()):
        return "it only numbers the rows of the file"
    values.sort()
    n_distinct = n_rows - int((np.diff(values) == 0).sum())
    if n_distinct < n_rows:
        return f"it has {n_distinct:,} different values in {n_rows:,} rows"
    return None
