"""Answer a composite query: examples to a target, matching rows ranked and proven, results told."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Engine

from skylike.cuts import Cut
from skylike.database.comments import ColumnMeaning
from skylike.embeddings.store import EncoderRecord
from skylike.progress import SILENT, Progress
from skylike.search import store, store_compact
from skylike.search.arrow_arrays import arrow_numbers
from skylike.search.bounds import CompactQuery, of_stored, of_vector
from skylike.search.clock import Clock
from skylike.search.exact import Ranking
from skylike.search.examples import SAME_DIRECTION, Example, Target, combine, unique
from skylike.search.explain import explained
from skylike.search.locate import locate
from skylike.search.query import Query
from skylike.search.result import Provenance, SearchResult
from skylike.search.routes.choice import find
from skylike.search.routes.searching import Searching
from skylike.search.separate import nearest_separation
from skylike.search.store_stale import count_stale, fetch_published_run
from skylike.search.store_statements import Scope
from skylike.search.store_unseen import nothing_matches
from skylike.search.store_vocabulary import fetch_vocabulary, parse_where
from skylike.search.tell import equivalent_sql, in_words, joined_notes, short_note, stale_note
from skylike.search.vocabulary import Vocabulary

VERSION: Final = version("skylike")
"""Of skylike; read once, it takes a millisecond."""

OWN_MEANINGS = {
    "rank": ColumnMeaning("Place in the answer, 1 is the best", None, "meta.number"),
    "separation": ColumnMeaning(
        "Separation on the sky from the query, from the nearest example where there are several",
        "deg",
        "pos.angDistance",
    ),
}


@dataclass(frozen=True, eq=False)
class Answer:
    """A result with what it was made from.

    Attributes
    ----------
    result
        The result.
    examples
        The examples as they were found, in the order galaxies, positions, images, vectors.
    explanation
        Steps with their times, the typed statement and the server's plan; None unless asked for.
    """

    result: SearchResult
    examples: tuple[Example, ...]
    explanation: str | None


def search(
    engine: Engine,
    query: Query,
    *,
    encoder: str | None = None,
    device: str = "auto",
    timeout_s: float | None = None,
    progress: Progress = SILENT,
) -> SearchResult:
    """Find the galaxies most (or least) like some examples, within a cut and a cone.

    Parameters
    ----------
    encoder
        Name of the encoder whose embeddings are compared; None takes the active one.
    device
        Where picture files are embedded: auto, cpu, cuda or cuda:N.
    timeout_s
        Longest that one statement may take; None leaves it to the server's setting.

    Returns
    -------
    SearchResult
        Exact, unless ``query.fast`` allowed less and the provenance says so: the order is that of
        the float64 cosines of the stored embeddings, each divided by its own norm, ties by
        galaxy_id, and no matching galaxy is missing.

    Raises
    ------
    SkylikeError
        With one sentence: of the query, of what it names, or of a stage that has not been run.
    """
    return answer(
        engine, query, encoder=encoder, device=device, timeout_s=timeout_s, progress=progress
    ).result


def answer(
    engine: Engine,
    query: Query,
    *,
    encoder: str | None = None,
    device: str = "auto",
    timeout_s: float | None = None,
    explain: bool = False,
    progress: Progress = SILENT,
) -> Answer:
    """Do as :func:`search`, keep the examples, and ``explain``: run the scan again for its plan."""
    clock = Clock()
    with store.reading(engine, timeout_s=timeout_s) as connection:
        words = fetch_vocabulary(connection, query.definitions)
        cut = parse_where(connection, words, query.where)
        record = store.fetch_encoder_to_search(connection, encoder)
        with clock.step("examples"):
            located = locate(connection, query, record, device=device, progress=progress)
            examples = unique(located.examples)
            target = _target(connection, record, examples, located.rejects)
        scope = Scope(record.encoder_id, cut, query.cone, target.excluded_ids, words.scores)
        compact = _compact(connection, record, examples, target, least_similar=query.least_similar)
        searching = Searching(connection, query, record, scope, target, compact, clock)
        run = fetch_published_run(connection, encoder_id=record.encoder_id)
        found = find(searching, run, explain=explain)
        with clock.step("rows of the result"):
            page = _page(found.ranking, query)
            rows, meanings = _rows(connection, page, target, words, cut=cut, first=query.offset + 1)
            n_stale = count_stale(
                connection,
                encoder_id=record.encoder_id,
                galaxy_ids=[*target.galaxy_ids, *page.galaxy_ids.tolist()],
            )
        unseen = nothing_matches(connection, scope, record) if found.matched == 0 else None
        sql = equivalent_sql(query, scope, examples, target, found.ranking)
        explanation = explained(searching, found, sql) if explain else None
    provenance = Provenance(
        query=in_words(query, examples, located.rejects),
        encoder=record.name,
        run_id=None if run is None else run.run_id,
        route=found.route,
        exact=found.is_exact,
        expected_recall=None if found.is_exact else found.recall,
        matched=found.matched,
        matched_is_bound=not found.is_counted,
        k=query.k,
        offset=query.offset,
        cut=query.where,
        definitions=query.definitions,
        cone=query.cone,
        min_separation_arcsec=query.min_separation,
        note=joined_notes(
            short_note(query, found.ranking, matched=found.matched, is_bound=not found.is_counted),
            unseen,
            located.note,
        ),
        stale=stale_note(n_stale, run, encoder=record.name),
        sql=sql,
        version=VERSION,
        time=datetime.now(UTC),
    )
    return Answer(SearchResult(rows, meanings, provenance), tuple(examples), explanation)


def _target(
    connection: Connection,
    record: EncoderRecord,
    examples: Sequence[Example],
    rejects: Sequence[Example],
) -> Target:
    if len(examples) == 1 and not rejects:
        return combine(examples)
    return combine(examples, rejects, store_compact.fetch_basis(connection, record))


def _compact(
    connection: Connection,
    record: EncoderRecord,
    examples: Sequence[Example],
    target: Target,
    *,
    least_similar: bool,
) -> CompactQuery:
    """Find the target among compact vectors: stored where it is a galaxy, else projected."""
    slack = record.compact_slack or 0.0
    stored = examples[0].compact
    if len(examples) == 1 and stored is not None and target.rounding < SAME_DIRECTION:
        return of_stored(stored, slack=slack, least_similar=least_similar)
    basis = store_compact.fetch_basis(connection, record)
    return of_vector(target.vector, basis, slack=slack, least_similar=least_similar)


def _page(ranking: Ranking, query: Query) -> Ranking:
    """Leave out what was on the pages before."""
    return replace(
        ranking,
        galaxy_ids=ranking.galaxy_ids[query.offset :],
        similarities=ranking.similarities[query.offset :],
        points=ranking.points[query.offset :],
    )


def _rows(
    connection: Connection,
    page: Ranking,
    target: Target,
    words: Vocabulary,
    *,
    cut: Cut | None,
    first: int,
) -> tuple[pa.Table, dict[str, ColumnMeaning]]:
    catalog = store.fetch_galaxies(connection, page.galaxy_ids, words, cut=cut)
    apart = nearest_separation(page.points, target.anchors)
    own = {
        "rank": arrow_numbers(np.arange(first, first + len(apart)), pa.int32()),
        "galaxy_id": catalog["galaxy_id"],
        "similarity": arrow_numbers(page.similarities, pa.float64()),
        "separation": arrow_numbers(apart, pa.float64(), missing=np.isnan(apart)),
    }
    others = {name: catalog[name] for name in catalog.column_names if name not in own}
    rows = pa.table(own | others)
    similarity = ColumnMeaning(
        f"Cosine of the embedding and {target.words}, float64", None, "stat.correlation"
    )
    own_meanings = OWN_MEANINGS | {"similarity": similarity}
    known = own_meanings | store.fetch_meanings(connection) | words.meanings()
    return rows, {name: known[name] for name in rows.column_names}
