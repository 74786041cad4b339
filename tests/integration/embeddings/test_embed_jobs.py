"""Many processes, one encoder: parts, claims, kills, who publishes, and what the sums hold."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from skylike.embeddings import (
    embed_shards,
    publish,
    store,
    store_pending,
    store_staging,
    store_sums,
)
from skylike.embeddings.compact import CompactBasis, fit
from skylike.embeddings.extract import EmbedOptions, embed_galaxies, embed_layers
from skylike.embeddings.store_locks import claim_shard, join_work
from skylike.embeddings.store_vectors import iter_vectors
from skylike.errors import ConflictError
from skylike.jobs.shares import Cluster, Part
from skylike.jobs.store_sessions import open_session
from skylike.neighbors.build import NeighborSettings, build_neighbors
from skylike.neighbors.store import fetch_changes

N_GALAXIES, SHARD_ROWS = 40, 8


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (embed_shards, store_pending):
        monkeypatch.setattr(module, "SHARD_ROWS", SHARD_ROWS)


@pytest.fixture
def name(galaxies: Callable[..., None], enter_encoder: Callable[..., str]) -> str:
    return enter_encoder()


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(
            connection.execute(sa.text(f"SELECT count(*) FROM skylike.{table}")).scalar_one()
        )


def stored_vectors(engine: Engine, name: str):
    with engine.connect() as connection:
        record = store.fetch_encoder(connection, name)
        rows = connection.execute(
            sa.text(
                "SELECT galaxy_id, embedding FROM skylike.embedding WHERE encoder_id = :id"
                " ORDER BY galaxy_id"
            ),
            {"id": record.encoder_id},
        ).all()
    return [row.galaxy_id for row in rows], np.array([r.embedding.to_numpy() for r in rows])


def stored_basis(engine: Engine, name: str) -> CompactBasis:
    with engine.connect() as connection:
        basis = store.fetch_compact_basis(
            connection, store.fetch_encoder(connection, name).encoder_id
        )
    assert basis is not None
    return basis


def exact_basis(engine: Engine, name: str) -> CompactBasis:
    vectors = stored_vectors(engine, name)[1].astype(np.float16)
    return fit([vectors], dimension=64, components=32)


def assert_same_basis(found: CompactBasis, exact: CompactBasis) -> None:
    np.testing.assert_allclose(found.mean, exact.mean, atol=1e-12)
    np.testing.assert_allclose(found.explained_variance, exact.explained_variance, atol=1e-9)


def forbid(what: str):
    def forbidden(*_arguments, **_options):
        raise AssertionError(f"{what} should not be needed")

    return forbidden


def test_parts_show_nothing_until_the_last_one_publishes_all(engine: Engine, name: str):
    first = embed_layers(engine, name, share=Part(1, 2))
    visible = count(engine, "embedding")
    second = embed_layers(engine, name, share=Part(2, 2))

    assert (first.reports, visible) == ((), 0)
    assert (first.n_here, first.n_left, second.n_left) == (24, 16, 0)
    assert [report.n_new for report in second.reports] == [N_GALAXIES]
    assert stored_vectors(engine, name)[0] == list(range(1, N_GALAXIES + 1))


def test_a_part_that_comes_too_late_finds_all_published(engine: Engine, name: str):
    embed_galaxies(engine, name)

    late = embed_layers(engine, name, share=Part(1, 2))

    assert (late.n_here, late.n_left) == (0, 0)
    assert [report.n_total for report in late.reports] == [N_GALAXIES]


def test_two_at_once_share_the_work_and_publish_it_once(
    engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch
):
    together = threading.Barrier(2, timeout=30)
    count_pending = store_pending.count_pending
    publications: list[str] = []
    record_basis = publish.store_publication.record_basis

    def meet(connection, sight):
        found = count_pending(connection, sight)
        if found:
            together.wait()
        return found

    def note(connection, record, basis, **options):
        publications.append(record.name)
        record_basis(connection, record, basis, **options)

    monkeypatch.setattr(store_pending, "count_pending", meet)
    monkeypatch.setattr(publish.store_publication, "record_basis", note)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(embed_layers, engine, name) for _ in range(2)]
        outcomes = [future.result() for future in running]

    assert sum(outcome.n_here for outcome in outcomes) == N_GALAXIES
    assert sorted(outcome.reports[0].n_new for outcome in outcomes) == [0, N_GALAXIES]
    assert {outcome.reports[0].n_total for outcome in outcomes} == {N_GALAXIES}
    assert publications == [name]
    assert_same_basis(stored_basis(engine, name), exact_basis(engine, name))


def test_a_shard_that_another_process_holds_is_taken_over_when_that_one_dies(
    engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(embed_shards, "_LOOK_S", 0.05)
    with engine.connect() as connection:
        record = store.fetch_encoder(connection, name)
    with ThreadPoolExecutor(1) as pool:
        with open_session(engine) as other, join_work(other, [record]):
            assert claim_shard(other, [record], 2)
            running = pool.submit(embed_layers, engine, name)
            wait_until_staged(engine, N_GALAXIES - SHARD_ROWS)
            assert not running.done()
        outcome = running.result()

    assert outcome.n_here == N_GALAXIES
    assert outcome.reports[0].n_total == N_GALAXIES


def wait_until_staged(engine: Engine, n: int) -> None:
    for _ in range(3000):
        with engine.connect() as connection:
            record = store.fetch_encoders(connection)[0]
            if store_staging.has_staging(connection, record) and (
                store_staging.count_in_shards(connection, record) >= n
            ):
                return
        time.sleep(0.01)
    raise AssertionError(f"{n} galaxies are not staged")


SLOW = f"""
import sys, time
from skylike.database.engine import make_engine
from skylike.embeddings import embed_shards, store_pending, store_staging
from skylike.embeddings.extract import embed_galaxies
embed_shards.SHARD_ROWS = store_pending.SHARD_ROWS = {SHARD_ROWS}
stage = store_staging.stage_shard
def slow(*arguments, **options):
    time.sleep(0.5)
    return stage(*arguments, **options)
