"""Bring the tables to the revision that this program needs, and check that they are there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from skylike.database.engine import SCHEMA, check_versions, connect
from skylike.database.roles import ensure_extension, ensure_roles, restrict_public
from skylike.errors import ConflictError, SchemaOutOfDateError
from skylike.paths import schema_root

logger = logging.getLogger(__name__)

LOCK_TIMEOUT: Final = "5s"
"""A migration that waits longer for a table gives up: it blocks every reader behind it."""

STATEMENT_TIMEOUT: Final = "30min"
"""Longest single statement; a file that needs more raises it itself."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(schema_root() / "migrations"))
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """Return the revision that this program needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101 - the folder ships with the package and is never empty
    return head


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the database is at, or None before the first upgrade."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    return context.get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Ensure roles and extension, then migrate up; each migration is a transaction of its own.

    Raises
    ------
    DatabaseVersionError
        The server is too old or lacks pgvector.
    SettingsError
        The roles are missing and this user may not create them.
    ConflictError
        Another session holds the tables for longer than the lock timeout.
    SchemaOutOfDateError
        The tables are newer than this program.
    """
    with migrating(engine) as connection:
        check_versions(connection)
        _check_known(connection)
        ensure_roles(connection)
        ensure_extension(connection)
        restrict_public(connection)
        connection.commit()
        command.upgrade(_config(connection), revision)


def upgrade_if_empty(engine: Engine) -> bool:
    """Make the tables where there are none yet; return whether that was done."""
    with connect(engine) as connection:
        if current_revision(connection) is not None:
            return False
    upgrade(engine)
    return True


def downgrade(engine: Engine, revision: str) -> None:
    """Migrate down to ``revision`` (``base`` removes every table). Data in dropped tables is lost.

    Raises
    ------
    ConflictError
        Another session holds the tables for longer than the lock timeout.
    SchemaOutOfDateError
        The tables are newer than this program.
    """
    with migrating(engine) as connection:
        _check_known(connection)
        command.downgrade(_config(connection), revision)


def drop_tables(engine: Engine) -> None:
    """Drop the schema ``skylike`` with everything in it; the rest of the database stays as it is.

    Raises
    ------
    ConflictError
        Another session holds the tables for longer than the lock timeout.
    """
    with migrating(engine) as connection:
        connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
        connection.commit()


@contextmanager
def migrating(engine: Engine) -> Iterator[Connection]:
    """Give one session at a time a connection on which the schema may be changed.

    Others wait here, without limit, for the session before them; waiting for a table is limited.

    Raises
    ------
    ConflictError
        Another session holds a table for longer than the lock timeout.
    """
    with connect(engine) as connection:
        # Not back into the pool: the lock and the timeouts belong to the session and end with it.
        connection.detach()
        lock = sa.text("SELECT pg_try_advisory_lock(hashtext('skylike migrations'))")
        if not connection.scalar(lock):
            logger.warning("another session is changing the schema; waiting for it")
            connection.execute(sa.text("SELECT pg_advisory_lock(hashtext('skylike migrations'))"))
        connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(sa.text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.commit()
        try:
            yield connection
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
            raise ConflictError(
                "another session holds the tables; stop running skylike jobs and open "
                "transactions, then run the same command again"
            ) from error


def check_schema(connection: Connection) -> None:
    """Check that the tables fit this program.

    Raises
    ------
    SchemaOutOfDateError
        They are older, newer, or not there yet.
    """
    found, needed = current_revision(connection), head_revision()
    connection.rollback()
    if found == needed:
        return
    if found is None:
        raise SchemaOutOfDateError(
            "the database has no skylike tables yet; run `skylike db upgrade`"
        )
    _check_known(connection)
    raise SchemaOutOfDateError(
        f"the tables are at revision {found}, this program needs {needed}; run `skylike db upgrade`"
    )


def _check_known(connection: Connection) -> None:
    found = current_revision(connection)
    connection.rollback()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaOutOfDateError(
            f"the tables are at revision {found}, which this program (revision {head_revision()}) "
            "does not know; install a newer skylike"
        )


def server_version(connection: Connection) -> str:
    """Return versions of PostgreSQL and pgvector, for people."""
    row = connection.execute(
        sa.text(
            "SELECT current_setting('server_version') AS postgresql,"
            " (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector"
        )
    ).one()
    return f"PostgreSQL {row.postgresql}, pgvector {row.pgvector or 'not created yet'}"
