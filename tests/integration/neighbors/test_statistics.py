"""Statistics of a build: written with the lists, seen with the lists, gone with the lists."""

from pathlib import Path

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from neighbor_factory import brute_force, insert_sky, random_magnitudes, unit_float16
from reader_session import reader_session
from skylike.database import migrate
from skylike.database.copy import driver_connection
from skylike.neighbors import store, store_statistics
from skylike.neighbors.build import NeighborSettings, build_neighbors, drop_neighbors
from skylike.neighbors.input_hashes import row_hashes

K, N = 30, 300
SETTINGS = NeighborSettings(k=K)

Told = dict[int, dict[str, object]]


def insert_galaxies(connection: Connection):
    """300 galaxies; 3 have no list, some few candidates, and the rows 10 to 13 are one source."""
    generator = np.random.default_rng(41)
    vectors = generator.standard_normal((N, 24)) + 0.5
    vectors[11:14] = vectors[10] + 0.05 * generator.standard_normal((3, 24))
    stored = unit_float16(vectors)
    stored[[0, 77, 299]] = 0
    sky = insert_sky(connection, stored, random_magnitudes(generator, N, missing=9))
    for row, offset in ((10, 0), (11, 8), (12, 16), (13, 60), (20, 5)):
        driver_connection(connection).execute(
            "UPDATE galaxy SET ra = 30 + %s / 3600.0, dec = 0 WHERE galaxy_id = %s",
            (offset, int(sky.galaxy_ids[row])),
        )
    driver_connection(connection).commit()
    return sky


def fetch_told(connection: Connection, source: str) -> Told:
    rows = connection.execute(sa.text(f"SELECT * FROM {source}")).mappings()
    return {row["galaxy_id"]: dict(row) for row in rows}


def true_lists(sky) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    usable = np.flatnonzero((sky.vectors != 0).any(axis=1))
    return brute_force(
        sky.galaxy_ids[usable], sky.vectors[usable], sky.magnitudes[usable], k=K, width=0.5
    )


def test_statistics_of_a_build_are_those_of_its_lists(
    engine: Engine, connection: Connection, tmp_path: Path
):
    sky = insert_galaxies(connection)
    report = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path, shard_galaxies=90)

    told = fetch_told(connection, "neighbor_statistic")

    lists = true_lists(sky)
    first = {galaxy_id: set(ids[:10].tolist()) for galaxy_id, (ids, _) in lists.items()}
    hashes = dict(
        zip(sky.galaxy_ids.tolist(), row_hashes(sky.vectors, sky.magnitudes).tolist(), strict=True)
    )
    assert told.keys() == lists.keys()
    assert len(told) == N - 3
    short = 0
    for galaxy_id, (_, cosines) in lists.items():
        row = told[galaxy_id]
        assert row["run_id"] == report.run.run_id
        assert row["input_hash"] == hashes[galaxy_id]
        assert row["hubness"] == sum(galaxy_id in others for others in first.values())
        assert row["n_mutual"] == sum(galaxy_id in first[n] for n in first[galaxy_id])
        if len(cosines) < 20:
            short += 1
            assert row["distance"] is None
            assert row["rarity"] is None
        else:
            assert row["distance"] == pytest.approx(np.sqrt(2 - 2 * cosines[19]), abs=1e-6)
            assert row["rarity"] > 0
    assert 9 < short < N / 3  # 9 without a magnitude have each other only
    assert np.median([row["rarity"] for row in told.values() if row["rarity"]]) == pytest.approx(
        1, abs=0.02
    )


def test_views_show_readers_the_published_run_of_the_active_encoder(
    engine: Engine, connection: Connection, database_url: URL, tmp_path: Path
):
    sky = insert_galaxies(connection)
    build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)
    build_neighbors(engine, settings=NeighborSettings(k=5), work_folder=tmp_path, publish=False)
    lists = {galaxy_id: ids.tolist() for galaxy_id, (ids, _) in true_lists(sky).items()}
    one = next(galaxy_id for galaxy_id, ids in lists.items() if len(ids) == K)

    with reader_session(database_url) as session:
        shown = session.ask("SELECT * FROM neighborhood ORDER BY galaxy_id")
        mutual = session.ask(
            "SELECT * FROM mutual_neighbor WHERE galaxy_id = %s ORDER BY rank", (one,)
        )
        session.ask("SELECT set_config('default_transaction_read_only', 'off', false)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.ask("DELETE FROM neighbor_statistic")

    assert [row.galaxy_id for row in shown] == sorted(lists)
    assert len({row.distance for row in shown}) > N / 2
    assert [(row.neighbor_id, row.rank, row.reverse_rank) for row in mutual] == [
        (n, rank, lists[n].index(one) + 1)
        for rank, n in enumerate(lists[one], 1)
        if one in lists[n]
    ]
    assert 0 < len(mutual) < K


def test_mutual_neighbors_of_a_galaxy_are_looked_up_one_by_one(
    engine: Engine, connection: Connection, tmp_path: Path
):
    insert_galaxies(connection)
    build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)

    plan = "\n".join(
        connection.scalars(sa.text("EXPLAIN SELECT * FROM mutual_neighbor WHERE galaxy_id = 33"))
    )

    assert "Seq Scan on neighbor_list" not in plan
    assert plan.count("neighbor_list_r1_pkey") == 2


