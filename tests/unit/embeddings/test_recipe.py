"""Recipes: named ones, files, overrides, and what is refused."""

import json
from pathlib import Path

import pytest

from skylike.embeddings.recipe import TrainRecipe, recipe_from_dict, recipe_to_dict
from skylike.embeddings.recipes import RECIPES, load_recipe
from skylike.errors import SettingsError


def test_paper_recipe_has_the_papers_numbers():
    recipe = load_recipe("paper")

    assert (recipe.architecture, recipe.width, recipe.input) == ("resnet50", 1.0, "flux")
    assert (recipe.queue, recipe.crop_pix, recipe.augment.jitter_pix) == (262_144, 96, 7.0)
    assert (recipe.augment.scale_min, recipe.augment.scale_max) == (0.9, 1.1)
    assert (recipe.learning_rate, recipe.encoder_momentum, recipe.temperature) == (0.03, 0.996, 0.2)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name: str):
    recipe = load_recipe(name)

    assert recipe.name == name
    assert recipe_from_dict(json.loads(json.dumps(recipe_to_dict(recipe)))) == recipe


def test_overrides_replace_and_none_leaves():
    recipe = load_recipe("paper", epochs=3, seed=None)

    assert recipe.epochs == 3.0
    assert recipe.seed == TrainRecipe.seed


def test_a_file_starts_from_its_base_and_takes_its_own_name(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "small"\nepochs = 2\n[augment]\ncolor = 0.3\n')

    recipe = load_recipe(str(path))

    assert (recipe.name, recipe.epochs, recipe.augment.color) == ("mine", 2.0, 0.3)
    assert recipe.architecture == RECIPES["small"].architecture


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("epoch = 3", "key epoch is unknown"),
        ("[augment]\njitter = 3", "key augment.jitter is unknown"),
        ("epochs = 'many'", "'many' is not of type float"),
        ("epochs = true", "True is not of type float"),
        ("queue = 100", "queue must be a positive multiple"),
        ("epochs = inf", "epochs inf is not a finite number"),
        ("[augment]\njitter_pix = nan", "augment.jitter_pix nan is not a finite number"),
        ("weight_decay = -1.0", "weight_decay must not be negative"),
        ("projection_dimension = 0", "projection_dimension must be above 0"),
        ("base = ['small']", "base .'small'. is unknown"),
        ("base = 'nobody'", "base 'nobody' is unknown"),
        ("architecture = 'vgg'", "architecture 'vgg' is not one of"),
        ("epochs = ", "not TOML"),
        ("normalization_groups = 200", "normalization_groups"),
        ("augment = 3", "augment"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path: Path, text: str, error: str):
    path = tmp_path / "wrong.toml"
    path.write_text(text)

    with pytest.raises(SettingsError, match=error):
        load_recipe(str(path))


def test_an_unknown_name_lists_the_recipes():
    with pytest.raises(SettingsError, match="paper, default, small"):
        load_recipe("nobody")
