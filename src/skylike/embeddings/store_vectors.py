"""The tables of vectors: shards are staged out of sight, and become visible in one transaction.

``embedding_staging_e<ID>`` collects finished shards over any number of runs; the first publication
turns it into the partition ``embedding_e<ID>``, later ones merge it. ``compact_staging_e<ID>``
holds compact vectors until they are joined with the catalog.
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
from skylike.database.tables import encoder, encoder_component
from skylike.embeddings.compact import CompactBasis
from skylike.embeddings.store import EncoderRecord

GalaxyIds = npt.NDArray[np.int32]

_COPIED = ("ra", "dec", "healpix29", "mag_g", "mag_r", "mag_z")
"""Columns of galaxy that embedding_compact repeats."""


@dataclass(frozen=True)
class VectorTables:
    """Names of the tables of one encoder."""

    encoder_id: int

    @property
    def vectors(self) -> str:
        """Partition of ``embedding``."""
        return f"embedding_e{self.encoder_id}"

    @property
    def compact(self) -> str:
        """Partition of ``embedding_compact``."""
        return f"embedding_compact_e{self.encoder_id}"

    @property
    def staging(self) -> str:
        """Finished shards, in the shape of the partition."""
        return f"embedding_staging_e{self.encoder_id}"

    @property
    def compact_staging(self) -> str:
        """Compact vectors on their way."""
        return f"compact_staging_e{self.encoder_id}"


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, name)


def _run(connection: Connection, query: str, **parts: sql.Composable) -> None:
    driver_connection(connection).execute(sql.SQL(query).format(**parts))


def table_exists(connection: Connection, name: str) -> bool:
    """Tell whether a table of the schema is there."""
    return connection.scalar(sa.select(sa.func.to_regclass(f"{SCHEMA}.{name}"))) is not None


def begin_staging(connection: Connection, record: EncoderRecord) -> datetime:
    """Make the staging table where it is not there yet; return the database's time.

    What is embedded from now on is as of that time: a cutout that changes later is stale.
    """
    tables = VectorTables(record.encoder_id)
    if not table_exists(connection, tables.staging):
        _create_partition_like(connection, tables.staging, "embedding", "embedding", record)
    now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now


def _create_partition_like(
    connection: Connection, name: str, parent: str, column: str, record: EncoderRecord
) -> None:
    """Make a table that can be attached to ``parent`` without being scanned."""
    dimension = record.dimension
    if column == "compact":
        dimension = (record.compact_components or 0) + 1
    _run(
        connection,
        "CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS INCLUDING COMMENTS,"
        " CONSTRAINT {key} PRIMARY KEY (encoder_id, galaxy_id),"
        " CONSTRAINT {is_encoder} CHECK (encoder_id = {encoder_id}),"
        " CONSTRAINT {is_dimension} CHECK (vector_dims({column}) = {dimension}))",
        table=_table(name),
        parent=_table(parent),
        key=sql.Identifier(f"{name}_pkey"),
        is_encoder=sql.Identifier(f"{name}_encoder_check"),
        is_dimension=sql.Identifier(f"{name}_dimension_check"),
        encoder_id=sql.Literal(record.encoder_id),
        column=sql.Identifier(column),
        dimension=sql.Literal(dimension),
    )


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
        cutout=_table("cutout"),
        with_pictures=sql.Literal(with_pictures),
        vectors=_table("embedding"),
        staging=_table(tables.staging),
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
    _delete_galaxies(
        connection, tables.staging, np.concatenate([shard.galaxy_id, shard.degenerate])
    )
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


def count_vectors(connection: Connection, record: EncoderRecord) -> tuple[int, int]:
    """Count the staged embeddings, and the published ones that they do not replace."""
    tables = VectorTables(record.encoder_id)
    staged = _count(connection, "SELECT count(*) FROM {staging}", staging=_table(tables.staging))
    if not table_exists(connection, tables.vectors):
        return staged, 0
    kept = _count(
        connection,
        "SELECT count(*) FROM {vectors} AS e WHERE NOT EXISTS"
        " (SELECT FROM {staging} AS s WHERE s.galaxy_id = e.galaxy_id)",
        vectors=_table(tables.vectors),
        staging=_table(tables.staging),
    )
    return staged, kept


def _count(connection: Connection, query: str, **parts: sql.Composable) -> int:
    row = driver_connection(connection).execute(sql.SQL(query).format(**parts)).fetchone()
    assert row is not None  # noqa: S101 - a count always has a row
    return int(row[0])


def count_published(connection: Connection, record: EncoderRecord) -> int:
    """Count the embeddings that readers see."""
    vectors = _table(VectorTables(record.encoder_id).vectors)
    return _count(connection, "SELECT count(*) FROM {vectors}", vectors=vectors)


def drop_staging(connection: Connection, record: EncoderRecord) -> None:
    """Remove the staging table: there was nothing new."""
    staging = VectorTables(record.encoder_id).staging
    _run(connection, "DROP TABLE IF EXISTS {table}", table=_table(staging))


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
    query = sql.SQL("SELECT galaxy_id, embedding FROM {}").format(_table(tables.staging))
    with engine.begin() as connection:
        if not staged_only and table_exists(connection, tables.vectors):
            query += sql.SQL(
                " UNION ALL SELECT e.galaxy_id, e.embedding FROM {vectors} AS e WHERE NOT EXISTS"
                " (SELECT FROM {staging} AS s WHERE s.galaxy_id = e.galaxy_id)"
                " AND e.galaxy_id <> ALL ({without}::integer[])"
            ).format(
                vectors=_table(tables.vectors),
                staging=_table(tables.staging),
                without=sql.Literal(without.tolist()),
            )
        yield from iter_halfvec_rows(connection, query, dimension=record.dimension)


def begin_compact_staging(connection: Connection, record: EncoderRecord) -> None:
    """Make an empty table for compact vectors."""
    name = VectorTables(record.encoder_id).compact_staging
    _run(connection, "DROP TABLE IF EXISTS {table}", table=_table(name))
    _run(
        connection,
        "CREATE UNLOGGED TABLE {table} (galaxy_id integer NOT NULL, compact halfvec NOT NULL)",
        table=_table(name),
    )


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


def publish_vectors(connection: Connection, record: EncoderRecord, *, without: GalaxyIds) -> None:
    """Show the staged embeddings: attach them as the encoder's partition, or merge them into it."""
    # The catalog must stand still until its columns are copied to embedding_compact.
    _run(connection, "LOCK TABLE {galaxy} IN SHARE MODE", galaxy=_table("galaxy"))
    tables = VectorTables(record.encoder_id)
    if not table_exists(connection, tables.vectors):
        _rename_partition(connection, tables.staging, tables.vectors)
        _attach(connection, "embedding", tables.vectors, record.encoder_id)
        return
    names = {"vectors": _table(tables.vectors), "staging": _table(tables.staging)}
    _delete_galaxies(connection, tables.vectors, without)
    _run(
        connection,
        "INSERT INTO {vectors} SELECT * FROM {staging}"
        " ON CONFLICT (encoder_id, galaxy_id) DO UPDATE SET"
        " embedding = excluded.embedding, cutout_id = excluded.cutout_id,"
        " is_inverted = excluded.is_inverted, embedded_at = excluded.embedded_at",
        **names,
    )
    _run(connection, "DROP TABLE {staging}", staging=names["staging"])


