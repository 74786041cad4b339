"""What Python asks of the database besides searches: any SELECT, embeddings in bulk, neighbors."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from operator import itemgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql
from sqlalchemy import Connection

from skylike.cuts import Cut, to_expression
from skylike.cuts.written import written
from skylike.database.comments import ColumnMeaning, parse_comment
from skylike.database.copy import driver_connection, iter_fixed_rows, iter_halfvec_rows
from skylike.database.engine import SCHEMA
from skylike.database.sql_files import statement
from skylike.errors import DatabaseError
from skylike.search.store_statements import G, cut_columns

FETCH_ROWS: Final = 20_000
"""Rows turned into columns at a time: their Python objects take a few times the table's memory."""

Identifiers = npt.NDArray[np.int32]

_ARROW_TYPES: Final[Mapping[int, pa.DataType]] = {
    16: pa.bool_(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    26: pa.int64(),
    700: pa.float32(),
    701: pa.float64(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", tz="UTC"),
    1700: pa.float64(),
    1000: pa.list_(pa.bool_()),
    1005: pa.list_(pa.int16()),
    1007: pa.list_(pa.int32()),
    1009: pa.list_(pa.string()),
    1016: pa.list_(pa.int64()),
    1021: pa.list_(pa.float32()),
    1022: pa.list_(pa.float64()),
}
"""By pg_type.oid: bool, int8, int2, int4, oid, float4, float8, date, timestamp, timestamptz,
numeric (which analysts compute with: float64, not Decimal), then arrays. All else is text."""

_NUMERIC: Final = 1700


def fetch_rows(
    connection: Connection, query: str, parameters: Mapping[str, object] | Sequence[object] | None
) -> tuple[pa.Table, dict[str, ColumnMeaning]]:
    """Run one statement and return its rows, with what is known of their columns.

    Parameters
    ----------
    parameters
        Values of the ``%(name)s`` or ``%s`` in the query; without them a ``%`` is a percent sign.

    Returns
    -------
    tuple
        Rows, columns of equal names told apart by ``_2``, ``_3``; meaning of each column that comes
        straight from a table or view.

    Raises
    ------
    DatabaseError
        The server refuses the statement, or it gives no rows.
    """
    # The binary protocol is twice as fast, and takes one statement at a time.
    with _said(), driver_connection(connection).cursor(binary=True) as cursor:
        cursor.execute(sql.SQL(query), parameters)
        if cursor.description is None or cursor.pgresult is None:
            raise DatabaseError("the statement gives no rows; only SELECT and its like do")
        names = _distinct([column.name for column in cursor.description])
        codes = [column.type_code for column in cursor.description]
        result = cursor.pgresult
        origins = [(result.ftable(n), result.ftablecol(n)) for n in range(len(names))]
        batches = []
        while rows := cursor.fetchmany(FETCH_ROWS):
            # Twice as fast as zip(*rows), our measurement.
            columns = (list(map(itemgetter(n), rows)) for n in range(len(names)))
            batches.append([_arrow(c, code) for c, code in zip(columns, codes, strict=True)])
    chunks = zip(*batches, strict=True) if batches else ([] for _ in names)
    arrays = [_joined(c, code) for c, code in zip(chunks, codes, strict=True)]
    return pa.table(arrays, names=names), _fetch_meanings(connection, names, origins)


@contextmanager
def _said() -> Iterator[None]:
    """Turn what the server says against a statement into one sentence."""
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        raise DatabaseError(
            "the statement took longer than the role's statement timeout; ask for less, or allow "
            "more with timeout="
        ) from error
    except psycopg.OperationalError:
        raise  # the connection is gone: not the statement's fault
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).partition("\n")[0]
        place = error.diag.statement_position
        where = f" (character {place} of the statement)" if place else ""
        hint = f"; {error.diag.message_hint}" if error.diag.message_hint else ""
        raise DatabaseError(f"{said}{where}{hint}") from error


def _distinct(names: Sequence[str]) -> list[str]:
    given: list[str] = []
    for name in names:
        number, made = 2, name
        while made in given:
            made, number = f"{name}_{number}", number + 1
        given.append(made)
    return given


def _arrow(values: Sequence[Any], code: int) -> pa.Array:
    if code == _NUMERIC:
        values = [None if value is None else float(value) for value in values]
    if code in _ARROW_TYPES:
        return pa.array(values, _ARROW_TYPES[code])
    first = next((value for value in values if value is not None), None)
    if hasattr(first, "to_numpy"):
        return _vectors(values)
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _vectors(values: Sequence[Any]) -> pa.Array:
    """Pack pgvector's values: lists of equal length where they are, NULL where there is none."""
    arrays = [None if value is None else value.to_numpy() for value in values]
    there = [array for array in arrays if array is not None]
    kind = pa.float16() if there[0].dtype.itemsize == 2 else pa.float32()
    if len(there) == len(arrays) and len({len(array) for array in there}) == 1:
        flat = np.concatenate(there).astype(kind.to_pandas_dtype())
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), len(there[0]))
    return pa.array(
        [None if array is None else array.astype(kind.to_pandas_dtype()) for array in arrays],
        pa.list_(kind),
    )


