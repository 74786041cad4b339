"""Embeddings on their way: shards are staged out of readers' sight, over any number of runs.

``embedding_staging_e<ID>`` collects finished shards; :mod:`skylike.embeddings.store_publication`
turns it into the partition ``embedding_e<ID>``, or merges it. Beside it are the cutouts that gave
no embedding, the list of shards, and sums over them (:mod:`skylike.embeddings.store_sums`).
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import copy_into, driver_connection, halfvec_column
from skylike.database.engine import SCHEMA
from skylike.database.partitions import count, hide, qualified, relation_exists, run
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_tables import (
    GalaxyIds,
    VectorTables,
    create_partition_like,
    delete_galaxies,
)
from skylike.errors import ConflictError


def begin_staging(connection: Connection, record: EncoderRecord) -> datetime:
    """Make the staging tables where they are not there yet; return the database's time.

    What is embedded from now on is as of that time: a cutout that changes later is stale. Who
    writes cutouts at this moment is waited for, because they bear an earlier time and would not be
    seen yet: their old pixels would pass for the new ones.
    """
    tables = VectorTables(record.encoder_id)
    # Of several processes that begin together one makes the tables.
    key = sa.func.hashtext(f"skylike staging {record.encoder_id}")
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
    if not relation_exists(connection, tables.staging):
        create_partition_like(connection, tables.staging, "embedding", "embedding", record)
        _create_beside(connection, tables)
        for name in (tables.staging, tables.blank, tables.shards, tables.sums):
            hide(connection, name)
    return wait_for_cutouts(connection)


def _create_beside(connection: Connection, tables: VectorTables) -> None:
    for name in (tables.blank, tables.shards, tables.sums):  # what a failed run may have left
        run(connection, "DROP TABLE IF EXISTS {table}", table=qualified(name))
    run(
        connection,
        "CREATE TABLE {table} (encoder_id integer NOT NULL, galaxy_id integer NOT NULL,"
        " cutout_id integer, embedded_at timestamptz NOT NULL,"
        " PRIMARY KEY (encoder_id, galaxy_id))",
        table=qualified(tables.blank),
    )
    run(
        connection,
        "CREATE TABLE {table} (shard_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " galaxy_ids integer[] NOT NULL, blank integer NOT NULL, precision text, sum_id integer)",
        table=qualified(tables.shards),
    )
    run(
        connection,
        "CREATE TABLE {table} (sum_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " galaxies bigint NOT NULL, sums bytea STORAGE EXTERNAL NOT NULL)",
        table=qualified(tables.sums),
    )


def wait_for_cutouts(connection: Connection) -> datetime:
    """Wait for those who write cutouts at this moment; return the database's time then."""
    run(connection, "LOCK TABLE {cutout} IN SHARE MODE", cutout=qualified("cutout"))
    now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now


def commit_without_waiting(connection: Connection) -> None:
    """Let the transaction end before it is on disk.

    Where the server's machine fails within the next moment it has not happened: what it staged is
    whole or not there, and is embedded again.
    """
    connection.execute(sa.text("SET LOCAL synchronous_commit = off"))


def check_precision(connection: Connection, record: EncoderRecord, precision: str) -> None:
    """Refuse to mix embeddings of two precisions in one publication.

    Raises
    ------
    ConflictError
        What is staged was computed in another one.
    """
    query = sql.SQL("SELECT precision FROM {shards} WHERE precision <> {precision} LIMIT 1").format(
        shards=qualified(VectorTables(record.encoder_id).shards), precision=sql.Literal(precision)
    )
    row = driver_connection(connection).execute(query).fetchone()
    if row is not None:
        raise ConflictError(
            f"embeddings of {record.name!r} are on their way that were computed in {row[0]}; "
            f"finish them with --precision {row[0]}"
        )


@dataclass(frozen=True)
class Shard:
    """Embeddings of some galaxies, ready to be staged."""

    galaxy_id: GalaxyIds
    """(b,)"""

    cutout_id: npt.NDArray[np.int32] | None
    """(b,) what they were made from; None where they were made elsewhere."""

    vectors: npt.NDArray[np.float16]
    """(b, d); a row of zeros says that the image gives no embedding."""

    is_inverted: bool | npt.NDArray[np.bool_] = False
    """Was the input a picture turned into fluxes? For all, or for each (b,)."""


