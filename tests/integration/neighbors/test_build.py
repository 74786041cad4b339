"""Builds on a real server: lists, counts, publication, readers, conflicts."""

from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from neighbor_factory import (
    brute_force,
    insert_encoder,
    insert_sky,
    random_magnitudes,
    stored_lists,
    unit_float16,
)
from skylike.database.tables import neighbor_run
from skylike.errors import (
    ConflictError,
    EmptyStageError,
    NeighborRunNotFoundError,
    SettingsError,
)
from skylike.jobs.store_sessions import open_session
from skylike.neighbors import store
from skylike.neighbors.build import NeighborSettings, build_neighbors, drop_neighbors
from skylike.neighbors.check import check_run
from skylike.neighbors.store_locks import join_run
from skylike.neighbors.verify import SIMILARITY_TOLERANCE

SETTINGS = NeighborSettings(k=40)


def random_sky(connection: Connection, *, n: int = 400, seed: int = 31, **options):
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((n, 24))
    vectors[50:60] = vectors[50]
    magnitudes = random_magnitudes(generator, n, missing=30)
    return insert_sky(connection, unit_float16(vectors), magnitudes, **options)


def assert_true_lists(connection: Connection, run_id: int, sky, *, k: int, width) -> None:
    usable = np.flatnonzero((sky.vectors != 0).any(axis=1))
    truth = brute_force(
        sky.galaxy_ids[usable], sky.vectors[usable], sky.magnitudes[usable], k=k, width=width
    )
    stored = stored_lists(connection, run_id)
    assert stored.keys() == truth.keys()
    for galaxy_id, (ids, cosines) in truth.items():
        assert stored[galaxy_id][0] == ids.tolist()
        assert np.allclose(stored[galaxy_id][1], cosines, rtol=0, atol=SIMILARITY_TOLERANCE)


@pytest.mark.parametrize("window", [True, False])
def test_build_stores_and_publishes_the_true_lists(
    engine: Engine, connection: Connection, tmp_path: Path, window: bool
):
    sky = random_sky(connection)
    settings = SETTINGS if window else NeighborSettings(k=40, band=None, width=None)

    report = build_neighbors(engine, settings=settings, work_folder=tmp_path, shard_galaxies=90)

    assert report.run.state == "published"
    assert report.shards >= 5
    assert report.verification.is_perfect
    assert (report.run.recall, report.run.recall_sample) == (1.0, 200)
    assert report.run.n_without_magnitude == (30 if window else 0)
    assert_true_lists(connection, report.run.run_id, sky, k=40, width=0.5 if window else None)
    assert list(tmp_path.iterdir()) == []


def test_build_leaves_zero_embeddings_out_and_counts_them(
    engine: Engine, connection: Connection, tmp_path: Path
):
    generator = np.random.default_rng(32)
    vectors = unit_float16(generator.standard_normal((200, 24)))
    vectors[[0, 77, 199]] = 0
    sky = insert_sky(connection, vectors, random_magnitudes(generator, 200))

    report = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)

    assert report.run.n_excluded == 3
    assert report.run.n_galaxies == 197
    assert_true_lists(connection, report.run.run_id, sky, k=40, width=0.5)


def test_build_refuses_an_encoder_whose_embeddings_are_all_zero(
    engine: Engine, connection: Connection, tmp_path: Path
):
    insert_sky(connection, np.zeros((5, 8), np.float16), np.full(5, 18, np.float32))

    with pytest.raises(EmptyStageError, match="all 5 embeddings"):
        build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)


