"""Lists that are there when their storage changes are converted, and back."""

import numpy as np
import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection, Engine

from skylike.database import migrate
from skylike.database.copy import driver_connection
from skylike.neighbors import store_lists
from skylike.neighbors.similarity_codes import encode

TOLERANCE = 5e-4
PUBLISHED, BUILDING = 1, 2

GENERATOR = np.random.default_rng(7)
LISTS = {
    1: np.sort(GENERATOR.uniform(-1, 1, 999))[::-1],
    2: np.linspace(1, -1, 4),  # falls that take several bytes
    3: np.full(5, 0.75),
    4: np.array([0.5]),
    5: np.empty(0),
    6: 0.9 - np.array([0, 1e-7, 2e-7, 1e-3, 1.0]),
}


def insert_old_lists(connection: Connection) -> None:
    """Insert a published run, its lists attached, and one under way, as version 0009 has them."""
    driver = driver_connection(connection)
    driver.execute(
        "INSERT INTO encoder (encoder_id, name, architecture, width, dimension, input, bands,"
        " pixel_scale, crop_pix, preprocessing, training, checkpoint, checkpoint_sha256, is_active)"
        " VALUES (1, 'e', 'resnet18', 1, 4, 'rgb', '{g,r,z}', 1, 96, '{}', '{}', '', '', true)"
    )
    for run_id, state in ((PUBLISHED, "published"), (BUILDING, "building")):
        driver.execute(
            "INSERT INTO neighbor_run (run_id, encoder_id, k, state, software)"
            " VALUES (%s, 1, 999, %s, '{}')",
            (run_id, state),
        )
        table = sql.Identifier(f"neighbor_list_r{run_id}")
        driver.execute(
            sql.SQL(
                "CREATE TABLE {table} (LIKE neighbor_list INCLUDING DEFAULTS INCLUDING STORAGE,"
                " CONSTRAINT {check} CHECK (run_id = {run_id})) WITH (toast_tuple_target = 8160)"
            ).format(
                table=table,
                check=sql.Identifier(f"neighbor_list_r{run_id}_run_check"),
                run_id=sql.Literal(run_id),
            )
        )
        for galaxy_id, similarities in LISTS.items():
            driver.execute(
                sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s::real[])").format(table),
                (run_id, galaxy_id, neighbors_of(galaxy_id), similarities.tolist()),
            )
    driver.execute(
        "ALTER TABLE neighbor_list_r1 ADD CONSTRAINT neighbor_list_r1_pkey"
        " PRIMARY KEY (run_id, galaxy_id);"
        "ALTER TABLE neighbor_list ATTACH PARTITION neighbor_list_r1 FOR VALUES IN (1)"
    )
    driver.commit()


def neighbors_of(galaxy_id: int) -> list[int]:
    return list(range(10 * galaxy_id, 10 * galaxy_id + len(LISTS[galaxy_id])))


def partitions(connection: Connection) -> dict[str, bool]:
    """The tables of runs, and whether each is attached."""
    rows = connection.execute(
        sa.text(
            "SELECT relname, relispartition FROM pg_class"
            " WHERE relkind = 'r' AND relname ~ '^neighbor_(list|similarity)_'"
        )
    )
    return {row.relname: row.relispartition for row in rows}


@pytest.fixture
def old(engine: Engine) -> Engine:
    migrate.downgrade(engine, "0009")
    with engine.connect() as connection:
        insert_old_lists(connection)
    return engine


@pytest.mark.parametrize("run_id", [PUBLISHED, BUILDING])
def test_upgrade_when_there_are_lists_then_keeps_them_within_the_coding_error(
    old: Engine, run_id: int
):
    migrate.upgrade(old, "0010")

    with old.connect() as connection:
        found = store_lists.fetch_lists(connection, run_id, np.array(list(LISTS), np.int32))
    assert found.keys() == LISTS.keys()
    for galaxy_id, similarities in LISTS.items():
        assert found[galaxy_id][0].tolist() == neighbors_of(galaxy_id)
        assert len(found[galaxy_id][1]) == len(similarities)
        assert np.abs(found[galaxy_id][1] - similarities).max(initial=0) <= TOLERANCE
        assert (np.diff(found[galaxy_id][1]) <= 0).all()


def test_upgrade_when_there_are_lists_then_codes_them_as_a_build_does(old: Engine):
    migrate.upgrade(old, "0010")

    with old.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT galaxy_id, first, step, codes FROM neighbor_similarity_r1")
        ).all()
    for row in rows:
        similarities = LISTS[row.galaxy_id].astype(np.float32)
        coded = encode(similarities, np.array([len(similarities)]))
        assert row.codes == coded.codes.tobytes()
        assert row.step == coded.step[0]
        assert row.first == (coded.first[0] if len(similarities) else None)


def test_upgrade_when_there_are_lists_then_their_tables_are_as_a_build_makes_them(old: Engine):
    migrate.upgrade(old, "0010")

    with old.connect() as connection:
        assert partitions(connection) == {
            "neighbor_list_r1": True,
            "neighbor_similarity_r1": True,
            "neighbor_list_r2": False,
            "neighbor_similarity_r2": False,
        }
        store_lists.index_lists(connection, BUILDING)
        store_lists.attach_lists(connection, BUILDING)
        connection.execute(sa.text("SET ROLE skylike_reader"))
        shown = connection.scalar(sa.text("SELECT count(*) FROM neighbor"))
        assert shown == sum(map(len, LISTS.values()))
        for table in partitions(connection):
            privilege = sa.text("SELECT has_table_privilege(:table, 'SELECT')")
            assert not connection.scalar(privilege, {"table": table})


def test_downgrade_when_there_are_lists_then_has_them_as_numbers_again(old: Engine):
    migrate.upgrade(old, "0010")
    migrate.downgrade(old, "0009")

    with old.connect() as connection:
        assert partitions(connection) == {"neighbor_list_r1": True, "neighbor_list_r2": False}
        for table in partitions(connection):
            rows = connection.execute(
                sa.text(f"SELECT galaxy_id, neighbor_ids, similarities FROM {table}")
            ).all()
            assert len(rows) == len(LISTS)
            for row in rows:
                assert row.neighbor_ids == neighbors_of(row.galaxy_id)
                off = np.array(row.similarities) - LISTS[row.galaxy_id]
                assert np.abs(off).max(initial=0) <= TOLERANCE
        shown = connection.scalar(sa.text("SELECT count(similarity) FROM neighbor"))
        assert shown == sum(map(len, LISTS.values()))


def test_upgrade_when_lists_belong_to_no_run_then_refuses_instead_of_losing_them(old: Engine):
    with old.begin() as connection:
        connection.execute(sa.text("DELETE FROM neighbor_run WHERE run_id = 1"))

    with pytest.raises(sa.exc.DBAPIError, match="no run of neighbor_run owns"):
        migrate.upgrade(old, "0010")

    with old.connect() as connection:
        assert migrate.current_revision(connection) == "0009"
        assert connection.scalar(sa.text("SELECT count(*) FROM neighbor_list")) == len(LISTS)
