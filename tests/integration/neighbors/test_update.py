"""An update equals a rebuild, writes only what changes, survives a kill, and shows nothing half."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from neighbor_factory import insert_sky, random_magnitudes, unit_float16
from skylike.database import migrate
from skylike.database.copy import driver_connection
from skylike.embeddings.store import hold_lock
from skylike.errors import (
    ConflictError,
    EmptyStageError,
    NeighborRunNotFoundError,
    SettingsError,
)
from skylike.neighbors import store, store_lists, store_updates
from skylike.neighbors.build import NeighborSettings, build_neighbors, drop_neighbors
from skylike.neighbors.check import check_run
from skylike.neighbors.update import update_neighbors
from skylike.neighbors.updates import steps as update_steps

K = 30
SETTINGS = NeighborSettings(k=K)
N = 400


@pytest.fixture
def vectors() -> np.ndarray:
    """Of N galaxies, with duplicates among them."""
    generator = np.random.default_rng(71)
    made = unit_float16(generator.standard_normal((N, 16)))
    made[[9, 200, 390]] = made[10]
    return made


@pytest.fixture
def sky(connection: Connection, vectors: np.ndarray):
    """N galaxies whose magnitudes lie on a grid: windows end exactly at some of them."""
    magnitudes = random_magnitudes(np.random.default_rng(72), N, missing=40)
    return insert_sky(connection, vectors, np.round(magnitudes * 8) / np.float32(8))


@pytest.fixture
def base(engine: Engine, sky, tmp_path: Path) -> int:
    """A published run."""
    return build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path).run.run_id


def run_sql(connection: Connection, statement: str, **values: object) -> None:
    connection.execute(sa.text(statement), values)
    connection.commit()


def add_galaxies(connection: Connection, vectors: np.ndarray, magnitudes: list[float | None]):
    """Add galaxies to the sky of :func:`sky`; return their identifiers."""
    driver = driver_connection(connection)
    ids = list(range(5001, 5001 + len(vectors)))
    (encoder_id,) = driver.execute("SELECT encoder_id FROM encoder").fetchone()
    for galaxy_id, vector, magnitude in zip(ids, vectors, magnitudes, strict=True):
        driver.execute(
            "INSERT INTO galaxy (galaxy_id, survey_id, object_id, ra, dec, healpix29, mag_r)"
            " VALUES (%s, 1, %s, 10, 10, %s, %s)",
            (galaxy_id, galaxy_id, galaxy_id, magnitude),
        )
        driver.execute(
            "INSERT INTO embedding (encoder_id, galaxy_id, embedding, cutout_id)"
            " VALUES (%s, %s, %s::halfvec, 0)",
            (encoder_id, galaxy_id, str(vector.astype(float).tolist())),
        )
    driver.commit()
    return ids


def embed_again(connection: Connection, galaxy_id: int, vector: np.ndarray) -> None:
    run_sql(
        connection,
        "UPDATE embedding SET embedding = CAST(:v AS halfvec), embedded_at = clock_timestamp()"
        " WHERE galaxy_id = :g",
        v=str(vector.astype(float).tolist()),
        g=galaxy_id,
    )


def set_magnitude(connection: Connection, galaxy_id: int, magnitude: float | None) -> None:
    run_sql(
        connection,
        "UPDATE galaxy SET mag_r = :m, updated_at = clock_timestamp() WHERE galaxy_id = :g",
        m=magnitude,
        g=galaxy_id,
    )


def lists_of(connection: Connection, run_id: int) -> dict[int, tuple[list[int], np.ndarray]]:
    ids = np.array(
        connection.scalars(
            sa.text("SELECT galaxy_id FROM neighbor_list WHERE run_id = :r"), {"r": run_id}
        ).all(),
        np.int32,
    )
    stored = store_lists.fetch_lists(connection, run_id, ids)
    connection.rollback()
    return {galaxy_id: (own.tolist(), near) for galaxy_id, (own, near) in stored.items()}


def rows_of(connection: Connection, run_id: int) -> dict[int, tuple[str, str]]:
    """Where the rows of each list lie: another place, or transaction, if they are written anew."""
    rows = connection.execute(
        sa.text(
            "SELECT l.galaxy_id, l.xmin || ' ' || l.ctid, s.xmin || ' ' || s.ctid"
            " FROM neighbor_list AS l JOIN neighbor_similarity AS s USING (run_id, galaxy_id)"
            " WHERE l.run_id = :r"
        ),
        {"r": run_id},
    ).all()
    connection.rollback()
    return {row[0]: (row[1], row[2]) for row in rows}


def statistics_of(connection: Connection, run_id: int) -> list[tuple[object, ...]]:
    rows = connection.execute(
        sa.text(
            "SELECT galaxy_id, input_hash, distance, rarity, hubness, n_mutual, duplicate_group"
            " FROM neighbor_statistic WHERE run_id = :r ORDER BY galaxy_id"
        ),
        {"r": run_id},
    ).all()
    connection.rollback()
    return [tuple(row) for row in rows]


def assert_equals_a_rebuild(
    engine: Engine, connection: Connection, folder: Path, run_id: int
) -> dict[int, tuple[list[int], np.ndarray]]:
    """Compare a run with a rebuild, and return its lists."""
    rebuilt = build_neighbors(engine, settings=SETTINGS, work_folder=folder, publish=False).run
    expected, found = lists_of(connection, rebuilt.run_id), lists_of(connection, run_id)
    assert found.keys() == expected.keys()
    for galaxy_id, (ids, similarities) in expected.items():
        assert found[galaxy_id][0] == ids, galaxy_id
        assert found[galaxy_id][1] == pytest.approx(similarities, abs=1e-3)
    assert statistics_of(connection, run_id) == statistics_of(connection, rebuilt.run_id)
    run = store.fetch_run(connection, run_id)
    for name in ("n_galaxies", "n_without_magnitude", "n_excluded"):
        assert getattr(run, name) == getattr(rebuilt, name)
    assert check_run(engine, run_id, sample=N + 100).is_right
    return found


def test_update_after_adding_galaxies_equals_a_rebuild(
    engine: Engine, connection: Connection, vectors: np.ndarray, base: int, tmp_path: Path
):
    generator = np.random.default_rng(73)
    new = unit_float16(generator.standard_normal((5, 16)))
    new[4] = vectors[10]
    before, rows_before = lists_of(connection, base), rows_of(connection, base)
    ids = add_galaxies(connection, new, [18.5, 17.125, None, 12.0, 19.0])

    report = update_neighbors(engine, work_folder=tmp_path)

    after = assert_equals_a_rebuild(engine, connection, tmp_path / "other", base)
    assert report.changes.new.tolist() == ids
    assert report.verification is not None
    assert report.verification.is_perfect
    changed = {g for g in before if after[g][0] != before[g][0]}
    assert report.n_changed == len(changed)
    assert 20 < len(changed) < N - 50
    rows_after = rows_of(connection, base)
    assert {g for g in before if rows_after[g] != rows_before[g]} == changed
    run = report.run
    assert (run.run_id, run.state, run.revision, run.recall) == (base, "published", 1, 1.0)
    assert run.updated_at is not None
    assert list(tmp_path.glob("neighbors-*")) == []
    assert [r.run_id for r in store.fetch_runs(connection) if r.base_run_id] == []


def test_update_after_embedding_again_equals_a_rebuild(
    engine: Engine, connection: Connection, sky, base: int, tmp_path: Path
):
    generator = np.random.default_rng(74)
    for galaxy_id in sky.galaxy_ids[[0, 9, 77]].tolist():
        embed_again(connection, galaxy_id, unit_float16(generator.standard_normal((1, 16)))[0])

    report = update_neighbors(engine, work_folder=tmp_path)

    assert report.changes.changed.tolist() == sky.galaxy_ids[[0, 9, 77]].tolist()
    assert_equals_a_rebuild(engine, connection, tmp_path, base)


def test_update_after_deleting_and_emptying_embeddings_equals_a_rebuild(
    engine: Engine, connection: Connection, sky, base: int, tmp_path: Path
):
    gone = sky.galaxy_ids[[10, 50, 51, 300]].tolist()
    run_sql(connection, "DELETE FROM embedding WHERE galaxy_id = ANY(:g)", g=gone[:2])
    for galaxy_id in gone[2:]:
        embed_again(connection, galaxy_id, np.zeros(16, np.float16))

    report = update_neighbors(engine, work_folder=tmp_path)

    assert report.changes.gone.tolist() == gone
    assert report.run.n_excluded == 2
    found = assert_equals_a_rebuild(engine, connection, tmp_path, base)
    assert not set(gone) & set(found)


def test_update_after_changing_magnitudes_equals_a_rebuild(
    engine: Engine, connection: Connection, sky, base: int, tmp_path: Path
):
    known = np.flatnonzero(np.isfinite(sky.magnitudes))
    moved = sky.galaxy_ids[known[:6]].tolist()
    for galaxy_id, magnitude in zip(moved, [18.5, 19.0, 19.5, None, None, 25.0], strict=True):
        set_magnitude(connection, galaxy_id, magnitude)
    set_magnitude(connection, int(sky.galaxy_ids[np.isnan(sky.magnitudes)][0]), 18.75)

    report = update_neighbors(engine, work_folder=tmp_path)

    assert 6 <= len(report.changes.changed) <= 7
    assert_equals_a_rebuild(engine, connection, tmp_path, base)


def test_update_again_and_again_equals_a_rebuild(
    engine: Engine, connection: Connection, sky, base: int, tmp_path: Path
):
    generator = np.random.default_rng(75)
    for galaxy_id in sky.galaxy_ids[100:104].tolist():
        embed_again(connection, galaxy_id, unit_float16(generator.standard_normal((1, 16)))[0])
        revision = update_neighbors(engine, work_folder=tmp_path).run.revision

    assert revision == 4
    assert_equals_a_rebuild(engine, connection, tmp_path, base)


def test_update_of_a_run_without_window_takes_k_from_the_run(
    engine: Engine, connection: Connection, sky, tmp_path: Path
):
    settings = NeighborSettings(k=7, band=None, width=None)
    run_id = build_neighbors(engine, settings=settings, work_folder=tmp_path).run.run_id
    set_magnitude(connection, int(sky.galaxy_ids[0]), 12.0)
    unchanged = update_neighbors(engine, work_folder=tmp_path)
    embed_again(connection, int(sky.galaxy_ids[0]), sky.vectors[1])

    report = update_neighbors(engine, work_folder=tmp_path)

    assert not unchanged.changes
    assert len(report.changes.changed) == 1
    assert {len(ids) for ids, _ in lists_of(connection, run_id).values()} == {7}
    assert check_run(engine, run_id, sample=N).is_right


def test_update_when_nothing_has_changed_makes_searches_trust_the_run(
    engine: Engine, connection: Connection, sky, base: int, tmp_path: Path
):
    before, rows_before = store.fetch_run(connection, base), rows_of(connection, base)
    run_sql(connection, "UPDATE embedding SET embedded_at = clock_timestamp()")
    run_sql(connection, "UPDATE galaxy SET updated_at = clock_timestamp() WHERE galaxy_id = 3")

    report = update_neighbors(engine, base, work_folder=tmp_path)

    assert not report.changes
    assert report.verification is None
    assert (report.run.revision, report.run.n_galaxies) == (0, before.n_galaxies)
    assert report.run.started_at > before.started_at
    assert rows_of(connection, base) == rows_before
    changes = store.fetch_changes(connection, report.run)
    assert (changes.new_embeddings, changes.changed_galaxies) == (0, 0)


def test_update_shows_readers_the_old_lists_until_all_are_there(
    engine: Engine,
    connection: Connection,
    vectors: np.ndarray,
    base: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    before = lists_of(connection, base)
    add_galaxies(connection, vectors[:4], [18.5, 18.0, 17.5, 19.0])
    seen = []

    def look_then_finish(*arguments, **options):
        with engine.connect() as reader:
            seen.append(lists_of(reader, base))
        finish_update(*arguments, **options)

    finish_update = store_updates.finish_update
    monkeypatch.setattr(store_updates, "finish_update", look_then_finish)

    update_neighbors(engine, work_folder=tmp_path)

    assert len(seen) == 1
    assert seen[0].keys() == before.keys()
    assert all(seen[0][galaxy_id][0] == before[galaxy_id][0] for galaxy_id in before)
    assert len(lists_of(connection, base)) == N + 4


def test_update_whose_sample_is_wrong_changes_nothing(
    engine: Engine,
    connection: Connection,
    vectors: np.ndarray,
    base: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    before = lists_of(connection, base)
    add_galaxies(connection, vectors[:4], [18.5, 18.0, 17.5, 19.0])

    def write_spoiled(*arguments, neighbor_ids, **options):
        write_shard(*arguments, neighbor_ids=neighbor_ids[::-1].copy(), **options)

    write_shard = store_lists.write_shard
    monkeypatch.setattr(store_lists, "write_shard", write_spoiled)

    report = update_neighbors(engine, work_folder=tmp_path)

    assert report.verification is not None
    assert not report.verification.is_perfect
    assert report.run.revision == 0
    after = lists_of(connection, base)
    assert all(after[galaxy_id][0] == before[galaxy_id][0] for galaxy_id in before)
    assert [run.run_id for run in store.fetch_runs(connection)] == [base]


def test_update_says_when_a_rebuild_would_cost_no_more(
    engine: Engine, connection: Connection, sky, base: int, tmp_path: Path
):
    for galaxy_id in sky.galaxy_ids[::2].tolist():
        connection.execute(
            sa.text("UPDATE embedding SET embedding = CAST(:v AS halfvec) WHERE galaxy_id = :g"),
            {
                "v": str(np.random.default_rng(galaxy_id).standard_normal(16).tolist()),
                "g": galaxy_id,
            },
        )
    connection.commit()

    report = update_neighbors(engine, work_folder=tmp_path)

    assert report.costs_a_rebuild
    assert_equals_a_rebuild(engine, connection, tmp_path, base)


def test_update_refuses_while_another_one_runs(engine: Engine, base: int, tmp_path: Path):
    with (
        hold_lock(engine, "neighbors update", "test"),
        pytest.raises(ConflictError, match="another process"),
    ):
        update_neighbors(engine, work_folder=tmp_path)


def test_update_refuses_a_run_that_kept_no_hashes(
    engine: Engine, connection: Connection, base: int, tmp_path: Path
):
    run_sql(connection, f"DROP TABLE neighbor_statistic_r{base}")

    with pytest.raises(SettingsError, match="run `skylike neighbors build` instead"):
        update_neighbors(engine, work_folder=tmp_path)


def test_update_refuses_a_run_whose_sample_was_wrong(
    engine: Engine, connection: Connection, base: int, tmp_path: Path
):
    run_sql(connection, "UPDATE neighbor_run SET wrong_in_sample = 1")

    with pytest.raises(SettingsError, match="wrong lists in its sample"):
        update_neighbors(engine, work_folder=tmp_path)


def test_update_refuses_when_no_embedding_is_left(
    engine: Engine, connection: Connection, base: int, tmp_path: Path
):
    run_sql(connection, "DELETE FROM embedding")

    with pytest.raises(EmptyStageError, match="has no embeddings"):
        update_neighbors(engine, work_folder=tmp_path)


def test_update_refuses_when_nothing_is_published(engine: Engine, tmp_path: Path):
    with pytest.raises(NeighborRunNotFoundError, match="neighbors build"):
        update_neighbors(engine, work_folder=tmp_path)


def interrupt(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an update end after a few shards, as if it were killed."""
    left = iter(range(3))

    def few(*arguments, **options):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return work(*arguments, **options)

    work = update_steps.changed_lists
    with monkeypatch.context() as patch:
        patch.setattr(update_steps, "changed_lists", few)
        with pytest.raises(KeyboardInterrupt):
            update_neighbors(engine, work_folder=folder, shard_galaxies=40)


