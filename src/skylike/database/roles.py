"""The roles that read and serve, and the extension: both need more rights than the tables do."""

import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from skylike.errors import DatabaseVersionError, SettingsError

READER = "skylike_reader"
"""May only read; for psql, TOPCAT and pandas."""

SERVICE = "skylike_service"
"""May read, and write what visitors leave (labels, jobs, uploads)."""

_ENSURE_ROLES = """
DO $$
BEGIN
    -- Two upgrades in two databases of one cluster may meet here.
    PERFORM pg_advisory_xact_lock(hashtext('skylike roles'));
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'skylike_reader') THEN
        CREATE ROLE skylike_reader LOGIN CONNECTION LIMIT 40;
        ALTER ROLE skylike_reader SET default_transaction_read_only = on;
        ALTER ROLE skylike_reader SET statement_timeout = '60s';
        ALTER ROLE skylike_reader SET search_path = skylike, public;
        ALTER ROLE skylike_reader SET jit = off;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'skylike_service') THEN
        CREATE ROLE skylike_service LOGIN CONNECTION LIMIT 80;
        ALTER ROLE skylike_service SET search_path = skylike, public;
        ALTER ROLE skylike_service SET jit = off;
    END IF;
END
$$;
"""


def ensure_roles(connection: Connection) -> None:
    """Create the reader and service roles of the cluster where they are missing.

    Raises
    ------
    SettingsError
        They are missing and this user may not create roles.
    """
    try:
        connection.execute(sa.text(_ENSURE_ROLES.replace(":", r"\:")))
    except ProgrammingError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            raise SettingsError(
                f"the roles {READER} and {SERVICE} are missing and this user may not create them; "
                "run `skylike db upgrade` once as a superuser"
            ) from error
        raise


def ensure_extension(connection: Connection) -> None:
    """Create the extension ``vector`` where it is missing.

    Raises
    ------
    DatabaseVersionError
        It is missing and this user may not create it.
    """
    try:
        connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public"))
    except ProgrammingError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            raise DatabaseVersionError(
                "the extension vector is missing and this user may not create it; "
                "as a superuser run CREATE EXTENSION vector in this database, once"
            ) from error
        raise
