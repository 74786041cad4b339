"""Publication: staged vectors become visible, those of one encoder all in one transaction."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection, Engine

from skylike.database.partitions import attach_partition, qualified, relation_exists, run, show
from skylike.database.tables import embedding_compact, encoder, encoder_component
from skylike.embeddings.compact import CompactBasis
from skylike.embeddings.store import EncoderRecord, lock_activation
from skylike.embeddings.store_indexes import (
    create_fast_index,
    create_indexes,
    has_fast_index,
    rename_indexes,
)
from skylike.embeddings.store_tables import (
    GalaxyIds,
    VectorTables,
    create_partition_like,
    delete_galaxies,
)

_COPIED: Final = tuple(
    column.name
    for column in embedding_compact.columns
    if column.name not in {"encoder_id", "galaxy_id", "compact"}
)
"""Columns of galaxy that embedding_compact repeats."""


def publish_vectors(
    connection: Connection, record: EncoderRecord, *, without: GalaxyIds, published_at: datetime
) -> None:
    """Show the staged embeddings: attach them as the encoder's partition, or merge them into it.

    Parameters
    ----------
    published_at
        From :func:`skylike.embeddings.store_vectors.wait_for_cutouts`. Embeddings that are merged
        are as of that time if their cutout has not changed since they were made, so that who has
        read the table before (a neighbor build) sees that they are newer.
    """
    # The catalog must stand still until its columns are copied to embedding_compact.
    run(connection, "LOCK TABLE {galaxy} IN SHARE MODE", galaxy=qualified("galaxy"))
    tables = VectorTables(record.encoder_id)
    if not relation_exists(connection, tables.vectors):
        _rename_partition(connection, tables.staging, tables.vectors)
        show(connection, tables.vectors)
        attach_partition(connection, "embedding", tables.vectors, key=record.encoder_id)
        return
    names = {"vectors": qualified(tables.vectors), "staging": qualified(tables.staging)}
    delete_galaxies(connection, record, tables.vectors, without)
    run(
        connection,
        "INSERT INTO {vectors} (encoder_id, galaxy_id, embedding, cutout_id, is_inverted,"
        " embedded_at) SELECT s.encoder_id, s.galaxy_id, s.embedding, s.cutout_id, s.is_inverted,"
        " CASE WHEN s.cutout_id IS NULL OR c.updated_at <= s.embedded_at"
        " THEN {published_at} ELSE s.embedded_at END"
        " FROM {staging} AS s LEFT JOIN {cutout} AS c ON c.cutout_id = s.cutout_id"
        " ON CONFLICT (encoder_id, galaxy_id) DO UPDATE SET"
        " embedding = excluded.embedding, cutout_id = excluded.cutout_id,"
        " is_inverted = excluded.is_inverted, embedded_at = excluded.embedded_at",
        cutout=qualified("cutout"),
        published_at=sql.Literal(published_at),
        **names,
    )
    run(connection, "DROP TABLE {staging}", staging=names["staging"])


def _rename_partition(connection: Connection, old: str, new: str) -> None:
    for suffix in ("pkey", "encoder_check", "dimension_check"):
        run(
            connection,
            "ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}",
            table=qualified(old),
            old=sql.Identifier(f"{old}_{suffix}"),
            new=sql.Identifier(f"{new}_{suffix}"),
        )
    run(
        connection,
        "ALTER TABLE {table} RENAME TO {new}",
        table=qualified(old),
        new=sql.Identifier(new),
    )


def _insert_compact(connection: Connection, record: EncoderRecord, target: str) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, _COPIED))
    updates = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in ("compact", *_COPIED)
    )
    # In the order of the sky, as galaxy is: a cone reads neighboring pages.
    run(
        connection,
        "INSERT INTO {target} (encoder_id, galaxy_id, compact, {columns})"
        " SELECT {encoder_id}, galaxy_id, s.compact, {columns}"
        " FROM {staging} AS s JOIN {galaxy} USING (galaxy_id) ORDER BY healpix29"
        " ON CONFLICT (encoder_id, galaxy_id) DO UPDATE SET {updates}",
        target=qualified(target),
        columns=columns,
        encoder_id=sql.Literal(record.encoder_id),
        staging=qualified(VectorTables(record.encoder_id).compact_staging),
        galaxy=qualified("galaxy"),
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
        delete_galaxies(connection, record, tables.compact, without)
        _insert_compact(connection, record, tables.compact)
    else:
        # Made aside: searches go on, and wait only while the tables change places.
        new = f"{tables.compact}_new"
        create_partition_like(connection, new, "embedding_compact", "compact", record)
        _insert_compact(connection, record, new)
        create_indexes(connection, new)
        is_fast = has_fast_index(connection, record.encoder_id)
        if is_fast:
            create_fast_index(connection, record, new, concurrently=False)
        run(connection, "DROP TABLE IF EXISTS {table}", table=qualified(tables.compact))
        _rename_partition(connection, new, tables.compact)
        rename_indexes(connection, new, tables.compact, with_fast=is_fast)
        show(connection, tables.compact)
        attach_partition(connection, "embedding_compact", tables.compact, key=record.encoder_id)
    run(connection, "DROP TABLE {table}", table=qualified(tables.compact_staging))


def record_basis(
    connection: Connection,
    record: EncoderRecord,
    basis: CompactBasis,
    *,
    slack: float,
    published_at: datetime,
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
            embedded_at=published_at,
            embedded_xact=sa.func.pg_current_xact_id(),
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
    lock_activation(connection)
    done = connection.execute(
        sa.update(encoder)
        .where(encoder.c.encoder_id == record.encoder_id)
        .where(~sa.exists(sa.select(encoder.c.encoder_id).where(encoder.c.is_active)))
        .values(is_active=True)
    )
    return done.rowcount == 1


def analyze_vectors(engine: Engine, record: EncoderRecord) -> None:
    """Refresh the planner's statistics of what was published, and let indexes answer alone.

    Only of pages that are marked as seen by all does an index say what a row holds.
    """
    tables = VectorTables(record.encoder_id)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in (tables.vectors, tables.compact, "encoder_component", "encoder"):
            run(connection, "VACUUM (ANALYZE) {table}", table=qualified(name))
