"""An exact ranking from approximate similarities: candidates scored anew, proven complete.

The server ranks with pgvector's float32 arithmetic; the truth is the float64 cosine of the stored
vectors, each divided by its own norm. What is fetched in the server's order is scored in float64,
and a result counts once its score is above anything that the rows not fetched can reach.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skylike.search.separate import keep_separated

GROWTH = 4
"""Each further fetch asks for so many times more candidates; those known are not scored again."""

SCORED_AT_ONCE = 64
"""Vectors of 2,048 dimensions that are a megabyte in float64: what a core keeps near."""

FLOAT32_UNIT_ROUNDOFF = 2.0**-24


@dataclass(frozen=True, eq=False)
class Candidates:
    """The best rows by an approximate score.

    Attributes
    ----------
    galaxy_ids
        (n,) int32.
    rest
        Upper bound on the true score of every matching row that is not among them; ``-inf`` when
        all matching rows are here.
    """

    galaxy_ids: npt.NDArray[np.int32]
    rest: float


@dataclass(frozen=True, eq=False)
class Scored:
    """Candidates with their true score and place on the sky, all (n,) but the points (n, 3)."""

    galaxy_ids: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float64]
    points: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """The answer of a certified search.

    Attributes
    ----------
    galaxy_ids, similarities, points
        The kept results, best first: (n,) int32, (n,) float64, (n, 3), n at most k.
    dropped_ids
        Galaxies that ranked among them but lay too close to the query or to a better kept result.
    fetched
        Candidates that were fetched and scored.
    exhausted
        Were all matching rows among them?
    """

    galaxy_ids: npt.NDArray[np.int32]
    similarities: npt.NDArray[np.float64]
    points: npt.NDArray[np.float64]
    dropped_ids: npt.NDArray[np.int32]
    fetched: int
    exhausted: bool


def cosine_error_bound(dimension: int) -> float:
    """Bound the error of a cosine that float32 sums of ``dimension`` products give.

    A product of two float16 numbers has at most 22 significant bits and is exact in float32. A
    float32 sum of d terms in any order, fused or not, errs by at most gamma = d u / (1 - d u) times
    the sum of the absolute terms, u = 2^-24 (Higham, Accuracy and Stability of Numerical
    Algorithms, 2nd ed., section 4.2). The scalar product errs by gamma at most, relative to the
    product of the norms; each squared norm by a factor within 1 +- gamma, so their product's root
    as well. Together: 2 gamma / (1 - gamma). 1e-12 covers what follows in float64.
    """
    gamma = dimension * FLOAT32_UNIT_ROUNDOFF / (1 - dimension * FLOAT32_UNIT_ROUNDOFF)
    return 2 * gamma / (1 - gamma) + 1e-12


def count_near(scores: npt.NDArray[np.float64], limit: int, *, error: float) -> int:
    """Count the rows that may be among the ``limit`` best in truth.

    Parameters
    ----------
    scores
        Falling, (n,), each within ``error`` of the true one.
    """
    if limit >= len(scores):
        return len(scores)
    # The last of them may be worse by the error, another better by it.
    return int(np.searchsorted(-scores, -(scores[limit - 1] - 2 * error), side="right"))


def score(
    vectors: npt.NDArray[np.float16], target: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the true similarities: float64 cosines of stored vectors (n, d) with a unit vector.

    Sums run along each row alone, never through BLAS: equal vectors must give equal scores wherever
    they stand, or ties would not break by identifier.
    """
    cosines = np.empty(len(vectors))
    for start in range(0, len(vectors), SCORED_AT_ONCE):
        wide = vectors[start : start + SCORED_AT_ONCE].astype(np.float64)  # (b, d)
        products = (wide * target).sum(axis=1)  # (b,)
        norms = np.sqrt((wide * wide).sum(axis=1))  # (b,)
        cosines[start : start + len(wide)] = np.clip(products / norms, -1.0, 1.0)
    return cosines


def certified_ranking(
    fetch: Callable[[int], Candidates],
    score_rows: Callable[[npt.NDArray[np.int32]], Scored],
    *,
    k: int,
    anchors: npt.NDArray[np.float64],
    min_separation: float,
    sign: int = 1,
) -> Ranking | None:
    """Rank all matching rows by true score, as far as ``k`` separated results need.

    Parameters
    ----------
    fetch
        Gives the ``n`` best candidates, and those that may be as good as the last of them; asked
        again with a larger ``n`` until the ranking is proven.
    score_rows
        Gives true scores (times ``sign``) and positions of rows, in any order; rows that have no
        direction or no position are left out.
    anchors
        Positions of the query, (a, 3).
    min_separation
        Degrees; see :func:`skylike.search.separate.keep_separated`.
    sign
        1 for the most similar, -1 for the least: what scores were multiplied by.

    Returns
    -------
    Ranking or None
        By falling score, ties by rising identifier; None where ``fetch`` has no more to give before
        the ranking is proven.
    """
    known = Scored(np.empty(0, np.int32), np.empty(0), np.empty((0, 3)))
    seen = np.empty(0, np.int32)
    wanted = k
    while True:
        candidates = fetch(wanted)
        new = np.setdiff1d(candidates.galaxy_ids, seen)
        exhausted = candidates.rest == -np.inf
        if not len(new) and len(seen) and not exhausted:
            return None
        seen = np.union1d(seen, new)
        known = _join(known, score_rows(new))
        order = np.lexsort((known.galaxy_ids, -known.scores))
        # A row not fetched could tie with the bound and have a lower identifier: strictly above it.
        order = order[known.scores[order] > candidates.rest]
        places = keep_separated(known.points[order], anchors, min_separation=min_separation, k=k)
        if len(places) == k or exhausted:
            break
        wanted *= GROWTH
    kept = order[places]
    reached = order[: places[-1]] if len(places) == k else order
    return Ranking(
        galaxy_ids=known.galaxy_ids[kept],
        similarities=sign * known.scores[kept],
        points=known.points[kept],
        dropped_ids=np.setdiff1d(known.galaxy_ids[reached], known.galaxy_ids[kept]),
        fetched=len(seen),
        exhausted=exhausted,
    )


def _join(first: Scored, second: Scored) -> Scored:
    return Scored(
        np.concatenate([first.galaxy_ids, second.galaxy_ids]),
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.points, second.points]),
    )
