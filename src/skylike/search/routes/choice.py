"""The choice of a route: bounded counts, measured costs, never the planner's guess.

Without ``fast`` the answer does not depend on it: every route but the approximate one is exact.
"""

from dataclasses import dataclass
from typing import Final

from skylike.embeddings.store_indexes import has_fast_index
from skylike.search import store, store_calibration, store_compact
from skylike.search.exact import Ranking, certified_ranking
from skylike.search.routes import by_filter, by_index, by_list, costs
from skylike.search.routes.by_filter import COUNT_LIMIT, FilterRoute
from skylike.search.routes.by_index import FastRoute
from skylike.search.routes.by_list import ListRoute
from skylike.search.routes.costs import Costs, Option
from skylike.search.routes.searching import Searching
from skylike.search.store_stale import PublishedRun

_MORE_EMBEDDINGS: Final = 2
"""So many times the counting limit: then a search without a cut surely finds more than it."""

_ALREADY: Final = "not needed: counting what matches has compared it already"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a route found, and why it was taken.

    Attributes
    ----------
    is_exact
        Is the ranking proven?
    matched
        Rows that satisfied the cut and the cone, or more than which did.
    is_counted
        Is ``matched`` their number, and not only a lower bound?
    recall
        Expected share of the true results; 1 where exact.
    options
        The routes that were weighed, with their expected costs.
    costs
        What they were computed from.
    filter_route
        The exact route as far as it was gone, for its plan.
    """

    ranking: Ranking
    route: str
    is_exact: bool
    matched: int
    is_counted: bool
    recall: float
    options: tuple[Option, ...]
    costs: Costs
    filter_route: FilterRoute


def find(searching: Searching, run: PublishedRun | None, *, explain: bool = False) -> Outcome:
    """Rank what a search asks for, by the route that is expected to take the shortest time.

    Parameters
    ----------
    explain
        Fetch what was measured also where no choice is left.
    """
    exact = FilterRoute(searching)
    rows = searching.record.n_embedded
    if not searching.scope.is_everything or rows <= _MORE_EMBEDDINGS * COUNT_LIMIT:
        exact.compare_some()
    used = costs.UNMEASURED
    if explain or searching.query.fast or not exact.has_all:
        used = (
            store_calibration.fetch_costs(searching.connection, searching.scope.encoder_id) or used
        )
    options = _options(searching, exact, run, used)
    left = [option for option in options if option.seconds is not None]
    while left:
        option = costs.cheapest(left)
        left.remove(option)
        ranking = _follow(option, searching, exact, run, used)
        if ranking is not None:
            is_exact = option.route != by_index.ROUTE
            return Outcome(
                ranking=ranking,
                route=option.route,
                is_exact=is_exact,
                matched=exact.known if exact.has_all else COUNT_LIMIT,
                is_counted=exact.has_all,
                recall=1.0 if is_exact else used.fast_recall or 0.0,
                options=tuple(options),
                costs=used,
                filter_route=exact,
            )
    raise AssertionError("the exact route always finds what there is")


def _options(
    searching: Searching, exact: FilterRoute, run: PublishedRun | None, used: Costs
) -> list[Option]:
    if exact.has_all:
        seconds = costs.filter_seconds(
            used, rows=exact.known, matched=exact.known, wanted=searching.wanted
        )
        fast = _fast_option(searching, used, share=1.0)
        if fast.seconds is not None:
            fast = Option(by_index.ROUTE, None, _ALREADY)
        return [
            Option(by_filter.ROUTE, seconds, f"{exact.known:,} rows match, all compared"),
            Option(by_list.ROUTE, None, _ALREADY),
            fast,
        ]
    rows = max(searching.record.n_embedded, COUNT_LIMIT)
    share, guess = 1.0, "at most all"
    if searching.query.fast and not searching.scope.is_everything:
        share = store_compact.fetch_share(searching.connection, searching.scope, rows=rows)
        share = min(1.0, max(share, COUNT_LIMIT / rows))
        guess = f"about {100 * share:.2g} % by a sample"
    seconds = costs.filter_seconds(
        used, rows=rows, matched=round(share * rows), wanted=searching.wanted
    )
    by_cut = Option(
        by_filter.ROUTE, seconds, f"more than {COUNT_LIMIT:,} of {rows:,} rows match, {guess}"
    )
    return [_list_option(searching, run, used), by_cut, _fast_option(searching, used, share)]


def _list_option(searching: Searching, run: PublishedRun | None, used: Costs) -> Option:
    magnitude = None
    if run is not None and run.band is not None and len(searching.target.galaxy_ids) == 1:
        magnitude = store.fetch_magnitude(
            searching.connection, galaxy_id=searching.target.galaxy_ids[0], band=run.band
        )
    reason = by_list.why_not(searching, run, magnitude)
    if reason is not None or run is None:
        return Option(by_list.ROUTE, None, reason or "")
    seconds = used.by_list if used.by_list is not None else costs.UNMEASURED.by_list
    return Option(by_list.ROUTE, seconds, f"neighbor run {run.run_id} holds {run.k} galaxies")


def _fast_option(searching: Searching, used: Costs, share: float) -> Option:
    if not searching.query.fast:
        return Option(by_index.ROUTE, None, "approximate answers were not allowed (--fast)")
    if searching.query.least_similar:
        return Option(by_index.ROUTE, None, "the approximate index knows the most similar only")
    if used.fast_candidates is None or used.fast_seconds is None or used.fast_recall is None:
        return Option(
            by_index.ROUTE,
            None,
            "there is no calibrated approximate index; run `skylike db calibrate --fast-index`",
        )
    if used.fast_recall < costs.FAST_RECALL:
        return Option(
            by_index.ROUTE,
            None,
            f"its recall of {used.fast_recall:.3f} is below {costs.FAST_RECALL}",
        )
    if not has_fast_index(searching.connection, searching.scope.encoder_id):
        return Option(by_index.ROUTE, None, "the approximate index is gone; calibrate again")
    # The index gives rows whether they match or not: it goes on until enough of them do.
    seconds = used.fixed + max(0.0, used.fast_seconds - used.fixed) / share
    return Option(by_index.ROUTE, seconds, f"approximate, expected recall {used.fast_recall:.3f}")


def _follow(
    option: Option,
    searching: Searching,
    exact: FilterRoute,
    run: PublishedRun | None,
    used: Costs,
) -> Ranking | None:
    """Take a route; None if it falls short of what is wanted."""
    if option.route == by_filter.ROUTE:
        return _ranked(searching, exact)
    if option.route == by_list.ROUTE and run is not None:
        return _enough(searching, ListRoute(searching, run))
    candidates = used.fast_candidates or 0
    # As calibrated for 100 results; of fewer the recall is no lower.
    candidates = max(candidates, candidates * searching.wanted // 100)
    return _enough(searching, FastRoute(searching, candidates))


def _enough(searching: Searching, route: ListRoute | FastRoute) -> Ranking | None:
    """Rank what a route of limited length holds; None if that does not do."""
    ranking = _ranked(searching, route) if len(route) >= searching.wanted else None
    if ranking is None or len(ranking.galaxy_ids) < searching.wanted:
        return None
    return ranking


def _ranked(searching: Searching, route: FilterRoute | ListRoute | FastRoute) -> Ranking | None:
    return certified_ranking(
        route.fetch,
        searching.score,
        k=searching.wanted,
        anchors=searching.target.anchors,
        min_separation=searching.query.min_separation / 3600,
        sign=searching.sign,
    )
