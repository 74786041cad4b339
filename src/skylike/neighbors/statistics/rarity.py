"""Rarity: how far a galaxy's neighbors are, compared with those of galaxies as bright.

``distance`` is the Euclidean distance of two unit vectors, sqrt(2 - 2 cos), from a galaxy to its
:data:`RANK`-th neighbor, as outlier detection has it since Ramaswamy, Rastogi and Shim (2000,
SIGMOD, 427). How large that is depends on brightness: faint galaxies are blurred alike, and bright
ones have few candidates. So

    rarity = distance / median distance of the galaxies next to it in magnitude,

1 for a usual galaxy, larger for one that is like few others.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

RANK: Final = 20
"""Neighbor whose distance counts, from our measurement (docs/neighbors.md): artifacts and lenses of
a simulated survey stand out most at ranks from 10 to 50. A smaller one lets a few twins hide what
is rare, such as the pieces of one shredded galaxy; a larger one leaves more of the bright galaxies,
which have fewer candidates than that, without a rarity."""

HALF_WINDOW: Final = 100
"""So many galaxies on either side in the magnitude order are compared with: the median of 201 is
known to 2 % where distances scatter by 20 %, and at the bright end, where galaxies are few, these
are still of about one magnitude."""

FEWEST: Final = 25
"""Near both ends of the order the window narrows, to stay centered on the galaxy and free of any
trend with magnitude, but not below so many on either side."""


def rank_in_lists(k: int) -> int:
    """Return the rank whose distance counts in lists of at most k."""
    return min(RANK, k)


def relative_rarity(
    distances: npt.NDArray[np.float64], magnitudes: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Divide distances by the median of galaxies of like magnitude.

    Galaxies without a magnitude, and all of them in a run without a window, are compared as a
    whole.

    Parameters
    ----------
    distances
        (n,) NaN where the list is shorter than the rank: such a galaxy has no rarity, and others
        are not compared with it. Having few candidates makes nothing rare.
    magnitudes
        (n,) rising; NaN, at the end, where unknown.

    Returns
    -------
    rarity
        (n,) NaN where there is no distance, or where the median is 0: most there are duplicates.
    """
    known = np.isfinite(distances)
    ordered = np.flatnonzero(known & np.isfinite(magnitudes))
    others = np.flatnonzero(known & ~np.isfinite(magnitudes))
    usual = np.full(len(distances), np.nan)
    usual[ordered] = _running_median(distances[ordered])
    if len(others):
        usual[others] = np.median(distances[others])
    usual[usual == 0] = np.nan
    return np.asarray(distances / usual)


def _running_median(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the median of the values around each, (n,); see :data:`FEWEST` for the ends."""
    n = len(values)
    medians = np.asarray(median_filter(values, size=2 * HALF_WINDOW + 1, mode="nearest"))
    ends = np.arange(n)
    for place in ends[np.minimum(ends, n - 1 - ends) < HALF_WINDOW].tolist():
        half = max(min(place, n - 1 - place), FEWEST)
        medians[place] = np.median(values[max(place - half, 0) : place + half + 1])
    return medians
