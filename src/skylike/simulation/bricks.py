"""Bricks of the Legacy Surveys: sky positions to brick numbers, names and object identifiers."""

from typing import Final

import numpy as np
import numpy.typing as npt

BRICK_SIZE_DEG: Final = 0.25
"""Height of a brick, and the most that it is wide (Legacy Surveys, DR9 description)."""

_ROWS: Final = 721


def _columns_per_row() -> npt.NDArray[np.int64]:
    """Bricks in each row of declination: an even number, one at each pole; 662,174 in all."""
    center = -90 + BRICK_SIZE_DEG * np.arange(_ROWS)
    nearest_equator = np.maximum(np.abs(center) - BRICK_SIZE_DEG / 2, 0)
    columns: npt.NDArray[np.float64] = (
        np.ceil(360 / BRICK_SIZE_DEG * np.cos(np.radians(nearest_equator)) / 2) * 2
    )
    columns[[0, -1]] = 1
    return columns.astype(np.int64)


def brick_of(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bytes_]]:
    """Return the number and the name of the brick that holds each position.

    Parameters
    ----------
    ra, dec
        (n,) ICRS degrees, 0 <= ra < 360.

    Returns
    -------
    number, name
        (n,) from 1 to 662,174, and (n,) 8 bytes such as ``3145m032``: ten times the right ascension
        and declination of the brick's center.
    """
    columns = _columns_per_row()
    row = np.floor((dec + 90 + BRICK_SIZE_DEG / 2) / BRICK_SIZE_DEG).astype(np.int64)
    row = np.clip(row, 0, _ROWS - 1)
    width = 360 / columns[row]
    column = np.minimum((ra / width).astype(np.int64), columns[row] - 1)
    first = np.concatenate([[0], np.cumsum(columns)[:-1]])
    ra_tenths = np.floor((column + 0.5) * width * 10).astype(np.int64)
    # Names cut toward zero: a center at -3.25 is m032.
    dec_tenths = np.trunc((row * BRICK_SIZE_DEG - 90) * 10).astype(np.int64)
    sign = np.where(row * BRICK_SIZE_DEG < 90, "m", "p")
    names = [
        f"{ra_part:04d}{side}{abs(dec_part):03d}"
        for ra_part, side, dec_part in zip(ra_tenths, sign, dec_tenths, strict=True)
    ]
    return (first[row] + column + 1).astype(np.int32), np.array(names, dtype="S8")


def object_ids(
    release: npt.ArrayLike, brickid: npt.ArrayLike, objid: npt.ArrayLike
) -> npt.NDArray[np.int64]:
    """Pack a Legacy Surveys key into one integer: release << 40 | brickid << 16 | objid."""
    return (
        np.asarray(release, dtype=np.int64) << 40
        | np.asarray(brickid, dtype=np.int64) << 16
        | np.asarray(objid, dtype=np.int64)
    )
