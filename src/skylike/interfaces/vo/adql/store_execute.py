"""Runs translated queries: read-only, within a time and a number of rows, batch by batch."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from threading import Lock
from typing import Any, Final, cast

import numpy as np
import psycopg
import pyarrow as pa
from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.errors import AdqlError, DatabaseError, DatabaseUnavailableError
from skylike.interfaces.vo.adql.schema import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    INT,
    LONG,
    SHORT,
    TEXT,
    TIMESTAMP,
    Datatype,
    OutputColumn,
    SimilarityRewrite,
    Translated,
)
from skylike.search.query import Query
from skylike.search.search import answer

BATCH_ROWS: Final = 10_000
"""Rows of a batch; of embeddings of 2,048 dimensions that is 80 MB."""

_RECEIVED_ROWS: Final = 500
"""Rows that the server's messages are gathered in, where libpq can (17 and later)."""

_ARROW: Final[Mapping[Datatype, pa.DataType]] = {
    BOOLEAN: pa.bool_(),
    SHORT: pa.int16(),
    INT: pa.int32(),
    LONG: pa.int64(),
    FLOAT: pa.float32(),
    DOUBLE: pa.float64(),
    TEXT: pa.string(),
    TIMESTAMP: pa.timestamp("us", tz="UTC"),
}
_ALIAS: Final = re.compile(r"\b(?:t[0-9]+|found)\.")


class ResultRows:
    """The rows of a query, to be iterated over once.

    Attributes
    ----------
    columns
        What they hold.
    is_overflow
        Once all have been given: were there more than was allowed?
    """

    def __init__(self, engine: Engine, translated: Translated, *, timeout_s: float) -> None:
        self.columns: tuple[OutputColumn, ...] = translated.columns
        self.is_overflow = False
        self._engine = engine
        self._translated = translated
        self._timeout_s = timeout_s
        self._lock = Lock()
        self._running: psycopg.Connection[Any] | None = None
        self._is_cancelled = False

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of every batch."""
        return pa.schema([(column.name, arrow_type(column.datatype)) for column in self.columns])

    def cancel(self) -> None:
        """Stop the query, from any thread; whoever iterates gets an error."""
        with self._lock:
            self._is_cancelled = True
            if self._running is not None:
                self._running.cancel_safe()

    def __iter__(self) -> Iterator[pa.Table]:
        """Run the query and give its rows in batches; at least one, which may be empty.

        Raises
        ------
        AdqlError
            The server cannot run it, or fails at a row.
        DatabaseError
            It took too long, or was cancelled.
        SkylikeError
            Of the search that it is answered by: no such galaxy, no embeddings.
        """
        if self._translated.max_rows == 0:
            self.is_overflow = True
            yield self._batch([])
            return
        parameters = dict(self._translated.parameters)
        if self._translated.similarity is not None:
            parameters |= self._found(self._translated.similarity)
        with connect(self._engine) as opened:
            connection = opened.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            try:
                with connection.begin():
                    yield from self._batches(connection, parameters)
            except psycopg.Error as error:
                raise self._said(error) from error
            finally:
                with self._lock:
                    self._running = None

    def _found(self, search: SimilarityRewrite) -> dict[str, object]:
        query = Query(
            galaxies=(search.galaxy_id,),
            where=search.where,
            cone=search.cone,
            k=search.k,
            offset=search.offset,
            least_similar=search.least_similar,
            min_separation=0.0,
        )
        rows = answer(self._engine, query, timeout_s=self._timeout_s).result.rows
        return {
            "found_ids": rows["galaxy_id"].to_pylist(),
            "found_similarities": rows["similarity"].to_pylist(),
        }

    def _batches(
        self, connection: Connection, parameters: Mapping[str, object]
    ) -> Iterator[pa.Table]:
        raw = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with self._lock:
            self._running = raw
        if self._is_cancelled:
            raise _cancelled()
        milliseconds = str(max(1, round(1000 * self._timeout_s)))
        with raw.cursor(binary=True) as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [milliseconds])
            size = _RECEIVED_ROWS if psycopg.capabilities.has_stream_chunked() else 1
            # Made of the tree alone (translate.py); every text of the query is a parameter.
            rows = cursor.stream(self._translated.sql, parameters, binary=True, size=size)
            left = self._translated.max_rows
            first = True
            while left:
                some = list(islice(rows, min(BATCH_ROWS, left)))
                if not some and not first:
                    break
                yield self._batch(some)
                first = False
                left -= len(some)
                if not some:
                    break
            # Read to the end, or the connection would be busy.
            self.is_overflow = sum(1 for _ in chain(rows)) > 0

    def _batch(self, rows: list[tuple[Any, ...]]) -> pa.Table:
        columns = zip(*rows, strict=True) if rows else [()] * len(self.columns)
        arrays = [
            arrow_array(list(values), column.datatype)
            for values, column in zip(columns, self.columns, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _said(self, error: psycopg.Error) -> DatabaseError | AdqlError:
        if isinstance(error, psycopg.errors.QueryCanceled):
            if self._is_cancelled:
                return _cancelled()
            return DatabaseError(
                f"the query took longer than {self._timeout_s:g} s; narrow it by a circle or a"
                " condition on an indexed column, or run it as an asynchronous job"
            )
        if isinstance(error, psycopg.OperationalError):
            return DatabaseUnavailableError(
                "the connection to the database was lost while the query ran; try again"
            )
        primary = _ALIAS.sub("", error.diag.message_primary or "it failed")
        return AdqlError(f"the query cannot be run: {primary}", "")


def execute(engine: Engine, translated: Translated, *, timeout_s: float = 60.0) -> ResultRows:
    """Return the rows of a translated query; it runs when they are iterated over.

    Parameters
    ----------
    engine
        Of the role ``skylike_reader``: the last of several walls.
    timeout_s
        Longest that the statement may take, and each of the search before it.
    """
    return ResultRows(engine, translated, timeout_s=timeout_s)


def arrow_type(datatype: Datatype) -> pa.DataType:
    """Return the Arrow type of a column: arrays of fixed size are fixed-size lists."""
    if datatype in _ARROW:
        return _ARROW[datatype]
    entry = _ARROW[Datatype(datatype.votable)]
    if datatype.arraysize is not None and datatype.arraysize.isdigit():
        return pa.list_(entry, int(datatype.arraysize))
    return pa.list_(entry)


def arrow_array(values: list[Any], datatype: Datatype) -> pa.Array:
    """Make a column of what psycopg gave."""
    wanted = arrow_type(datatype)
    if not pa.types.is_fixed_size_list(wanted):
        return pa.array(values, wanted)
    # Vectors at once: number by number, 100,000 of 512 entries would take a minute.
    missing = np.array([value is None for value in values], dtype=bool)
    rows = np.zeros((len(values), wanted.list_size), dtype=wanted.value_type.to_pandas_dtype())
    for place, value in enumerate(values):
        if value is not None:
            rows[place] = value.to_numpy() if hasattr(value, "to_numpy") else value
    flat = pa.array(rows.reshape(-1), wanted.value_type)
    return pa.FixedSizeListArray.from_arrays(
        flat, wanted.list_size, mask=pa.array(missing) if missing.any() else None
    )


def _cancelled() -> DatabaseError:
    return DatabaseError("the query was cancelled")
