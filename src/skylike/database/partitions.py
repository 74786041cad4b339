"""Tables that are made while skylike runs, most of them to become partitions.

They have names that statements are composed with, are closed to readers until they are complete,
and are attached or dropped without making readers wait for long.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from psycopg import errors, sql
from sqlalchemy import Connection

from skylike.database.copy import driver_connection
from skylike.database.engine import SCHEMA
from skylike.database.roles import READER, SERVICE
from skylike.errors import ConflictError

LOCK_TIMEOUT: Final = "10s"
"""How long :func:`impatient` waits for readers."""

_READERS: Final = sql.SQL(", ").join(map(sql.Identifier, (READER, SERVICE)))


def qualified(name: str) -> sql.Identifier:
    """Name a table with its schema."""
    return sql.Identifier(SCHEMA, name)


def run(connection: Connection, query: str, **parts: sql.Composable) -> int:
    """Execute a statement whose ``{names}`` are given as parts; return how many rows it touched.

    -1 for a statement that touches no rows.
    """
    return driver_connection(connection).execute(sql.SQL(query).format(**parts)).rowcount


def count(connection: Connection, query: str, **parts: sql.Composable) -> int:
    """Execute a ``SELECT count(*)`` whose ``{names}`` are given as parts."""
    row = driver_connection(connection).execute(sql.SQL(query).format(**parts)).fetchone()
    assert row is not None  # noqa: S101 - a count always has a row
    return int(row[0])


def relation_exists(connection: Connection, name: str) -> bool:
    """Tell whether a table or an index of the schema is there."""
    return connection.scalar(sa.select(sa.func.to_regclass(f"{SCHEMA}.{name}"))) is not None


def hide(connection: Connection, table: str) -> None:
    """Close a table to readers, whom the schema's default privileges let in.

    Through its parent a partition is read with the parent's rights.
    """
    run(connection, "REVOKE ALL ON {table} FROM {roles}", table=qualified(table), roles=_READERS)


def show(connection: Connection, table: str) -> None:
    """Open a table to readers."""
    run(connection, "GRANT SELECT ON {table} TO {roles}", table=qualified(table), roles=_READERS)


def attach_partition(connection: Connection, parent: str, table: str, *, key: int) -> None:
    """Make a table the partition of ``parent`` that holds the rows of one key."""
    run(
        connection,
        "ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES IN ({key})",
        parent=qualified(parent),
        table=qualified(table),
        key=sql.Literal(key),
    )


@contextmanager
def impatient(connection: Connection, what: str) -> Iterator[None]:
    """Give up on a lock that readers hold: new readers queue up behind us meanwhile.

    The limit holds until the connection's transaction ends.

    Parameters
    ----------
    what
        Begins the message.

    Raises
    ------
    ConflictError
        They hold it for longer than :data:`LOCK_TIMEOUT`.
    """
    run(connection, "SET LOCAL lock_timeout = {timeout}", timeout=sql.Literal(LOCK_TIMEOUT))
    try:
        yield
    except errors.LockNotAvailable as error:
        raise ConflictError(
            f"{what}: a query or job holds the tables; run the same command again when it has ended"
        ) from error