def _delete_galaxies(connection: Connection, table: str, galaxies: GalaxyIds) -> None:
    _run(
        connection,
        "DELETE FROM {table} WHERE galaxy_id = ANY ({ids}::integer[])",
        table=_table(table),
        ids=sql.Literal(galaxies.tolist()),
    )


def _rename_partition(connection: Connection, old: str, new: str) -> None:
    for suffix in ("pkey", "encoder_check", "dimension_check"):
        _run(
            connection,
            "ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}",
            table=_table(old),
            old=sql.Identifier(f"{old}_{suffix}"),
            new=sql.Identifier(f"{new}_{suffix}"),
        )
    _run(
        connection,
        "ALTER TABLE {table} RENAME TO {new}",
        table=_table(old),
        new=sql.Identifier(new),
    )


def _attach(connection: Connection, parent: str, table: str, encoder_id: int) -> None:
    _run(
        connection,
        "ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES IN ({encoder_id})",
        parent=_table(parent),
        table=_table(table),
        encoder_id=sql.Literal(encoder_id),
    )


def _insert_compact(connection: Connection, record: EncoderRecord, target: str) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, _COPIED))
    updates = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in ("compact", *_COPIED)
    )
    # In the order of the sky, as galaxy is: a cone reads neighboring pages.
    _run(
        connection,
        "INSERT INTO {target} (encoder_id, galaxy_id, compact, {columns})"
        " SELECT {encoder_id}, galaxy_id, s.compact, {columns}"
        " FROM {staging} AS s JOIN {galaxy} USING (galaxy_id) ORDER BY healpix29"
        " ON CONFLICT (encoder_id, galaxy_id) DO UPDATE SET {updates}",
        target=_table(target),
        columns=columns,
        encoder_id=sql.Literal(record.encoder_id),
        staging=_table(VectorTables(record.encoder_id).compact_staging),
        galaxy=_table("galaxy"),
        updates=updates,
    )


