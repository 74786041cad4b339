"""Answer a composite query: examples to a target, matching rows ranked and proven, results told."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Engine

from skylike.cuts import GALAXY_KINDS, parse_cut
from skylike.database.comments import ColumnMeaning
from skylike.embeddings.store import EncoderRecord, fetch_active_encoder, fetch_encoder
from skylike.progress import SILENT, Progress
from skylike.search import store
from skylike.search.exact import Ranking
from skylike.search.examples import Example, Target, combine, unique
from skylike.search.filter_route import ROUTE, Clock, FilterRoute
from skylike.search.locate import galaxy_example, position_example, vector_example
from skylike.search.query import Query
from skylike.search.result import Provenance, SearchResult
from skylike.search.separate import nearest_separation
from skylike.search.store_stale import count_stale, fetch_published_run
from skylike.search.store_statements import Scope
from skylike.search.tell import equivalent_sql, in_words, short_note, stale_note

OWN_MEANINGS = {
    "rank": ColumnMeaning("Place in the answer, 1 is the best", None, "meta.number"),
    "similarity": ColumnMeaning(
        "Cosine of the embedding and the query, float64", None, "stat.correlation"
    ),
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
        Exact: the order is that of the float64 cosines of the stored embeddings, each divided by
        its own norm, ties by galaxy_id, and no matching galaxy is missing.

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
    """Do as :func:`search` and keep the examples; ``explain`` ranks once more for the plan."""
    cut = parse_cut(query.where, GALAXY_KINDS) if query.where is not None else None
    clock = Clock()
    with store.reading(engine, timeout_s=timeout_s) as connection:
        record = _encoder(connection, encoder)
        with clock.step("examples"):
            examples = _examples(connection, query, record, device=device, progress=progress)
            target = combine(examples)
        scope = Scope(record.encoder_id, cut, query.cone, target.galaxy_ids)
        with clock.step("count matching rows"):
            matched = store.count_matching(connection, scope)
        route = FilterRoute(connection, query, scope, target, clock)
        ranking = route.rank()
        with clock.step("rows of the result"):
            rows, meanings = _rows(connection, ranking, target)
            run = fetch_published_run(connection, encoder_id=record.encoder_id)
            n_stale = count_stale(
                connection,
                encoder_id=record.encoder_id,
                galaxy_ids=[*target.galaxy_ids, *ranking.galaxy_ids.tolist()],
            )
        sql = equivalent_sql(query, scope, examples, target, ranking, matched=matched)
        explanation = route.explain(sql) if explain else None
    provenance = Provenance(
        query=in_words(query, examples),
        encoder=record.name,
        run_id=None if run is None else run.run_id,
        route=ROUTE,
        exact=True,
        matched=matched,
        k=query.k,
        cut=query.where,
        cone=query.cone,
        min_separation_arcsec=query.min_separation,
        note=short_note(query, ranking, matched=matched),
        stale=stale_note(n_stale, run, encoder=record.name),
        sql=sql,
        version=version("skylike"),
        time=datetime.now(UTC),
    )
    return Answer(SearchResult(rows, meanings, provenance), tuple(examples), explanation)


def _encoder(connection: Connection, name: str | None) -> EncoderRecord:
    record = fetch_active_encoder(connection) if name is None else fetch_encoder(connection, name)
    store.check_filled(connection, encoder_id=record.encoder_id, encoder=record.name)
    return record


def _examples(
    connection: Connection,
    query: Query,
    encoder: EncoderRecord,
    *,
    device: str,
    progress: Progress,
) -> list[Example]:
    examples = [galaxy_example(connection, galaxy_id, encoder) for galaxy_id in query.galaxies]
    examples += [
        position_example(connection, position, encoder, limit=query.position_limit / 3600)
        for position in query.positions
    ]
    if query.images:
        from skylike.search.pictures import (  # noqa: PLC0415 - FITS and HDF5 take a second to import
            embed_pictures,
        )

        examples += embed_pictures(
            query.images,
            encoder=encoder,
            device=device,
            invert_pictures=query.invert_pictures,
            progress=progress,
        )
    examples += [
        vector_example(vector, number, encoder) for number, vector in enumerate(query.vectors, 1)
    ]
    return unique(examples)


def _rows(
    connection: Connection, ranking: Ranking, target: Target
) -> tuple[pa.Table, dict[str, ColumnMeaning]]:
    catalog = store.fetch_galaxies(connection, ranking.galaxy_ids)
    apart = nearest_separation(ranking.points, target.anchors)
    own = {
        "rank": pa.array(np.arange(1, len(apart) + 1, dtype=np.int32)),
        "galaxy_id": catalog["galaxy_id"],
        "similarity": pa.array(ranking.similarities),
        "separation": pa.array(apart, mask=np.isnan(apart)),
    }
    others = {name: catalog[name] for name in catalog.column_names if name not in own}
    rows = pa.table(own | others)
    known = OWN_MEANINGS | store.fetch_meanings(connection)
    return rows, {name: known[name] for name in rows.column_names}
