"""Galaxies that show the same patch of sky belong together: in a split, in a fold."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from skylike.bands import CROP_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.catalog.match import ARCSEC_PER_DEG

SAME_SKY_ARCSEC: Final = CROP_SIZE_PIX * PIXEL_SCALE_ARCSEC
"""25.152 arcsec, the side of what the encoder sees: nearer, two cutouts show the same sky."""


def group_positions(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64], *, within_arcsec: float
) -> npt.NDArray[np.int64]:
    """Return the groups of positions that chains of close pairs connect, as numbers.

    Parameters
    ----------
    ra, dec
        ICRS degrees, (n,).
    within_arcsec
        A pair nearer than this belongs together; 0 leaves every position alone.

    Returns
    -------
    ndarray
        (n,) numbers from 0, equal within a group.
    """
    n = len(ra)
    if n < 2 or within_arcsec <= 0:
        return np.arange(n)
    lon, lat = np.radians(ra), np.radians(dec)
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    chord = 2 * np.sin(np.radians(within_arcsec / ARCSEC_PER_DEG) / 2)
    pairs = cKDTree(points).query_pairs(np.nextafter(chord, 0), output_type="ndarray")  # (p, 2)
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, numbers = connected_components(graph, directed=False)
    return np.asarray(numbers, dtype=np.int64)


def smallest_of_group(keys: Sequence[str], groups: npt.NDArray[np.int64]) -> list[str]:
    """Return for each row the smallest key of its group: a name that all of the group share."""
    smallest: dict[int, str] = {}
    for key, group in zip(keys, groups.tolist(), strict=True):
        smallest[group] = min(key, smallest.get(group, key))
    return [smallest[group] for group in groups.tolist()]


def hash_fractions(keys: Iterable[str], *, seed: int) -> npt.NDArray[np.float64]:
    """Return a number from 0 to below 1 for each key, (n,): random, but always the same.

    BLAKE2b, so that no version of Python, NumPy or PostgreSQL changes it.
    """
    salt = f"{seed}:"
    digests = (hashlib.blake2b((salt + key).encode(), digest_size=8).digest() for key in keys)
    # 53 bits: what a float64 holds exactly, so that 1 is never reached by rounding.
    return np.array([(int.from_bytes(d, "big") >> 11) / 2.0**53 for d in digests])
