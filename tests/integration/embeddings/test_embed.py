"""Embedding into the database: what becomes visible, when, and what is done again."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from cutout_factory import add_galaxies, draw_cutouts, insert_cutouts, write_images
from skylike.database.copy import unpack_halfvec
from skylike.embeddings import embed_shards, publish, store, store_pending, store_staging
from skylike.embeddings.checkpoint import load_encoder
from skylike.embeddings.compact import unit_rows
from skylike.embeddings.extract import embed_galaxies
from skylike.errors import (
    CheckpointError,
    EmptyStageError,
    ImageFileError,
    SettingsError,
)

N_GALAXIES = 40


def vectors_of(connection: Connection, table: str = "embedding", column: str = "embedding"):
    rows = connection.execute(
        sa.text(
            f"SELECT galaxy_id, halfvec_send({column}) AS raw FROM skylike.{table}"
            " ORDER BY galaxy_id"
        )
    ).all()
    return np.array([r.galaxy_id for r in rows]), np.stack([unpack_halfvec(r.raw) for r in rows])


def scalar(connection: Connection, query: str):
    return connection.execute(sa.text(query)).scalar_one()


def wait_for_a_lock(engine: Engine) -> None:
    """Return when a session of this database waits for another one."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(3000):
        with engine.connect() as connection:
            if scalar(connection, waiting):
                return
        time.sleep(0.01)
    raise AssertionError("no session waits for a lock")


