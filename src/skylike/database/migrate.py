"""Bring the tables to the revision that this program needs, and check that they are there."""

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from skylike.database.engine import SCHEMA, check_versions, connect
from skylike.database.roles import ensure_extension, ensure_roles
from skylike.errors import ConflictError, SchemaOutOfDateError
from skylike.paths import schema_root


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
    ConflictError
        Another session holds the tables for longer than the lock timeout.
    """
    with connect(engine) as connection:
        check_versions(connection)
        ensure_roles(connection)
        ensure_extension(connection)
        connection.commit()
    _run(engine, lambda config: command.upgrade(config, revision))


def downgrade(engine: Engine, revision: str) -> None:
    """Migrate down to ``revision`` (``base`` removes every table). Data in dropped tables is lost."""
    _run(engine, lambda config: command.downgrade(config, revision))


def _run(engine: Engine, migrate) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    try:
        with connect(engine) as connection:
            migrate(_config(connection))
    except OperationalError as error:
        if "lock timeout" in str(error.orig):
            raise ConflictError(
                "another session holds the tables; stop running skylike jobs, then `skylike db upgrade` again"
            ) from error
        raise


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
        raise SchemaOutOfDateError("the database has no skylike tables yet; run `skylike db upgrade`")
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found in known:
        raise SchemaOutOfDateError(
            f"the tables are at revision {found}, this program needs {needed}; run `skylike db upgrade`"
        )
    raise SchemaOutOfDateError(
        f"the tables are at revision {found}, which this program (revision {needed}) does not know; "
        "install a newer skylike"
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
