"""Encoder files and what they make of images."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from cutout_factory import draw_cutouts
from skylike.embeddings.checkpoint import (
    ENCODER_FORMAT,
    load_encoder,
    load_whole,
    save_encoder,
    save_whole,
)
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import Preprocessing
from skylike.embeddings.recipe import TrainRecipe
from skylike.errors import CheckpointError, SettingsError
from skylike.images.render import render_rgb


@pytest.fixture
def encoder_file(tiny_recipe: TrainRecipe, tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "e.pt", tiny_recipe)


def write_encoder(path: Path, recipe: TrainRecipe) -> Path:
    torch.manual_seed(0)
    preprocessing = Preprocessing(
        input=recipe.input, bin_pix=4, mean=(0.1, 0.2, 0.3), scale=(0.2, 0.2, 0.2)
    )
    save_encoder(path, build_network(recipe), recipe, preprocessing, {"images": 3})
    return path


def test_embeddings_are_unit_rows_of_the_encoders_dimension(encoder_file: Path):
    encoder = load_encoder(encoder_file)

    rows = encoder.embed(draw_cutouts(5)[0], "flux")

    assert (rows.shape, rows.dtype, encoder.dimension, encoder.input) == (
        (5, 64),
        np.float32,
        64,
        "rgb",
    )
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)


def test_embedding_does_not_depend_on_the_batch(encoder_file: Path):
    encoder = load_encoder(encoder_file)
    pixels = draw_cutouts(6)[0]

    together = encoder.embed(pixels, "flux")
    alone = np.concatenate([encoder.embed(image, "flux") for image in pixels])

    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_picture_is_embedded_like_the_fluxes_it_was_rendered_from(encoder_file: Path):
    encoder = load_encoder(encoder_file)
    flux = draw_cutouts(8, seed=2)[0]
    picture = np.rint(render_rgb(flux) * 255).astype(np.uint8)

    similarity = (encoder.embed(flux, "flux") * encoder.embed(picture, "rgb")).sum(axis=1)

    assert similarity.min() > 0.98


def test_an_encoder_of_flux_refuses_pictures_unless_told_to_invert(
    tiny_recipe: TrainRecipe, tmp_path: Path
):
    encoder = load_encoder(
        write_encoder(tmp_path / "f.pt", dataclasses.replace(tiny_recipe, input="flux"))
    )
    picture = np.full((1, 3, 152, 152), 90, dtype=np.uint8)

    with pytest.raises(SettingsError, match="--invert-pictures"):
        encoder.embed(picture, "rgb")

    assert encoder.embed(picture, "rgb", invert_pictures=True).shape == (1, 64)


def test_an_image_that_shows_nothing_gives_a_row_of_zeros(encoder_file: Path):
    pixels = draw_cutouts(2)[0]
    pixels[1] = np.nan

    rows = load_encoder(encoder_file).embed(pixels, "flux")

    assert rows[0].any()
    assert not rows[1].any()


def test_a_smaller_flux_image_is_padded_as_not_observed(encoder_file: Path):
    encoder = load_encoder(encoder_file)
    pixels = draw_cutouts(1)[0]
    cut = np.full_like(pixels, np.nan)
    cut[:, :, 26:126, 26:126] = pixels[:, :, 26:126, 26:126]

    small = encoder.embed(pixels[:, :, 26:126, 26:126], "flux")

    np.testing.assert_allclose(small, encoder.embed(cut, "flux"), atol=1e-6)


def test_a_wrong_number_of_planes_is_refused(encoder_file: Path):
    with pytest.raises(SettingsError, match="expected flux or rgb"):
        load_encoder(encoder_file).embed(np.zeros((1, 2, 152, 152), dtype=np.float32), "flux")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"gone\.pt: the checkpoint is missing"):
        load_encoder(tmp_path / "gone.pt")


@pytest.mark.parametrize("damage", ["truncated", "text", "pickle"])
def test_a_file_that_is_no_checkpoint_is_refused(encoder_file: Path, damage: str):
    import pickle

    contents = {
        "truncated": encoder_file.read_bytes()[:-2000],
        "text": b"not a network",
        "pickle": pickle.dumps(print),
    }[damage]
    encoder_file.write_bytes(contents)

    with pytest.raises(CheckpointError, match=r"e\.pt: not a readable checkpoint"):
        load_encoder(encoder_file)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path):
    save_whole({"format": "something"}, tmp_path / "x.pt")

    with pytest.raises(CheckpointError, match="'something'"):
        load_encoder(tmp_path / "x.pt")


def test_weights_of_another_network_are_refused(encoder_file: Path):
    contents = load_whole(encoder_file, format=ENCODER_FORMAT)
    del contents["weights"]["conv1.weight"]
    save_whole(contents, encoder_file)

    with pytest.raises(CheckpointError, match="do not fit"):
        load_encoder(encoder_file)
