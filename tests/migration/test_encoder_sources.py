"""Encoders that were there stay what they were; what an older version cannot use goes with it."""

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from search_factory import fill, random_units, scattered_sky
from skylike.database import migrate
from skylike.embeddings import store

NETWORK = (
    "architecture, width, input, bands, pixel_scale, crop_pix, preprocessing, checkpoint,"
    " checkpoint_sha256"
)


def enter(connection: Connection, name: str, *, source: str, **values: str) -> int:
    """Enter an encoder by hand; a value is an SQL expression."""
    columns = {"name": f"'{name}'", "dimension": "8", "source": f"'{source}'", **values}
    if source != "embeddings":
        network = ("'resnet18'", "1", "'rgb'", "'{g,r,z}'", "0.262", "96", "'{}'", "'f'", "'0'")
        columns |= dict(zip(NETWORK.split(", "), network, strict=True))
    return connection.execute(
        sa.text(
            f"INSERT INTO encoder ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"
            " RETURNING encoder_id"
        )
    ).scalar_one()


def test_encoders_that_were_there_before_are_trained_ones_of_features(engine: Engine):
    fill(engine, scattered_sky(random_units(20, 8)))

    migrate.downgrade(engine, "0012")
    migrate.upgrade(engine)

    with engine.connect() as connection:
        (record,) = store.fetch_encoders(connection)
    assert (record.source, record.layer, record.origin) == ("trained", "features", None)
    assert record.n_embedded == 20


@pytest.mark.parametrize(
    ("source", "values", "constraint"),
    [
        ("embeddings", {"architecture": "'resnet18'"}, "encoder_network_check"),
        ("trained", {}, "encoder_training_check"),
        ("imported", {}, "encoder_origin_check"),
        ("found", {"training": "'{}'", "origin": "'{}'"}, "encoder_source_check"),
        (
            "trained",
            {"training": "'{}'", "layer": "'middle'"},
            "encoder_layer_check",
        ),
    ],
)
def test_encoder_when_its_columns_contradict_its_source_then_is_refused(
    connection: Connection, source: str, values: dict[str, str], constraint: str
):
    with pytest.raises(sa.exc.IntegrityError, match=constraint):
        enter(connection, "wrong", source=source, **values)


def test_network_when_one_of_its_columns_is_missing_then_is_refused(connection: Connection):
    encoder_id = enter(connection, "mine", source="trained", training="'{}'")

    with pytest.raises(sa.exc.IntegrityError, match="encoder_network_check"):
        connection.execute(
            sa.text("UPDATE encoder SET checkpoint_sha256 = NULL WHERE encoder_id = :id"),
            {"id": encoder_id},
        )


def test_encoders_that_an_older_version_cannot_use_go_with_all_that_is_theirs(engine: Engine):
    fill(engine, scattered_sky(random_units(20, 8)))
    with engine.begin() as connection:
        (kept,) = store.fetch_encoders(connection)
        theirs = [
            enter(connection, "astroclip", source="embeddings", origin="'{}'"),
            enter(
                connection,
                "x-projection",
                source="imported",
                origin="'{}'",
                layer="'projection'",
            ),
        ]
        unknown_training = enter(connection, "imagenet", source="imported", origin="'{}'")
        for encoder_id in theirs:
            connection.execute(
                sa.text(
                    f"CREATE TABLE embedding_e{encoder_id} PARTITION OF embedding"
                    f" FOR VALUES IN ({encoder_id});"
                    f"CREATE TABLE compact_staging_e{encoder_id} (galaxy_id integer);"
                    f"INSERT INTO embedding (encoder_id, galaxy_id, embedding)"
                    f" VALUES ({encoder_id}, 1, '[1,0]');"
                    "INSERT INTO neighbor_run (encoder_id, k, state, software)"
                    f" VALUES ({encoder_id}, 5, 'building', '{{}}');"
                )
            )
        run_id = connection.execute(sa.text("SELECT max(run_id) FROM neighbor_run")).scalar_one()
        connection.execute(sa.text(f"CREATE TABLE neighbor_list_r{run_id} (galaxy_id integer)"))
        vectors = connection.scalar(sa.text("SELECT count(*) FROM embedding"))

    migrate.downgrade(engine, "0012")

    with engine.connect() as connection:
        left = connection.execute(
            sa.text("SELECT encoder_id, training::text FROM encoder ORDER BY encoder_id")
        ).all()
        tables = connection.scalars(
            sa.text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'skylike'::regnamespace"
                " AND relkind = 'r' AND relname ~ :of_theirs"
            ),
            {"of_theirs": f"_e({'|'.join(map(str, theirs))})$|_r{run_id}$"},
        ).all()
        vectors_left = connection.scalar(sa.text("SELECT count(*) FROM embedding"))
    assert [row.encoder_id for row in left] == [kept.encoder_id, unknown_training]
    assert left[1].training == "{}"
    assert tables == []
    assert np.subtract(vectors, vectors_left) == 2