def _text(value: object) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _joined(chunks: Sequence[pa.Array], code: int) -> pa.ChunkedArray:
    if not chunks:
        return pa.chunked_array([], type=_ARROW_TYPES.get(code, pa.string()))
    lists = [chunk.type for chunk in chunks if pa.types.is_nested(chunk.type)]
    if lists and len({chunk.type for chunk in chunks}) > 1:
        # Vectors of several lengths, or chunks with nothing but NULL, which look like text.
        kind = pa.list_(lists[0].value_type)
        chunks = [
            pa.nulls(len(chunk), kind) if chunk.null_count == len(chunk) else chunk.cast(kind)
            for chunk in chunks
        ]
    return pa.chunked_array(chunks)


def _fetch_meanings(
    connection: Connection, names: Sequence[str], origins: Sequence[tuple[int, int]]
) -> dict[str, ColumnMeaning]:
    rows = connection.execute(
        statement("interfaces_comments"),
        {"tables": [table for table, _ in origins], "columns": [column for _, column in origins]},
    )
    comments = rows.scalars().all()
    return {
        name: parse_comment(comment)
        for name, comment in zip(names, comments, strict=True)
        if comment is not None
    }


def fetch_neighbors(
    connection: Connection, galaxy_id: int, *, k: int | None
) -> tuple[Identifiers, npt.NDArray[np.float32]]:
    """Fetch the published neighbors of a galaxy by the active encoder, most similar first.

    Returns
    -------
    tuple
        Galaxy identifiers (n,) int32 and similarities (n,) float32, n at most ``k`` where given;
        empty where the galaxy has no list.
    """
    rows = connection.execute(
        statement("interfaces_neighbors"), {"galaxy_id": galaxy_id, "k": k}
    ).all()
    ids = np.fromiter((row.neighbor_id for row in rows), np.int32, len(rows))
    return ids, np.fromiter((row.similarity for row in rows), np.float32, len(rows))


def embedded_galaxies(encoder_id: int, cut: Cut | None, scores: frozenset[str]) -> sql.Composed:
    """Compose ``FROM ... WHERE ...`` of the embeddings of an encoder whose galaxies meet a cut.

    Parameters
    ----------
    scores
        Names of the classifiers whose scores the cut may read.
    """
    tables = "FROM {schema}.embedding AS e"
    condition = "e.encoder_id = {encoder_id}"
    if cut is not None:
        tables += (
            " JOIN {schema}.galaxy AS g ON g.galaxy_id = e.galaxy_id"
            " JOIN {schema}.survey AS s ON s.survey_id = g.survey_id"
        )
        condition += " AND {cut}"
    # A cut is made of checked parts, with its values quoted (skylike.cuts.written).
    typed = "" if cut is None else written(to_expression(cut, cut_columns(G, scores)))
    return sql.SQL(f"{tables} WHERE {condition}").format(
        schema=sql.Identifier(SCHEMA), encoder_id=sql.Literal(encoder_id), cut=sql.SQL(typed)
    )


def fetch_embedded_ids(connection: Connection, source: sql.Composed) -> Identifiers:
    """Fetch the galaxies of :func:`embedded_galaxies`: (n,) int32, ascending."""
    query = sql.SQL("SELECT e.galaxy_id ") + source + sql.SQL(" ORDER BY e.galaxy_id")
    batches = iter_fixed_rows(connection, query, [("galaxy_id", ">i4")], batch_rows=100_000)
    found = [rows["galaxy_id"].astype(np.int32) for rows in batches]
    return np.concatenate(found) if found else np.empty(0, np.int32)


def iter_embeddings(
    connection: Connection, source: sql.Composed, *, dimension: int, batch_rows: int
) -> Iterator[tuple[Identifiers, npt.NDArray[np.float16]]]:
    """Stream the embeddings of :func:`embedded_galaxies` as they are stored: (b,) and (b, d)."""
    query = sql.SQL("SELECT e.galaxy_id, e.embedding ") + source
    yield from iter_halfvec_rows(connection, query, dimension=dimension, batch_rows=batch_rows)
