"""Which galaxy an image shows: by identifier, by position within 1 arcsec, or a new one."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from sqlalchemy import Connection

from skylike.catalog.match import ARCSEC_PER_DEG, match_positions
from skylike.catalog.store import ensure_galaxies, fetch_galaxy_ids
from skylike.cuts.sphere import unit_vectors
from skylike.images.index import NO_GALAXY
from skylike.images.rows import UNKNOWN_ID, CutoutRows

MATCH_RADIUS_ARCSEC = 1.0
"""Farthest match of an image with a galaxy: four pixels, smaller than the PSF."""


@dataclass(frozen=True)
class Links:
    """The galaxies of some cutouts.

    Attributes
    ----------
    galaxy_id
        (n,) int32, ``NO_GALAXY`` where the position is unknown.
    by_id, by_position, new
        How many were found by identifier, by position, and made.
    """

    galaxy_id: npt.NDArray[np.int32]
    by_id: int
    by_position: int
    new: int


def link_galaxies(connection: Connection, rows: CutoutRows, *, survey: str) -> Links:
    """Find the galaxy of each cutout, or make a row for it where its position is known.

    Parameters
    ----------
    survey
        Survey that identifiers belong to and that new galaxies join; positions match any survey.
    """
    galaxy_id = np.full(len(rows), NO_GALAXY, dtype=np.int32)
    named = np.flatnonzero(rows.object_id != UNKNOWN_ID)
    galaxy_id[named] = fetch_galaxy_ids(connection, survey, rows.object_id[named])
    by_id = int((galaxy_id != NO_GALAXY).sum())

    placed = np.flatnonzero((galaxy_id == NO_GALAXY) & np.isfinite(rows.ra))
    galaxy_id[placed], _ = match_positions(
        connection, rows.ra[placed], rows.dec[placed], radius_arcsec=MATCH_RADIUS_ARCSEC
    )
    by_position = int((galaxy_id != NO_GALAXY).sum()) - by_id

    unmatched = np.flatnonzero((galaxy_id == NO_GALAXY) & np.isfinite(rows.ra))
    first = _first_within(rows.ra[unmatched], rows.dec[unmatched])
    makers = unmatched[np.unique(first)]
    galaxy_id[makers] = _make(connection, rows.take(makers), survey=survey)
    galaxy_id[unmatched] = galaxy_id[unmatched[first]]
    return Links(galaxy_id, by_id, by_position, len(makers))


def _make(connection: Connection, rows: CutoutRows, *, survey: str) -> npt.NDArray[np.int32]:
    made = np.full(len(rows), NO_GALAXY, dtype=np.int32)
    named = rows.object_id != UNKNOWN_ID
    if named.any():
        made[named] = ensure_galaxies(
            connection, survey, rows.ra[named], rows.dec[named], object_id=rows.object_id[named]
        )
    if not named.all():
        made[~named] = ensure_galaxies(connection, survey, rows.ra[~named], rows.dec[~named])
    return made


def _first_within(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Return for each position the first within the match radius of it: itself or an earlier."""
    first = np.arange(len(ra))
    if len(ra) < 2:
        return first
    # Equal positions first: thousands of images at a placeholder would make millions of pairs.
    _, firsts, place = np.unique(
        np.stack([ra, dec], axis=1), axis=0, return_index=True, return_inverse=True
    )
    distinct = np.sort(firsts)  # (m,) in the order in which they come
    unit = unit_vectors(ra[distinct], dec[distinct])  # (m, 3)
    chord = 2 * np.sin(np.radians(MATCH_RADIUS_ARCSEC / ARCSEC_PER_DEG) / 2)
    pairs = cKDTree(unit).query_pairs(chord, output_type="ndarray")  # (p, 2), i < j
    for i, j in distinct[pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]]:
        # Only a position that stands for itself takes others in: no chains of close pairs.
        if first[i] == i and first[j] == j:
            first[j] = i
    return np.asarray(first[firsts[place.ravel()]])
