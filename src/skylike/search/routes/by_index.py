"""The approximate route: pgvector's HNSW index on compact vectors, then the embeddings themselves.

The index ranks by the most likely distance (:func:`skylike.search.bounds.without_rest`). What it
misses, and what that ranking puts too far down, is missing from the answer: it is never called
exact.
"""

from typing import Final

import numpy as np

from skylike.search import store_compact
from skylike.search.bounds import without_rest
from skylike.search.exact import Candidates, count_near
from skylike.search.routes.searching import Searching

ROUTE: Final = "fast"
"""Its name in provenance."""


class FastRoute:
    """Candidates from the index, compared in full."""

    def __init__(self, searching: Searching, candidates: int) -> None:
        half = without_rest(searching.compact)
        with searching.clock.step("walk the approximate index"):
            ids, _ = store_compact.fetch_approximate(
                searching.connection, searching.scope, half, limit=candidates
            )
        with searching.clock.step("compare embeddings"):
            cosines = store_compact.fetch_cosines(
                searching.connection, searching.scope.encoder_id, searching.target.half, ids
            )
        order = np.lexsort((ids, -cosines))
        self._ids, self._cosines = ids[order], cosines[order]
        self._error = searching.error

    def __len__(self) -> int:
        return len(self._ids)

    def fetch(self, limit: int) -> Candidates:
        """Return those that may be among the ``limit`` best candidates; all others are given up."""
        near = count_near(self._cosines, limit, error=self._error)
        rest = -np.inf
        if near < len(self._ids):
            rest = float(self._cosines[near]) + self._error
        return Candidates(self._ids[:near], rest)
