"""The recipes beside the paper's: the released code's choices, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from skylike.embeddings.preprocess import (
    Preprocessing,
    preprocessing_from_dict,
    preprocessing_of,
    to_colors,
    to_input,
)
from skylike.embeddings.recipe import TrainRecipe, replace_fields
from skylike.embeddings.recipes import RECIPES, load_recipe
from skylike.errors import CheckpointError, SettingsError
from skylike.images.render import LEGACY_ASINH, RENDERINGS, invert_rgb, render_rgb

RELEASED = preprocessing_of(load_recipe("released"))


def released_formula(flux: np.ndarray) -> np.ndarray:
    """z, r, g channels of flux (h, w, 3) in g, r, z, written down from the published formula."""
    image = flux[:, :, ::-1].astype(np.float64)
    scales = np.array([2.2, 3.4, 6.0])
    intensity = np.maximum(0, image * scales + 0.03).mean(axis=-1)
    compressed = np.arcsinh(20 * intensity) / np.sqrt(20)
    intensity[intensity == 0] = 1e-6
    return np.clip(image * (scales + 0.03 * (compressed / intensity)[..., None]), 0, 1)


def test_released_recipe_has_the_numbers_of_its_checkpoint():
    recipe = load_recipe("released")

    assert (recipe.architecture, recipe.input, recipe.crop_pix) == ("resnet50", "rgb", 96)
    assert (recipe.queue, recipe.learning_rate, recipe.epochs) == (65_536, 0.24, 1500.0)
    assert (recipe.encoder_momentum, recipe.temperature, recipe.batch_size) == (0.996, 0.2, 256)
    assert recipe.augment.scale_axes == 1


def test_released_checkpoint_is_fed_the_rendering_that_it_was_trained_on(real_flux):
    seen = to_input(real_flux, "flux", RELEASED)

    expected = released_formula(real_flux[0].permute(1, 2, 0).numpy()[28:124, 28:124])
    np.testing.assert_allclose(seen[0].permute(1, 2, 0), expected, atol=1e-5)
    viewer = render_rgb(real_flux[:, :, 28:124, 28:124], torch)
    assert float((seen - viewer).abs().max()) > 0.05


def test_picture_is_brought_to_the_released_rendering(real_flux):
    picture = render_rgb(real_flux, torch)

    seen = to_colors(picture, "rgb", RELEASED)

    expected = render_rgb(real_flux, torch, rendering=RENDERINGS["released_asinh"])
    is_clipped = ((picture <= 0) | (picture >= 1)).any(dim=1, keepdim=True).expand_as(picture)
    torch.testing.assert_close(seen[~is_clipped], expected[~is_clipped], atol=1e-3, rtol=1e-3)
    assert float((~is_clipped).float().mean()) > 0.3


def test_released_rendering_has_no_inverse():
    with pytest.raises(SettingsError, match="released_asinh has no inverse"):
        invert_rgb(np.zeros((3, 4, 4)), rendering=RENDERINGS["released_asinh"])


@pytest.mark.parametrize("name", RECIPES)
def test_preprocessing_of_a_recipe_survives_json(name: str):
    preprocessing = preprocessing_of(load_recipe(name))

    stored = json.loads(json.dumps(dataclasses.asdict(preprocessing)))

    assert preprocessing_from_dict(stored) == preprocessing


def test_preprocessing_stored_before_there_was_a_choice_is_the_viewers():
    stored = dataclasses.asdict(Preprocessing(input="rgb"))
    rendering = {"name": "legacy_asinh", "scale_g": 6.0, "scale_r": 3.4, "scale_z": 2.2}

    found = preprocessing_from_dict({**stored, "rendering": {**rendering, "m": 0.03, "q": 20.0}})

    assert found.rendering == LEGACY_ASINH


def test_unknown_rendering_is_refused_by_name():
    stored = dataclasses.asdict(Preprocessing(input="rgb"))

    with pytest.raises(CheckpointError, match="'sepia' is unknown"):
        preprocessing_from_dict({**stored, "rendering": {"name": "sepia"}})


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("distribution", "normal", "augment.distribution 'normal' is not one of"),
        ("own_values", "guessed", "augment.own_values 'guessed' is not one of"),
        ("scale_axes", 3, "augment.scale_axes 3 is not one of 1, 2"),
        ("color_drop", 1.5, "augment.color_drop must be in 0..1"),
        ("foreground", -0.1, "augment.foreground must be in 0..1"),
        ("foreground_min_pix", 60.0, "foreground_min_pix must be above 0 and at most"),
        ("foreground_mag_max", 12.0, "foreground_mag_min must be in 5..30"),
        ("blur_max_pix", -1.0, "augment.blur_max_pix must be in 0..10"),
        ("jitter_pix", -1.0, "augment.jitter_pix must be in 0..76"),
        ("color", -0.2, "augment.color and augment.brightness"),
    ],
)
def test_wrong_augmentations_are_refused_with_the_reason(field: str, value: object, error: str):
    with pytest.raises(SettingsError, match=error):
        replace_fields(TrainRecipe(), {"augment": {field: value}})


def test_whole_jitter_needs_a_whole_number():
    with pytest.raises(SettingsError, match="integer_jitter needs a whole jitter_pix"):
        replace_fields(TrainRecipe(), {"augment": {"integer_jitter": True, "jitter_pix": 2.5}})


def test_recipe_stored_before_there_were_these_fields_means_the_same():
    old = {"extinction": True, "scale_min": 0.9, "jitter_pix": 7.0}

    assert replace_fields(TrainRecipe(), {"augment": old}) == TrainRecipe()