def test_view_neighbor_shows_ranks_of_the_active_encoders_published_run_only(
    engine: Engine, connection: Connection, tmp_path: Path
):
    sky = random_sky(connection)
    other = insert_encoder(
        connection,
        sky.vectors[::-1].copy(),
        sky.magnitudes,
        ids=sky.galaxy_ids,
        encoder="other",
        active=False,
        dimension=24,
    )
    first = build_neighbors(engine, "test", settings=SETTINGS, work_folder=tmp_path)
    build_neighbors(engine, "other", settings=SETTINGS, work_folder=tmp_path)
    build_neighbors(
        engine, "test", settings=NeighborSettings(k=7), work_folder=tmp_path, publish=False
    )
    galaxy_id = int(sky.galaxy_ids[60])
    truth = stored_lists(connection, first.run.run_id)[galaxy_id]

    view = sa.text(
        "SELECT rank, neighbor_id, similarity FROM neighbor WHERE galaxy_id = :g ORDER BY rank"
    )
    rows = connection.execute(view, {"g": galaxy_id}).all()

    assert [row.rank for row in rows] == list(range(1, 41))
    assert [row.neighbor_id for row in rows] == truth[0]
    assert [row.similarity for row in rows] == truth[1]
    assert other.encoder_id != sky.encoder_id


def test_view_neighbor_joins_the_catalog_with_a_cut(
    engine: Engine, connection: Connection, tmp_path: Path
):
    sky = random_sky(connection)
    report = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)
    galaxy_id = int(sky.galaxy_ids[60])
    magnitude_of = dict(zip(sky.galaxy_ids.tolist(), sky.magnitudes.tolist(), strict=True))
    limit = magnitude_of[galaxy_id]
    expected = [
        other
        for other in stored_lists(connection, report.run.run_id)[galaxy_id][0]
        if magnitude_of[other] < limit
    ]

    found = connection.scalars(
        sa.text(
            "SELECT n.neighbor_id FROM neighbor AS n"
            " JOIN galaxy AS g ON g.galaxy_id = n.neighbor_id"
            " WHERE n.galaxy_id = :g AND g.mag_r < CAST(:limit AS real) ORDER BY n.rank"
        ),
        {"g": galaxy_id, "limit": limit},
    ).all()

    assert 0 < len(expected) < 40
    assert found == expected


def test_reader_sees_the_old_run_until_the_new_one_is_published(
    engine: Engine, connection: Connection, tmp_path: Path
):
    random_sky(connection)
    first = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)
    seen = sa.text("SELECT max(rank), count(DISTINCT galaxy_id) FROM neighbor")
    second = build_neighbors(
        engine, settings=NeighborSettings(k=10), work_folder=tmp_path, publish=False
    )
    before = connection.execute(seen).one()

    with engine.begin() as writer:
        store.publish_run(writer, store.fetch_run(writer, second.run.run_id))
    after = connection.execute(seen).one()

    assert before[0] == 40
    assert after[0] == 10
    states = [run.state for run in store.fetch_runs(connection)]
    assert states == ["superseded", "published"]
    assert second.run.run_id > first.run.run_id


def test_superseded_run_can_be_published_again_and_dropped(
    engine: Engine, connection: Connection, tmp_path: Path
):
    random_sky(connection)
    first = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path).run.run_id
    second = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path).run.run_id
    with pytest.raises(SettingsError, match="is published"):
        drop_neighbors(engine, second)
    with engine.begin() as writer:
        store.publish_run(writer, store.fetch_run(writer, first))

    drop_neighbors(engine, second)

    assert [(run.run_id, run.state) for run in store.fetch_runs(connection)] == [
        (first, "published")
    ]
    assert connection.scalar(sa.text(f"SELECT to_regclass('neighbor_list_r{second}')")) is None


def test_reader_may_not_look_into_lists_that_are_being_built(
    engine: Engine, connection: Connection
):
    sky = random_sky(connection)
    with engine.begin() as writer:
        run = store.create_run(
            writer,
            {"encoder_id": sky.encoder_id, "k": 3, "band": "r", "width": 0.5, "software": {}},
        )

    connection.execute(sa.text("SET ROLE skylike_reader"))
    assert connection.scalar(sa.text("SELECT count(*) FROM neighbor_list")) == 0
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        connection.execute(sa.text(f"SELECT * FROM neighbor_list_r{run.run_id}"))


