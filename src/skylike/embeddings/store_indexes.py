"""Indexes of compact vectors: for cuts and cones, and the approximate one of ``--fast``."""

from typing import Final

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.database.partitions import qualified, run
from skylike.database.sql_files import statement
from skylike.database.tables import embedding_compact
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_tables import VectorTables

ON_SKY: Final = (("healpix29",), ("dec", "ra"))
"""Columns of the indexes that cones use: rows lie in that order, or nearly."""

COVERING: Final = ("mag_g", "mag_r", "mag_z", "z_phot")
"""Columns whose indexes hold the whole row, so that a range of them is read from one place."""

COVERED: Final = tuple(column.name for column in embedding_compact.columns)
"""What they hold."""

FAST: Final = "fast"
"""What the approximate index has in its name instead of columns."""

_LINKS: Final = 16
_CONSTRUCTION: Final = 100
"""m and ef_construction of the graph (Malkov & Yashunin 2018): pgvector's default of m, and a wider
search while building, which costs time once and gives recall ever after."""

_GRAPH_BYTES: Final = 600
"""Memory for each galaxy while the graph is built, without its vector (pgvector 0.8, m = 16)."""


def create_indexes(connection: Connection, table: str) -> None:
    """Index a table of compact vectors that is full: faster than before the rows come.

    The same indexes as those of ``embedding_compact`` in migration 0006: attached to it, the table
    needs no others.
    """
    for columns in ON_SKY:
        _create_index(connection, table, columns, ())
    for column in COVERING:
        _create_index(connection, table, (column,), tuple(c for c in COVERED if c != column))


def _create_index(
    connection: Connection, table: str, columns: tuple[str, ...], held: tuple[str, ...]
) -> None:
    include = sql.SQL("INCLUDE ({columns})").format(columns=_names(held)) if held else sql.SQL("")
    run(
        connection,
        "CREATE INDEX {name} ON {table} ({columns}) {include}",
        name=sql.Identifier(index_name(table, *columns)),
        table=qualified(table),
        columns=_names(columns),
        include=include,
    )


def _names(columns: tuple[str, ...]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def index_name(table: str, *columns: str) -> str:
    """Return the name of an index of a table of compact vectors."""
    return "_".join([table, *columns, "idx"])


def rename_indexes(connection: Connection, old: str, new: str, *, with_fast: bool) -> None:
    """Name the indexes of a table after its new name."""
    names = [*ON_SKY, *((column,) for column in COVERING)]
    if with_fast:
        names.append((FAST,))
    for columns in names:
        run(
            connection,
            "ALTER INDEX {old} RENAME TO {new}",
            old=qualified(index_name(old, *columns)),
            new=sql.Identifier(index_name(new, *columns)),
        )


def has_fast_index(connection: Connection, encoder_id: int) -> bool:
    """Tell whether an encoder's compact vectors have an approximate index that is ready."""
    table = qualified(VectorTables(encoder_id).compact).as_string()
    return bool(connection.scalar(statement("embeddings_fast_index"), {"table": table}))


def build_fast_index(engine: Engine, record: EncoderRecord) -> None:
    """Build the approximate index of an encoder's compact vectors, in place of an unfinished one.

    Searches and loads go on meanwhile. It ranks by distance: it serves cosines of unit vectors.
    """
    table = VectorTables(record.encoder_id).compact
    name = index_name(table, FAST)
    with connect(engine).execution_options(isolation_level="AUTOCOMMIT") as connection:
        _allow_memory(connection, record)
        # What an interrupted build leaves behind is no index, but has its name.
        run(connection, "DROP INDEX CONCURRENTLY IF EXISTS {index}", index=qualified(name))
        create_fast_index(connection, record, table)
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
        name=sql.Identifier(index_name(table, FAST)),
        table=qualified(table),
        entries=sql.Literal((record.compact_components or 0) + 1),
        m=sql.Literal(_LINKS),
        ef=sql.Literal(_CONSTRUCTION),
    )


def _allow_memory(connection: Connection, record: EncoderRecord) -> None:
    """Let the graph stay in memory while it grows: built on disk it takes many times longer."""
    entries = (record.compact_components or 0) + 1
    wanted = record.n_embedded * (_GRAPH_BYTES + 2 * entries) // 1024 + 65_536
    megabytes = min(wanted // 1024 + 1, 8_192)
    connection.execute(
        sa.text("SELECT set_config('maintenance_work_mem', :size, false)"),
        {"size": f"{megabytes}MB"},
    )
