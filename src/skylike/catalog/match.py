"""Cross-match positions with the catalog: positions in, galaxies out."""

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.catalog.store import fetch_nearest

ARCSEC_PER_DEG = 3600.0
"""Arcseconds in a degree."""


def match_positions(
    connection: Connection,
    ra: npt.NDArray[np.float64],
    dec: npt.NDArray[np.float64],
    *,
    radius_arcsec: float,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Find the catalog galaxy nearest to each position.

    Parameters
    ----------
    ra, dec
        ICRS degrees, (n,) float64; any real right ascension, NaN matches nothing.
    radius_arcsec
        Farthest match, edge included.

    Returns
    -------
    tuple
        galaxy_id (n,) int32, -1 where no galaxy is that near; separation (n,) float64 in arcsec,
        NaN there. Of galaxies at one separation the lowest galaxy_id counts; several positions may
        match one galaxy.
    """
    ra = np.mod(np.asarray(ra, dtype=np.float64), 360.0)
    dec = np.asarray(dec, dtype=np.float64)
    usable = np.isfinite(ra) & (np.abs(dec) <= 90)
    galaxy_id = np.full(len(ra), -1, dtype=np.int32)
    separation = np.full(len(ra), np.nan)
    galaxy_id[usable], found = fetch_nearest(
        connection, ra[usable], dec[usable], radius=radius_arcsec / ARCSEC_PER_DEG
    )
    separation[usable] = found * ARCSEC_PER_DEG
    return galaxy_id, separation
