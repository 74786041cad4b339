"""Measure what searches cost on this server, and what the approximate index is worth."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from sqlalchemy import Connection, Engine

from skylike.cuts import GALAXY_KINDS, parse_cut
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_indexes import build_fast_index, has_fast_index
from skylike.progress import SILENT, Progress
from skylike.search import store, store_calibration, store_compact
from skylike.search.bounds import of_stored
from skylike.search.clock import Clock
from skylike.search.examples import combine
from skylike.search.locate import galaxy_example
from skylike.search.query import Query
from skylike.search.routes.by_filter import FIRST_KEPT, FilterRoute
from skylike.search.routes.by_index import FastRoute
from skylike.search.routes.by_list import ListRoute
from skylike.search.routes.costs import FAST_RECALL, Costs
from skylike.search.routes.searching import Searching
from skylike.search.search import search
from skylike.search.store_stale import PublishedRun, fetch_published_run
from skylike.search.store_statements import Scope

QUERIES: Final = 20
"""Galaxies that are searched for, the same each time."""

RESULTS: Final = 100
"""Results of each search; recall is of these."""

CANDIDATES: Final = (150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200)
"""Candidates of the approximate index that are tried, until the recall is reached."""

RECALL_GOAL: Final = 0.995
"""Recall to reach: a little above what is promised, because cuts change it."""

_VECTORS: Final = 2_000
_NOTHING: Final = "ebv < -1000"
"""A cut that no galaxy meets and no index answers: all rows are read."""


@dataclass(frozen=True)
class Calibration:
    """What was measured, with which encoder, on how many embeddings."""

    encoder: str
    n_embeddings: int
    costs: Costs


def calibrate(
    engine: Engine,
    *,
    encoder: str | None = None,
    fast_index: bool = False,
    progress: Progress = SILENT,
) -> Calibration:
    """Measure the steps of searches with some stored galaxies, and record it for route choice.

    Parameters
    ----------
    encoder
        Name of the encoder; None takes the active one.
    fast_index
        First build the approximate index where there is none.

    Raises
    ------
    EncoderNotFoundError, EmptyStageError
        There is no such encoder, or nothing to search.
    """
    with store.reading(engine, timeout_s=None) as connection:
        record = store.fetch_encoder_to_search(connection, encoder)
        is_fast = has_fast_index(connection, record.encoder_id)
    if fast_index and not is_fast:
        with progress.task("Build the approximate index", total=1, unit="indexes") as task:
            build_fast_index(engine, record)
            task.advance()
    with store.reading(engine, timeout_s=None) as connection:
        n = store_calibration.count_embeddings(connection, record.encoder_id)
        record = replace(record, n_embedded=n)
        ids = store_calibration.fetch_some_galaxies(connection, record.encoder_id, QUERIES)
    fixed = _fixed(engine, record, ids)
    with (
        store.reading(engine, timeout_s=None) as connection,
        progress.task("Measure", total=len(ids), unit="queries") as task,
    ):
        searches = [_searching(connection, record, galaxy_id) for galaxy_id in ids]
        costs = _measure(connection, record, searches, fixed)
        task.advance(len(ids))
        software = store_calibration.fetch_software(connection)
    with engine.begin() as connection:
        store_calibration.write_costs(
            connection, costs, encoder_id=record.encoder_id, n_embeddings=n, software=software
        )
    return Calibration(record.name, n, costs)


def _searching(
    connection: Connection, record: EncoderRecord, galaxy_id: int, *, cut: str | None = None
) -> Searching:
    query = Query(galaxies=(galaxy_id,), k=RESULTS, min_separation=0.0, where=cut)
    example = galaxy_example(connection, galaxy_id, record)
    assert example.compact is not None  # noqa: S101 - chosen among those that have one
    return Searching(
        connection=connection,
        query=query,
        record=record,
        scope=Scope(
            record.encoder_id,
            cut=None if cut is None else parse_cut(cut, GALAXY_KINDS),
            excluded=(galaxy_id,),
        ),
        target=combine([example]),
        compact=of_stored(example.compact, slack=record.compact_slack or 0.0, least_similar=False),
        clock=Clock(),
    )


def _fixed(engine: Engine, record: EncoderRecord, galaxy_ids: Sequence[int]) -> float:
    """Measure whole searches that match one galaxy."""
    times = []
    for galaxy_id in [galaxy_ids[0], *galaxy_ids]:  # the first pays for what is kept in memory
        query = Query(galaxies=(galaxy_id,), where=f"galaxy_id = {galaxy_ids[-1]}")
        start = time.perf_counter()
        search(engine, query, encoder=record.name)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _measure(
    connection: Connection, record: EncoderRecord, searches: Sequence[Searching], fixed: float
) -> Costs:
    n = record.n_embedded
    routes = [FilterRoute(searching) for searching in searches]
    for route in routes:
        route.fetch(RESULTS)
    scan = _median(searches, _scan)
    ids = np.unique(np.concatenate([r.best(_VECTORS // len(searches)) for r in routes]))
    vectors = _median(
        searches,
        lambda s: store_compact.fetch_cosines(connection, record.encoder_id, s.target.half, ids),
    )
    nothing = [
        _searching(connection, record, s.target.galaxy_ids[0], cut=_NOTHING) for s in searches
    ]
    run = fetch_published_run(connection, encoder_id=record.encoder_id)
    costs = Costs(
        fixed=fixed,
        per_row=max(0.0, _median(nothing, _scan)) / n,
        per_match=scan / n,
        per_vector=vectors / len(ids),
        refined_share=statistics.fmean(route.refined for route in routes) / n,
        by_list=_by_list(searches, run, fixed),
    )
    if not has_fast_index(connection, record.encoder_id):
        return costs
    truth = [_best(searching, route) for searching, route in zip(searches, routes, strict=True)]
    return _with_fast(costs, searches, truth)


def _best(searching: Searching, route: FilterRoute | FastRoute) -> set[int]:
    """Return the galaxies that a route ranks first."""
    scored = searching.score(route.fetch(RESULTS).galaxy_ids)
    order = np.lexsort((scored.galaxy_ids, -scored.scores))
    return set(scored.galaxy_ids[order[:RESULTS]].tolist())


def _scan(searching: Searching) -> None:
    store_compact.fetch_nearest(
        searching.connection,
        searching.scope,
        searching.compact.half,
        limit=FIRST_KEPT,
        farthest=False,
    )


def _by_list(searches: Sequence[Searching], run: PublishedRun | None, fixed: float) -> float | None:
    if run is None:
        return None

    def walk(searching: Searching) -> None:
        listed = ListRoute(searching, run)
        searching.score(listed.fetch(RESULTS).galaxy_ids)

    return fixed + _median(searches, walk)


def _with_fast(costs: Costs, searches: Sequence[Searching], truth: Sequence[set[int]]) -> Costs:
    """Try ever more candidates until the recall is reached; keep the last that was tried."""
    for candidates in CANDIDATES:
        recalls, seconds = [], []
        for searching, expected in zip(searches, truth, strict=True):
            start = time.perf_counter()
            found = _best(searching, FastRoute(searching, candidates))
            seconds.append(time.perf_counter() - start)
            recalls.append(len(expected & found) / max(1, len(expected)))
        costs = replace(
            costs,
            fast_candidates=candidates,
            fast_recall=statistics.fmean(recalls),
            fast_seconds=costs.fixed + statistics.median(seconds),
        )
        if statistics.fmean(recalls) >= max(RECALL_GOAL, FAST_RECALL):
            break
    return costs


def _median(searches: Sequence[Searching], step: Callable[[Searching], object]) -> float:
    """Return the median time of a step in seconds; once before, so that pages are in memory."""
    step(searches[0])
    times = []
    for searching in searches:
        start = time.perf_counter()
        step(searching)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
