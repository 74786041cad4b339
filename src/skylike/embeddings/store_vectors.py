"""Embeddings as arrays: counted and streamed, published ones and those on their way."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from psycopg import sql
from sqlalchemy import Connection, Engine

from skylike.database.copy import driver_connection, iter_halfvec_rows
from skylike.database.partitions import count, qualified, relation_exists
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_tables import GalaxyIds, VectorTables


def fetch_outlived(connection: Connection, record: EncoderRecord) -> GalaxyIds:
    """Fetch the galaxies whose embedding shall go: their image is gone, or shows nothing now."""
    tables = VectorTables(record.encoder_id)
    if not relation_exists(connection, tables.vectors):
        return np.empty(0, dtype=np.int32)
    query = sql.SQL(
        "SELECT e.galaxy_id FROM {vectors} AS e JOIN {blank} AS b USING (galaxy_id)"
        " UNION SELECT e.galaxy_id FROM {vectors} AS e"
        " WHERE NOT EXISTS (SELECT FROM {cutout} AS c WHERE c.galaxy_id = e.galaxy_id)"
    ).format(
        vectors=qualified(tables.vectors),
        blank=qualified(tables.blank),
        cutout=qualified("cutout"),
    )
    rows = driver_connection(connection).execute(query).fetchall()
    return np.array([galaxy_id for (galaxy_id,) in rows], dtype=np.int32)


def count_kept(connection: Connection, record: EncoderRecord, *, without: GalaxyIds) -> int:
    """Count the published embeddings that stay as they are.

    Parameters
    ----------
    without
        Galaxies whose published embedding will go.
    """
    tables = VectorTables(record.encoder_id)
    if not relation_exists(connection, tables.vectors):
        return 0
    return count(
        connection,
        "SELECT count(*) FROM {vectors} AS e WHERE NOT EXISTS"
        " (SELECT FROM {staging} AS s WHERE s.galaxy_id = e.galaxy_id)"
        " AND e.galaxy_id <> ALL ({without}::integer[])",
        vectors=qualified(tables.vectors),
        staging=qualified(tables.staging),
        without=sql.Literal(without.tolist()),
    )


def count_published(connection: Connection, record: EncoderRecord) -> int:
    """Count the embeddings that readers see."""
    vectors = VectorTables(record.encoder_id).vectors
    if not relation_exists(connection, vectors):
        return 0
    return count(connection, "SELECT count(*) FROM {vectors}", vectors=qualified(vectors))


def iter_vectors(
    engine: Engine,
    record: EncoderRecord,
    *,
    without: GalaxyIds,
    staged: bool = True,
    kept: bool = True,
) -> Iterator[tuple[GalaxyIds, npt.NDArray[np.float16]]]:
    """Stream the embeddings as they will be after publication, in batches.

    Parameters
    ----------
    without
        Galaxies whose published embedding will go.
    staged, kept
        Those that are staged; those that are published and stay.
    """
    tables = VectorTables(record.encoder_id)
    parts = []
    with engine.begin() as connection:
        if staged:
            parts.append(
                sql.SQL("SELECT galaxy_id, embedding FROM {}").format(qualified(tables.staging))
            )
        if kept and relation_exists(connection, tables.vectors):
            parts.append(
                sql.SQL(
                    "SELECT e.galaxy_id, e.embedding FROM {vectors} AS e WHERE NOT EXISTS"
                    " (SELECT FROM {staging} AS s WHERE s.galaxy_id = e.galaxy_id)"
                    " AND e.galaxy_id <> ALL ({without}::integer[])"
                ).format(
                    vectors=qualified(tables.vectors),
                    staging=qualified(tables.staging),
                    without=sql.Literal(without.tolist()),
                )
            )
        if parts:
            query = sql.SQL(" UNION ALL ").join(parts)
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
