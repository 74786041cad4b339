"""What is in the database: versions, sizes, how far each stage has come."""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.database.engine import SCHEMA
from skylike.database.migrate import current_revision, head_revision, server_version
from skylike.database.tables import encoder, neighbor_run

_TABLES: Final = ("galaxy", "cutout", "embedding", "neighbor_list")

_COUNTED_ROWS: Final = 1_000_000
"""Larger tables are estimated by the planner's statistics: counting reads all of them."""


@dataclass(frozen=True)
class TableSize:
    """How large a table is, all its partitions and indexes together.

    Attributes
    ----------
    rows
        Rows, exact unless ``is_estimate``.
    size_bytes
        Bytes on disk.
    """

    name: str
    rows: int
    is_estimate: bool
    size_bytes: int


@dataclass(frozen=True)
class Summary:
    """The state of the database in use.

    Attributes
    ----------
    versions
        Of PostgreSQL and pgvector.
    revision
        Of the tables, None before the first upgrade.
    needed_revision
        Of this program.
    size_bytes
        Of the whole database.
    tables
        The large tables; empty unless the tables are at the needed revision.
    encoders
        Names of all encoders.
    active_encoder
        The one that searches use.
    published_run
        Its published neighbor run, in words.
    """

    versions: str
    revision: str | None
    needed_revision: str
    size_bytes: int
    tables: tuple[TableSize, ...] = ()
    encoders: tuple[str, ...] = ()
    active_encoder: str | None = None
    published_run: str | None = None


def fetch_summary(connection: Connection) -> Summary:
    """Look at the database as it is; the tables may be old or missing."""
    revision, needed = current_revision(connection), head_revision()
    size = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
    base = Summary(server_version(connection), revision, needed, int(size or 0))
    if revision != needed:
        return base
    encoders = connection.execute(sa.select(encoder.c.name, encoder.c.is_active).order_by("name"))
    names = [(row.name, row.is_active) for row in encoders]
    return Summary(
        base.versions,
        revision,
        needed,
        base.size_bytes,
        tuple(_measure(connection, name) for name in _TABLES),
        tuple(name for name, _ in names),
        next((name for name, is_active in names if is_active), None),
        _published_run(connection),
    )


def _measure(connection: Connection, name: str) -> TableSize:
    row = connection.execute(
        sa.text(
            "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint AS estimate,"
            " coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS size_bytes"
            # A plain table is no tree to that function, so it is added by hand.
            " FROM (SELECT relid FROM pg_partition_tree(cast(:table AS regclass))"
            "  UNION SELECT cast(:table AS regclass)) AS part"
            " JOIN pg_class AS c ON c.oid = part.relid AND c.relkind = 'r'"
        ),
        {"table": f"{SCHEMA}.{name}"},
    ).one()
    if row.estimate > _COUNTED_ROWS:
        return TableSize(name, row.estimate, True, row.size_bytes)
    rows = connection.scalar(sa.text(f"SELECT count(*) FROM {SCHEMA}.{name}"))  # noqa: S608 - our names
    return TableSize(name, int(rows or 0), False, row.size_bytes)


def _published_run(connection: Connection) -> str | None:
    run = connection.execute(
        sa.select(neighbor_run)
        .join(encoder, encoder.c.encoder_id == neighbor_run.c.encoder_id)
        .where(encoder.c.is_active, neighbor_run.c.state == "published")
    ).one_or_none()
    if run is None:
        return None
    window = f"within {run.width:g} mag in {run.band}" if run.band else "without a magnitude window"
    return f"run {run.run_id}: {run.k} neighbors each of {run.n_galaxies:,} galaxies, {window}"