store_staging.stage_shard = slow
embed_galaxies(make_engine(sys.argv[1]), sys.argv[2], batch_size=8)
"""


def test_a_process_that_is_killed_loses_what_it_had_not_staged_and_no_more(
    engine: Engine, name: str
):
    url = engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen([sys.executable, "-c", SLOW, url, name])
    wait_until_staged(engine, 2 * SHARD_ROWS)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with engine.connect() as connection:
        staged = store_staging.count_in_shards(connection, store.fetch_encoder(connection, name))

    visible = count(engine, "embedding")
    outcome = embed_layers(engine, name)

    assert visible == 0
    assert 2 * SHARD_ROWS <= staged < N_GALAXIES
    assert outcome.n_here == N_GALAXIES - staged
    assert outcome.reports[0].n_new == N_GALAXIES
    assert_same_basis(stored_basis(engine, name), exact_basis(engine, name))


def test_mean_and_axes_come_from_sums_without_reading_the_embeddings_again(
    engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch
):
    embed_layers(engine, name, share=Part(1, 2))
    monkeypatch.setattr(store_sums, "iter_not_summed", forbid("reading what is staged"))
    streamed: list[dict[str, bool]] = []

    def note(*arguments, **options):
        streamed.append(options)
        return iter_vectors(*arguments, **options)

    monkeypatch.setattr(publish.store_vectors, "iter_vectors", note)

    report = embed_galaxies(engine, name)

    assert len(streamed) == 1  # to make compact vectors
    assert report.explained == pytest.approx(stored_basis(engine, name).explained_variance.sum())
    assert_same_basis(stored_basis(engine, name), exact_basis(engine, name))


def test_sums_that_were_not_written_are_made_good_by_reading_those_shards(
    engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(store_sums, "write_sums", lambda *_a, **_o: None)
        embed_layers(engine, name, share=Part(1, 2))
    read: list[int] = []
    iter_not_summed = store_sums.iter_not_summed

    def note(*arguments):
        for ids, vectors in iter_not_summed(*arguments):
            read.extend(ids)
            yield ids, vectors

    monkeypatch.setattr(store_sums, "iter_not_summed", note)

    embed_galaxies(engine, name)

    assert sorted(read) == [*range(1, 9), *range(17, 25), *range(33, 41)]
    assert_same_basis(stored_basis(engine, name), exact_basis(engine, name))


def test_a_cutout_that_changes_between_two_parts_is_embedded_again_and_summed_once(
    engine: Engine, name: str
):
    embed_layers(engine, name, share=Part(1, 2))
    with engine.begin() as connection:
        path = connection.execute(sa.text("SELECT path FROM skylike.image_file")).scalar_one()
        connection.execute(
            sa.text("UPDATE skylike.cutout SET updated_at = clock_timestamp() WHERE galaxy_id = 3")
        )
    with h5py.File(path, "r+") as file:
        file["images"][2] = file["images"][10]

    outcome = embed_layers(engine, name)

    vectors = stored_vectors(engine, name)[1]
    assert outcome.n_here == N_GALAXIES - 24 + 1
    np.testing.assert_allclose(vectors[2], vectors[10], atol=1e-3)
    assert_same_basis(stored_basis(engine, name), exact_basis(engine, name))


def test_an_image_that_shows_nothing_holds_no_part_up(engine: Engine, name: str, tmp_path: Path):
    with engine.begin() as connection:
        path = connection.execute(sa.text("SELECT path FROM skylike.image_file")).scalar_one()
    with h5py.File(path, "r+") as file:
        file["images"][2] = np.nan
        file["images"][12] = np.nan

    embed_layers(engine, name, share=Part(1, 2))
    outcome = embed_layers(engine, name, share=Part(2, 2))

    report = outcome.reports[0]
    assert (report.n_total, report.n_degenerate) == (N_GALAXIES - 2, 2)


def test_two_precisions_are_not_mixed(engine: Engine, name: str):
    embed_layers(engine, name, share=Part(1, 2))

    with pytest.raises(ConflictError, match="finish them with --precision float32"):
        embed_layers(engine, name, options=EmbedOptions(precision="bf16"))


def test_half_precision_gives_nearly_the_same_embeddings(
    engine: Engine, galaxies: Callable[..., None], enter_encoder: Callable[..., str]
):
    half, full = enter_encoder("half"), enter_encoder("full")  # of equal weights

    embed_layers(engine, half, options=EmbedOptions(precision="bf16"))
    embed_layers(engine, full)

    found, exact = stored_vectors(engine, half)[1], stored_vectors(engine, full)[1]
    assert (found * exact).sum(axis=1).min() > 0.999
    assert not np.array_equal(found, exact)


def test_a_neighbor_run_that_read_before_the_publication_sees_that_embeddings_are_newer(
    engine: Engine,
    galaxies: Callable[..., None],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    embed_galaxies(engine, name)
    galaxies(101, 4)
    show = publish.show_vectors
    runs = []

    def build_meanwhile(*arguments, **options):
        settings = NeighborSettings(k=3)
        runs.append(
            build_neighbors(engine, name, settings=settings, work_folder=tmp_path / "jobs").run
        )
        show(*arguments, **options)

    monkeypatch.setattr(publish, "show_vectors", build_meanwhile)
    embed_galaxies(engine, name)

    with engine.connect() as connection:
        changes = fetch_changes(connection, runs[0])
    assert (changes.embeddings, changes.new_embeddings) == (N_GALAXIES + 4, 4)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """Two workers in processes of their own."""
    from distributed import LocalCluster

    cluster = LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path / "dask"),
        silence_logs=logging.CRITICAL,
    )
    with cluster:
        yield cluster.scheduler_address


def test_a_cluster_embeds_what_one_process_embeds(
    engine: Engine, name: str, enter_encoder: Callable[..., str], scheduler: str
):
    alone = enter_encoder("same")  # of equal weights

    outcome = embed_layers(engine, name, share=Cluster(scheduler), layer="both")
    embed_galaxies(engine, alone)

    found, expected = stored_vectors(engine, name), stored_vectors(engine, alone)
    assert (outcome.n_here, outcome.n_left) == (N_GALAXIES, 0)
    assert [report.encoder for report in outcome.reports] == [name, f"{name}-projection"]
    assert found[0] == expected[0]
    np.testing.assert_allclose(found[1], expected[1], atol=1e-3)
