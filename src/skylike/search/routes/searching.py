"""What every route needs: where to search, for what, and how to tell the truth of a candidate."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.embeddings.store import EncoderRecord
from skylike.search import store
from skylike.search.bounds import CompactQuery
from skylike.search.clock import Clock
from skylike.search.exact import Scored, cosine_error_bound, score
from skylike.search.examples import Target
from skylike.search.query import Query
from skylike.search.separate import unit_vectors
from skylike.search.store_statements import Scope


@dataclass(frozen=True, eq=False)
class Searching:
    """One search under way, within one transaction.

    Attributes
    ----------
    compact
        The target among compact vectors.
    """

    connection: Connection
    query: Query
    record: EncoderRecord
    scope: Scope
    target: Target
    compact: CompactQuery
    clock: Clock

    @property
    def wanted(self) -> int:
        """Results to find: those of the page and those before it."""
        return self.query.reach

    @property
    def sign(self) -> int:
        """1 for the most similar, -1 for the least: what similarities are multiplied by."""
        return -1 if self.query.least_similar else 1

    @property
    def error(self) -> float:
        """Bound on the error of a cosine that the server computes."""
        return cosine_error_bound(len(self.target.vector)) + self.target.rounding

    def score(self, galaxy_ids: npt.NDArray[np.int32]) -> Scored:
        """Return the true scores and the positions of some galaxies."""
        with self.clock.step("score in float64"):
            found = store.fetch_embeddings(
                self.connection,
                encoder_id=self.scope.encoder_id,
                galaxy_ids=galaxy_ids,
                dimension=len(self.target.vector),
            )
            scores = self.sign * score(found.vectors, self.target.vector)
            return Scored(found.galaxy_ids, scores, unit_vectors(found.ra, found.dec))
