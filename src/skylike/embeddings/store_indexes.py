"""Indexes of compact vectors: for cuts and cones, and the approximate one of ``--fast``."""

from typing import Final

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.database.sql_files import statement
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_tables import VectorTables, qualified, run

INDEXED: Final = (("healpix29",), ("dec", "ra"), ("mag_r",), ("mag_g",), ("mag_z",), ("z_phot",))
"""Columns of the indexes of embedding_compact, as migration 0006 has them."""

_LINKS: Final = 16
_CONSTRUCTION: Final = 100
"""m and ef_construction of the graph (Malkov & Yashunin 2018): pgvector's default of m, and a wider
search while building, which costs time once and gives recall ever after."""

_GRAPH_BYTES: Final = 600
"""Memory for each galaxy while the graph is built, without its vector (pgvector 0.8, m = 16)."""


def create_indexes(connection: Connection, table: str) -> None:
    """Index a table of compact vectors that is full: faster than before the rows come.

    Attached to ``embedding_compact``, they become parts of its indexes.
    """
    for columns in INDEXED:
        run(
            connection,
            "CREATE INDEX ON {table} ({columns})",
            table=qualified(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        )


def has_fast_index(connection: Connection, encoder_id: int) -> bool:
    """Tell whether an encoder's compact vectors have an approximate index that is ready."""
    table = qualified(VectorTables(encoder_id).compact).as_string()
    return bool(connection.scalar(statement("embeddings_fast_index"), {"table": table}))


def build_fast_index(engine: Engine, record: EncoderRecord) -> None:
    """Build the approximate index of an encoder's compact vectors, in place of an unfinished one.

    Searches and loads go on meanwhile. It ranks by distance: it serves cosines of unit vectors.
    """
    name = fast_index_name(VectorTables(record.encoder_id).compact)
    with connect(engine).execution_options(isolation_level="AUTOCOMMIT") as connection:
        _allow_memory(connection, record)
        # What an interrupted build leaves behind is no index, but has its name.
        run(connection, "DROP INDEX CONCURRENTLY IF EXISTS {index}", index=qualified(name))
        create_fast_index(connection, record, VectorTables(record.encoder_id).compact)
        connection.execute(sa.text("RESET ALL"))


def create_fast_index(
    connection: Connection, record: EncoderRecord, table: str, *, concurrently: bool = True
) -> None:
    """Make the approximate index of a table of compact vectors."""
    run(
        connection,
        "CREATE INDEX {concurrently} {name} ON {table} USING hnsw"
        " ((compact::halfvec({entries})) halfvec_l2_ops) WITH (m = {m}, ef_construction = {ef})",
        concurrently=sql.SQL("CONCURRENTLY" if concurrently else ""),
        name=sql.Identifier(fast_index_name(table)),
        table=qualified(table),
        entries=sql.Literal((record.compact_components or 0) + 1),
        m=sql.Literal(_LINKS),
        ef=sql.Literal(_CONSTRUCTION),
    )


def fast_index_name(table: str) -> str:
    """Return the name of the approximate index of a table of compact vectors."""
    return f"{table}_fast_idx"


def _allow_memory(connection: Connection, record: EncoderRecord) -> None:
    """Let the graph stay in memory while it grows: built on disk it takes many times longer."""
    entries = (record.compact_components or 0) + 1
    wanted = record.n_embedded * (_GRAPH_BYTES + 2 * entries) // 1024 + 65_536
    megabytes = min(wanted // 1024 + 1, 8_192)
    connection.execute(
        sa.text("SELECT set_config('maintenance_work_mem', :size, false)"),
        {"size": f"{megabytes}MB"},
    )
