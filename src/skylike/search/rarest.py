"""The rarest galaxies in a cut and a cone, by the rarity that came with the neighbor lists."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import Connection, Engine

from skylike.cuts import Cut
from skylike.cuts.coordinates import Cone
from skylike.database.comments import ColumnMeaning
from skylike.embeddings.store import EncoderRecord
from skylike.errors import EmptyStageError, NeighborRunNotFoundError
from skylike.search import store, store_compact, store_rarest
from skylike.search.query import MIN_SEPARATION_ARCSEC, check_page, check_separation
from skylike.search.result import RAREST, Provenance, SearchResult
from skylike.search.routes.by_filter import COUNT_LIMIT
from skylike.search.search import OWN_MEANINGS, VERSION, Answer
from skylike.search.separate import keep_separated, unit_vectors
from skylike.search.store_stale import PublishedRun, count_stale, fetch_published_run
from skylike.search.store_statements import Scope
from skylike.search.store_vocabulary import fetch_vocabulary, parse_where
from skylike.search.tell import count_in_words, stale_note
from skylike.search.vocabulary import Vocabulary

GROWTH = 4
"""Each further fetch asks for so many times more galaxies."""

NOBODY_ASKED = np.empty((0, 3))
"""Places on the sky of a query that names none."""


@dataclass(frozen=True)
class RarestQuery:
    """Which galaxies to rank by rarity, and how many of them.

    Attributes
    ----------
    where
        A cut as it was typed, or None.
    cone
        A region of the sky, or None.
    k
        How many galaxies are wanted, 1 to :data:`skylike.search.query.MAX_K`.
    offset
        How many results come before the first of this page.
    min_separation
        Results nearer than this (arcsec) to a rarer one are dropped; 0 keeps all.
    definitions
        Columns for the cut of this query only, each ``g_r = mag_g - mag_r``.
    """

    where: str | None = None
    cone: Cone | None = None
    k: int = 10
    offset: int = 0
    min_separation: float = MIN_SEPARATION_ARCSEC
    definitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_page(self.k, self.offset)
        check_separation(self.min_separation)

    @property
    def reach(self) -> int:
        """How many results are ranked: this page and all before it."""
        return self.offset + self.k


@dataclass(frozen=True, eq=False)
class _Ranked:
    """The first ``query.reach`` results, and those between them that lie too close to one."""

    galaxy_ids: npt.NDArray[np.int32]
    dropped_ids: npt.NDArray[np.int32]
    matched: int
    is_bound: bool
    """Do more than ``matched`` match?"""


def find_rarest(
    engine: Engine,
    query: RarestQuery,
    *,
    encoder: str | None = None,
    timeout_s: float | None = None,
    explain: bool = False,
) -> Answer:
    """Find the galaxies whose neighbors are farthest for their magnitude.

    By falling rarity as the published neighbor run of the encoder has it (see
    :mod:`skylike.neighbors.statistics.rarity`), ties by rising galaxy_id. Galaxies
    without a rarity are not ranked.

    Parameters
    ----------
    encoder
        Name of the encoder; None takes the active one.
    timeout_s
        Longest that one statement may take; None leaves it to the server's setting.
    explain
        Run the statement again for the server's plan.

    Returns
    -------
    Answer
        Without examples. Its result is exact as long as the run is up to date; the provenance says
        what has changed since.

    Raises
    ------
    NeighborRunNotFoundError
        No run of the encoder is published.
    EmptyStageError
        The run has no statistics, or there is nothing to search.
    SkylikeError
        Of the cut, the encoder or the database.
    """
    with store.reading(engine, timeout_s=timeout_s) as connection:
        words = fetch_vocabulary(connection, query.definitions)
        cut = parse_where(connection, words, query.where)
        record = store.fetch_encoder_to_search(connection, encoder)
        run = _run_with_statistics(connection, record)
        scope = Scope(record.encoder_id, cut, query.cone, scores=words.scores)
        ranked = _rank(connection, scope, run.run_id, query)
        page = ranked.galaxy_ids[query.offset :]
        rows, meanings = _rows(connection, page, run, words, cut=cut, first=query.offset + 1)
        n_stale = count_stale(connection, encoder_id=record.encoder_id, galaxy_ids=page.tolist())
        sql = _typed(scope, run, query, ranked)
        explanation = None
        if explain:
            statement = store_rarest.rarest_statement(scope, run.run_id, limit=query.reach)
            plan = store_compact.explain(connection, statement)
            explanation = "\n".join(
                ["the statement that an analyst would type:", sql, "", "the server's plan:", plan]
            )
    provenance = Provenance(
        query=_in_words(run),
        encoder=record.name,
        run_id=run.run_id,
        route=RAREST,
        exact=run.is_fresh and run.recall == 1,
        matched=ranked.matched,
        matched_is_bound=ranked.is_bound,
        k=query.k,
        offset=query.offset,
        cut=query.where,
        definitions=query.definitions,
        cone=query.cone,
        min_separation_arcsec=query.min_separation,
        note=_short_note(query, ranked),
        stale=stale_note(n_stale, run, encoder=record.name, is_ranked_by_run=True),
        sql=sql,
        version=VERSION,
        time=datetime.now(UTC),
    )
    return Answer(SearchResult(rows, meanings, provenance), (), explanation)


def _run_with_statistics(connection: Connection, record: EncoderRecord) -> PublishedRun:
    run = fetch_published_run(connection, encoder_id=record.encoder_id)
    if run is None:
        raise NeighborRunNotFoundError(
            f"encoder {record.name!r} has no published neighbor lists, with which rarity comes; "
            f"run `skylike neighbors build --encoder {record.name}` first"
        )
    if not store_rarest.has_statistics(connection, run.run_id):
        raise EmptyStageError(
            f"neighbor run {run.run_id} comes from a version of skylike that computed no rarity; "
            f"run `skylike neighbors build --encoder {record.name}` first"
        )
    return run


def _rank(connection: Connection, scope: Scope, run_id: int, query: RarestQuery) -> _Ranked:
    """Rank as far as the page needs; all that match where they are few."""
    ids, rarities, ra, dec = store_rarest.fetch_rarities(
        connection, store_rarest.some_statement(scope, run_id, limit=COUNT_LIMIT + 1)
    )
    is_bound = len(ids) > COUNT_LIMIT
    matched = min(len(ids), COUNT_LIMIT)
    limit = query.reach
    while True:
        if is_bound:
            # More match than were counted: the server has an index by rarity.
            limit *= GROWTH
            statement = store_rarest.rarest_statement(scope, run_id, limit=limit)
            ids, rarities, ra, dec = store_rarest.fetch_rarities(connection, statement)
        order = np.lexsort((ids, -rarities))
        places = keep_separated(
            unit_vectors(ra[order], dec[order]),
            NOBODY_ASKED,
            min_separation=query.min_separation / 3600,
            k=query.reach,
        )
        is_full = len(places) == query.reach
        if is_full or not is_bound or len(ids) < limit:
            reached = order[: places[-1] + 1] if is_full else order
            kept = ids[order[places]]
            return _Ranked(kept, np.setdiff1d(ids[reached], kept), matched, is_bound)


def _rows(
    connection: Connection,
    page: npt.NDArray[np.int32],
    run: PublishedRun,
    words: Vocabulary,
    *,
    cut: Cut | None,
    first: int,
) -> tuple[pa.Table, dict[str, ColumnMeaning]]:
    catalog = store.fetch_galaxies(connection, page, words, cut=cut)
    told = store_rarest.fetch_told(connection, run.run_id, page)
    own = {
        "rank": pa.array(np.arange(first, first + len(page), dtype=np.int32)),
        "galaxy_id": catalog["galaxy_id"],
        **{name: told[name] for name in told.column_names},
    }
    others = {name: catalog[name] for name in catalog.column_names if name not in own}
    rows = pa.table(own | others)
    known = (
        OWN_MEANINGS
        | store_rarest.fetch_told_meanings(connection)
        | store.fetch_meanings(connection)
        | words.meanings()
    )
    return rows, {name: known[name] for name in rows.column_names}


def _in_words(run: PublishedRun) -> str:
    return f"{RAREST} for their magnitude in {run.band}" if run.band else f"{RAREST} of all"


def _typed(scope: Scope, run: PublishedRun, query: RarestQuery, ranked: _Ranked) -> str:
    comments = [f"The {_in_words(run)}, by neighbor run {run.run_id}."]
    if len(ranked.dropped_ids):
        comments.append(
            f"The last list of identifiers: within {query.min_separation:g} arcsec of a rarer one."
        )
    return store_rarest.typed_rarest(
        scope,
        run.run_id,
        limit=query.k,
        offset=query.offset,
        dropped=ranked.dropped_ids,
        comments=comments,
    )


def _short_note(query: RarestQuery, ranked: _Ranked) -> str | None:
    """Say why there are fewer rows than asked for; None when there are not."""
    found = max(0, len(ranked.galaxy_ids) - query.offset)
    if found == query.k:
        return None
    counted = count_in_words(ranked.matched, is_bound=ranked.is_bound)
    reasons = [f"{counted} with a rarity match"]
    if len(ranked.dropped_ids):
        reasons.append(
            f"{len(ranked.dropped_ids)} within {query.min_separation:g} arcsec of a rarer one "
            "(a minimum separation of 0 keeps them)"
        )
    after = f" after the first {query.offset}" if query.offset else ""
    return f"{found} of {query.k} found{after}: " + "; ".join(reasons)
