"""Embeddings on their way: shards are staged out of readers' sight, over any number of runs.

``embedding_staging_e<ID>`` collects finished shards; :mod:`skylike.embeddings.store_publication`
turns it into the partition ``embedding_e<ID>``, or merges it. ``compact_staging_e<ID>`` holds
compact vectors until they are joined with the catalog.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection, Engine

from skylike.database.copy import copy_into, driver_connection, halfvec_column, iter_halfvec_rows
from skylike.database.engine import SCHEMA
from skylike.database.sql_files import statement
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_tables import (
    GalaxyIds,
    VectorTables,
    count,
    create_partition_like,
    delete_galaxies,
    hide,
    qualified,
    run,
    table_exists,
)


def begin_staging(connection: Connection, record: EncoderRecord) -> datetime:
    """Make the staging table where it is not there yet; return the database's time.

    What is embedded from now on is as of that time: a cutout that changes later is stale. Who
    writes cutouts at this moment is waited for, because they bear an earlier time and would not be
    seen yet: their old pixels would pass for the new ones.
    """
    tables = VectorTables(record.encoder_id)
    if not table_exists(connection, tables.staging):
        create_partition_like(connection, tables.staging, "embedding", "embedding", record)
        hide(connection, tables.staging)
    run(connection, "LOCK TABLE {cutout} IN SHARE MODE", cutout=qualified("cutout"))
    now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now


def fetch_pending_cutouts(
    connection: Connection, record: EncoderRecord, *, with_pictures: bool
) -> npt.NDArray[np.int32]:
    """Fetch the cutouts that are still to be embedded, or are newer than their embedding.

    Parameters
    ----------
    with_pictures
        Also pictures, of galaxies that have no flux cutout: of a galaxy with both the fluxes are
        taken.

    Returns
    -------
    ndarray
        (n,) int32 cutout identifiers, ascending.
    """
    tables = VectorTables(record.encoder_id)
    query = sql.SQL(
        "SELECT c.cutout_id FROM {cutout} AS c"
        " WHERE c.galaxy_id IS NOT NULL"
        " AND (c.kind = 'flux' OR ({with_pictures} AND NOT EXISTS ("
        "SELECT FROM {cutout} AS f WHERE f.galaxy_id = c.galaxy_id AND f.kind = 'flux')))"
        " AND NOT EXISTS (SELECT FROM {vectors} AS e WHERE e.encoder_id = {encoder_id}"
        " AND e.galaxy_id = c.galaxy_id AND e.cutout_id = c.cutout_id"
        " AND e.embedded_at >= c.updated_at)"
        " AND NOT EXISTS (SELECT FROM {staging} AS s WHERE s.encoder_id = {encoder_id}"
        " AND s.galaxy_id = c.galaxy_id AND s.cutout_id = c.cutout_id"
        " AND s.embedded_at >= c.updated_at)"
        " ORDER BY c.cutout_id"
    ).format(
        cutout=qualified("cutout"),
        with_pictures=sql.Literal(with_pictures),
        vectors=qualified("embedding"),
        staging=qualified(tables.staging),
        encoder_id=sql.Literal(record.encoder_id),
    )
    with driver_connection(connection).cursor("pending_cutouts") as cursor:
        cursor.itersize = 100_000
        cursor.execute(query)
        return np.fromiter((row[0] for row in cursor), dtype=np.int32)


def count_galaxies_with_pictures_only(connection: Connection) -> int:
    """Count the galaxies that have a picture but no flux cutout."""
    return int(connection.execute(statement("embeddings_picture_count")).scalar_one())


@dataclass(frozen=True)
class Shard:
    """Embeddings of some galaxies, ready to be staged."""

    galaxy_id: GalaxyIds
    """(b,)"""

    cutout_id: npt.NDArray[np.int32]
    """(b,)"""

    vectors: npt.NDArray[np.float16]
    """(b, d)"""

    is_inverted: bool
    """Was the input a picture turned into fluxes?"""

    degenerate: GalaxyIds
    """Galaxies whose image gave no embedding."""


def stage_shard(
    connection: Connection, record: EncoderRecord, shard: Shard, *, as_of: datetime
) -> None:
    """Write a shard to the staging table, replacing what was staged of its galaxies."""
    tables, n = VectorTables(record.encoder_id), len(shard.galaxy_id)
    delete_galaxies(connection, tables.staging, np.concatenate([shard.galaxy_id, shard.degenerate]))
    batch = pa.RecordBatch.from_pydict(
        {
            "encoder_id": pa.array(np.full(n, record.encoder_id, dtype=np.int32)),
            "galaxy_id": pa.array(shard.galaxy_id),
            "embedding": halfvec_column(shard.vectors),
            "cutout_id": pa.array(shard.cutout_id),
            "is_inverted": pa.array(np.full(n, shard.is_inverted)),
            "embedded_at": pa.array([as_of] * n, type=pa.timestamp("us", tz="UTC")),
        }
    )
    copy_into(connection, f"{SCHEMA}.{tables.staging}", batch)


def fetch_outlived(
    connection: Connection, record: EncoderRecord, degenerate: GalaxyIds
) -> GalaxyIds:
    """Fetch the galaxies whose published embedding shall go: their image is gone or shows nothing.

    Parameters
    ----------
    degenerate
        Galaxies whose present image gave no embedding.
    """
    tables = VectorTables(record.encoder_id)
    if not table_exists(connection, tables.vectors):
        return np.empty(0, dtype=np.int32)
    query = sql.SQL(
        "SELECT e.galaxy_id FROM {vectors} AS e WHERE e.galaxy_id = ANY ({degenerate}::integer[])"
        " UNION SELECT e.galaxy_id FROM {vectors} AS e"
        " WHERE NOT EXISTS (SELECT FROM {cutout} AS c WHERE c.galaxy_id = e.galaxy_id)"
    ).format(
        vectors=qualified(tables.vectors),
        cutout=qualified("cutout"),
        degenerate=sql.Literal(degenerate.tolist()),
    )
    rows = driver_connection(connection).execute(query).fetchall()
    return np.array([galaxy_id for (galaxy_id,) in rows], dtype=np.int32)


def count_vectors(
    connection: Connection, record: EncoderRecord, *, without: GalaxyIds
) -> tuple[int, int]:
    """Count the staged embeddings, and the published ones that stay as they are.

    Parameters
    ----------
    without
        Galaxies whose published embedding will go.
    """
    tables = VectorTables(record.encoder_id)
    staged = count(connection, "SELECT count(*) FROM {staging}", staging=qualified(tables.staging))
    if not table_exists(connection, tables.vectors):
        return staged, 0
    kept = count(
        connection,
        "SELECT count(*) FROM {vectors} AS e WHERE NOT EXISTS"
        " (SELECT FROM {staging} AS s WHERE s.galaxy_id = e.galaxy_id)"
        " AND e.galaxy_id <> ALL ({without}::integer[])",
        vectors=qualified(tables.vectors),
        staging=qualified(tables.staging),
        without=sql.Literal(without.tolist()),
    )
    return staged, kept


def count_published(connection: Connection, record: EncoderRecord) -> int:
    """Count the embeddings that readers see."""
    vectors = qualified(VectorTables(record.encoder_id).vectors)
    return count(connection, "SELECT count(*) FROM {vectors}", vectors=vectors)


def drop_staging(connection: Connection, record: EncoderRecord) -> None:
    """Remove the staging table: there was nothing new."""
    staging = VectorTables(record.encoder_id).staging
    run(connection, "DROP TABLE IF EXISTS {table}", table=qualified(staging))


def iter_vectors(
    engine: Engine, record: EncoderRecord, *, staged_only: bool, without: GalaxyIds
) -> Iterator[tuple[GalaxyIds, npt.NDArray[np.float16]]]:
    """Stream the embeddings as they will be after publication, in batches.

    Parameters
    ----------
    staged_only
        Leave out those that are published and stay.
    without
        Galaxies whose published embedding will go.
    """
    tables = VectorTables(record.encoder_id)
    query = sql.SQL("SELECT galaxy_id, embedding FROM {}").format(qualified(tables.staging))
    with engine.begin() as connection:
        if not staged_only and table_exists(connection, tables.vectors):
            query += sql.SQL(
                " UNION ALL SELECT e.galaxy_id, e.embedding FROM {vectors} AS e WHERE NOT EXISTS"
                " (SELECT FROM {staging} AS s WHERE s.galaxy_id = e.galaxy_id)"
                " AND e.galaxy_id <> ALL ({without}::integer[])"
            ).format(
                vectors=qualified(tables.vectors),
                staging=qualified(tables.staging),
                without=sql.Literal(without.tolist()),
            )
        yield from iter_halfvec_rows(connection, query, dimension=record.dimension)


def iter_vectors_of(
    connection: Connection,
    galaxy_ids: GalaxyIds,
    *,
    encoder_id: int,
    dimension: int,
    batch_rows: int = 1024,
) -> Iterator[tuple[GalaxyIds, npt.NDArray[np.float16]]]:
    """Stream the published embeddings of some galaxies, in any order; those without are missing.

    Yields
    ------
    tuple
        Identifiers (b,) and vectors (b, d), b at most ``batch_rows``.
    """
    query = sql.SQL(
        "SELECT galaxy_id, embedding FROM {}"
        " WHERE encoder_id = {} AND galaxy_id = ANY ({}::integer[])"
    ).format(qualified("embedding"), sql.Literal(encoder_id), sql.Literal(galaxy_ids.tolist()))
    yield from iter_halfvec_rows(connection, query, dimension=dimension, batch_rows=batch_rows)


def begin_compact_staging(connection: Connection, record: EncoderRecord) -> None:
    """Make an empty table for compact vectors."""
    name = VectorTables(record.encoder_id).compact_staging
    run(connection, "DROP TABLE IF EXISTS {table}", table=qualified(name))
    run(
        connection,
        "CREATE UNLOGGED TABLE {table} (galaxy_id integer NOT NULL, compact halfvec NOT NULL)",
        table=qualified(name),
    )
    hide(connection, name)


def stage_compact(
    connection: Connection,
    record: EncoderRecord,
    galaxy_id: GalaxyIds,
    compact: npt.NDArray[np.float16],
) -> None:
    """Append compact vectors (b, m + 1) to their staging table."""
    batch = pa.RecordBatch.from_pydict(
        {"galaxy_id": pa.array(galaxy_id), "compact": halfvec_column(compact)}
    )
    copy_into(connection, f"{SCHEMA}.{VectorTables(record.encoder_id).compact_staging}", batch)
