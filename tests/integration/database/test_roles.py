"""What the roles may do, tried by logging in as them."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege, QueryCanceled, ReadOnlySqlTransaction
from sqlalchemy import Engine

from skylike.database import roles, server
from skylike.errors import DatabaseVersionError, SettingsError


def login(home: Path, role: str) -> psycopg.Connection[tuple[object, ...]]:
    url = server.role_url(home, role, given=None).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)


@pytest.fixture
def owner(own_home: Path) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with login(own_home, server.DATABASE) as connection:
        yield connection


@pytest.fixture
def reader(own_home: Path) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The reader, having lifted the read-only default that anyone may lift."""
    with login(own_home, roles.READER) as connection:
        connection.execute("SET default_transaction_read_only = off")
        yield connection


FORBIDDEN = [
    "INSERT INTO survey (name) VALUES ('mine')",
    "UPDATE galaxy SET mag_r = 1",
    "DELETE FROM galaxy",
    "TRUNCATE galaxy",
    "SELECT * FROM galaxy FOR UPDATE",
    "CREATE TABLE skylike.mine (i integer)",
    "CREATE TABLE public.mine (i integer)",
    "CREATE TEMPORARY TABLE mine (i integer)",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION cube",
    "ALTER TABLE galaxy ADD COLUMN mine integer",
    "DROP TABLE neighbor_shard",
    "COMMENT ON TABLE galaxy IS 'mine'",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT lo_export(1, '/tmp/mine')",
    "SELECT lo_open(1, 131072)",
    "SELECT lo_unlink(1)",
    "SELECT pg_read_file('/etc/hostname')",
    "SELECT pg_ls_dir('/')",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "COPY (SELECT 1) TO '/tmp/mine'",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'skylike'",
    "CREATE ROLE mine",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "SELECT rolpassword FROM pg_authid",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_reader_when_it_tries_more_than_reading_then_is_refused(
    reader: psycopg.Connection[tuple[object, ...]],
    owner: psycopg.Connection[tuple[object, ...]],
    statement: str,
):
    assert owner.info.user == "skylike"  # its session is there to be terminated

    with pytest.raises(InsufficientPrivilege):
        reader.execute(statement)


def test_reader_when_it_logs_in_then_is_limited_by_default(own_home: Path):
    with login(own_home, roles.READER) as connection:
        for name, value in [
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "1min"),
            ("search_path", "skylike, public"),
        ]:
            assert connection.execute(f"SHOW {name}").fetchone() == (value,)
        limits = connection.execute(
            "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname ~ '^skylike_' ORDER BY 1"
        ).fetchall()
        assert limits == [("skylike_reader", 40), ("skylike_service", 80)]
        with pytest.raises(ReadOnlySqlTransaction):
            connection.execute("CREATE TEMPORARY TABLE mine (i integer)")
        connection.execute("SET statement_timeout = '50ms'")
        with pytest.raises(QueryCanceled):
            connection.execute("SELECT pg_sleep(5)")


def test_reader_when_it_reads_then_sees_tables_views_and_functions(
    reader: psycopg.Connection[tuple[object, ...]],
):
    assert reader.execute(
        "SELECT count(*) FROM galaxy WHERE in_cone(ra, dec, 10, 20, 1)"
    ).fetchone()
    assert reader.execute("SELECT count(*) FROM neighbor").fetchone()
    assert reader.execute("SELECT version_num FROM alembic_version").fetchone()
    assert reader.execute("SELECT '[1,2]'::halfvec(2) <=> '[2,1]'").fetchone()


def test_reader_when_the_owner_makes_tables_and_partitions_then_reads_them(
    owner: psycopg.Connection[tuple[object, ...]], reader: psycopg.Connection[tuple[object, ...]]
):
    owner.execute("CREATE TABLE skylike.made_later (i integer)")
    owner.execute(
        "CREATE TABLE skylike.embedding_99 PARTITION OF skylike.embedding FOR VALUES IN (99)"
    )
    try:
        assert reader.execute("SELECT count(*) FROM made_later").fetchone() == (0,)
        assert reader.execute("SELECT count(*) FROM embedding_99").fetchone() == (0,)
        with pytest.raises(InsufficientPrivilege):
            reader.execute("DELETE FROM embedding_99")
    finally:
        owner.execute("DROP TABLE skylike.made_later, skylike.embedding_99")


@pytest.mark.parametrize("role", [roles.READER, roles.SERVICE, server.DATABASE])
@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_role_when_it_asks_for_the_servers_own_databases_then_is_refused(
    own_home: Path, role: str, database: str
):
    url = server.role_url(own_home, role, given=None).set(
        drivername="postgresql", database=database
    )

    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(url.render_as_string(hide_password=False))


def test_owner_and_service_when_asked_for_their_rights_then_are_no_superusers(
    owner: psycopg.Connection[tuple[object, ...]],
):
    rights = owner.execute(
        "SELECT DISTINCT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
        " FROM pg_roles WHERE rolname ~ '^skylike'"
    ).fetchall()

    assert rights == [(False, False, False, False, False)]


def test_roles_when_ensured_twice_then_keep_what_an_administrator_changed(engine: Engine):
    # The roles of a shared test server are left as they are: nothing here is committed.
    with engine.connect() as connection:
        connection.execute(sa.text("ALTER ROLE skylike_reader CONNECTION LIMIT 7"))
        roles.ensure_roles(connection)
        limit = connection.scalar(
            sa.text("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'skylike_reader'")
        )
        connection.rollback()

    assert limit == 7


def test_public_when_restricted_twice_then_nothing_is_rewritten(engine: Engine):
    row = sa.text("SELECT xmin::text FROM pg_database WHERE datname = current_database()")
    with engine.connect() as connection:
        roles.restrict_public(connection)
        connection.commit()
        before = connection.scalar(row)
        roles.restrict_public(connection)
        connection.commit()

        assert connection.scalar(row) == before
        assert not connection.scalar(
            sa.text("SELECT has_function_privilege('skylike_reader', 'lo_create(oid)', 'EXECUTE')")
        )


def test_extension_when_missing_and_not_allowed_then_the_statement_is_told(engine: Engine):
    with engine.connect() as connection:
        connection.execute(sa.text("DROP EXTENSION vector CASCADE"))
        connection.execute(sa.text("SET LOCAL ROLE skylike_service"))

        with pytest.raises(
            DatabaseVersionError, match="as a superuser run CREATE EXTENSION vector;"
        ):
            roles.ensure_extension(connection)


def test_roles_when_missing_and_not_allowed_then_the_statement_is_told(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    # A name that no server has, in the place of the reader's.
    monkeypatch.setattr(
        roles, "_ENSURE_ROLES", roles._ENSURE_ROLES.replace("skylike_reader", "skylike_nobody")
    )
    with engine.connect() as connection:
        connection.execute(sa.text("SET LOCAL ROLE skylike_service"))

        with pytest.raises(
            SettingsError, match="as a superuser run CREATE ROLE skylike_reader LOGIN;"
        ):
            roles.ensure_roles(connection)
