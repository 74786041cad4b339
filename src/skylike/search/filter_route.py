"""The exact route: the cut and the cone first, then every matching embedding."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.search import store
from skylike.search.exact import (
    Candidates,
    Ranking,
    Scored,
    certified_ranking,
    cosine_error_bound,
    score,
)
from skylike.search.examples import Target
from skylike.search.query import Query
from skylike.search.separate import unit_vectors
from skylike.search.store_statements import Scope

ROUTE: Final = "filter"
"""Its name in provenance."""


@dataclass
class Clock:
    """Seconds of each step of a search, in the order in which the steps first ended."""

    steps: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time of the ``with`` block to a step."""
        start = time.perf_counter()
        yield
        self.steps[name] = self.steps.get(name, 0.0) + time.perf_counter() - start


class FilterRoute:
    """The route that first applies cut and cone, then compares every embedding that is left.

    It lives as long as the transaction of one search.
    """

    def __init__(
        self,
        connection: Connection,
        query: Query,
        scope: Scope,
        target: Target,
        clock: Clock,
    ) -> None:
        self._connection, self._query, self._scope = connection, query, scope
        self._target, self._clock = target, clock
        self._sign = -1 if query.least_similar else 1
        self._error = cosine_error_bound(len(target.vector)) + target.rounding
        self._limit = 0
        self._fetched = 0

    def rank(self) -> Ranking:
        """Rank the rows of the scope, certified."""
        return certified_ranking(
            self._fetch,
            self._score,
            k=self._query.k,
            anchors=self._target.anchors,
            min_separation=self._query.min_separation / 3600,
            sign=self._sign,
        )

    def _fetch(self, limit: int) -> Candidates:
        self._limit = limit
        with self._clock.step("rank by pgvector"):
            ids, distances = store.fetch_ranked(
                self._connection,
                self._scope,
                self._target.half,
                limit=limit,
                least_similar=self._query.least_similar,
            )
        defined = ~np.isnan(distances)
        # Rows without a direction come last: with one of them here, all others are here too.
        all_here = len(ids) < limit or not defined.all()
        rest = -np.inf if all_here else self._sign * (1 - distances[-1]) + self._error
        return Candidates(ids[defined], float(rest))

    def _score(self, galaxy_ids: npt.NDArray[np.int32]) -> Scored:
        self._fetched += len(galaxy_ids)
        with self._clock.step("score in float64"):
            ids, ra, dec = store.fetch_positions(self._connection, galaxy_ids)
            scores = np.full(len(ids), np.nan)
            for some, vectors in store.iter_vectors(
                self._connection,
                encoder_id=self._scope.encoder_id,
                galaxy_ids=ids,
                dimension=len(self._target.vector),
            ):
                scores[np.searchsorted(ids, some)] = self._sign * score(
                    vectors, self._target.vector
                )
            return Scored(ids, scores, unit_vectors(ra, dec))

    def explain(self, sql: str) -> str:
        """Tell steps, times, typed statement and plan; the server ranks once more for it."""
        plan = store.explain_ranking(
            self._connection,
            self._scope,
            self._target.half,
            limit=self._limit,
            least_similar=self._query.least_similar,
        )
        steps = [f"  {name:<24}{1000 * s:>10.1f} ms" for name, s in self._clock.steps.items()]
        return "\n".join(
            [
                f"route {ROUTE}: exact; {self._fetched} candidates scored in float64, pgvector's"
                f" cosine is certain to {self._error:.1e}",
                *steps,
                "",
                "the statement that an analyst would type:",
                sql,
                "",
                "the server's plan of the ranking:",
                plan,
            ]
        )
