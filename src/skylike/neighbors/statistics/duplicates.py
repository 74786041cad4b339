"""Groups of catalog rows that are one source: duplicates, and galaxies shredded into pieces.

Two galaxies are taken for one where both hold:

- they are closer on the sky than :data:`SAME_SKY_ARCSEC`, and
- their embeddings are alike: 1 - cos is at most :data:`ALIKE` of its mean over all pairs of the
  survey's galaxies. That mean depends on the encoder (some put all galaxies within a cosine of
  0.99), which a threshold on the cosine itself would have to follow.

Groups are what chains of such pairs connect. The pairs come from the sky, not from the neighbor
lists: pieces of a shredded galaxy differ in magnitude, and lists have a window.
"""

import logging
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from skylike.bands import CROP_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.cuts.sphere import unit_vectors
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.statistics.pairs import pair_distances

logger = logging.getLogger(__name__)

SAME_SKY_ARCSEC: Final = CROP_SIZE_PIX * PIXEL_SCALE_ARCSEC
"""25.152 arcsec, the side of what the encoder sees: nearer, two cutouts show the same sky."""

ALIKE: Final = 0.1
"""Largest 1 - cos of one source, as a share of the mean over all pairs; docs/neighbors.md has the
measurement."""

PLACEHOLDER: Final = 100
"""A position that more galaxies than this have is none, but what a catalog writes where it knows
none: they would make millions of pairs, and are in no group."""

NO_GROUP: Final = -1

_STRIP_ROWS = 1 << 20
"""Galaxies in a strip of declination: the tree of one takes 100 MB."""

Positions = npt.NDArray[np.float64]
Pairs = npt.NDArray[np.int64]


def find_groups(staged: StagedVectors, ra: Positions, dec: Positions) -> npt.NDArray[np.int32]:
    """Find the groups of galaxies that are one source.

    Parameters
    ----------
    ra, dec
        (n,) ICRS degrees of the staged galaxies; NaN where unknown, which is in no group.

    Returns
    -------
    groups
        (n,) smallest galaxy_id of the group, which names it; :data:`NO_GROUP` for all others.
    """
    limit = np.sqrt(2 * ALIKE * mean_dissimilarity(staged))
    alike = [np.empty((0, 2), np.int64)]
    for pairs in iter_close_pairs(ra, dec):
        distances = pair_distances(staged, pairs[:, 0], pairs[:, 1])
        alike.append(pairs[distances <= limit])
    return name_groups(np.concatenate(alike), staged.galaxy_ids)


def mean_dissimilarity(staged: StagedVectors) -> float:
    """Return the mean of 1 - cos over all pairs of different galaxies; 0 of fewer than two.

    The mean cosine of all n^2 pairs is the squared length of the mean unit vector; n of them are of
    a galaxy with itself and count 1.
    """
    n = len(staged)
    if n < 2:
        return 0.0
    return max(0.0, 1.0 - float(staged.center @ staged.center)) * n / (n - 1)


def iter_close_pairs(
    ra: Positions, dec: Positions, *, strip_rows: int = _STRIP_ROWS
) -> Iterator[Pairs]:
    """Find all pairs closer than :data:`SAME_SKY_ARCSEC`, a strip of the sky after the other.

    Yields
    ------
    ndarray
        (p, 2) places in ``ra`` and ``dec``.
    """
    order = np.lexsort((ra, dec))  # NaN last
    order = order[np.isfinite(ra[order]) & np.isfinite(dec[order])]
    order = order[~_are_placeholders(ra[order], dec[order])]
    radius = SAME_SKY_ARCSEC / 3600
    chord = np.nextafter(2 * np.sin(np.radians(radius) / 2), 0)
    rising = dec[order]
    for start in range(0, len(order), strip_rows):
        stop = min(start + strip_rows, len(order))
        # Pairs begin in this strip and may end in the next one.
        beyond = int(np.searchsorted(rising, rising[stop - 1] + 1.001 * radius, side="right"))
        rows = order[start:beyond]
        pairs = cKDTree(unit_vectors(ra[rows], dec[rows])).query_pairs(chord, output_type="ndarray")
        yield rows[pairs[pairs.min(axis=1) < stop - start]]


def _are_placeholders(ra: Positions, dec: Positions) -> npt.NDArray[np.bool_]:
    """Tell which positions, in order, are those of too many galaxies."""
    if not len(ra):
        return np.zeros(0, np.bool_)
    is_first = np.concatenate([[True], (np.diff(ra) != 0) | (np.diff(dec) != 0)])
    place = np.cumsum(is_first) - 1
    crowded: npt.NDArray[np.bool_] = np.bincount(place)[place] > PLACEHOLDER
    if crowded.any():
        logger.warning(
            "%d galaxies share a position with more than %d others; they are taken for no "
            "duplicates",
            np.count_nonzero(crowded),
            PLACEHOLDER - 1,
        )
    return crowded


def name_groups(pairs: Pairs, galaxy_ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Connect pairs (p, 2) of places to groups, (n,), each named by its smallest galaxy_id."""
    groups = np.full(len(galaxy_ids), NO_GROUP, np.int32)
    members, ends = np.unique(pairs, return_inverse=True)
    if not len(members):
        return groups
    ends = ends.reshape(pairs.shape)
    m = len(members)
    graph = coo_array((np.ones(len(pairs), np.int8), (ends[:, 0], ends[:, 1])), shape=(m, m))
    number, labels = connected_components(graph, directed=False)
    names = np.full(number, np.iinfo(np.int32).max, np.int32)
    np.minimum.at(names, labels, galaxy_ids[members])
    groups[members] = names[labels]
    return groups