def publish_compact(
    connection: Connection, record: EncoderRecord, *, merge: bool, without: GalaxyIds
) -> None:
    """Show the staged compact vectors: merged into the partition, or as a new one in its place.

    ``record.compact_components`` is the m of the staged ones.
    """
    tables = VectorTables(record.encoder_id)
    if merge:
        _delete_galaxies(connection, tables.compact, without)
        _insert_compact(connection, record, tables.compact)
    else:
        _run(connection, "DROP TABLE IF EXISTS {table}", table=_table(tables.compact))
        _create_partition_like(connection, tables.compact, "embedding_compact", "compact", record)
        _insert_compact(connection, record, tables.compact)
        _attach(connection, "embedding_compact", tables.compact, record.encoder_id)
    _run(connection, "DROP TABLE {table}", table=_table(tables.compact_staging))


def record_basis(
    connection: Connection, record: EncoderRecord, basis: CompactBasis, *, slack: float
) -> None:
    """Write mean, axes, variances and slack of an encoder, and the time of publication."""
    connection.execute(
        sa.update(encoder)
        .where(encoder.c.encoder_id == record.encoder_id)
        .values(
            mean=basis.mean.tolist(),
            compact_components=len(basis.directions),
            explained_variance=basis.explained_variance.tolist(),
            compact_slack=slack,
            embedded_at=sa.func.now(),
        )
    )
    connection.execute(
        sa.delete(encoder_component).where(encoder_component.c.encoder_id == record.encoder_id)
    )
    connection.execute(
        sa.insert(encoder_component),
        [
            {"encoder_id": record.encoder_id, "component": number, "direction": axis.tolist()}
            for number, axis in enumerate(basis.directions, start=1)
        ],
    )


def activate_if_none_is(connection: Connection, record: EncoderRecord) -> bool:
    """Make this encoder the active one where there is none; tell whether it was done."""
    done = connection.execute(
        sa.update(encoder)
        .where(encoder.c.encoder_id == record.encoder_id)
        .where(~sa.exists(sa.select(encoder.c.encoder_id).where(encoder.c.is_active)))
        .values(is_active=True)
    )
    return done.rowcount == 1


def analyze_vectors(engine: Engine, record: EncoderRecord) -> None:
    """Refresh the planner's statistics of what was published."""
    tables = VectorTables(record.encoder_id)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in (tables.vectors, tables.compact, "encoder_component", "encoder"):
            _run(connection, "ANALYZE {table}", table=_table(name))
