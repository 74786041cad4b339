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

LARGEST_SHARE: Final = 0.1
"""At most this part of all candidates, where that leaves as many as are asked for: diversity among
all of them would take what is neither likely nor doubtful, only odd."""

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
    margins: npt.NDArray[np.floating],
    vectors: npt.NDArray[np.floating],
    *,
    k: int,
    groups: npt.NDArray[np.int64] | None = None,
    n_candidates: int | None = None,
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
    groups
        (n,) numbers, equal for candidates of which one is enough (one patch of sky); None where
        all differ.
    n_candidates
        How many there were before :func:`shortlist`; None for n.
    """
    n = len(margins)
    if not n:
        return Suggestions(np.empty(0, dtype=np.int64), ())
    groups = np.arange(n) if groups is None else groups
    units = _centered_units(vectors)  # (n, d)
    share = int(LARGEST_SHARE * (n if n_candidates is None else n_candidates))
    considered = max(k, min(OVERSAMPLING * k, share))
    ranks = {
        LIKELY: _ranks(-margins.astype(np.float64)) / considered,
        DOUBTFUL: _ranks(np.abs(margins.astype(np.float64))) / considered,
    }
    closest = np.full(n, -1.0)  # (n,) largest cosine with what is chosen
    free = np.ones(n, dtype=bool)
    places: list[int] = []
    reasons: list[str] = []
    while len(places) < k and free.any():
        reason = (LIKELY, DOUBTFUL)[len(places) % 2]
        cost = (1 - DIVERSITY) * ranks[reason] + DIVERSITY * closest
        # Those behind are taken in order of their rank, when all before them are.
        cost = np.where(ranks[reason] < 1, cost, 1 + ranks[reason])
        place = int(np.argmin(np.where(free, cost, np.inf)))
        free &= groups != groups[place]
        places.append(place)
        reasons.append(reason)
        closest = np.maximum(closest, units @ units[place])
    return Suggestions(np.array(places, dtype=np.int64), tuple(reasons))


def _ranks(keys: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rank of each key, (n,), from 0 for the smallest."""
    ranks = np.empty(len(keys))
    ranks[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    return ranks


def _centered_units(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    # All embeddings point much the same way; their deviations from the mean tell them apart.
    wide = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    wide -= wide.mean(axis=0)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(lengths > 0, lengths, 1.0)
