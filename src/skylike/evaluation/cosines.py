"""Exact similarity rankings by brute force: float64 cosines in tiles, over any number of galaxies.

The truth everywhere: the float64 cosine of stored vectors, each divided by its own norm, ties by
rising galaxy_id. Products of matrices sum in an order of their own, so that equal vectors may
differ in the last digits: cosines that agree to about 1e-11 count as tied.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.progress import Task

Cosines = npt.NDArray[np.float64]
GalaxyIds = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Batches = Iterable[tuple[GalaxyIds, npt.NDArray[np.floating]]]
"""Identifiers (b,) and vectors (b, d), in any order."""

TIED: Final = 2.0**-35
"""Cosines nearer than this are the same: 2.9e-11, far above the rounding of a float64 sum of 4,000
products and far below what two different float16 vectors usually differ by."""

_PLACE_BITS: Final = 26
"""Bits of a place within a key, for 67 million galaxies; 37 more hold a cosine in steps of TIED."""

_LAST_PLACE: Final = (1 << _PLACE_BITS) - 1

_TILE_BYTES: Final = 64 << 20
"""Cosines held at a time."""


def unit_rows(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Divide vectors (n, d) by their lengths; rows without a direction become zeros, (n, d)."""
    wide = vectors.astype(np.float64)
    length = np.sqrt(np.vecdot(wide, wide))  # (n,)
    is_good = np.isfinite(length) & (length > 0)
    wide[~is_good] = 0.0
    wide /= np.where(is_good, length, 1.0)[:, None]
    return wide


def has_direction(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Tell which vectors (n, d) can be compared: finite and not zero, (n,)."""
    wide = vectors.astype(np.float64)
    length = np.sqrt(np.vecdot(wide, wide))  # (n,)
    is_good: npt.NDArray[np.bool_] = np.isfinite(length) & (length > 0)
    return is_good


def tile_rows(columns: int) -> int:
    """Return how many rows of cosines with so many columns are held at a time."""
    return max(1, _TILE_BYTES // (8 * max(columns, 1)))


def _tiles(n: int, columns: int) -> Iterator[slice]:
    step = tile_rows(columns)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def nearest_places(
    queries: npt.NDArray[np.float64],
    own_places: Places,
    batches: Batches,
    galaxy_ids: GalaxyIds,
    *,
    k: int,
    task: Task,
) -> Places:
    """Find the k most similar others of each query among all galaxies.

    Parameters
    ----------
    queries
        (q, d) of unit length.
    own_places
        (q,) places of the queries themselves in ``galaxy_ids``, which are left out of their lists.
    batches
        The galaxies; those that are not in ``galaxy_ids`` or have no direction are passed over.
    galaxy_ids
        (n,) ascending, at most 67 million.

    Returns
    -------
    ndarray
        (q, k) int64 places in ``galaxy_ids``, best first; -1 beyond the end.
    """
    best = np.full((len(queries), k), -1, np.int64)
    for ids, vectors in batches:
        place = np.searchsorted(galaxy_ids, ids)  # (b,)
        place = np.minimum(place, len(galaxy_ids) - 1)
        used = (galaxy_ids[place] == ids) & has_direction(vectors)
        place, units = place[used], unit_rows(vectors[used])  # (c,), (c, d)
        for rows in _tiles(len(queries), len(place) + k):
            keys = _keys(queries[rows] @ units.T, place)  # (t, c)
            keys[own_places[rows, None] == place[None, :]] = -1
            joined = np.concatenate([best[rows], keys], axis=1)  # (t, k + c)
            if joined.shape[1] > k:
                joined = np.partition(joined, joined.shape[1] - k, axis=1)[:, -k:]
            best[rows] = joined
        task.advance(len(ids))
    best = np.sort(best, axis=1)[:, ::-1]  # (q, k) best first
    return np.where(best >= 0, _LAST_PLACE - (best & _LAST_PLACE), -1)


def _keys(cosines: Cosines, places: Places) -> Places:
    """Turn cosines (t, c) and places (c,) into integers that sort as (cosine, lower place)."""
    steps = np.floor((np.clip(cosines, -1.0, 1.0) + 1.0) / TIED).astype(np.int64)
    return (steps << _PLACE_BITS) | (_LAST_PLACE - places)


@dataclass(frozen=True, eq=False)
class Standing:
    """Queries, and the galaxies whose ranks in their lists are wanted."""

    queries: npt.NDArray[np.float64]
    """(q, d) of unit length."""

    target_cosines: Cosines
    """(q, t) of each query with its targets."""

    target_ids: GalaxyIds
    """(q, t) identifiers of the targets: of tied galaxies the lower one stands first."""


def count_better(
    standings: Sequence[Standing], batches: Batches, *, task: Task
) -> list[npt.NDArray[np.int64]]:
    """Count the galaxies that stand before each target in the list of each query, in one pass.

    Parameters
    ----------
    batches
        The galaxies to count, none of them a query or a target; without a direction none counts.

    Returns
    -------
    list of ndarray
        (q, t) int64 for each of the standings.
    """
    counts = [np.zeros(standing.target_cosines.shape, np.int64) for standing in standings]
    for ids, vectors in batches:
        used = has_direction(vectors)
        units, theirs = unit_rows(vectors[used]), ids[used]
        for standing, better in zip(standings, counts, strict=True):
            for rows in _tiles(len(standing.queries), len(theirs)):
                cosines = standing.queries[rows] @ units.T  # (t, c)
                for row, own in enumerate(cosines, start=rows.start):
                    better[row] += _count_row(
                        own, theirs, standing.target_cosines[row], standing.target_ids[row]
                    )
        task.advance(len(ids))
    return counts


def _count_row(
    cosines: Cosines, ids: GalaxyIds, targets: Cosines, target_ids: GalaxyIds
) -> npt.NDArray[np.int64]:
    ordered = np.sort(cosines)
    above = np.searchsorted(ordered, targets + TIED, side="right")  # (t,)
    least = np.searchsorted(ordered, targets - TIED, side="left")
    counts = len(ordered) - above
    for place in np.flatnonzero(above > least):
        is_tied = np.abs(cosines - targets[place]) <= TIED
        counts[place] += np.count_nonzero(ids[is_tied] < target_ids[place])
    return counts.astype(np.int64)
