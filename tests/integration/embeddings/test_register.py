"""Training on the catalog's cutouts and entering the encoder; lists and activation."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from skylike.embeddings import store
from skylike.embeddings.checkpoint import file_sha256, load_encoder
from skylike.embeddings.extract import embed_galaxies
from skylike.embeddings.recipe import TrainRecipe, recipe_from_dict
from skylike.embeddings.training.register import train_on_catalog
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
        engine, dataclasses.replace(tiny_recipe, epochs=0.2), folder=tmp_path, restart=True
    )

    assert record.training["steps"] == 1


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
