"""A build killed in the middle goes on; one whose input has changed begins anew."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from neighbor_factory import insert_sky, random_magnitudes, stored_lists, unit_float16
from skylike.neighbors import store, store_lists
from skylike.neighbors.build import NeighborSettings, build_neighbors

SETTINGS = NeighborSettings(k=30)

KILLED = """
import sys, time
from pathlib import Path
from skylike.database.engine import make_engine
from skylike.neighbors import build, store_lists

write_shard = store_lists.write_shard

def write_slowly(*arguments, **options):
    write_shard(*arguments, **options)
    time.sleep(0.2)  # not committed yet: a kill here loses this shard

store_lists.write_shard = write_slowly
build.build_neighbors(
    make_engine(sys.argv[1]),
    settings=build.NeighborSettings(k=30),
    work_folder=Path(sys.argv[2]),
    shard_galaxies=25,
)
"""


def random_sky(connection: Connection) -> None:
    generator = np.random.default_rng(41)
    vectors = unit_float16(generator.standard_normal((500, 16)))
    insert_sky(connection, vectors, random_magnitudes(generator, 500, missing=20))


def kill_after_shards(url: URL, folder: Path, connection: Connection, *, shards: int) -> None:
    """Start a build in a process of its own and kill it when it has stored some shards."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, url.render_as_string(hide_password=False), str(folder)]
    )
    count = sa.text("SELECT count(*) FROM neighbor_shard")
    while process.poll() is None:
        if connection.scalar(count) >= shards:
            break
        connection.rollback()
        time.sleep(0.02)
    assert process.poll() is None, "the build ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    # The server needs a moment to see that the client is gone, and frees its lock.
    locks = sa.text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    while connection.scalar(locks):
        connection.rollback()
        time.sleep(0.02)
    connection.rollback()


def test_build_killed_twice_goes_on_and_equals_an_unbroken_one(
    engine: Engine, database_url: URL, connection: Connection, tmp_path: Path
):
    random_sky(connection)
    kill_after_shards(database_url, tmp_path, connection, shards=2)
    kill_after_shards(database_url, tmp_path, connection, shards=6)
    stored = connection.scalar(sa.text("SELECT count(*) FROM neighbor_shard"))
    assert connection.scalar(sa.text("SELECT count(*) FROM neighbor")) == 0
    connection.rollback()

    resumed = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path, shard_galaxies=25)
    unbroken = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path, shard_galaxies=500)

    assert resumed.shards_before == stored
    assert 6 <= stored < resumed.shards
    lists = stored_lists(connection, resumed.run.run_id)
    assert len(lists) == 500
    for galaxy_id, (ids, similarities) in stored_lists(connection, unbroken.run.run_id).items():
        assert lists[galaxy_id][0] == ids
        # Tiles of other shapes sum in another order: the last bit of a similarity may differ.
        assert lists[galaxy_id][1] == pytest.approx(similarities, abs=1e-6)
    assert len(store.fetch_runs(connection)) == 2


def interrupt_after_first_shard(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store_lists, "write_shard", _once(store_lists.write_shard))
        with pytest.raises(KeyboardInterrupt):
            build_neighbors(engine, settings=SETTINGS, work_folder=folder, shard_galaxies=100)


def _once(function):
    calls = []

    def called(*arguments, **options):
        if calls:
            raise KeyboardInterrupt
        calls.append(True)
        return function(*arguments, **options)

    return called


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE galaxy SET mag_r = mag_r + 1 WHERE galaxy_id = 3",
        "UPDATE embedding SET embedded_at = clock_timestamp() WHERE galaxy_id = 3",
        "DELETE FROM embedding WHERE galaxy_id = 3",
    ],
)
def test_build_begins_anew_when_the_input_has_changed(
    engine: Engine,
    connection: Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
):
    random_sky(connection)
    interrupt_after_first_shard(engine, tmp_path, monkeypatch)
    (dead,) = store.fetch_runs(connection)
    connection.execute(sa.text(change))
    connection.commit()

    report = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path, shard_galaxies=100)

    assert dead.shards_done == 1
    assert report.shards_before == 0
    assert report.verification.is_perfect
    assert [run.run_id for run in store.fetch_runs(connection)] == [report.run.run_id]


def test_build_keeps_an_unfinished_run_of_other_settings(
    engine: Engine, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    random_sky(connection)
    interrupt_after_first_shard(engine, tmp_path, monkeypatch)

    build_neighbors(engine, settings=NeighborSettings(k=5), work_folder=tmp_path)
    report = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path, shard_galaxies=100)

    assert report.shards_before == 1


def test_build_stages_again_when_the_work_folder_is_gone(
    engine: Engine, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    random_sky(connection)
    interrupt_after_first_shard(engine, tmp_path / "lost", monkeypatch)

    report = build_neighbors(
        engine, settings=SETTINGS, work_folder=tmp_path / "new", shard_galaxies=100
    )

    assert report.shards_before == 1
    assert report.verification.is_perfect
