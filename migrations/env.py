"""Alembic's entry: one migration and one session at a time, never long in wait for a lock."""

import sqlalchemy as sa
from alembic import context
from sqlalchemy import Connection

from skylike.database.engine import SCHEMA, make_engine
from skylike.database.migrate import migrating
from skylike.database.server import owner_url
from skylike.settings import load_settings

CREATE_SCHEMA = f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"
"""Alembic's version table lies in our schema, so the schema comes before the first migration."""


def migrate(connection: Connection) -> None:
    """Run the migrations that Alembic was asked for on a connection of :func:`migrating`."""
    connection.execute(sa.text(CREATE_SCHEMA))
    connection.commit()
    context.configure(
        connection=connection, version_table_schema=SCHEMA, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


def print_sql() -> None:
    """Print the SQL instead of running it (``alembic upgrade head --sql``)."""
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        version_table_schema=SCHEMA,
        transaction_per_migration=True,
    )
    context.execute(CREATE_SCHEMA)
    with context.begin_transaction():
        context.run_migrations()


def run() -> None:
    """Migrate on the caller's connection, or, under the alembic command, on the database in use."""
    if context.is_offline_mode():
        print_sql()
        return
    connection = context.config.attributes.get("connection")
    if connection is not None:
        migrate(connection)
        return
    settings = load_settings()
    given = settings.database_url
    url = owner_url(settings.home, given=given.get_secret_value() if given is not None else None)
    with migrating(make_engine(url)) as own:
        migrate(own)


run()
