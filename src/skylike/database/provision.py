"""What a new embedded server needs before migrations: roles with passwords, database, extension."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from skylike.database import roles
from skylike.database.copy import driver_connection
from skylike.database.credentials import Credentials
from skylike.database.engine import connect, make_engine


@contextmanager
def _administer(url: URL) -> Iterator[Connection]:
    engine = make_engine(url, application="skylike db")
    try:
        with connect(engine.execution_options(isolation_level="AUTOCOMMIT")) as connection:
            yield connection
    finally:
        engine.dispose()


def ensure_database(superuser: URL, name: str, *, credentials: Credentials) -> None:
    """Make roles, database and extension where they are missing.

    Parameters
    ----------
    superuser
        URL of the superuser in the database ``postgres``.
    name
        Of the database and of the role that owns it.
    credentials
        Passwords that the roles get.
    """
    with _administer(superuser) as connection:
        roles.ensure_owner(connection, name)
        roles.ensure_roles(connection)
        for role in (name, roles.SERVICE, roles.READER):
            _set_password(connection, role, asdict(credentials)[role])
        # Nobody but the superuser has business in the server's own databases.
        for internal in ("postgres", "template1"):
            connection.execute(sa.text(f"REVOKE ALL ON DATABASE {internal} FROM PUBLIC"))
        found = connection.scalar(
            sa.text("SELECT count(*) FROM pg_database WHERE datname = :name"), {"name": name}
        )
        if not found:
            connection.execute(sa.text(f"CREATE DATABASE {name} OWNER {name}"))
    with _administer(superuser.set(database=name)) as connection:
        roles.ensure_extension(connection)
        # A newer wheel brings a newer pgvector.
        connection.execute(sa.text("ALTER EXTENSION vector UPDATE"))
        roles.restrict_public(connection)


def drop_database(superuser: URL, name: str) -> None:
    """Drop a database, whoever is connected."""
    with _administer(superuser) as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


def _set_password(connection: Connection, role: str, password: str) -> None:
    # Encrypted here: the password itself never gets into the server's log.
    hashed = driver_connection(connection).pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    )
    connection.execute(
        sa.text(f"ALTER ROLE {role} PASSWORD '{hashed.decode()}'".replace(":", r"\:"))
    )
