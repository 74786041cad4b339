"""A build killed in the middle goes on; one whose input has changed begins anew."""

import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from neighbor_factory import insert_sky, random_magnitudes, stored_lists, unit_float16
from neighbor_jobs import (
    SHARD_GALAXIES,
    count_locks,
    count_shards,
    kill,
    output_of,
    started,
    wait_for,
)
from skylike.neighbors import store, store_lists
from skylike.neighbors.build import NeighborSettings, build_neighbors
from skylike.neighbors.verify import SIMILARITY_TOLERANCE

SETTINGS = NeighborSettings(k=30)


def random_sky(connection: Connection, n: int = 500) -> None:
    generator = np.random.default_rng(41)
    vectors = unit_float16(generator.standard_normal((n, 16)))
    insert_sky(connection, vectors, random_magnitudes(generator, n, missing=20))


def assert_same_lists(connection: Connection, run_id: int, other: int) -> None:
    lists, expected = stored_lists(connection, run_id), stored_lists(connection, other)
    assert lists.keys() == expected.keys()
    for galaxy_id, (ids, similarities) in expected.items():
        assert lists[galaxy_id][0] == ids
        # Tiles of other shapes sum in another order: the last bit of a similarity may differ, and
        # with it the step in which similarities are stored.
        assert lists[galaxy_id][1] == pytest.approx(similarities, abs=2 * SIMILARITY_TOLERANCE)


def seen_by_readers(connection: Connection) -> tuple[int, int]:
    query = "SELECT max(rank), count(DISTINCT galaxy_id) FROM neighbor"
    row = connection.execute(sa.text(query)).one()
    connection.rollback()
    return tuple(row)


@pytest.mark.slow
def test_build_killed_ten_times_at_random_moments_equals_an_unbroken_one(
    engine: Engine, database_url: URL, connection: Connection, tmp_path: Path
):
    n = 1600
    random_sky(connection, n)
    old = build_neighbors(engine, settings=NeighborSettings(k=5), work_folder=tmp_path / "old").run
    seen = seen_by_readers(connection)
    generator = np.random.default_rng(7)

    def kill_at_random(process: subprocess.Popen[str], *, working: bool) -> None:
        if working:
            goal = count_shards(connection) + int(generator.integers(1, 7))
            wait_for(lambda: count_shards(connection) >= goal, during=process)
            time.sleep(generator.uniform(0, 0.06))
        else:  # it starts, reads its input, or begins
            time.sleep(generator.uniform(0, 2))
        kill(process)
        assert seen_by_readers(connection) == seen

    for round_ in range(6):
        shares = [["--shard", "1/2"], ["--shard", "2/2"]] if round_ % 3 == 2 else [[]]
        with ExitStack() as stack:
            processes = [
                stack.enter_context(started(database_url, tmp_path, "-k", "30", *share))
                for share in shares
            ]
            for place in generator.permutation(len(processes)):
                kill_at_random(processes[place], working=True)
    for _ in range(2):
        with started(database_url, tmp_path, "-k", "30") as process:
            kill_at_random(process, working=False)
    stored = count_shards(connection)
    with started(database_url, tmp_path, "-k", "30") as process:
        said = output_of(process)

    assert "shards were done already" in said
    assert 8 <= stored < n / SHARD_GALAXIES
    first, run = store.fetch_runs(connection)
    assert (first.run_id, first.state, run.state) == (old.run_id, "superseded", "published")
    assert seen_by_readers(connection)[0] == 30
    lists = sa.text("SELECT count(*) FROM neighbor_list WHERE run_id = :run")
    assert connection.scalar(lists, {"run": run.run_id}) == n
    assert list((tmp_path / "jobs").iterdir()) == []
    unbroken = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path / "new").run
    assert_same_lists(connection, run.run_id, unbroken.run_id)


def test_build_takes_over_what_another_process_leaves_when_it_is_killed(
    engine: Engine, database_url: URL, connection: Connection, tmp_path: Path
):
    random_sky(connection, 300)
    with (
        started(database_url, tmp_path, "-k", "30", "--shard", "1/2", write_s=20) as doomed,
        started(database_url, tmp_path, "-k", "30") as survivor,
    ):
        # The survivor does all but the shards that the other one holds, and waits for them.
        wait_for(lambda: count_locks(connection) == 4 and is_done(connection, but=2), during=doomed)
        assert survivor.poll() is None
        kill(doomed)
        said = output_of(survivor)

    assert "Published." in said
    (run,) = store.fetch_runs(connection)
    assert len(stored_lists(connection, run.run_id)) == 300


def is_done(connection: Connection, *, but: int) -> bool:
    """Are all galaxies of the first run done, but for those of some shards?"""
    runs = store.fetch_runs(connection)
    connection.rollback()
    left = [(run.n_galaxies or 0) - run.galaxies_done for run in runs]
    return bool(left) and 0 < left[0] <= but * SHARD_GALAXIES


def test_build_killed_while_it_stages_leaves_nothing_that_the_next_one_trusts(
    engine: Engine, database_url: URL, connection: Connection, tmp_path: Path
):
    random_sky(connection)
    with started(database_url, tmp_path, "-k", "30", staging_s=60) as process:
        wait_for(lambda: any(tmp_path.glob("jobs/*/vectors.f16")), during=process)
        kill(process)
    (half,) = tmp_path.glob("jobs/neighbors-*[!k]")
    assert not (half / "staged.json").exists()

    report = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path / "jobs")

    assert report.verification is not None
    assert report.verification.is_perfect
    assert list((tmp_path / "jobs").iterdir()) == []


def test_second_process_waits_for_the_one_that_stages_and_opens_what_it_wrote(
    engine: Engine, database_url: URL, connection: Connection, tmp_path: Path
):
    random_sky(connection)
    with started(database_url, tmp_path, "-k", "30", "--shard", "1/2", staging_s=3) as first:
        wait_for(lambda: any(tmp_path.glob("jobs/*/vectors.f16")), during=first)
        with started(database_url, tmp_path, "-k", "30", staging_s=60) as second:
            output_of(second)  # would take a minute if it staged
        output_of(first)

    assert len(store.fetch_runs(connection)) == 1


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