def test_interrupted_update_whose_input_has_changed_begins_anew(
    engine: Engine,
    connection: Connection,
    vectors: np.ndarray,
    base: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    (first, second) = add_galaxies(connection, vectors[:2], [18.5, 18.0])
    interrupt(engine, tmp_path, monkeypatch)
    (left,) = [run for run in store.fetch_runs(connection) if run.base_run_id == base]
    run_sql(connection, "DELETE FROM embedding WHERE galaxy_id = :g", g=second)

    report = update_neighbors(engine, work_folder=tmp_path, shard_galaxies=40)

    assert left.shards_done > 0
    assert report.shards_before == 0
    assert report.changes.new.tolist() == [first]
    assert_equals_a_rebuild(engine, connection, tmp_path, base)


def test_interrupted_update_is_no_build_cannot_be_published_and_goes_with_its_run(
    engine: Engine,
    connection: Connection,
    vectors: np.ndarray,
    base: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    add_galaxies(connection, vectors[:2], [18.5, 18.0])
    interrupt(engine, tmp_path, monkeypatch)
    (left,) = [run for run in store.fetch_runs(connection) if run.base_run_id == base]
    with pytest.raises(SettingsError, match=f"unfinished update of run {base}"):
        store.publish_run(connection, left)
    connection.rollback()

    rebuilt = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)
    drop_neighbors(engine, base)

    assert rebuilt.shards_before == 0
    assert [run.run_id for run in store.fetch_runs(connection)] == [rebuilt.run.run_id]
    tables = sa.text("SELECT count(*) FROM pg_class WHERE relname LIKE :name")
    assert connection.scalar(tables, {"name": f"neighbor%_r{left.run_id}"}) == 0


def test_migration_taken_back_gives_unfinished_updates_up(
    engine: Engine,
    connection: Connection,
    vectors: np.ndarray,
    base: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    add_galaxies(connection, vectors[:2], [18.5, 18.0])
    interrupt(engine, tmp_path, monkeypatch)
    connection.rollback()

    migrate.downgrade(engine, "0010")

    runs = connection.scalars(sa.text("SELECT run_id FROM neighbor_run")).all()
    tables = connection.scalars(
        sa.text(
            "SELECT relname FROM pg_class WHERE relname ~ '^neighbor_(list|similarity)_r[0-9]+$'"
        )
    )
    assert runs == [base]
    assert set(tables) == {f"neighbor_list_r{base}", f"neighbor_similarity_r{base}"}


KILLED = """
import sys, time
from pathlib import Path
from skylike.database.engine import make_engine
from skylike.neighbors import store_lists, store_updates
from skylike.neighbors.update import update_neighbors

write_shard, replace_lists = store_lists.write_shard, store_updates.replace_lists

def write_slowly(*arguments, **options):
    write_shard(*arguments, **options)
    time.sleep(0.1)  # not committed yet: a kill here loses this shard

def replace_and_wait(*arguments, **options):
    replace_lists(*arguments, **options)
    Path(sys.argv[2], "replaced").touch()
    time.sleep(60)

store_lists.write_shard = write_slowly
store_updates.replace_lists = replace_and_wait
update_neighbors(make_engine(sys.argv[1]), work_folder=Path(sys.argv[2]), shard_galaxies=80)
"""


def kill_when(is_there: Callable[[], bool], url: URL, folder: Path, connection: Connection) -> None:
    """Start an update in a process of its own and kill it when something is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, url.render_as_string(hide_password=False), str(folder)]
    )
    while process.poll() is None and not is_there():
        time.sleep(0.01)
    assert process.poll() is None, "the update ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    # The server needs a moment to see that the client is gone, and frees its locks.
    locks = sa.text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    while connection.scalar(locks):
        connection.rollback()
        time.sleep(0.02)
    connection.rollback()


def shards_of_update(connection: Connection) -> int:
    done = connection.scalar(
        sa.text(
            "SELECT count(*) FROM neighbor_shard JOIN neighbor_run USING (run_id)"
            " WHERE base_run_id IS NOT NULL"
        )
    )
    connection.rollback()
    return int(done or 0)


def test_update_killed_among_its_shards_and_while_it_puts_them_in_place_equals_a_rebuild(
    engine: Engine,
    database_url: URL,
    connection: Connection,
    vectors: np.ndarray,
    base: int,
    tmp_path: Path,
):
    before = lists_of(connection, base)
    add_galaxies(connection, vectors[20:24], [18.5, 18.0, 17.5, None])
    kill_when(lambda: shards_of_update(connection) >= 2, database_url, tmp_path, connection)
    stored = shards_of_update(connection)
    kill_when((tmp_path / "replaced").exists, database_url, tmp_path, connection)
    between = lists_of(connection, base)

    report = update_neighbors(engine, work_folder=tmp_path, shard_galaxies=80)

    assert {g: ids for g, (ids, _) in between.items()} == {g: ids for g, (ids, _) in before.items()}
    assert 2 <= stored < report.shards
    assert report.shards_before == report.shards
    assert report.run.revision == 1
    assert_equals_a_rebuild(engine, connection, tmp_path, base)
