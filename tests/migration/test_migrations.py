"""Migrations go up and down, one session at a time, and never block others for long."""

import io
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from search_factory import fill, random_units, scattered_sky
from skylike.database import migrate
from skylike.database.documents import describe_schema
from skylike.database.engine import SCHEMA
from skylike.database.tables import PgSnapshot, Xid8, metadata
from skylike.errors import ConflictError, SchemaOutOfDateError
from skylike.search.query import Query
from skylike.search.search import search


def described(engine: Engine) -> str:
    with engine.connect() as connection:
        return describe_schema(connection)


def objects(connection: Connection) -> set[str]:
    """Names of the tables, functions and sequences of our schema."""
    return set(
        connection.scalars(
            sa.text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'skylike'::regnamespace"
                " UNION SELECT proname FROM pg_proc WHERE pronamespace = 'skylike'::regnamespace"
            )
        )
    )


def test_schema_when_migrated_up_down_and_up_then_is_the_same(empty_engine: Engine):
    migrate.upgrade(empty_engine)
    first = described(empty_engine)

    migrate.downgrade(empty_engine, "base")
    with empty_engine.connect() as connection:
        left = objects(connection)
        privileges = connection.scalar(sa.text("SELECT count(*) FROM pg_default_acl"))
        assert migrate.current_revision(connection) is None
    migrate.upgrade(empty_engine)

    assert left == {"alembic_version", "alembic_version_pkc"}
    assert privileges == 0
    assert described(empty_engine) == first


def test_each_migration_when_undone_then_leaves_what_was_before(empty_engine: Engine):
    revisions = [f"{number:04d}" for number in range(1, int(migrate.head_revision()) + 1)]
    for before, revision in zip(["base", *revisions], revisions, strict=False):
        if before != "base":
            expected = described(empty_engine)
        migrate.upgrade(empty_engine, revision)
        if before != "base":
            migrate.downgrade(empty_engine, before)
            assert described(empty_engine) == expected
            migrate.upgrade(empty_engine, revision)


def test_upgrade_when_done_already_then_changes_nothing(engine: Engine):
    before = described(engine)

    migrate.upgrade(engine)

    assert described(engine) == before
    assert not migrate.upgrade_if_empty(engine)


def test_sql_when_printed_instead_of_run_then_makes_the_same_tables(
    empty_engine: Engine, engine: Engine
):
    config = migrate._config()
    config.output_buffer = io.StringIO()

    command.upgrade(config, "head", sql=True)

    with empty_engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION vector WITH SCHEMA public"))
    # As psql would run it; the printed text has its own BEGIN and COMMIT.
    raw = empty_engine.raw_connection()
    raw.driver_connection.autocommit = True
    raw.driver_connection.execute(config.output_buffer.getvalue())
    raw.close()
    assert described(empty_engine) == described(engine)
    with empty_engine.connect() as connection:
        migrate.check_schema(connection)


def test_upgrade_when_another_is_under_way_then_waits_for_it(
    empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "50ms")
    with ThreadPoolExecutor() as executor, migrate.migrating(empty_engine) as connection:
        second = executor.submit(migrate.upgrade, empty_engine)
        waiting = sa.text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        deadline = time.monotonic() + 30
        while not connection.scalar(waiting) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert connection.scalar(waiting) == 1
        # Longer than the lock timeout, which is for tables and not for this queue.
        time.sleep(0.3)
        assert not second.done()
        assert migrate.current_revision(connection) is None

    second.result(timeout=60)
    with empty_engine.connect() as connection:
        assert migrate.current_revision(connection) == migrate.head_revision()


def test_migration_when_a_table_is_held_then_gives_up_and_leaves_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    migrate.downgrade(engine, "0005")
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "100ms")
    with engine.connect() as reader:
        reader.execute(sa.text("SELECT count(*) FROM neighbor_run"))

        with pytest.raises(ConflictError, match="another session holds the tables; stop running"):
            migrate.upgrade(engine)

    with engine.connect() as connection:
        assert migrate.current_revision(connection) == "0005"
        found = connection.scalar(sa.text("SELECT to_regclass('skylike.search_calibration')"))
        assert found is None


def test_migration_when_over_then_leaves_no_lock_and_no_timeout_behind(engine: Engine):
    with migrate.migrating(engine):
        pass

    with engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW lock_timeout")) == "0"
        assert connection.scalar(sa.text("SHOW statement_timeout")) == "0"
    with migrate.migrating(engine) as again:
        assert again.scalar(sa.text("SELECT 1")) == 1


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("0001", r"at revision 0001, this program needs \d{4}; run `skylike db upgrade`"),
        ("9999", r"at revision 9999, which this program .* does not know; install a newer skylike"),
    ],
)
def test_schema_when_of_another_revision_then_says_what_to_do(
    engine: Engine, revision: str, message: str
):
    with engine.connect() as connection:
        connection.execute(
            sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision}
        )
        connection.commit()
        with pytest.raises(SchemaOutOfDateError, match=message):
            migrate.check_schema(connection)


def test_upgrade_when_the_tables_are_newer_then_refuses(engine: Engine):
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(SchemaOutOfDateError, match="install a newer skylike"):
        migrate.upgrade(engine)


def test_tables_in_python_when_compared_then_have_the_columns_of_the_database(database_url: URL):
    # Not our own engine: Alembic leaves the name of the schema out where the search path begins
    # with it.
    plain = sa.create_engine(database_url, poolclass=sa.NullPool)
    # Types of PostgreSQL that SQLAlchemy does not know by itself; of this engine alone.
    plain.dialect.ischema_names = {
        **plain.dialect.ischema_names,
        "xid8": Xid8,
        "pg_snapshot": PgSnapshot,
    }
    with plain.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_schemas": True,
                "version_table_schema": SCHEMA,
                "include_name": lambda name, kind, _: name == SCHEMA if kind == "schema" else True,
                # Keys and indexes are the migrations' business.
                "include_object": lambda _object, _name, kind, *_: kind in {"table", "column"},
            },
        )

        differences = compare_metadata(context, metadata)

    # Changes of one column come as a list; comments are the database's alone.
    changes = [
        change
        for found in differences
        for change in (found if isinstance(found, list) else [found])
    ]
    assert [change for change in changes if "comment" not in change[0]] == []


def test_tables_in_python_when_counted_then_are_all_of_the_database(connection: Connection):
    found = connection.scalars(
        sa.text(
            "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'skylike'::regnamespace"
            " AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        )
    ).all()

    assert {table.name for table in metadata.tables.values()} == set(found) - {"alembic_version"}


def test_compact_vectors_that_were_there_before_get_the_new_columns(engine: Engine):
    fill(engine, scattered_sky(random_units(40, 8)))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE galaxy SET type = 'SER', z_phot = galaxy_id / 100.0"))
    before = search(engine, Query(galaxies=(3,), where="z_phot < 0.3 AND type = 'SER'")).rows

    migrate.downgrade(engine, "0005")
    migrate.upgrade(engine)

    with engine.connect() as connection:
        differing = connection.scalar(
            sa.text(
                "SELECT count(*) FROM embedding_compact AS c JOIN galaxy AS g USING (galaxy_id)"
                " WHERE (c.survey_id, c.z_phot, c.type) IS DISTINCT FROM"
                " (g.survey_id, g.z_phot, g.type)"
            )
        )
    assert differing == 0
    assert (
        search(engine, Query(galaxies=(3,), where="z_phot < 0.3 AND type = 'SER'")).rows == before
    )