def stage_shard(
    connection: Connection,
    record: EncoderRecord,
    shard: Shard,
    *,
    as_of: datetime,
    precision: str | None = None,
) -> int:
    """Write a shard to the staging tables, replacing what was staged of its galaxies.

    Returns
    -------
    int
        Number of the shard among those staged, for :func:`skylike.embeddings.store_sums.add_sums`.
    """
    tables = VectorTables(record.encoder_id)
    replaced = delete_galaxies(connection, record, tables.staging, shard.galaxy_id)
    if len(replaced):
        _take_out(connection, tables, replaced)
    delete_galaxies(connection, record, tables.blank, shard.galaxy_id)
    is_good = shard.vectors.any(axis=1)  # (b,)
    batch = _columns(record, shard, as_of)
    good = batch.filter(pa.array(is_good))
    copy_into(
        connection,
        f"{SCHEMA}.{tables.staging}",
        good.append_column("embedding", halfvec_column(shard.vectors[is_good])),
    )
    blank = batch.filter(pa.array(~is_good)).drop_columns(["is_inverted"])
    copy_into(connection, f"{SCHEMA}.{tables.blank}", blank)
    query = sql.SQL(
        "INSERT INTO {shards} (galaxy_ids, blank, precision)"
        " VALUES ({ids}::integer[], {blank}, {precision}) RETURNING shard_id"
    ).format(
        shards=qualified(tables.shards),
        ids=sql.Literal(shard.galaxy_id[is_good].tolist()),
        blank=sql.Literal(blank.num_rows),
        precision=sql.Literal(precision),
    )
    row = driver_connection(connection).execute(query).fetchone()
    assert row is not None  # noqa: S101 - RETURNING of one row
    return int(row[0])


def _columns(record: EncoderRecord, shard: Shard, as_of: datetime) -> pa.RecordBatch:
    n = len(shard.galaxy_id)
    cutouts = pa.nulls(n, pa.int32()) if shard.cutout_id is None else pa.array(shard.cutout_id)
    return pa.RecordBatch.from_pydict(
        {
            "encoder_id": pa.array(np.full(n, record.encoder_id, dtype=np.int32)),
            "galaxy_id": pa.array(shard.galaxy_id),
            "cutout_id": cutouts,
            "is_inverted": pa.array(np.broadcast_to(shard.is_inverted, n)),
            "embedded_at": pa.array([as_of] * n, type=pa.timestamp("us", tz="UTC")),
        }
    )


def _take_out(connection: Connection, tables: VectorTables, replaced: GalaxyIds) -> None:
    """Forget which shard some galaxies were staged with: they come again, with another.

    The rest of such a shard gets a row of its own that is in no sums, so that the sums which hold
    the old one are seen to hold too much.
    """
    run(
        connection,
        "WITH old AS (DELETE FROM {shards} WHERE galaxy_ids && {ids}::integer[]"
        " RETURNING galaxy_ids, blank, precision)"
        " INSERT INTO {shards} (galaxy_ids, blank, precision)"
        " SELECT ARRAY(SELECT unnest(galaxy_ids) EXCEPT SELECT unnest({ids}::integer[])),"
        " blank, precision FROM old",
        shards=qualified(tables.shards),
        ids=sql.Literal(replaced.tolist()),
    )


@dataclass(frozen=True)
class StagedCounts:
    """What is staged of one encoder."""

    galaxies: int
    """With an embedding."""

    blank: int
    """Whose image gave none."""

    inverted: int
    """Whose picture was turned into fluxes."""


def count_staged(connection: Connection, record: EncoderRecord) -> StagedCounts:
    """Count what is staged."""
    tables = VectorTables(record.encoder_id)
    query = sql.SQL(
        "SELECT count(*), (SELECT count(*) FROM {blank}), count(*) FILTER (WHERE is_inverted)"
        " FROM {staging}"
    ).format(staging=qualified(tables.staging), blank=qualified(tables.blank))
    row = driver_connection(connection).execute(query).fetchone()
    assert row is not None  # noqa: S101 - a count always has a row
    return StagedCounts(*row)


def count_in_shards(connection: Connection, record: EncoderRecord) -> int:
    """Count the galaxies that the staged shards hold, with and without an embedding; at once."""
    return count(
        connection,
        "SELECT coalesce(sum(cardinality(galaxy_ids) + blank), 0) FROM {shards}",
        shards=qualified(VectorTables(record.encoder_id).shards),
    )


def has_staging(connection: Connection, record: EncoderRecord) -> bool:
    """Tell whether anything has been staged, or is going to be, since the last publication."""
    return relation_exists(connection, VectorTables(record.encoder_id).staging)


def drop_staging(connection: Connection, record: EncoderRecord) -> None:
    """Remove the staging tables: all is published, or there was nothing new."""
    tables = VectorTables(record.encoder_id)
    for name in (tables.staging, tables.blank, tables.shards, tables.sums):
        run(connection, "DROP TABLE IF EXISTS {table}", table=qualified(name))
