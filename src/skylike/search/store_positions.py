"""Reads which galaxies are nearest to many positions, in one statement."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.database.sql_files import statement


@dataclass(frozen=True, eq=False)
class NearestGalaxies:
    """The nearest galaxy of each position that has one near enough.

    Attributes
    ----------
    places
        (m,) int64, ascending: which of the positions, from 0.
    galaxy_ids
        (m,) int32.
    ra, dec
        (m,) float64, where these galaxies are, ICRS degrees.
    separations
        (m,) float64, degrees.
    is_embedded
        (m,) bool; False where no galaxy that near has an embedding.
    """

    places: npt.NDArray[np.int64]
    galaxy_ids: npt.NDArray[np.int32]
    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    separations: npt.NDArray[np.float64]
    is_embedded: npt.NDArray[np.bool_]


def fetch_nearest_of_many(
    connection: Connection,
    *,
    encoder_id: int,
    ra: npt.NDArray[np.float64],
    dec: npt.NDArray[np.float64],
    radius: float,
) -> NearestGalaxies:
    """Fetch the nearest galaxy of each position (n,) within a radius in degrees.

    One with an embedding comes before all without. Of galaxies at one separation the lowest
    identifier counts.
    """
    rows = connection.execute(
        statement("search_nearest_many"),
        {"encoder_id": encoder_id, "ra": ra.tolist(), "dec": dec.tolist(), "radius": radius},
    ).all()
    n = len(rows)
    return NearestGalaxies(
        places=np.fromiter((row.place - 1 for row in rows), np.int64, n),
        galaxy_ids=np.fromiter((row.galaxy_id for row in rows), np.int32, n),
        ra=np.fromiter((row.ra for row in rows), np.float64, n),
        dec=np.fromiter((row.dec for row in rows), np.float64, n),
        separations=np.fromiter((row.separation for row in rows), np.float64, n),
        is_embedded=np.fromiter((row.is_embedded for row in rows), np.bool_, n),
    )