@pytest.mark.usefixtures("galaxies")
def test_embed_publishes_the_rounded_embeddings_of_every_galaxy(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    report = embed_galaxies(engine, enter_encoder(), batch_size=16)

    with engine.connect() as connection:
        ids, found = vectors_of(connection)
    expected = load_encoder(tmp_path / "tiny.pt").embed(draw_cutouts(N_GALAXIES, seed=1)[0], "flux")
    assert (report.n_new, report.n_total, report.n_degenerate) == (N_GALAXIES, N_GALAXIES, 0)
    assert ids.tolist() == list(range(1, N_GALAXIES + 1))
    np.testing.assert_allclose(found.astype(np.float32), expected, atol=1e-3)


@pytest.mark.usefixtures("galaxies")
def test_compact_distances_computed_by_pgvector_bound_the_true_ones(
    engine: Engine, enter_encoder: Callable[..., str]
):
    report = embed_galaxies(engine, enter_encoder(), components=5)

    with engine.connect() as connection:
        _, stored = vectors_of(connection)
        pairs = connection.execute(
            sa.text(
                "SELECT a.galaxy_id, b.galaxy_id, a.compact <-> b.compact"
                " FROM skylike.embedding_compact a"
                " CROSS JOIN skylike.embedding_compact b"
            )
        ).all()
        dims = scalar(
            connection, "SELECT DISTINCT vector_dims(compact) FROM skylike.embedding_compact"
        )
        slack = scalar(connection, "SELECT compact_slack FROM skylike.encoder")
    unit = unit_rows(stored)
    true = {(i + 1, j + 1): np.linalg.norm(unit[i] - unit[j]) for i in range(40) for j in range(40)}
    assert dims == 6
    assert slack == report.slack < 1e-3
    assert all(distance - 2 * slack <= true[a, b] for a, b, distance in pairs)
    assert max(distance for _, _, distance in pairs) > 0.01


@pytest.mark.usefixtures("galaxies")
def test_compact_rows_repeat_the_catalog(engine: Engine, enter_encoder: Callable[..., str]):
    embed_galaxies(engine, enter_encoder())

    with engine.connect() as connection:
        differing = scalar(
            connection,
            "SELECT count(*) FROM skylike.galaxy g"
            " FULL JOIN skylike.embedding_compact c USING (galaxy_id)"
            " WHERE (g.ra, g.dec, g.healpix29, g.mag_g, g.mag_r, g.mag_z)"
            " IS DISTINCT FROM (c.ra, c.dec, c.healpix29, c.mag_g, c.mag_r, c.mag_z)",
        )
    assert differing == 0


@pytest.mark.usefixtures("galaxies")
def test_the_basis_is_recorded_where_sql_can_use_it(
    engine: Engine, enter_encoder: Callable[..., str]
):
    embed_galaxies(engine, enter_encoder(), components=7)

    with engine.connect() as connection:
        record = store.fetch_encoder(connection, "tiny")
        basis = store.fetch_compact_basis(connection, record.encoder_id)
        _, stored = vectors_of(connection)
    assert basis is not None
    assert record.compact_components == 7
    assert basis.directions.shape == (7, 64)
    np.testing.assert_allclose(basis.mean, unit_rows(stored).mean(axis=0), atol=1e-12)
    assert np.all(np.diff(basis.explained_variance) <= 0)


@pytest.mark.usefixtures("galaxies")
def test_the_first_embedded_encoder_becomes_active_and_a_second_does_not(
    engine: Engine, enter_encoder: Callable[..., str]
):
    first = embed_galaxies(engine, enter_encoder())
    second = embed_galaxies(engine, enter_encoder("other"))

    with engine.connect() as connection:
        assert store.fetch_active_encoder(connection).name == "tiny"
        assert scalar(connection, "SELECT count(*) FROM skylike.embedding") == 2 * N_GALAXIES
    assert (first.was_activated, second.was_activated) == (True, False)


@pytest.mark.usefixtures("galaxies")
def test_a_second_run_has_nothing_to_do(engine: Engine, enter_encoder: Callable[..., str]):
    embed_galaxies(engine, enter_encoder())
    with engine.connect() as connection:
        before = store.fetch_encoder(connection, "tiny")

    report = embed_galaxies(engine)

    with engine.connect() as connection:
        assert store.fetch_encoder(connection, "tiny") == before
        assert scalar(connection, "SELECT to_regclass('skylike.embedding_staging_e1') IS NULL")
    assert (report.n_new, report.n_total) == (0, N_GALAXIES)


def test_a_few_new_galaxies_are_merged_and_keep_the_axes(
    engine: Engine, galaxies: Callable[..., None], enter_encoder: Callable[..., str]
):
    embed_galaxies(engine, enter_encoder())
    with engine.connect() as connection:
        before = vectors_of(connection, "embedding_compact", "compact")[1]
    galaxies(101, 4)

    report = embed_galaxies(engine)

    with engine.connect() as connection:
        ids, after = vectors_of(connection, "embedding_compact", "compact")
    assert (report.n_new, report.n_total, report.is_new_basis) == (4, N_GALAXIES + 4, False)
    assert ids[-4:].tolist() == [101, 102, 103, 104]
    assert np.array_equal(after[:N_GALAXIES], before)


def test_many_new_galaxies_get_new_axes(
    engine: Engine, galaxies: Callable[..., None], enter_encoder: Callable[..., str]
):
    embed_galaxies(engine, enter_encoder())
    galaxies(101, 20)

    report = embed_galaxies(engine)

    with engine.connect() as connection:
        assert (
            scalar(connection, "SELECT count(*) FROM skylike.embedding_compact") == N_GALAXIES + 20
        )
    assert report.is_new_basis


@pytest.mark.usefixtures("galaxies")
def test_only_the_galaxy_whose_cutout_changed_is_embedded_again(
    engine: Engine, enter_encoder: Callable[..., str]
):
    embed_galaxies(engine, enter_encoder())
    with engine.begin() as connection:
        before = vectors_of(connection)[1]
        path = scalar(connection, "SELECT path FROM skylike.image_file")
        connection.execute(
            sa.text("UPDATE skylike.cutout SET updated_at = clock_timestamp() WHERE galaxy_id = 3")
        )
    with h5py.File(path, "r+") as file:
        file["images"][2] = file["images"][10]

    report = embed_galaxies(engine)

    with engine.connect() as connection:
        after = vectors_of(connection)[1]
    assert report.n_new == 1
    np.testing.assert_allclose(after[2], after[10], atol=1e-3)  # a batch of one, and of many
    assert np.array_equal(np.delete(after, 2, axis=0), np.delete(before, 2, axis=0))


@pytest.mark.usefixtures("galaxies")
def test_a_killed_run_shows_nothing_and_goes_on_with_what_was_staged(
    engine: Engine,
    enter_encoder: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
):
    name = enter_encoder()
    for module in (embed_shards, store_pending):
        monkeypatch.setattr(module, "SHARD_ROWS", 16)
    staged = store_staging.stage_shard
    shards: list[int] = []

    def die_at_the_second(connection, record, shard, **options):
        shards.append(len(shard.galaxy_id))
        if len(shards) == 2:
            raise KeyboardInterrupt
        return staged(connection, record, shard, **options)

    monkeypatch.setattr(store_staging, "stage_shard", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        embed_galaxies(engine, name, batch_size=16)
    with engine.connect() as connection:
        assert scalar(connection, "SELECT count(*) FROM skylike.embedding") == 0
        assert store.fetch_encoder(connection, name).embedded_at is None

    report = embed_galaxies(engine, name, batch_size=16)

    assert sum(shards[2:]) == N_GALAXIES - 16
    assert report.n_new == report.n_total == N_GALAXIES


@pytest.mark.usefixtures("galaxies")
def test_what_is_staged_is_closed_to_readers_and_what_is_published_open(
    engine: Engine, enter_encoder: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    def readable() -> dict[str, bool]:
        with engine.connect() as connection:
            rows = connection.execute(
                sa.text(
                    "SELECT relname, has_table_privilege('skylike_reader', oid, 'SELECT') AS may"
                    " FROM pg_class WHERE relkind = 'r' AND relname ~ '_e1$'"
                )
            )
            return {row.relname: row.may for row in rows}

    def fail(*_arguments, **_options):
        raise KeyboardInterrupt

    name = enter_encoder()
    with monkeypatch.context() as patch:
        patch.setattr(publish.store_publication, "record_basis", fail)
        with pytest.raises(KeyboardInterrupt):
            embed_galaxies(engine, name)
    staged = readable()
    embed_galaxies(engine, name)

    names = ("staging", "blank", "shards", "sums")
    expected = {f"embedding_{name}_e1": False for name in names}
    assert staged == expected | {"compact_staging_e1": False}
    assert readable() == {"embedding_e1": True, "embedding_compact_e1": True}


@pytest.mark.usefixtures("galaxies")
def test_a_cutout_written_while_the_work_is_listed_is_embedded_again(
    engine: Engine, enter_encoder: Callable[..., str]
):
    name = enter_encoder()
    embed_galaxies(engine, name)
    with engine.connect() as writer, ThreadPoolExecutor(1) as pool:
        writer.execute(
            sa.text("UPDATE skylike.cutout SET updated_at = clock_timestamp() WHERE galaxy_id = 3")
        )
        running = pool.submit(embed_galaxies, engine, name)
        wait_for_a_lock(engine)
        writer.commit()

    assert running.result().n_new == 1


@pytest.mark.usefixtures("galaxies")
def test_an_embedding_goes_with_its_image(engine: Engine, enter_encoder: Callable[..., str]):
    embed_galaxies(engine, enter_encoder())
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM skylike.cutout WHERE galaxy_id = 3"))

    report = embed_galaxies(engine)

    with engine.connect() as connection:
        assert 3 not in vectors_of(connection)[0]
        assert 3 not in vectors_of(connection, "embedding_compact", "compact")[0]
    assert (report.n_new, report.n_removed, report.n_total) == (0, 1, N_GALAXIES - 1)


@pytest.mark.usefixtures("galaxies")
def test_an_image_that_shows_nothing_is_no_reason_to_publish_again(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    path = write_images(tmp_path / "empty.h5", np.full((1, 3, 152, 152), np.nan, dtype=np.float32))
    with engine.begin() as connection:
        add_galaxies(connection, 201, 1)
        insert_cutouts(connection, path, [201])
    embed_galaxies(engine, enter_encoder())
    with engine.connect() as connection:
        before = store.fetch_encoder(connection, "tiny")

    report = embed_galaxies(engine)

    with engine.connect() as connection:
        assert store.fetch_encoder(connection, "tiny") == before
    assert (report.n_new, report.n_degenerate) == (0, 1)


@pytest.mark.usefixtures("galaxies")
def test_two_encoders_activated_at_once_leave_one_active(
    engine: Engine, enter_encoder: Callable[..., str]
):
    embed_galaxies(engine, enter_encoder())
    embed_galaxies(engine, enter_encoder("other"))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE skylike.encoder SET is_active = false"))

    def activate(name: str) -> None:
        with engine.begin() as connection:
            store.activate_encoder(connection, name)

    with engine.connect() as first, ThreadPoolExecutor(1) as pool:
        store.activate_encoder(first, "tiny")
        second = pool.submit(activate, "other")
        wait_for_a_lock(engine)
        first.commit()

    second.result()
    with engine.connect() as connection:
        assert store.fetch_active_encoder(connection).name == "other"


def test_a_failed_publication_leaves_the_old_embeddings(
    engine: Engine,
    galaxies: Callable[..., None],
    enter_encoder: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
):
    embed_galaxies(engine, enter_encoder())
    galaxies(101, 20)
    with engine.connect() as connection:
        before = vectors_of(connection, "embedding_compact", "compact")[1]

    def fail(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publish.store_publication, "record_basis", fail)
        with pytest.raises(KeyboardInterrupt):
            embed_galaxies(engine)

    with engine.connect() as connection:
        assert np.array_equal(vectors_of(connection, "embedding_compact", "compact")[1], before)
        assert scalar(connection, "SELECT count(*) FROM skylike.embedding") == N_GALAXIES
    assert embed_galaxies(engine).n_total == N_GALAXIES + 20


@pytest.mark.usefixtures("galaxies")
def test_an_image_that_shows_nothing_is_counted_and_left_out(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    path = write_images(tmp_path / "empty.h5", np.full((2, 3, 152, 152), np.nan, dtype=np.float32))
    with engine.begin() as connection:
        add_galaxies(connection, 201, 2)
        insert_cutouts(connection, path, [201, 202])

    report = embed_galaxies(engine, enter_encoder())

    assert (report.n_total, report.n_degenerate) == (N_GALAXIES, 2)


@pytest.mark.usefixtures("galaxies")
def test_an_embedding_goes_when_its_new_image_shows_nothing(
    engine: Engine, enter_encoder: Callable[..., str]
):
    embed_galaxies(engine, enter_encoder())
    with engine.begin() as connection:
        path = scalar(connection, "SELECT path FROM skylike.image_file")
        connection.execute(
            sa.text("UPDATE skylike.cutout SET updated_at = clock_timestamp() WHERE galaxy_id = 3")
        )
    with h5py.File(path, "r+") as file:
        file["images"][2] = np.nan

    report = embed_galaxies(engine)

    with engine.connect() as connection:
        assert 3 not in vectors_of(connection)[0]
        assert 3 not in vectors_of(connection, "embedding_compact", "compact")[0]
    assert (report.n_total, report.n_degenerate) == (N_GALAXIES - 1, 1)


def add_pictures(engine: Engine, tmp_path: Path, galaxy_ids: list[int]) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (len(galaxy_ids), 3, 152, 152), dtype=np.uint8)
    path = write_images(tmp_path / "pictures.h5", images)
    with engine.begin() as connection:
        add_galaxies(connection, 301, 2)
        insert_cutouts(connection, path, galaxy_ids, kind="rgb")


@pytest.mark.usefixtures("galaxies")
def test_fluxes_are_preferred_and_pictures_fill_the_gaps(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    add_pictures(engine, tmp_path, [1, 301, 302])

    report = embed_galaxies(engine, enter_encoder())

    with engine.connect() as connection:
        kinds = dict(
            connection.execute(
                sa.text(
                    "SELECT e.galaxy_id, c.kind FROM skylike.embedding e"
                    " JOIN skylike.cutout c USING (cutout_id)"
                )
            ).all()
        )
    assert report.n_total == N_GALAXIES + 2
    assert (kinds[1], kinds[301], kinds[302]) == ("flux", "rgb", "rgb")


@pytest.mark.usefixtures("galaxies")
def test_an_encoder_of_flux_passes_pictures_by_and_counts_them(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    add_pictures(engine, tmp_path, [301, 302])

    report = embed_galaxies(engine, enter_encoder(input="flux"))

    assert (report.n_total, report.n_pictures_left) == (N_GALAXIES, 2)


@pytest.mark.usefixtures("galaxies")
def test_inverted_pictures_are_marked(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    add_pictures(engine, tmp_path, [301, 302])

    report = embed_galaxies(engine, enter_encoder(input="flux"), invert_pictures=True)

    with engine.connect() as connection:
        marked = connection.scalars(
            sa.text("SELECT galaxy_id FROM skylike.embedding WHERE is_inverted ORDER BY galaxy_id")
        ).all()
    assert marked == [301, 302]
    assert report.n_inverted == 2


@pytest.mark.usefixtures("galaxies")
def test_another_file_in_place_of_the_encoder_is_refused(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    name = enter_encoder()
    (tmp_path / "tiny.pt").write_bytes(b"something else")

    with pytest.raises(CheckpointError, match="SHA-256"):
        embed_galaxies(engine, name)


@pytest.mark.usefixtures("galaxies")
def test_an_encoder_whose_file_is_gone_says_what_to_do(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    name = enter_encoder()
    (tmp_path / "tiny.pt").unlink()

    with pytest.raises(CheckpointError, match=r"tiny\.pt: cannot be read .* restore the file"):
        embed_galaxies(engine, name)


@pytest.mark.usefixtures("galaxies")
def test_a_file_of_cutouts_that_is_gone_is_named(
    engine: Engine, enter_encoder: Callable[..., str], tmp_path: Path
):
    (tmp_path / "from1.h5").unlink()

    with pytest.raises(ImageFileError, match=r"from1\.h5"):
        embed_galaxies(engine, enter_encoder())


def test_without_cutouts_the_command_that_adds_them_is_named(
    engine: Engine, enter_encoder: Callable[..., str]
):
    with pytest.raises(EmptyStageError, match="skylike images add"):
        embed_galaxies(engine, enter_encoder())


def test_several_encoders_and_none_active_must_be_named(
    engine: Engine, enter_encoder: Callable[..., str]
):
    enter_encoder("a")
    enter_encoder("b")

    with pytest.raises(SettingsError, match="name one of a, b"):
        embed_galaxies(engine)


@pytest.mark.usefixtures("galaxies")
def test_the_planner_has_statistics_of_what_was_published(
    engine: Engine, enter_encoder: Callable[..., str]
):
    embed_galaxies(engine, enter_encoder())

    with engine.connect() as connection:
        counts = connection.execute(
            sa.text(
                "SELECT relname, reltuples FROM pg_class"
                " WHERE relname IN ('embedding_e1', 'embedding_compact_e1') ORDER BY relname"
            )
        ).all()
    assert [tuple(row) for row in counts] == [("embedding_compact_e1", 40), ("embedding_e1", 40)]