def test_duplicate_groups_are_chains_of_near_and_similar_galaxies(
    engine: Engine, connection: Connection, tmp_path: Path
):
    sky = insert_galaxies(connection)
    build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)
    # 13 is similar but an arcminute away, 20 near but not similar.
    members = sky.galaxy_ids[[10, 11, 12]].tolist()

    rows = connection.execute(sa.text("SELECT * FROM duplicate_group ORDER BY galaxy_id")).all()

    assert [row.galaxy_id for row in rows] == members
    assert {(row.group_id, row.n_members) for row in rows} == {(members[0], 3)}
    assert [3600 * row.separation for row in rows] == pytest.approx([0, 8, 16], abs=1e-6)
    assert rows[0].similarity == pytest.approx(1)
    assert 0.95 < rows[1].similarity < 1


def test_statistics_when_written_again_take_the_place_of_the_old_ones(
    engine: Engine, connection: Connection, tmp_path: Path
):
    sky = insert_galaxies(connection)
    run_id = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path).run.run_id
    before = fetch_told(connection, "neighborhood")
    connection.rollback()
    n = len(before)
    changed = store_statistics.Statistics(
        galaxy_ids=np.sort(sky.galaxy_ids)[:n],
        hashes=np.arange(n),
        distances=np.full(n, 0.5),
        rarity=np.full(n, np.nan),
        hubness=np.full(n, 3, np.int32),
        n_mutual=np.full(n, 2, np.int16),
        groups=np.full(n, -1, np.int32),
    )

    with engine.begin() as writing:
        store_statistics.write_statistics_table(writing, run_id, changed)
    assert fetch_told(connection, "neighborhood") == before
    connection.rollback()
    with engine.begin() as writing:
        store_statistics.write_statistics_table(writing, run_id, changed)
        store_statistics.attach_statistics(writing, run_id)

    after = fetch_told(connection, "neighborhood")
    assert len(after) == n
    assert {
        (row["distance"], row["rarity"], row["hubness"], row["n_mutual"], row["duplicate_group"])
        for row in after.values()
    } == {(0.5, None, 3, 2, None)}
    indexes = connection.scalars(
        sa.text(
            "SELECT indexname FROM pg_indexes WHERE tablename LIKE 'neighbor_statistic_r%'"
            " ORDER BY indexname"
        )
    ).all()
    assert indexes == [
        f"neighbor_statistic_r{run_id}_duplicate_group_idx",
        f"neighbor_statistic_r{run_id}_pkey",
        f"neighbor_statistic_r{run_id}_rarity_galaxy_id_idx",
    ]


def test_statistics_are_hidden_and_rolled_back_with_the_completion_of_their_run(
    engine: Engine, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    insert_galaxies(connection)

    def stop(*_: object, **__: object) -> None:
        raise RuntimeError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(store, "publish_run", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)
    for table in ("neighbor_statistic", "neighbor_list"):
        assert connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) == 0
    connection.rollback()

    report = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)

    assert report.run.state == "published"
    assert len(fetch_told(connection, "neighborhood")) == N - 3


def test_dropped_run_leaves_no_statistics(engine: Engine, connection: Connection, tmp_path: Path):
    insert_galaxies(connection)
    first = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)
    build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)

    drop_neighbors(engine, first.run.run_id)

    left = connection.scalars(sa.text("SELECT DISTINCT run_id FROM neighbor_statistic")).all()
    assert left == [first.run.run_id + 1]
    tables = sa.text("SELECT count(*) FROM pg_class WHERE relname ~ '^neighbor_statistic_r1'")
    assert connection.scalar(tables) == 0


def test_statistics_of_a_run_without_a_window_compare_with_all(
    engine: Engine, connection: Connection, tmp_path: Path
):
    insert_galaxies(connection)
    build_neighbors(
        engine, settings=NeighborSettings(k=K, band=None, width=None), work_folder=tmp_path
    )

    told = fetch_told(connection, "neighborhood")

    distances = np.array([row["distance"] for row in told.values()])
    rarities = np.array([row["rarity"] for row in told.values()])
    assert len(told) == N - 3
    np.testing.assert_allclose(rarities, distances / np.median(distances), rtol=1e-6)


def test_statistics_go_with_their_migration_and_come_with_the_next_build(
    engine: Engine, connection: Connection, tmp_path: Path
):
    insert_galaxies(connection)
    run_id = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path).run.run_id
    nothing = store_statistics.Statistics(
        *(np.empty(0, kind) for kind in ["i4", "i8", "f8", "f8", "i4", "i2", "i4"])
    )
    with engine.begin() as writing:
        store_statistics.write_statistics_table(writing, run_id, nothing)

    migrate.downgrade(engine, "0011")

    left = sa.text("SELECT relname FROM pg_class WHERE relname LIKE 'neighbor_statistic%'")
    assert connection.scalars(left).all() == []
    connection.rollback()
    migrate.upgrade(engine)
    assert fetch_told(connection, "neighborhood") == {}
    connection.rollback()
    build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)
    assert len(fetch_told(connection, "neighborhood")) == N - 3
