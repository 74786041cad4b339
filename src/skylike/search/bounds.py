"""Bounds on similarities from compact vectors: how a search is exact without reading all vectors.

A compact vector is the projection of ``x - mean`` on some orthonormal axes, then the length of
what the axes leave out. The distance of two of them is at most that of the embeddings, by the
triangle inequality in the space that is left out. With the last entry of one negated, it is at
least that.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from skylike.embeddings.compact import CompactBasis, project


@dataclass(frozen=True, eq=False)
class CompactQuery:
    """What compact vectors are compared with.

    Attributes
    ----------
    half
        (m + 1,) float16.
    slack
        How far a computed distance can lie beyond the true one: rounding to float16 on both sides,
        float32 arithmetic, axes that are not quite orthonormal.
    sign
        1 to bound similarities from above; -1 to bound them from below, for the least similar:
        ``half`` then has its last entry negated.
    """

    half: npt.NDArray[np.float16]
    slack: float
    sign: int = field(default=1)

    def highest_scores(self, distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Bound the scores (similarity times ``sign``) of rows by their distances.

        The rows with the highest bound are those with the smallest distance, or the largest when
        ``sign`` is -1. Unit vectors have cosine ``1 - d ** 2 / 2``; 1e-12 covers the arithmetic.
        """
        if self.sign > 0:
            least = np.maximum(0.0, distances - self.slack)
            return 1 - least * least / 2 + 1e-12
        most = np.minimum(2.0, distances + self.slack)
        return most * most / 2 - 1 + 1e-12

    def reach(self, score: float) -> float:
        """Return the distance beyond which (least similar: within which) no row has a score."""
        if self.sign > 0:
            return math.sqrt(max(0.0, 2 * (1 - score))) + self.slack + 1e-6
        return math.sqrt(max(0.0, 2 * (1 + score))) - self.slack - 1e-6


def of_stored(
    compact: npt.NDArray[np.float16], *, slack: float, least_similar: bool
) -> CompactQuery:
    """Make a query of a stored compact vector (m + 1,), which has the slack of all stored ones."""
    return _signed(compact, 2 * slack, least_similar=least_similar)


def of_vector(
    vector: npt.NDArray[np.float64],
    basis: CompactBasis,
    *,
    slack: float,
    least_similar: bool,
) -> CompactQuery:
    """Make a query of any vector (d,), projected in float64; ``slack`` is that of stored ones."""
    compact, own_slack = project(vector[np.newaxis], basis)
    return _signed(compact[0], slack + own_slack, least_similar=least_similar)


def _signed(compact: npt.NDArray[np.float16], slack: float, *, least_similar: bool) -> CompactQuery:
    half = compact.astype(np.float16, copy=True)
    if least_similar:
        half[-1] = -half[-1]
    return CompactQuery(half, slack, -1 if least_similar else 1)


def without_rest(query: CompactQuery) -> npt.NDArray[np.float16]:
    """Return the query that ranks by the most likely distance, not the smallest possible one.

    What the axes leave out of two embeddings is nearly orthogonal: its squared length adds. With
    the last entry 0, the squared distance is that sum less a constant of the query.
    """
    half = query.half.copy()
    half[-1] = 0
    return half
