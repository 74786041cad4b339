"""Connections: an engine that finds our schema, knows vectors and fails with a sentence."""

import re
from typing import Any, TypeAlias

import psycopg
import sqlalchemy as sa
from pgvector.psycopg import register_vector
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from skylike.errors import DatabaseUnavailableError, DatabaseVersionError, SettingsError

MINIMUM_POSTGRESQL = 16
"""Major version. 16 is the oldest with every feature that our SQL uses."""

MINIMUM_PGVECTOR = (0, 8, 4)
"""0.8.4 repairs an HNSW index that vacuum could corrupt (pgvector CHANGELOG, 2026-06)."""

SCHEMA = "skylike"

DatabaseUrl: TypeAlias = URL
"""Shows no password where it is printed."""


def parse_url(text: str) -> URL:
    """Check a database URL and make SQLAlchemy reach it with psycopg 3.

    Raises
    ------
    SettingsError
        It is not a PostgreSQL URL, or names no database.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise SettingsError(
            "the database URL is not understood; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from error
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise SettingsError(
            f"the database URL names {url.get_backend_name()}; skylike needs postgresql://..."
        )
    if not url.database:
        raise SettingsError(
            f"the database URL {url.render_as_string(hide_password=True)} names no database; "
            "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        )
    return url.set(drivername="postgresql+psycopg")


def make_engine(url: str | URL, *, application: str = "skylike") -> Engine:
    """Make an engine whose connections see the schema ``skylike`` first and know pgvector's types.

    Parameters
    ----------
    application
        Name shown in ``pg_stat_activity``.

    Notes
    -----
    ``jit=off``: misestimated cone searches lose up to 400 ms to compilation (our measurement).
    ``plan_cache_mode``: a plan for any parameters would ignore what a cut and a cone select.
    """
    engine = sa.create_engine(
        parse_url(url) if isinstance(url, str) else url,
        connect_args={
            "application_name": application,
            "connect_timeout": 10,
            "options": f"-c search_path={SCHEMA},public -c jit=off -c timezone=UTC"
            " -c plan_cache_mode=force_custom_plan",
        },
        pool_pre_ping=True,
    )
    event.listen(engine, "connect", _register_types)
    return engine


def _register_types(connection: psycopg.Connection[Any], _record: object) -> None:
    # Before `skylike db upgrade` the extension is not there yet; then nobody needs its types
    # either.
    if psycopg.types.TypeInfo.fetch(connection, "vector") is not None:
        register_vector(connection)
    connection.rollback()


def connect(engine: Engine) -> Connection:
    """Open a connection, or say in a sentence why not.

    Raises
    ------
    DatabaseUnavailableError
        No server answers, or it refuses the user, the password or the database.
    """
    try:
        return engine.connect()
    except OperationalError as error:
        raise DatabaseUnavailableError(
            f"no connection to {engine.url.render_as_string(hide_password=True)}: "
            f"{_reason(error)}; start the server (`skylike db start` for the embedded one), "
            "or correct SKYLIKE_DATABASE_URL"
        ) from error


def _reason(error: OperationalError) -> str:
    """Return the last thing that libpq says went wrong, without its address and its hints."""
    lines = str(error.orig).strip().splitlines()
    failures = [line for line in lines if "failed: " in line] or lines[-1:]
    return failures[-1].rpartition("failed: ")[2].removeprefix("FATAL:").strip()


def check_versions(connection: Connection) -> None:
    """Check that the server is new enough and that pgvector can be had.

    Raises
    ------
    DatabaseVersionError
        PostgreSQL or pgvector is too old, or pgvector is not installed on the server.
    """
    number = int(
        connection.scalar(sa.text("SELECT current_setting('server_version_num')::integer")) or 0
    )
    if number // 10_000 < MINIMUM_POSTGRESQL:
        raise DatabaseVersionError(
            f"the server is PostgreSQL {number // 10_000}; "
            f"skylike needs {MINIMUM_POSTGRESQL} or newer"
        )
    version = connection.scalar(
        sa.text(
            "SELECT coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
            " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'))"
        )
    )
    wanted = ".".join(map(str, MINIMUM_PGVECTOR))
    if version is None:
        raise DatabaseVersionError(
            f"the server has no pgvector; install the extension `vector` {wanted} or newer on it"
        )
    # A development version reads 0.9.0-dev.
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < MINIMUM_PGVECTOR:
        raise DatabaseVersionError(
            f"the server has pgvector {version}; skylike needs {wanted} or newer "
            "(install it, then ALTER EXTENSION vector UPDATE)"
        )
