"""Alembic's entry: one migration at a time, one session at a time, never waiting long for a lock."""

import os

import sqlalchemy as sa
from alembic import context
from sqlalchemy import Connection

from skylike.database.engine import SCHEMA, make_engine

LOCK_TIMEOUT = "5s"
"""A migration that must wait longer for a table gives up instead of blocking every reader behind it."""

STATEMENT_TIMEOUT = "30min"
"""Longest single statement; a file that needs more raises it itself."""


def migrate(connection: Connection) -> None:
    """Run the migrations that Alembic was asked for on this connection."""
    connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(sa.text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
    # Session lock: two deployments that migrate at once take turns.
    connection.execute(sa.text("SELECT pg_advisory_lock(hashtext('skylike migrations'))"))
    connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    connection.commit()
    try:
        context.configure(
            connection=connection, version_table_schema=SCHEMA, transaction_per_migration=True
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(sa.text("SELECT pg_advisory_unlock(hashtext('skylike migrations'))"))
        connection.commit()


def run() -> None:
    """Migrate online, or print the SQL (``alembic upgrade head --sql``)."""
    if context.is_offline_mode():
        context.configure(
            dialect_name="postgresql",
            literal_binds=True,
            dialect_opts={"paramstyle": "named"},
            version_table_schema=SCHEMA,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        return
    connection = context.config.attributes.get("connection")
    if connection is not None:
        migrate(connection)
        return
    with make_engine(os.environ["SKYLIKE_DATABASE_URL"]).connect() as own:
        migrate(own)


run()