def test_drop_refuses_while_a_process_works_on_the_run(
    engine: Engine, connection: Connection, tmp_path: Path
):
    random_sky(connection)
    run = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path, publish=False).run

    with open_session(engine) as session:
        join_run(session, run.run_id)
        with pytest.raises(ConflictError, match="cannot be dropped: other processes"):
            drop_neighbors(engine, run.run_id)

    drop_neighbors(engine, run.run_id)
    assert store.fetch_runs(connection) == []


def test_publish_refuses_a_run_that_is_not_complete(connection: Connection):
    sky = random_sky(connection)
    run = store.create_run(
        connection,
        {"encoder_id": sky.encoder_id, "k": 3, "band": "r", "width": 0.5, "software": {}},
    )

    with pytest.raises(SettingsError, match="not complete"):
        store.publish_run(connection, run)


@pytest.mark.parametrize("found", [{"recall": 0.999}, {"wrong_in_sample": 1}])
def test_publish_refuses_a_run_with_wrong_lists_in_its_sample(
    engine: Engine, connection: Connection, tmp_path: Path, found: dict[str, float]
):
    random_sky(connection)
    built = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path, publish=False).run
    assert (built.recall, built.wrong_in_sample) == (1.0, 0)
    connection.execute(sa.update(neighbor_run).values(found))

    with pytest.raises(SettingsError, match="wrong lists in its sample"):
        store.publish_run(connection, store.fetch_run(connection, built.run_id))


def test_check_run_finds_a_built_run_perfect_and_a_spoiled_one_not(
    engine: Engine, connection: Connection, tmp_path: Path
):
    random_sky(connection)
    build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)
    good = check_run(engine, sample=50)
    connection.execute(sa.text("UPDATE neighbor_list SET neighbor_ids[1] = neighbor_ids[2]"))
    connection.commit()

    spoiled = check_run(engine, sample=50)

    assert good.verification.is_perfect
    assert good.verification.galaxies == 50
    assert spoiled.verification.window_violations == 50  # listed twice
    assert spoiled.verification.recall < 1


def test_check_run_says_when_nothing_is_published(engine: Engine):
    with pytest.raises(NeighborRunNotFoundError, match="neighbors build"):
        check_run(engine)


def test_changes_count_what_is_newer_than_the_run(
    engine: Engine, connection: Connection, tmp_path: Path
):
    sky = random_sky(connection)
    run = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path).run
    fresh = store.fetch_changes(connection, run)
    ids = sky.galaxy_ids[:5].tolist()
    connection.execute(
        sa.text(
            "UPDATE galaxy SET mag_r = 17, updated_at = clock_timestamp() WHERE galaxy_id = ANY(:i)"
        ),
        {"i": ids},
    )
    connection.execute(
        sa.text("UPDATE embedding SET embedded_at = clock_timestamp() WHERE galaxy_id = ANY(:i)"),
        {"i": ids[:2]},
    )

    changes = store.fetch_changes(connection, run)

    assert (fresh.new_embeddings, fresh.changed_galaxies) == (0, 0)
    assert (changes.new_embeddings, changes.changed_galaxies) == (2, 3)


def test_build_when_no_galaxy_has_the_band_but_some_have_others_refuses(
    engine: Engine, connection: Connection, tmp_path: Path
):
    random_sky(connection)

    with pytest.raises(SettingsError, match="mag_y; use --band with one of r,"):
        build_neighbors(engine, settings=NeighborSettings(k=40, band="y"), work_folder=tmp_path)

    assert connection.scalar(sa.text("SELECT count(*) FROM neighbor_run")) == 0


def test_build_when_no_galaxy_has_any_magnitude_compares_them_all(
    engine: Engine, connection: Connection, tmp_path: Path
):
    generator = np.random.default_rng(38)
    vectors = unit_float16(generator.standard_normal((60, 24)))
    sky = insert_sky(connection, vectors, np.full(60, np.nan, np.float32))

    report = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)

    assert report.run.n_without_magnitude == 60
    assert_true_lists(connection, report.run.run_id, sky, k=40, width=0.5)
