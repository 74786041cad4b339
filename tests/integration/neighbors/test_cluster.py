"""Shards on a Dask cluster: two workers in processes of their own, one of which is killed."""

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from sqlalchemy import Connection, Engine

from neighbor_factory import insert_sky, random_magnitudes, stored_lists, unit_float16
from neighbor_jobs import count_shards, make_slow, wait_for
from skylike.errors import ClusterError, ConflictError, SettingsError
from skylike.jobs.shares import Cluster, Part
from skylike.neighbors import store
from skylike.neighbors.build import build_neighbors
from skylike.neighbors.cluster_worker import search_part
from skylike.neighbors.engine.search_plan import SearchPlan
from skylike.neighbors.job import NeighborSettings
from skylike.neighbors.verify import SIMILARITY_TOLERANCE

SETTINGS = NeighborSettings(k=30)
PLAN = SearchPlan(k=30, device="cpu")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """Two workers that take their time for each shard."""
    made = LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path / "dask"),
        silence_logs=logging.CRITICAL,  # of a worker that is killed it has a lot to say
    )
    with made, Client(made) as client:
        client.run(make_slow)
        yield made


def insert_random_sky(connection: Connection, n: int) -> None:
    generator = np.random.default_rng(47)
    vectors = unit_float16(generator.standard_normal((n, 16)))
    insert_sky(connection, vectors, random_magnitudes(generator, n, missing=20))


def test_cluster_when_a_worker_is_killed_computes_what_one_process_computes(
    engine: Engine, connection: Connection, tmp_path: Path, cluster: LocalCluster
):
    insert_random_sky(connection, 800)
    with Client(cluster) as client:
        victim, survivor = client.run(os.getpid).values()

    def kill_in_the_middle() -> None:
        with engine.connect() as watching:
            wait_for(lambda: count_shards(watching) >= 10)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    report = build_neighbors(
        engine,
        settings=SETTINGS,
        plan=PLAN,
        work_folder=tmp_path / "jobs",
        share=Cluster(cluster.scheduler_address),
        shard_galaxies=20,
    )
    killer.join()

    with Client(cluster) as client:
        workers = set(client.run(os.getpid).values())
    assert victim not in workers
    assert survivor in workers
    assert report.run.state == "published"
    assert report.verification is not None
    assert report.verification.is_perfect
    assert report.shards >= 40
    # What the victim had counted when it was killed was computed, and not told.
    assert 0 < report.shards_here <= report.shards
    assert list((tmp_path / "jobs").iterdir()) == []
    alone = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path / "alone").run
    lists = stored_lists(connection, report.run.run_id)
    expected = stored_lists(connection, alone.run_id)
    assert lists.keys() == expected.keys()
    for galaxy_id, (ids, similarities) in expected.items():
        assert lists[galaxy_id][0] == ids
        assert lists[galaxy_id][1] == pytest.approx(similarities, abs=2 * SIMILARITY_TOLERANCE)


def test_worker_that_does_not_see_the_staged_embeddings_stages_its_own(
    engine: Engine, connection: Connection, tmp_path: Path
):
    insert_random_sky(connection, 400)
    begun = build_neighbors(
        engine,
        settings=SETTINGS,
        work_folder=tmp_path / "here",
        share=Part(1, 2),
        shard_galaxies=50,
    )
    url = engine.url.render_as_string(hide_password=False)
    left = list(range(begun.shards_here, begun.shards))

    computed = search_part(url, begun.run.run_id, left, PLAN, str(tmp_path / "there"))
    again = search_part(url, begun.run.run_id, left, PLAN, str(tmp_path / "there"))

    assert (computed, again) == (len(left), 0)
    assert any(tmp_path.glob("there/neighbors-*/staged.json"))
    assert store.fetch_run(connection, begun.run.run_id).shards_done == begun.shards


def test_worker_that_would_stage_another_input_refuses(
    engine: Engine, connection: Connection, tmp_path: Path
):
    insert_random_sky(connection, 100)
    begun = build_neighbors(
        engine, settings=SETTINGS, work_folder=tmp_path, share=Part(1, 2), shard_galaxies=50
    )
    connection.exec_driver_sql("UPDATE galaxy SET mag_r = 18 WHERE galaxy_id <= 30")
    connection.commit()
    url = engine.url.render_as_string(hide_password=False)

    with pytest.raises(ConflictError, match="have changed since neighbor run 1 began"):
        search_part(url, begun.run.run_id, [1], PLAN, str(tmp_path / "there"))


def test_build_without_a_scheduler_at_the_address_says_so_before_it_stages(
    engine: Engine, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    insert_random_sky(connection, 20)
    monkeypatch.setattr("skylike.jobs.dask_client.CONNECT_TIMEOUT", "1s")

    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9;"):
        build_neighbors(
            engine, settings=SETTINGS, work_folder=tmp_path, share=Cluster("tcp://127.0.0.1:9")
        )

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read \(No such file or directory\); `dask scheduler --scheduler-file`"),
        ("{", "is no scheduler file of Dask"),
        (json.dumps({"id": "x"}), "is no scheduler file of Dask"),
        (json.dumps({"address": "nowhere"}), "use its address, such as tcp://host:8786"),
    ],
)
def test_build_with_a_bad_scheduler_file_says_what_is_wrong(
    engine: Engine, connection: Connection, tmp_path: Path, content: str | None, message: str
):
    insert_random_sky(connection, 20)
    path = tmp_path / "scheduler.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")

    with pytest.raises(SettingsError, match=message):
        build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path, share=Cluster(str(path)))
