"""Training on the catalog's cutouts and entering the encoder; lists and activation."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from skylike.embeddings import store
from skylike.embeddings.checkpoint import file_sha256, load_encoder
from skylike.embeddings.extract import embed_galaxies
from skylike.embeddings.recipe import TrainRecipe, recipe_from_dict
from skylike.embeddings.store_selection import fetch_galaxy_column, numeric_columns
from skylike.embeddings.training.register import CatalogRun, train_on_catalog
from skylike.errors import ConflictError, EmptyStageError, EncoderNotFoundError, SettingsError


@pytest.mark.usefixtures("galaxies")
def test_a_trained_encoder_is_entered_with_all_that_describes_it(
    engine: Engine, tiny_recipe: TrainRecipe, tmp_path: Path
):
    record = train_on_catalog(engine, tiny_recipe, folder=tmp_path / "encoders", name="mine")

    assert record.checkpoint == tmp_path / "encoders" / "mine.pt"
    assert record.checkpoint_sha256 == file_sha256(record.checkpoint)
    assert (record.name, record.dimension, record.input, record.is_active) == (
        "mine",
        64,
        "rgb",
        False,
    )
    assert recipe_from_dict(record.training["recipe"]) == tiny_recipe
    assert (record.training["images"], record.training["steps"]) == (40, 10)
    assert load_encoder(record.checkpoint).dimension == 64
    assert sorted(p.name for p in (tmp_path / "encoders").iterdir()) == [
        "mine.metrics.csv",
        "mine.pt",
    ]


@pytest.mark.usefixtures("galaxies")
def test_a_finished_name_is_not_trained_again(
    engine: Engine, tiny_recipe: TrainRecipe, tmp_path: Path
):
    recipe = dataclasses.replace(tiny_recipe, epochs=0.2)
    train_on_catalog(engine, recipe, folder=tmp_path)

    with pytest.raises(SettingsError, match="'tiny' is there already"):
        train_on_catalog(engine, recipe, folder=tmp_path)


def test_two_trainings_under_one_name_conflict(
    engine: Engine, tiny_recipe: TrainRecipe, tmp_path: Path
):
    with (
        store.hold_lock(engine, "encoder train", "tiny"),
        pytest.raises(ConflictError, match="encoder train"),
    ):
        train_on_catalog(engine, tiny_recipe, folder=tmp_path)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 300])
def test_a_name_that_is_no_file_name_is_refused(
    engine: Engine, tiny_recipe: TrainRecipe, tmp_path: Path, name: str
):
    with pytest.raises(SettingsError, match="file name"):
        train_on_catalog(engine, tiny_recipe, folder=tmp_path, name=name)


@pytest.mark.usefixtures("galaxies")
def test_restart_discards_an_unfinished_run(
    engine: Engine, tiny_recipe: TrainRecipe, tmp_path: Path
):
    (tmp_path / "tiny.training.pt").write_bytes(b"left by a crash")

    record = train_on_catalog(
        engine,
        dataclasses.replace(tiny_recipe, epochs=0.2),
        folder=tmp_path,
        options=CatalogRun(restart=True),
    )

    assert record.training["steps"] == 1


@pytest.mark.usefixtures("galaxies")
def test_images_uniform_in_a_column_are_chosen_by_what_the_catalog_says(
    engine: Engine, tiny_recipe: TrainRecipe, tmp_path: Path
):
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE galaxy SET mag_z = 16 + 0.1 * galaxy_id"))
        connection.execute(sa.text("UPDATE galaxy SET mag_z = NULL WHERE galaxy_id > 30"))
        connection.execute(
            sa.text("UPDATE galaxy SET mag_z = 16.3 WHERE galaxy_id BETWEEN 1 AND 15")
        )
    recipe = dataclasses.replace(tiny_recipe, epochs=1, uniform_in="mag_z", galaxies=20)

    record = train_on_catalog(engine, recipe, folder=tmp_path)

    selection = record.training["selection"]
    assert (selection["available"], selection["taken"]) == ([16, 14], [10, 10])
    assert (selection["without_galaxy"], selection["without_value"]) == (0, 10)
    assert record.training["images"] == 20


@pytest.mark.usefixtures("galaxies")
def test_a_column_comes_without_the_galaxies_that_have_no_cutout_or_no_value(engine: Engine):
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE galaxy SET z_spec = 0.01 * galaxy_id"))
        connection.execute(sa.text("UPDATE galaxy SET z_spec = NULL WHERE galaxy_id = 2"))
        connection.execute(sa.text("DELETE FROM cutout WHERE galaxy_id = 3"))
        galaxy_id, values = fetch_galaxy_column(connection, "z_spec")

    assert galaxy_id[:3].tolist() == [1, 4, 5]
    assert values == pytest.approx(0.01 * galaxy_id)
    assert len(values) == 38


def test_every_column_of_numbers_can_be_fetched(engine: Engine):
    with engine.connect() as connection:
        lengths = [len(fetch_galaxy_column(connection, name)[0]) for name in numeric_columns()]

    assert {"mag_z", "ra", "dec", "z_phot", "maskbits"} <= set(numeric_columns())
    assert lengths == [0] * len(numeric_columns())


@pytest.mark.parametrize("column", ["mag_zz", "type", "galaxy_id", "mag_z; DROP TABLE galaxy"])
def test_a_column_that_holds_no_quantity_is_refused_with_those_there_are(
    engine: Engine, tiny_recipe: TrainRecipe, tmp_path: Path, column: str
):
    recipe = dataclasses.replace(tiny_recipe, uniform_in=column, galaxies=20)

    with pytest.raises(SettingsError, match=r"no such column of numbers.*; there are ra, dec"):
        train_on_catalog(engine, recipe, folder=tmp_path)


@pytest.mark.usefixtures("galaxies")
def test_activation_moves_to_the_named_encoder(engine: Engine, enter_encoder: Callable[..., str]):
    embed_galaxies(engine, enter_encoder())
    embed_galaxies(engine, enter_encoder("other"))

    with engine.begin() as connection:
        store.activate_encoder(connection, "other")
        active = [record.name for record in store.fetch_encoders(connection) if record.is_active]

    assert active == ["other"]


def test_an_encoder_without_embeddings_is_not_activated(
    engine: Engine, enter_encoder: Callable[..., str]
):
    name = enter_encoder()

    with engine.begin() as connection, pytest.raises(EmptyStageError, match="skylike embed"):
        store.activate_encoder(connection, name)


def test_an_unknown_encoder_lists_those_there_are(
    engine: Engine, enter_encoder: Callable[..., str]
):
    enter_encoder()

    with (
        engine.connect() as connection,
        pytest.raises(EncoderNotFoundError, match="there are tiny"),
    ):
        store.fetch_encoder(connection, "nobody")


def test_no_active_encoder_names_the_way(engine: Engine):
    with (
        engine.connect() as connection,
        pytest.raises(EncoderNotFoundError, match="no encoder is active"),
    ):
        store.fetch_active_encoder(connection)
