"""One answer for each example of a query instead of one for all together."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine

from skylike.database.comments import ColumnMeaning
from skylike.errors import SettingsError
from skylike.progress import SILENT, Progress
from skylike.search import store
from skylike.search.examples import Example
from skylike.search.locate_table import ARCSEC_PER_DEG, table_examples
from skylike.search.query import Query
from skylike.search.result import Provenance, SearchResult
from skylike.search.search import Answer, answer
from skylike.search.tell import in_words, joined_notes

MAX_ROWS: Final = 1_000_000
"""Most rows of all answers together: 300 MB in memory."""

_NAMED: Final = 10
"""Queries that a note names one by one."""

OWN_MEANINGS: Final = {
    "query": ColumnMeaning("Number of the query, from 1", None, "meta.id"),
    "query_label": ColumnMeaning("What the query is like", None, "meta.note"),
}


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of :func:`answer_each`.

    Attributes
    ----------
    result
        The rows of all answers, one query after the other; the columns ``query`` and
        ``query_label`` say whose a row is, and ``rank`` begins anew with each.
    answers
        The answers themselves, in the same order.
    """

    result: SearchResult
    answers: tuple[Answer, ...]


def answer_each(
    engine: Engine,
    query: Query,
    *,
    encoder: str | None = None,
    device: str = "auto",
    timeout_s: float | None = None,
    progress: Progress = SILENT,
) -> Answers:
    """Answer a query anew for each of its examples alone: with the same rejects, cut, cone and k.

    Two rows of a table that are the same galaxy have an answer each, so that every row that has a
    galaxy can be joined to its own.

    Parameters
    ----------
    encoder, device, timeout_s
        As for :func:`skylike.search.search.search`; the time is that of one statement.

    Raises
    ------
    SettingsError
        More than :data:`MAX_ROWS` rows would come together.
    SkylikeError
        As :func:`skylike.search.search.search`.
    """
    parts, note = _parts(engine, query, encoder, timeout_s)
    if len(parts) * query.k > MAX_ROWS:
        raise SettingsError(
            f"{len(parts):,} examples with k={query.k} are over {MAX_ROWS:,} rows; ask for fewer"
        )
    answers = []
    with progress.task("Search", total=len(parts), unit="queries") as task:
        for alone, label in parts:
            found = answer(engine, alone, encoder=encoder, device=device, timeout_s=timeout_s)
            (example,) = found.examples
            answers.append(
                replace(found, examples=(replace(example, label=label or example.label),))
            )
            task.advance()
    return Answers(_together(query, answers, note), tuple(answers))


def _parts(
    engine: Engine, query: Query, encoder: str | None, timeout_s: float | None
) -> tuple[list[tuple[Query, str | None]], str | None]:
    """Make a query of each example, with its label where it is not that of the query alone."""
    listed: list[Example] = []
    note = None
    if query.position_table is not None:
        with store.reading(engine, timeout_s=timeout_s) as connection:
            record = store.fetch_encoder_to_search(connection, encoder)
            listed, note = table_examples(
                connection,
                query.position_table,
                record,
                limit=query.position_limit / ARCSEC_PER_DEG,
            )
    parts: list[tuple[Query, str | None]] = []
    parts += [(_only(query, galaxies=(galaxy_id,)), None) for galaxy_id in query.galaxies]
    parts += [(_only(query, positions=(position,)), None) for position in query.positions]
    parts += [
        (_only(query, galaxies=(e.galaxy_id,)), e.label) for e in listed if e.galaxy_id is not None
    ]
    parts += [(_only(query, images=(path,)), None) for path in query.images]
    parts += [
        (_only(query, vectors=(vector,)), f"vector {number}")
        for number, vector in enumerate(query.vectors, 1)
    ]
    return parts, note


def _only(query: Query, **example: object) -> Query:
    """Return the query with one example in place of its own."""
    nothing: dict[str, Any] = {
        "galaxies": (),
        "positions": (),
        "images": (),
        "vectors": (),
        "position_table": None,
    }
    return replace(query, **(nothing | example))


def _together(query: Query, answers: list[Answer], note: str | None) -> SearchResult:
    tables = []
    meanings: dict[str, ColumnMeaning] = dict(OWN_MEANINGS)
    for number, found in enumerate(answers, 1):
        rows = found.result.rows
        own = {
            "query": pa.array(np.full(rows.num_rows, number, dtype=np.int32)),
            "query_label": pa.array([found.examples[0].label] * rows.num_rows, pa.string()),
        }
        tables.append(pa.table(own | {name: rows[name] for name in rows.column_names}))
        meanings |= found.result.meanings
    rows = pa.concat_tables(tables, promote_options="default")
    return SearchResult(rows, meanings, _provenance(query, answers, note))


def _provenance(query: Query, answers: list[Answer], note: str | None) -> Provenance:
    every = [found.result.provenance for found in answers]
    first = every[0]
    examples = [found.examples[0] for found in answers]
    said = in_words(replace(query, least_similar=False), examples).removesuffix(" (combined)")
    words = f"{said} (an answer for each)" if len(every) > 1 else said
    return replace(
        first,
        query=f"least like {words}" if query.least_similar else words,
        route=", ".join(dict.fromkeys(provenance.route for provenance in every)),
        exact=all(provenance.exact for provenance in every),
        # The cut and the cone are those of all; each leaves out its own example.
        matched=max(provenance.matched for provenance in every),
        matched_is_bound=any(provenance.matched_is_bound for provenance in every),
        expected_recall=min(
            (found.expected_recall for found in every if found.expected_recall is not None),
            default=None,
        ),
        note=joined_notes(note, _shortfalls(every)),
        stale=joined_notes(*dict.fromkeys(provenance.stale for provenance in every)),
        sql=first.sql
        if len(every) == 1
        else f"-- Query 1 of {len(every)}; the others differ in their example alone.\n{first.sql}",
    )


def _shortfalls(every: list[Provenance]) -> str | None:
    """Say which queries found fewer than were asked for, the first ones with their reasons."""
    short = [(number, found.note) for number, found in enumerate(every, 1) if found.note]
    if not short:
        return None
    named = ". ".join(f"Query {number}: {note}" for number, note in short[:_NAMED])
    more = f". And {len(short) - _NAMED} more" if len(short) > _NAMED else ""
    return f"{len(short)} of {len(every)} queries have a note. {named}{more}"
