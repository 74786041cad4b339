"""What to inspect next: likely members and doubtful galaxies in turn, none like another.

Doubtful are those nearest to the decision boundary (uncertainty or margin sampling: Lewis & Gale
1994; Settles 2009, Active Learning Literature Survey, section 3.1): an answer there moves the
boundary most. Likely members are those of the highest score (relevance feedback): where members are
rare, the boundary alone shows hardly any. Within both, diversity as by Brinker 2003 (Incorporating
Diversity in Active Learning with Support Vector Machines): the rank is weighed against the largest
cosine with what is chosen already, so that a batch asks no question twice.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

METHOD: Final = (
    "likely members and galaxies at the decision boundary (margin sampling) in turn, "
    "made diverse (Brinker 2003)"
)

OVERSAMPLING: Final = 10
"""Candidates that diversity chooses from, for each suggestion (Zhdanov 2019, arXiv:1901.05954)."""

DIVERSITY: Final = 0.5
"""Weight of the largest cosine against that of the rank; the value that Brinker found best."""

LIKELY: Final = "likely"
DOUBTFUL: Final = "doubtful"


@dataclass(frozen=True, eq=False)
class Suggestions:
    """What to inspect, in this order.

    Attributes
    ----------
    places
        (k,) places among the candidates.
    reasons
        ``likely`` or ``doubtful`` for each.
    """

    places: npt.NDArray[np.int64]
    reasons: tuple[str, ...]


def shortlist(margins: npt.NDArray[np.floating], *, k: int) -> npt.NDArray[np.int64]:
    """Return the candidates that :func:`suggest` could choose for ``k``, ascending.

    Parameters
    ----------
    margins
        (n,) log odds of all candidates; those that are not finite are no candidates.
    """
    usable = np.flatnonzero(np.isfinite(margins))
    most = OVERSAMPLING * k
    likely = usable[np.argsort(-margins[usable], kind="stable")[:most]]
    doubtful = usable[np.argsort(np.abs(margins[usable]), kind="stable")[:most]]
    return np.union1d(likely, doubtful)


def suggest(
    margins: npt.NDArray[np.floating], vectors: npt.NDArray[np.floating], *, k: int
) -> Suggestions:
    """Choose what to inspect next.

    Parameters
    ----------
    margins
        (n,) log odds of the candidates, in order of identifier: of equals the first is taken.
    vectors
        (n, d) their embeddings, of any length above 0.
    k
        How many; fewer where there are fewer candidates.
    """
    n = len(margins)
    if not n:
        return Suggestions(np.empty(0, dtype=np.int64), ())
    units = _centered_units(vectors)  # (n, d)
    ranks = {
        LIKELY: _ranks(-margins.astype(np.float64), k=k),
        DOUBTFUL: _ranks(np.abs(margins.astype(np.float64)), k=k),
    }
    closest = np.full(n, -1.0)  # (n,) largest cosine with what is chosen
    free = np.ones(n, dtype=bool)
    places: list[int] = []
    reasons: list[str] = []
    for turn in range(min(k, n)):
        reason = LIKELY if turn % 2 == 0 else DOUBTFUL
        cost = (1 - DIVERSITY) * ranks[reason] + DIVERSITY * closest
        place = int(np.argmin(np.where(free, cost, np.inf)))
        free[place] = False
        places.append(place)
        reasons.append(reason)
        closest = np.maximum(closest, units @ units[place])
    return Suggestions(np.array(places, dtype=np.int64), tuple(reasons))


def _ranks(keys: npt.NDArray[np.float64], *, k: int) -> npt.NDArray[np.float64]:
    """Return ranks, (n,), from 0 for the smallest key to 1 for the last that is considered."""
    ranks = np.empty(len(keys))
    ranks[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    considered = OVERSAMPLING * k
    return np.where(ranks < considered, ranks / considered, np.inf)


def _centered_units(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    # All embeddings point much the same way; their deviations from the mean tell them apart.
    wide = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    wide -= wide.mean(axis=0)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(lengths > 0, lengths, 1.0)
