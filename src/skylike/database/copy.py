"""Column batches into tables by binary COPY, and out of queries into arrays.

Arrow record batches carry the columns, because Arrow knows nulls and pgpq writes them as
PostgreSQL's binary rows; what Arrow has no type for (halfvec, and arrays at full speed) is packed
here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql
from sqlalchemy import Connection

_ARRAY_OID = {"int32": 23, "float32": 700}
"""pg_type.oid of int4 and float4, which a binary array names."""

_CHUNK_BYTES = 1 << 20
"""Bytes encoded at a time: bounds the memory of a COPY, and stays in the processor's cache.

Measured with neighbor lists of 16 kB: 0.03 s for 128 MB, and 0.22 s where they are encoded at once.
"""


def driver_connection(connection: Connection) -> psycopg.Connection[tuple[Any, ...]]:
    """Return psycopg's connection under SQLAlchemy's, in the same transaction."""
    # SQLAlchemy's pool returns connections of any driver; ours is always psycopg's
    # (engine.parse_url).
    return cast("psycopg.Connection[tuple[Any, ...]]", connection.connection.driver_connection)


def copy_into(connection: Connection, table: str, batch: pa.RecordBatch | pa.Table) -> int:
    """Append a batch to a table by binary COPY, inside the connection's transaction.

    Parameters
    ----------
    table
        Name, with its schema where that is not on the search path: ``"skylike.galaxy"``.
    batch
        Columns named as the table's, of the very types of the table: COPY does not convert.
        ``int32`` is integer, ``float64`` double precision, ``float32`` real, ``string`` text,
        :func:`halfvec_column` halfvec, :func:`array_column` integer[] or real[].

    Returns
    -------
    int
        Rows written.
    """
    copy_batches(connection, table, _chunks(batch))
    return int(batch.num_rows)


def copy_batches(connection: Connection, table: str, batches: Iterable[pa.RecordBatch]) -> None:
    """Append batches to a table by one binary COPY, each made while the server takes the last in.

    Parameters
    ----------
    table
        As of :func:`copy_into`.
    batches
        Of the same columns; small ones stay in the processor's cache.
    """
    remaining = iter(batches)
    first = next(remaining, None)
    if first is None:
        return
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(*table.split(".")),
        sql.SQL(", ").join(sql.Identifier(name) for name in first.schema.names),
    )
    encoder = ArrowToPostgresBinaryEncoder(first.schema)
    with driver_connection(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(encoder.write_header())
        for batch in chain([first], remaining):
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())


def _chunks(batch: pa.RecordBatch | pa.Table) -> Iterator[pa.RecordBatch]:
    rows = max(1, _CHUNK_BYTES * batch.num_rows // max(batch.nbytes, 1))
    if isinstance(batch, pa.Table):
        yield from batch.to_batches(max_chunksize=rows)
        return
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def halfvec_column(vectors: npt.NDArray[np.float16]) -> pa.Array:
    """Pack vectors as PostgreSQL receives a halfvec: dimension, unused, big-endian float16.

    Parameters
    ----------
    vectors
        (n, d) float16, finite (pgvector refuses NaN and infinity), d at most 16,000.
    """
    n, d = vectors.shape
    packed = np.empty((n, 4 + 2 * d), dtype=np.uint8)
    packed[:, :4] = np.frombuffer(np.array([d, 0], dtype=">i2").tobytes(), dtype=np.uint8)
    packed[:, 4:] = np.ascontiguousarray(vectors).astype(">f2").view(np.uint8).reshape(n, 2 * d)
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(4 + 2 * d), n, [None, pa.py_buffer(packed)]
    )


def unpack_halfvec(raw: bytes) -> npt.NDArray[np.float16]:
    """Turn the binary form of one halfvec, as a binary cursor gives it, into (d,) float16."""
    return np.frombuffer(raw, dtype=">f2", offset=4).astype(np.float16)


def array_column(
    values: npt.NDArray[np.int32] | npt.NDArray[np.float32], lengths: npt.NDArray[np.int64]
) -> pa.Array:
    """Pack lists as PostgreSQL receives an integer[] or real[]: ten times faster than Arrow lists.

    Parameters
    ----------
    values
        All elements, one list after the other, (sum of lengths,) int32 or float32.
    lengths
        Elements of each list, (n,).
    """
    # Every field of the wire format is four bytes wide, so one big-endian int32 buffer holds it
    # all: dimensions, has-null, element type, length, lower bound, then (size, value) for each
    # element.
    if len(lengths) and lengths[0] > 0 and (lengths == lengths[0]).all():
        return _equal_arrays(values.reshape(len(lengths), -1))
    header = np.where(lengths > 0, 5, 3)  # (n,) an empty array has no length and no bound
    ends = np.cumsum(header + 2 * lengths)  # (n,)
    starts = ends - header - 2 * lengths  # (n,)
    words = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=">i4")
    filled = lengths > 0
    words[starts] = filled
    words[starts + 2] = _ARRAY_OID[values.dtype.name]
    words[starts[filled] + 3] = lengths[filled]
    words[starts[filled] + 4] = 1
    first = np.cumsum(lengths) - lengths  # (n,) where each list begins in values
    place = np.repeat(starts + header - 2 * first, lengths) + 2 * np.arange(len(values))
    words[place] = 4
    words[place + 1] = values.view(np.int32)
    return _binaries(words, np.concatenate([[0], 4 * ends]))


def bytea_column(values: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> pa.Array:
    """Pack byte strings: all bytes (sum of lengths,), one string after the other."""
    return _binaries(values, np.concatenate([[0], np.cumsum(lengths)]))


def _binaries(values: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> pa.Array:
    # One type for lists of equal and of any lengths: batches of one COPY must have the same.
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(),
        len(offsets) - 1,
        [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(values)],
    )


def _equal_arrays(values: npt.NDArray[np.int32] | npt.NDArray[np.float32]) -> pa.Array:
    # The usual case of neighbor lists, six times faster than lists of any length (our measurement).
    n, length = values.shape
    words = np.empty((n, 5 + 2 * length), dtype=">i4")
    words[:, :5] = (1, 0, _ARRAY_OID[values.dtype.name], length, 1)
    words[:, 5::2] = 4
    words[:, 6::2] = values.view(np.int32)
    return _binaries(words, np.arange(n + 1) * 4 * words.shape[1])


def iter_fixed_rows(
    connection: Connection,
    query: sql.Composed | sql.SQL,
    columns: Sequence[tuple[str, npt.DTypeLike]],
    *,
    batch_rows: int,
    parameters: Mapping[str, object] | None = None,
) -> Iterator[npt.NDArray[np.void]]:
    """Stream rows of fixed width out of a query by binary COPY.

    Parameters
    ----------
    query
        A SELECT of columns that are never NULL.
    columns
        Name and big-endian dtype of each column: ``>i4`` integer, ``>f4`` real.
    parameters
        Values of the ``%(name)s`` in the query.

    Yields
    ------
    numpy.ndarray
        Structured, (b,), b at most ``batch_rows``, with a field for each column.
    """
    # A binary row: int16 number of fields, then an int32 size before every value.
    row = np.dtype(
        [
            ("COPY fields", ">i2"),
            *(
                field
                for name, kind in columns
                for field in ((f"COPY size of {name}", ">i4"), (name, kind))
            ),
        ]
    )
    header_left, trailer_bytes = 19, 2
    pending = bytearray()
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(query)
    with (
        driver_connection(connection).cursor() as cursor,
        cursor.copy(statement, parameters) as copy,
    ):
        for block in copy:
            pending += block
            if header_left:
                if len(pending) < header_left:
                    continue
                del pending[:header_left]
                header_left = 0
            if len(pending) >= batch_rows * row.itemsize + trailer_bytes:
                yield np.frombuffer(bytes(pending[: batch_rows * row.itemsize]), dtype=row)
                del pending[: batch_rows * row.itemsize]
    for start in range(0, len(pending) - trailer_bytes, batch_rows * row.itemsize):
        count = min(batch_rows, (len(pending) - trailer_bytes - start) // row.itemsize)
        yield np.frombuffer(pending, dtype=row, offset=start, count=count)


def iter_halfvec_rows(
    connection: Connection, query: sql.Composed | sql.SQL, *, dimension: int, batch_rows: int = 4096
) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]]:
    """Stream ``(galaxy_id integer, vector halfvec)`` rows out of a query by binary COPY.

    Parameters
    ----------
    query
        A SELECT of exactly those two columns, both NOT NULL.
    dimension
        d of every vector.

    Yields
    ------
    tuple
        Galaxy identifiers (b,) int32 and vectors (b, d) float16, b at most ``batch_rows``.
    """
    halfvec = np.dtype([("header", ">i2", (2,)), ("entries", ">f2", (dimension,))])
    columns: list[tuple[str, npt.DTypeLike]] = [("galaxy_id", ">i4"), ("vector", halfvec)]
    for rows in iter_fixed_rows(connection, query, columns, batch_rows=batch_rows):
        vectors = rows["vector"]["entries"].astype(np.float16)  # (b, d)
        yield rows["galaxy_id"].astype(np.int32), vectors
