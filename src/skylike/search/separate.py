"""Drop results that show the same patch of sky as the query or as a better result."""

from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.cuts.sphere import unit_vectors

__all__ = ["keep_separated", "nearest_separation", "separations", "unit_vectors"]

_FEW: Final = 32
"""Up to so many anchors are compared one by one; a tree of more is worth its making."""


def separations(
    points: npt.NDArray[np.float64], others: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Separation of points on the sphere in degrees, broadcast over all but the last axis.

    From the chord: differences of nearby points lose no digits, as the arc cosine of a product does
    (0.02 mas off at 1 arcsec, our measurement).
    """
    chords: npt.NDArray[np.float64] = np.linalg.norm(points - others, axis=-1)
    return _angles(chords)


def _angles(chords: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    angles: npt.NDArray[np.float64] = np.degrees(2 * np.arcsin(np.minimum(1.0, chords / 2)))
    return angles


def nearest_separation(
    points: npt.NDArray[np.float64], anchors: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Separation of points (n, 3) from their nearest anchor (a, 3), degrees; NaN without any."""
    if not len(anchors) or not len(points):
        return np.full(len(points), np.nan)
    if len(anchors) <= _FEW:
        nearest: npt.NDArray[np.float64] = separations(points[:, None], anchors).min(axis=1)
        return nearest  # (n,)
    from scipy.spatial import cKDTree  # noqa: PLC0415 - a moment that a usual search need not wait

    chords, _ = cKDTree(anchors).query(points)  # (n,)
    return _angles(np.asarray(chords))


def keep_separated(
    points: npt.NDArray[np.float64],
    anchors: npt.NDArray[np.float64],
    *,
    min_separation: float,
    k: int,
) -> npt.NDArray[np.int64]:
    """Walk results from the best and keep those that lie far enough from all kept before.

    Parameters
    ----------
    points
        Positions of the results, best first, (n, 3).
    anchors
        Positions of the query, (a, 3); a may be 0.
    min_separation
        Degrees; a result *closer* than this to an anchor or to a better kept result is dropped.
        0 keeps all.
    k
        Stop when so many are kept.

    Returns
    -------
    ndarray
        Places of the kept results in ``points``, ascending, at most ``k``.
    """
    if min_separation <= 0:
        return np.arange(min(k, len(points)), dtype=np.int64)
    clear = ~(nearest_separation(points, anchors) < min_separation)  # (n,) NaN is clear
    places = np.empty(min(k, len(points)), dtype=np.int64)
    kept = np.empty((len(places), 3))
    count = 0
    for place in np.flatnonzero(clear):
        if count == len(places):
            break
        if count and separations(kept[:count], points[place]).min() < min_separation:
            continue
        kept[count], places[count] = points[place], place
        count += 1
    return places[:count]
