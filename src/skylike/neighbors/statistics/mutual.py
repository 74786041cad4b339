"""Who is among whose first neighbors: hubness and mutual neighbors."""

from typing import Final

import numpy as np
import numpy.typing as npt

FIRST: Final = 10
"""Neighbors that count: the N_10 by which hubness is usually given (Radovanovic, Nanopoulos and
Ivanovic 2010, JMLR 11, 2487)."""

NOBODY: Final = -1
"""In place of a neighbor where a list is shorter."""

_BLOCK = 8192
"""Galaxies looked at together: 3 MB of the lists of their neighbors."""

Places = npt.NDArray[np.int32]


def count_occurrences(first: Places) -> npt.NDArray[np.int32]:
    """Count the lists that each galaxy is among the first of: hubness, (n,).

    Its mean is :data:`FIRST` where lists are long enough. A hub, in the lists of hundreds, is near
    everything rather than like something; one that is in no list at all is nobody's neighbor.

    Parameters
    ----------
    first
        (n, FIRST) places of the first neighbors, :data:`NOBODY` where a list is shorter.
    """
    counts = np.zeros(len(first), np.int32)
    for start in range(0, len(first), _BLOCK):
        named = first[start : start + _BLOCK]
        # These very types: any others take numpy 50 times as long.
        np.add.at(counts, named[named != NOBODY].astype(np.intp), np.int32(1))
    return counts


def count_mutual(first: Places) -> npt.NDArray[np.int16]:
    """Count the first neighbors of each galaxy that have it among their own first, (n,).

    Parameters
    ----------
    first
        As of :func:`count_occurrences`.
    """
    counts = np.zeros(len(first), np.int16)
    for start in range(0, len(first), _BLOCK):
        mine = first[start : start + _BLOCK]  # (b, FIRST)
        theirs = first[mine]  # (b, FIRST, FIRST)
        own = np.arange(start, start + len(mine))[:, None, None]
        is_mutual = (theirs == own).any(axis=2) & (mine != NOBODY)  # (b, FIRST)
        counts[start : start + len(mine)] = is_mutual.sum(axis=1)
    return counts
