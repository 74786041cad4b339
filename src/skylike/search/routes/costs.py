"""What searches cost on this server, and the route that follows from it.

The numbers come from ``skylike db calibrate``; without it, from the machine that skylike was
developed on (2 cores, everything in memory): right in proportion, not in milliseconds.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Costs:
    """Costs of the steps of a search.

    Attributes
    ----------
    fixed
        Seconds of a search that matches next to nothing.
    per_row
        Seconds for each row that is read and does not match.
    per_match
        Seconds for each matching row, compared by its compact vector.
    per_vector
        Seconds for each embedding that is compared in full.
    refined_share
        Embeddings compared in full, as a share of the rows that match, no cut.
    by_list
        Seconds of walking a neighbor list; None where there was none.
    fast_candidates, fast_recall, fast_seconds
        Candidates of the approximate index, the recall that they reach and the time; None without
        an index.
    is_measured
        On this server?
    """

    fixed: float
    per_row: float
    per_match: float
    per_vector: float
    refined_share: float
    by_list: float | None = None
    fast_candidates: int | None = None
    fast_recall: float | None = None
    fast_seconds: float | None = None
    is_measured: bool = True


UNMEASURED: Final = Costs(
    fixed=6e-3,
    per_row=6e-8,
    per_match=2e-7,
    per_vector=6e-6,
    refined_share=1e-3,
    by_list=8e-3,
    is_measured=False,
)
"""Measured at a million galaxies of 2,048 dimensions (docs/performance.md)."""

FAST_RECALL: Final = 0.99
"""Recall of 100 results below which the approximate index is not used."""


@dataclass(frozen=True)
class Option:
    """A route that could be taken.

    Attributes
    ----------
    seconds
        Expected time; None where the route cannot be taken.
    reason
        Why it cannot be taken, or what the time was computed from.
    """

    route: str
    seconds: float | None
    reason: str


def filter_seconds(costs: Costs, *, rows: int, matched: int, wanted: int) -> float:
    """Estimate the time of the exact route.

    Parameters
    ----------
    rows
        Rows that are read.
    matched
        Of these, rows that match.
    wanted
        Results.
    """
    refined = min(matched, max(2 * wanted, costs.refined_share * matched * wanted / 100))
    read = (rows - matched) * costs.per_row + matched * costs.per_match
    return costs.fixed + read + refined * costs.per_vector


def cheapest(options: list[Option]) -> Option:
    """Return the option that is expected to take the shortest time; the first of equals."""
    return min((o for o in options if o.seconds is not None), key=lambda o: o.seconds or 0.0)
