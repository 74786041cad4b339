"""The route along a neighbor list that was computed ahead, where the list provably says enough.

A list holds the nearest of *all* candidates in order, so that its members that meet the cut are the
nearest of all that meet it: as far as the list goes, and provided that nothing else could meet it.
"""

from typing import Final

import numpy as np

from skylike.cuts.ranges import column_range
from skylike.search import store_compact
from skylike.search.exact import Candidates, count_near
from skylike.search.examples import SAME_DIRECTION
from skylike.search.routes.searching import Searching
from skylike.search.store_stale import PublishedRun

ROUTE: Final = "list"
"""Its name in provenance."""


def why_not(searching: Searching, run: PublishedRun | None, magnitude: float | None) -> str | None:
    """Say why a list cannot answer a search, None where it may.

    Parameters
    ----------
    magnitude
        Of the example, in the band of the run's window; None if unknown or without a window.
    """
    if run is None:
        return "no neighbor run is published"
    if not run.is_fresh:
        return f"catalog or embeddings may be newer than neighbor run {run.run_id}"
    if run.recall < 1:
        return f"neighbor run {run.run_id} is not known to be exact (recall {run.recall:g})"
    if searching.wanted > run.k:
        return f"lists hold {run.k} galaxies"
    if searching.query.least_similar:
        return "lists hold the most similar"
    return _why_not_in_list(searching, run, magnitude)


def _why_not_in_list(
    searching: Searching, run: PublishedRun, magnitude: float | None
) -> str | None:
    target = searching.target
    if len(target.galaxy_ids) != 1 or target.rejected_ids or target.rounding > SAME_DIRECTION:
        return "lists are of single galaxies"
    if run.band is None or run.width is None:
        return None
    return _why_not_in_window(searching, run.band, run.width, magnitude)


def _why_not_in_window(
    searching: Searching, band: str, width: float, magnitude: float | None
) -> str | None:
    if magnitude is None:
        return f"the galaxy has no mag_{band}, by which lists are limited"
    window = f"mag_{band} BETWEEN {magnitude - width:.3f} AND {magnitude + width:.3f}"
    said = f"lists are limited to {window}, the cut is not"
    if searching.scope.cut is None:
        return said
    low, high = column_range(searching.scope.cut, f"mag_{band}")
    # A millionth of a magnitude inside: the run's window was computed in float32.
    if low >= magnitude - width + 1e-6 and high <= magnitude + width - 1e-6:
        return None
    return said


class ListRoute:
    """The list of one galaxy, as far as it meets the cut."""

    def __init__(self, searching: Searching, run: PublishedRun) -> None:
        (galaxy_id,) = searching.target.galaxy_ids
        with searching.clock.step("walk the neighbor list"):
            found = store_compact.fetch_listed(
                searching.connection, searching.scope, galaxy_id=galaxy_id, run_id=run.run_id
            )
        self._ids, self._similarities = found.galaxy_ids, found.similarities
        self._error = found.error
        # A list shorter than the run's k holds all candidates there were.
        self._last = -np.inf if found.is_there and found.length < run.k else found.last

    def __len__(self) -> int:
        return len(self._ids)

    def fetch(self, limit: int) -> Candidates:
        """Return the members that may be among the first ``limit``, and bound all others."""
        near = count_near(self._similarities, limit, error=self._error)
        is_longer = near < len(self._ids)
        rest = float(self._similarities[near]) if is_longer else self._last
        return Candidates(self._ids[:near], rest + self._error)
