"""Defects of the paper's own script that only a database shows: what it never writes down."""

from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from neighbor_factory import brute_force, insert_sky, stored_lists, unit_float16
from skylike.neighbors import store, store_lists
from skylike.neighbors.build import NeighborSettings, build_neighbors

SETTINGS = NeighborSettings(k=12)
DEGREE_OF_10_ARCSEC = 10 / 3600


def insert_blended(connection: Connection):
    """Galaxies in one magnitude: a hub in the middle, and one that was cut into three."""
    generator = np.random.default_rng(95)
    vectors = generator.standard_normal((120, 24)) + 1.5
    vectors[40] = vectors.mean(axis=0)  # nearest to everybody
    vectors[70:73] = vectors[70] + 1e-3 * generator.standard_normal((3, 24))
    return insert_sky(connection, unit_float16(vectors), np.full(120, 18, np.float32))


def test_a_run_records_what_made_it(engine: Engine, connection: Connection, tmp_path: Path):
    insert_blended(connection)
    run_id = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path).run.run_id

    row = connection.execute(
        sa.text(
            "SELECT e.name, k, band, r.width, r.n_galaxies, recall, software, input_snapshot"
            " FROM neighbor_run AS r JOIN encoder AS e USING (encoder_id) WHERE run_id = :run"
        ),
        {"run": run_id},
    ).one()

    assert row[:6] == ("test", 12, "r", 0.5, 120, 1.0)
    assert {"skylike", "numpy", "device", "engine", "input"} <= row.software.keys()
    assert row.input_snapshot is not None


def test_duplicates_hubs_and_mutual_neighbors_are_columns(
    engine: Engine, connection: Connection, tmp_path: Path
):
    sky = insert_blended(connection)
    hub, shreds = int(sky.galaxy_ids[40]), sky.galaxy_ids[70:73].tolist()
    place = sa.text("UPDATE galaxy SET ra = 50 + :step * galaxy_id, dec = 0 WHERE galaxy_id = :id")
    for galaxy_id in shreds:
        parameters = {"step": DEGREE_OF_10_ARCSEC / 3, "id": galaxy_id}  # identifiers go by threes
        connection.execute(place, parameters)
    connection.commit()
    run_id = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path).run.run_id

    rows = connection.execute(
        sa.text(
            "SELECT galaxy_id, hubness, n_mutual, duplicate_group FROM neighbor_statistic"
            " WHERE run_id = :run"
        ),
        {"run": run_id},
    )
    told = {row.galaxy_id: row for row in rows}

    assert max(told.values(), key=lambda row: row.hubness).galaxy_id == hub
    in_groups = {key: row.duplicate_group for key, row in told.items() if row.duplicate_group}
    assert in_groups == dict.fromkeys(shreds, min(shreds))
    assert all(told[key].n_mutual >= 2 for key in shreds)


def test_identifiers_up_to_the_largest_integer_come_through_and_larger_ones_are_refused(
    engine: Engine, connection: Connection, tmp_path: Path
):
    generator = np.random.default_rng(96)
    vectors = unit_float16(generator.standard_normal((40, 8)))
    ids = np.arange(2**31 - 40, 2**31)
    sky = insert_sky(connection, vectors, np.full(40, 18, np.float32), galaxy_ids=ids)

    run_id = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path).run.run_id

    truth = brute_force(ids, sky.vectors, sky.magnitudes, k=12, width=0.5)
    found = stored_lists(connection, run_id)
    assert {key: own[0] for key, own in found.items()} == {
        key: own.tolist() for key, (own, _) in truth.items()
    }
    with pytest.raises(sa.exc.DataError, match="out of range"):
        connection.execute(
            sa.text("UPDATE galaxy SET galaxy_id = galaxy_id + 1 WHERE galaxy_id = :last"),
            {"last": 2**31 - 1},
        )


def test_a_crash_while_lists_are_written_leaves_no_shard_that_looks_finished(
    engine: Engine, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    insert_blended(connection)
    write = store_lists.write_shard

    def crash(*arguments, **options):
        write(*arguments, **options)
        raise KeyboardInterrupt  # all is written, nothing committed

    with monkeypatch.context() as patch:
        patch.setattr(store_lists, "write_shard", crash)
        with pytest.raises(KeyboardInterrupt):
            build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path)

    (run,) = store.fetch_runs(connection)
    assert (run.state, run.shards_done, run.galaxies_done) == ("building", 0, 0)
    assert connection.scalar(sa.text("SELECT count(*) FROM neighbor")) == 0
    connection.rollback()
    assert build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path).verification.is_perfect


@pytest.mark.parametrize("n", [1, 37, 100])
def test_every_galaxy_has_a_list_whatever_the_size_of_the_last_shard(
    engine: Engine, connection: Connection, tmp_path: Path, n: int
):
    generator = np.random.default_rng(97)
    vectors = unit_float16(generator.standard_normal((n, 8)))
    insert_sky(connection, vectors, np.linspace(15, 19, n, dtype=np.float32))

    report = build_neighbors(engine, settings=SETTINGS, work_folder=tmp_path, shard_galaxies=36)

    assert connection.scalar(sa.text("SELECT count(*) FROM neighbor_list")) == n
    assert report.run.n_galaxies == n
