"""The exact route: the cut and the cone first, then compact vectors, then the few that are left.

Multi-step nearest-neighbor search (Seidl & Kriegel, SIGMOD 1998) in three steps, each of which only
bounds the next: distances of compact vectors, pgvector's float32 cosines, and the truth, which is
:mod:`skylike.search.exact`'s.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.search import store_compact
from skylike.search.exact import Candidates
from skylike.search.routes.searching import Searching
from skylike.search.store_statements import (
    compared_statement,
    nearest_statement,
    ranked_statement,
)

ROUTE: Final = "filter"
"""Its name in provenance."""

COUNT_LIMIT: Final = 10_000
"""Matching rows that are counted, and compared at once; of more, the server keeps the nearest."""

FIRST_KEPT: Final = 2_000
"""Rows that the server keeps at first where more match; at least four times those wanted."""

MOST_REFINED: Final = 50_000
"""Embeddings that are looked up one by one at most; where bounds leave more, all are compared."""

_AT_ONCE: Final = 2
"""So many times the rows wanted are compared in full at first: about as many as 10,000 that match
need, and cheaper than to ask twice."""

FIRST_REFINED: Final = 512
GROWTH: Final = 3
"""Then embeddings are compared in full in steps, each :data:`GROWTH` times what was compared, 512
at least: the more are known, the fewer of the rest need to be."""


class FilterRoute:
    """What of the matching rows is known so far; it lives as long as one search."""

    def __init__(self, searching: Searching) -> None:
        self._searching = searching
        self._ids = np.empty(0, np.int32)
        self._bounds = np.empty(0)
        """Upper bounds of the scores of the rows known, (n,), falling."""
        self._scores = np.empty(0)
        """Their float32 scores, as far as they were compared in full: the first ones."""
        self._rest = np.inf
        """Upper bound of the scores of all other matching rows."""
        self._kept = 0
        self._is_direct = False
        """Are embeddings compared without regard to bounds?"""

    @property
    def is_direct(self) -> bool:
        """Whether all matching embeddings were compared, because bounds ruled out too few."""
        return self._is_direct

    @property
    def has_all(self) -> bool:
        """Whether all matching rows are known."""
        return self._rest == -np.inf

    @property
    def known(self) -> int:
        """Number of rows known: all that match, or those with the highest bounds."""
        return len(self._ids)

    @property
    def refined(self) -> int:
        """Number of embeddings compared in full."""
        return len(self._scores)

    def best(self, count: int) -> npt.NDArray[np.int32]:
        """Return the identifiers with the highest bounds, (count,) at most."""
        return self._ids[:count]

    def compare_some(self) -> None:
        """Compare up to :data:`COUNT_LIMIT` matching rows; if there are no more, all are known."""
        search = self._searching
        with search.clock.step("compare compact vectors"):
            ids, distances = store_compact.fetch_compared(
                search.connection, search.scope, search.compact.half, limit=COUNT_LIMIT + 1
            )
        if len(ids) <= COUNT_LIMIT:
            self._take(ids, distances, rest=-np.inf)

    def _compare_all(self, kept: int) -> None:
        search = self._searching
        with search.clock.step("compare compact vectors"):
            ids, distances = store_compact.fetch_nearest(
                search.connection,
                search.scope,
                search.compact.half,
                limit=kept,
                farthest=search.compact.sign < 0,
            )
        rest = -np.inf
        if len(ids) == kept:
            rest = float(search.compact.highest_scores(distances[-1:])[0])
        self._kept = kept
        self._take(ids, distances, rest=rest)

    def _take(
        self, ids: npt.NDArray[np.int32], distances: npt.NDArray[np.float64], *, rest: float
    ) -> None:
        bounds = self._searching.compact.highest_scores(distances)
        order = np.argsort(-bounds, kind="stable")
        before = dict(zip(self._ids[: self.refined].tolist(), self._scores.tolist(), strict=True))
        self._ids, self._bounds, self._rest = ids[order], bounds[order], rest
        if before:
            # The same rows come first again, but for ties: keep what is known of them.
            first = self._ids[: len(before)].tolist()
            scores = np.array([before.get(galaxy_id, np.nan) for galaxy_id in first])
            self._scores = scores[: _leading(np.isfinite(scores))]

    def fetch(self, limit: int) -> Candidates:
        """Find the rows that may be among the ``limit`` best, and bound what all others reach."""
        search = self._searching
        if not self.has_all and self._kept == 0:
            self._compare_all(max(FIRST_KEPT, 4 * limit))
        if self.has_all and self.known <= limit + limit // 2:
            return Candidates(self._ids, -np.inf)
        while not self._is_direct:
            self._refine(min(_AT_ONCE * limit, self.known))
            least = -np.inf
            if self.refined >= limit:
                last = self.refined - limit
                least = float(np.partition(self._scores, last)[last]) - search.error
            # Only rows whose bound is above what the last one surely has can be among the best.
            needed = int(np.searchsorted(-self._bounds, -least, side="left"))
            if needed == self.known and self._rest > least:
                self._compare_nearer(least, limit)
            elif needed > MOST_REFINED:
                self._is_direct = True
            elif needed > self.refined:
                self._refine(min(needed, max(GROWTH * self.refined, FIRST_REFINED)))
            else:
                return self._near(least)
        return self._compare_directly(limit)

    def _near(self, least: float) -> Candidates:
        rest = self._rest
        if self.refined < self.known:
            rest = max(rest, float(self._bounds[self.refined]))
        # Twice the error below the last one: what may be better than it in truth.
        is_near = self._scores >= least - self._searching.error
        if not is_near.all():
            rest = max(rest, float(self._scores[~is_near].max()) + self._searching.error)
        return Candidates(self._ids[: self.refined][is_near], rest)

    def _compare_nearer(self, least: float, limit: int) -> None:
        """Know all rows that may score more than ``least``, or that they are too many."""
        search = self._searching
        if self.refined < limit:
            self._compare_all(4 * limit)
            return
        with search.clock.step("compare compact vectors"):
            ids, distances = store_compact.fetch_nearer(
                search.connection,
                search.scope,
                search.compact.half,
                reach=search.compact.reach(least),
                limit=MOST_REFINED + 1,
                farthest=search.compact.sign < 0,
            )
        if len(ids) > MOST_REFINED:
            self._is_direct = True
        else:
            self._take(ids, distances, rest=least)

    def _compare_directly(self, limit: int) -> Candidates:
        """Compare the embeddings of all matching rows: where bounds rule out too few of them."""
        search = self._searching
        wanted = limit + limit // 8 + 24
        with search.clock.step("compare embeddings"):
            ids, cosines = store_compact.fetch_ranked(
                search.connection,
                search.scope,
                search.target.half,
                limit=wanted,
                least_similar=search.sign < 0,
            )
        rest = -np.inf
        if len(ids) == wanted:
            rest = search.sign * float(cosines[-1]) + search.error
        return Candidates(ids, rest)

    def _refine(self, count: int) -> None:
        """Compare the first ``count`` rows in full."""
        if count <= self.refined:
            return
        search = self._searching
        with search.clock.step("compare embeddings"):
            cosines = store_compact.fetch_cosines(
                search.connection,
                search.scope.encoder_id,
                search.target.half,
                self._ids[self.refined : count],
            )
        self._scores = np.concatenate([self._scores, search.sign * cosines])

    def explain(self) -> str:
        """Run the scan once more and return the server's plan."""
        search = self._searching
        half = search.compact.half
        if self._is_direct:
            explained = ranked_statement(
                search.scope, search.target.half, limit=FIRST_KEPT, least_similar=search.sign < 0
            )
        elif self._kept:
            farthest = search.compact.sign < 0
            explained = nearest_statement(search.scope, half, limit=self._kept, farthest=farthest)
        else:
            explained = compared_statement(search.scope, half, limit=COUNT_LIMIT + 1)
        return store_compact.explain(search.connection, explained)


def _leading(flags: npt.NDArray[np.bool_]) -> int:
    """Count the true values before the first false one."""
    return len(flags) if flags.all() else int(np.argmin(flags))
