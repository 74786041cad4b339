"""Many processes, one run: parts, claims, who finishes, what nobody may do meanwhile."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from neighbor_factory import insert_sky, random_magnitudes, stored_lists, unit_float16
from skylike.errors import ConflictError, NeighborRunNotFoundError
from skylike.jobs.shares import Part
from skylike.jobs.store_sessions import open_session
from skylike.neighbors import store, store_lists
from skylike.neighbors.build import BuildReport, build_neighbors, drop_neighbors
from skylike.neighbors.job import NeighborSettings
from skylike.neighbors.shards import ShardLists, work_shards
from skylike.neighbors.store_locks import (
    claim_shard,
    hold_finish,
    hold_turn,
    join_run,
    release_shard,
)

N, SHARD_GALAXIES = 400, 25

CHANGE = sa.text("UPDATE galaxy SET mag_r = mag_r + 1 WHERE galaxy_id = 3")


@pytest.fixture
def build(engine: Engine, connection: Connection, tmp_path: Path) -> Callable[..., BuildReport]:
    generator = np.random.default_rng(43)
    vectors = unit_float16(generator.standard_normal((N, 16)))
    insert_sky(connection, vectors, random_magnitudes(generator, N, missing=20))

    def build(**options) -> BuildReport:
        given = {
            "settings": NeighborSettings(k=30),
            "work_folder": tmp_path,
            "shard_galaxies": SHARD_GALAXIES,
        }
        return build_neighbors(engine, **{**given, **options})

    return build


def done_shards(connection: Connection, run_id: int) -> list[int]:
    found = store_lists.fetch_finished_shards(connection, run_id)
    connection.rollback()
    return sorted(found)


def wait_until_all_have_begun(connection: Connection, building: list[Future[BuildReport]]) -> None:
    """Wait for builds that cannot finish yet: one that came later would begin another run."""
    joined = sa.text(
        "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database"
        " WHERE d.datname = current_database() AND locktype = 'advisory' AND mode = 'ShareLock'"
    )
    while connection.scalar(joined) < len(building):
        assert not any(future.done() for future in building)
        time.sleep(0.05)
    connection.rollback()


def runs(connection: Connection) -> list[tuple[int, str]]:
    found = [(run.run_id, run.state) for run in store.fetch_runs(connection)]
    connection.rollback()
    return found


def test_parts_in_any_order_compute_their_contiguous_shards_and_the_last_one_publishes(
    build: Callable[..., BuildReport], connection: Connection, tmp_path: Path
):
    third = build(share=Part(3, 3))
    of_third = done_shards(connection, third.run.run_id)
    first = build(share=Part(1, 3))
    staged = [path.name for path in tmp_path.iterdir() if path.is_dir()]
    second = build(share=Part(2, 3))

    n = third.shards
    assert n > 10
    assert of_third == list(Part(3, 3).shards(n))
    assert [report.shards_here for report in (first, second, third)] == [
        len(Part(number, 3).shards(n)) for number in (1, 2, 3)
    ]
    assert [report.run.state for report in (third, first, second)] == [
        "building",
        "building",
        "published",
    ]
    assert third.verification is None
    assert second.verification is not None
    assert second.verification.is_perfect
    assert len(staged) == 1
    assert list(tmp_path.iterdir()) == []
    assert len(stored_lists(connection, second.run.run_id)) == N


def test_more_parts_than_shards_leave_some_without_work(
    build: Callable[..., BuildReport], connection: Connection
):
    idle = build(share=Part(1, 3), shard_galaxies=N)
    busy = build(share=Part(3, 3), shard_galaxies=N)

    assert (idle.shards, idle.shards_here, idle.run.state) == (1, 0, "building")
    assert (busy.shards_here, busy.run.state) == (1, "published")


def test_build_without_a_part_takes_what_the_parts_have_left(
    build: Callable[..., BuildReport],
):
    part = build(share=Part(2, 4))

    report = build(shard_galaxies=300)  # the size of shards is the run's

    assert report.run.run_id == part.run.run_id
    assert report.run.state == "published"
    assert (report.shards_before, report.shards_here) == (
        part.shards_here,
        part.shards - part.shards_here,
    )


def test_part_that_comes_when_the_run_is_complete_begins_no_other(
    build: Callable[..., BuildReport], connection: Connection
):
    done = build()

    late = build(share=Part(1, 2))

    assert (late.run.run_id, late.run.state, late.shards_here) == (done.run.run_id, "published", 0)
    assert runs(connection) == [(done.run.run_id, "published")]


def test_part_refuses_when_the_input_has_changed_and_leaves_the_run(
    build: Callable[..., BuildReport], connection: Connection
):
    begun = build(share=Part(1, 2))
    connection.execute(CHANGE)
    connection.commit()

    with pytest.raises(ConflictError, match=r"part 2/2 does not fit neighbor run 1: .* changed"):
        build(share=Part(2, 2))

    assert runs(connection) == [(begun.run.run_id, "building")]


def test_build_on_a_changed_input_refuses_while_others_work_and_begins_anew_after(
    build: Callable[..., BuildReport], engine: Engine, connection: Connection
):
    begun = build(share=Part(1, 2))
    connection.execute(CHANGE)
    connection.commit()

    with open_session(engine) as session:
        join_run(session, begun.run.run_id)
        with pytest.raises(ConflictError, match=r"run 1 began, .*: other processes are working"):
            build()
    anew = build()

    assert runs(connection) == [(anew.run.run_id, "published")]
    assert anew.run.run_id != begun.run.run_id


def test_builds_at_the_same_time_share_the_shards_and_one_of_them_finishes(
    build: Callable[..., BuildReport], engine: Engine, connection: Connection
):
    begun = build(share=Part(1, 2))

    with ThreadPoolExecutor(3) as pool, open_session(engine) as other:
        assert claim_shard(other, begun.run.run_id, begun.shards - 1)
        building = [pool.submit(build) for _ in range(3)]
        wait_until_all_have_begun(connection, building)
        release_shard(other, begun.run.run_id, begun.shards - 1)
        reports = [future.result() for future in building]

    assert {report.run.run_id for report in reports} == {begun.run.run_id}
    assert {report.run.state for report in reports} == {"published"}
    assert sum(report.shards_here for report in reports) == begun.shards - begun.shards_here
    assert sum(report.verification is not None for report in reports) == 1
    assert len(stored_lists(connection, begun.run.run_id)) == N


def test_builds_that_find_all_shards_done_finish_the_run_once(
    build: Callable[..., BuildReport],
    engine: Engine,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "complete_run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build()

    ((run_id, _),) = runs(connection)
    with ThreadPoolExecutor(2) as pool, open_session(engine) as other:
        with hold_finish(other, run_id):
            building = [pool.submit(build) for _ in range(2)]
            wait_until_all_have_begun(connection, building)
        reports = [future.result() for future in building]

    assert sum(report.verification is not None for report in reports) == 1
    assert [report.shards_here for report in reports] == [0, 0]
    assert {report.run.state for report in reports} == {"published"}


def test_build_waits_for_a_shard_that_another_process_holds_and_takes_it_when_that_one_ends(
    build: Callable[..., BuildReport], engine: Engine, connection: Connection
):
    begun = build(share=Part(1, 2))
    run_id = begun.run.run_id
    ended = threading.Event()

    with ThreadPoolExecutor(1) as pool:
        with open_session(engine) as other:
            join_run(other, run_id)
            assert claim_shard(other, run_id, 12)
            building = pool.submit(build)
            while len(done_shards(connection, run_id)) < begun.shards - 1:
                assert not ended.wait(0.05)
            assert not building.done()
            assert 12 not in done_shards(connection, run_id)
        report = building.result(timeout=30)

    assert report.run.state == "published"
    assert len(stored_lists(connection, run_id)) == N


def test_shard_is_claimed_by_one_session_and_not_again_once_its_lists_are_stored(
    build: Callable[..., BuildReport], engine: Engine
):
    run_id = build(share=Part(1, 2)).run.run_id

    with open_session(engine) as one, open_session(engine) as other:
        assert not claim_shard(one, run_id, 0)  # stored
        assert claim_shard(one, run_id, 10)
        assert not claim_shard(other, run_id, 10)
        release_shard(one, run_id, 10)
        assert claim_shard(other, run_id, 10)


def test_claims_end_when_the_connection_is_lost(
    build: Callable[..., BuildReport], engine: Engine, connection: Connection
):
    run_id = build(share=Part(1, 2)).run.run_id
    with open_session(engine) as one, open_session(engine) as other:
        assert claim_shard(one, run_id, 10)
        pid = one.scalar(sa.select(sa.func.pg_backend_pid()))
        one.rollback()

        connection.execute(sa.select(sa.func.pg_terminate_backend(pid, 5000)))

        assert claim_shard(other, run_id, 10)
        with pytest.raises(sa.exc.OperationalError):
            one.execute(sa.text("SELECT 1"))


def test_error_in_a_shard_keeps_the_one_before_and_frees_its_own(
    build: Callable[..., BuildReport], engine: Engine, connection: Connection
):
    run_id = build(share=Part(1, 2)).run.run_id
    lists = ShardLists(
        galaxy_ids=np.array([3], np.int32),
        lengths=np.array([1]),
        neighbor_ids=np.array([6], np.int32),
        similarities=np.array([0.5], np.float32),
    )

    def compute(shard: int) -> ShardLists:
        if shard == 11:
            raise FloatingPointError
        return lists

    with open_session(engine) as session:
        join_run(session, run_id)
        with pytest.raises(FloatingPointError):
            work_shards(session, run_id, [10, 11], compute=compute, pass_over=lambda _: None)

    assert done_shards(connection, run_id)[-1] == 10
    with open_session(engine) as session:
        assert claim_shard(session, run_id, 11)


def test_join_says_when_a_run_has_been_dropped(build: Callable[..., BuildReport], engine: Engine):
    run_id = build(share=Part(1, 2)).run.run_id
    drop_neighbors(engine, run_id)

    with open_session(engine) as session, pytest.raises(NeighborRunNotFoundError, match="dropped"):
        join_run(session, run_id)


@pytest.mark.parametrize(("hold", "subject"), [(hold_turn, "test"), (hold_finish, 1)])
def test_turn_and_finish_are_held_by_one_session_at_a_time(engine: Engine, hold, subject):
    order = []

    def second() -> None:
        with open_session(engine) as other, hold(other, subject):
            order.append("second")

    with open_session(engine) as session, ThreadPoolExecutor(1) as pool:
        with hold(session, subject):
            waiting = pool.submit(second)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            order.append("first")
        waiting.result(timeout=10)

    assert order == ["first", "second"]


def test_locks_end_with_the_block_though_the_pool_keeps_the_connection(engine: Engine):
    with open_session(engine) as session:
        assert claim_shard(session, 5, 1)
    with open_session(engine), open_session(engine) as fresh:
        assert claim_shard(fresh, 5, 1)
