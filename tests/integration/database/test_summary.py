import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from skylike.database.comments import ColumnMeaning, read_meanings
from skylike.database.migrate import drop_tables, head_revision
from skylike.database.summary import fetch_summary


def test_summary_when_the_database_is_empty_then_counts_nothing(connection: Connection):
    summary = fetch_summary(connection)

    assert summary.revision == summary.needed_revision == head_revision()
    assert summary.versions.startswith("PostgreSQL ")
    assert {table.name: table.rows for table in summary.tables} == {
        "galaxy": 0,
        "cutout": 0,
        "embedding": 0,
        "neighbor_list": 0,
    }
    assert summary.encoders == ()
    assert summary.active_encoder is None
    assert summary.published_run is None


def test_summary_when_stages_have_run_then_tells_how_far(connection: Connection):
    for statement in (
        "INSERT INTO survey (survey_id, name) VALUES (1, 'test')",
        'INSERT INTO galaxy (galaxy_id, survey_id, object_id, ra, "dec", healpix29)'
        " SELECT i, 1, i, i, 0, i FROM generate_series(1, 3) AS i",
        "INSERT INTO encoder (encoder_id, name, architecture, width, dimension, input, bands,"
        " pixel_scale,"
        " crop_pix, preprocessing, training, checkpoint, checkpoint_sha256, is_active) SELECT i,"
        " 'small-' || i, 'resnet18', 0.25, 2, 'rgb', '{g,r,z}', 0.262, 96, '{}', '{}', 'x', 'x',"
        " i = 2 FROM generate_series(1, 2) AS i",
        "CREATE TABLE embedding_2 PARTITION OF embedding FOR VALUES IN (2)",
        "INSERT INTO embedding (encoder_id, galaxy_id, embedding, cutout_id)"
        " VALUES (2, 1, '[1,0]', 1)",
        "INSERT INTO neighbor_run (encoder_id, k, band, width, state, n_galaxies, software)"
        " VALUES (2, 999, 'r', 0.5, 'published', 3, '{}')",
    ):
        connection.execute(sa.text(statement))

    summary = fetch_summary(connection)

    sizes = {table.name: table for table in summary.tables}
    assert sizes["galaxy"].rows == 3
    assert sizes["galaxy"].size_bytes > 0
    assert sizes["embedding"].rows == 1
    assert sizes["embedding"].size_bytes > 0
    assert not any(table.is_estimate for table in summary.tables)
    assert summary.encoders == ("small-1", "small-2")
    assert summary.active_encoder == "small-2"
    assert summary.published_run is not None
    assert "999 neighbors each of 3 galaxies, within 0.5 mag in r" in summary.published_run


def test_summary_when_there_are_no_tables_then_says_so(engine: Engine):
    drop_tables(engine)

    with engine.connect() as connection:
        summary = fetch_summary(connection)

    assert summary.revision is None
    assert summary.tables == ()
    assert summary.size_bytes > 0


def test_meanings_when_read_from_a_table_and_a_view_then_have_units(connection: Connection):
    galaxy = read_meanings(connection, "galaxy")

    assert galaxy["ra"] == ColumnMeaning("Right ascension, ICRS", "deg", "pos.eq.ra;meta.main")
    assert galaxy["galaxy_id"].unit is None
    assert list(galaxy)[:5] == ["galaxy_id", "survey_id", "object_id", "ra", "dec"]
    assert list(read_meanings(connection, "skylike.neighbor")) == [
        "galaxy_id",
        "rank",
        "neighbor_id",
        "similarity",
    ]
    assert read_meanings(connection, "no_such_table") == {}
