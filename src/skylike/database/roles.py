"""The roles that own, serve and read, and the extension: all need more rights than the tables do.

Roles belong to the whole cluster, so ``skylike db upgrade`` ensures them and migrations only grant.
"""

import logging
from typing import Final

import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from skylike.errors import DatabaseVersionError, SettingsError

logger = logging.getLogger(__name__)

READER: Final = "skylike_reader"
"""May only read; for psql, TOPCAT and pandas."""

SERVICE: Final = "skylike_service"
"""May read, and write what visitors leave (labels, jobs, uploads)."""

# Advisory locks are per database, so two upgrades in two databases of a cluster may both find a
# role missing; the slower one then meets the unique index of pg_authid.
_ENSURE_ROLES: Final = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'skylike_reader') THEN
        CREATE ROLE skylike_reader LOGIN CONNECTION LIMIT 40;
        ALTER ROLE skylike_reader SET default_transaction_read_only = on;
        ALTER ROLE skylike_reader SET statement_timeout = '60s';
        ALTER ROLE skylike_reader SET search_path = skylike, public;
        ALTER ROLE skylike_reader SET jit = off;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'skylike_service') THEN
        CREATE ROLE skylike_service LOGIN CONNECTION LIMIT 80;
        ALTER ROLE skylike_service SET search_path = skylike, public;
        ALTER ROLE skylike_service SET jit = off;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;
"""

# Each part only where we may and where it changes something: a no-op GRANT would still rewrite the
# catalog row, which two sessions cannot do at once.
_RESTRICT_PUBLIC: Final = """
DO $$
DECLARE
    database record;
    routine regprocedure;
BEGIN
    SELECT oid, datname, datacl, datdba, pg_has_role(datdba, 'MEMBER') AS is_ours
    INTO database FROM pg_database WHERE datname = current_database();
    IF database.is_ours AND (
        has_database_privilege('skylike_reader', database.oid, 'TEMPORARY')
        OR NOT has_database_privilege('skylike_reader', database.oid, 'CONNECT')
        OR NOT has_database_privilege('skylike_service', database.oid, 'TEMPORARY')
    ) THEN
        EXECUTE format(
            'REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC, skylike_reader', database.datname
        );
        EXECUTE format(
            'GRANT CONNECT ON DATABASE %I TO skylike_reader, skylike_service', database.datname
        );
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO skylike_service', database.datname);
    END IF;
    IF has_schema_privilege('skylike_reader', 'public', 'CREATE')
        AND (SELECT pg_has_role(nspowner, 'MEMBER') FROM pg_namespace WHERE nspname = 'public')
    THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC, skylike_reader;
    END IF;
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        -- Large objects can be written by anyone who may call these, whatever the tables say.
        FOR routine IN
            SELECT p.oid FROM pg_proc AS p
            WHERE p.pronamespace = 'pg_catalog'::regnamespace
              AND p.proname ~ '^(lo_.*|loread|lowrite)$'
              AND has_function_privilege('skylike_reader', p.oid, 'EXECUTE')
        LOOP
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, skylike_reader', routine);
        END LOOP;
    END IF;
END
$$;
"""


def ensure_owner(connection: Connection, name: str) -> None:
    """Create the role that owns the embedded database, where it is missing; needs a superuser."""
    found = connection.scalar(
        sa.text("SELECT count(*) FROM pg_roles WHERE rolname = :name"), {"name": name}
    )
    if not found:
        connection.execute(sa.text(f"CREATE ROLE {name} LOGIN"))
        connection.execute(sa.text(f"ALTER ROLE {name} SET search_path = skylike, public"))


def ensure_roles(connection: Connection) -> None:
    """Create the reader and service roles of the cluster where they are missing, without passwords.

    A role without a password cannot log in where one is asked for. The embedded server sets
    generated ones; on a given server its administrator does.

    Raises
    ------
    SettingsError
        They are missing and this user may not create roles.
    """
    try:
        connection.execute(_verbatim(_ENSURE_ROLES))
    except ProgrammingError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            raise SettingsError(
                f"the roles {READER} and {SERVICE} are missing and this user may not create them; "
                f"as a superuser run CREATE ROLE {READER} LOGIN; CREATE ROLE {SERVICE} LOGIN; "
                "once, then `skylike db upgrade` again"
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
                "as a superuser run CREATE EXTENSION vector; in this database, once, then "
                "`skylike db upgrade` again"
            ) from error
        raise


def restrict_public(connection: Connection) -> None:
    """Take from everyone what the reader must not have: temporary tables, large objects.

    What this user may not revoke (on a given server: a database of somebody else, or large objects
    without being superuser) stays, and is logged with the statement for a superuser.
    """
    connection.execute(_verbatim(_RESTRICT_PUBLIC))
    left = connection.execute(
        sa.text(
            "SELECT has_database_privilege(:reader, current_database(), 'TEMPORARY') AS temporary,"
            " has_function_privilege(:reader, 'pg_catalog.lo_create(oid)', 'EXECUTE')"
            " AS large_objects"
        ),
        {"reader": READER},
    ).one()
    if left.temporary:
        logger.warning(
            "%s may make temporary tables: as the owner of the database run "
            "REVOKE TEMPORARY ON DATABASE ... FROM PUBLIC;",
            READER,
        )
    if left.large_objects:
        logger.warning(
            "%s may make large objects: run `skylike db upgrade` once as a superuser to forbid it",
            READER,
        )


def _verbatim(text: str) -> sa.TextClause:
    return sa.text(text.replace(":", r"\:"))
