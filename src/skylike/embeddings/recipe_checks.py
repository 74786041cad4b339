"""What a recipe must fulfil, checked when it is made."""

import dataclasses
import math
import operator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from skylike.embeddings.resnet import ARCHITECTURES, Stem
from skylike.errors import SettingsError

if TYPE_CHECKING:  # a recipe checks itself
    from skylike.embeddings.augmentation.recipe import AugmentRecipe
    from skylike.embeddings.recipe import TrainRecipe


def check_recipe(recipe: "TrainRecipe") -> None:
    """Refuse what cannot work.

    Raises
    ------
    SettingsError
        A value is out of range, with the name of its field.
    """
    _check_choices(recipe)
    _check_finite(recipe)
    broken = (
        _broken_rules(recipe)
        + _broken_objective_rules(recipe)
        + _broken_view_rules(recipe)
        + _broken_foreground_rules(recipe.augment)
    )
    if broken:
        raise SettingsError(
            f"recipe {recipe.name!r}: {broken[0]}; run `skylike encoder train --help`"
        )


def _check_choices(recipe: "TrainRecipe") -> None:
    choices: dict[str, tuple[str | int, ...]] = {
        "architecture": ARCHITECTURES,
        "stem": get_args(Stem),
        "input": ("flux", "rgb"),
        "optimizer": ("sgd", "adamw"),
        "objective": ("moco", "in_batch", "dino"),
        "precision": ("float32", "bf16"),
        "bin_pix": (1, 2, 4),
        "rendering": ("legacy_asinh", "released_asinh"),
        "augment.distribution": ("log_normal", "uniform"),
        "augment.own_values": ("known", "drawn"),
        "augment.scale_axes": (1, 2),
    }
    for name, allowed in choices.items():
        value = operator.attrgetter(name)(recipe)
        if value not in allowed:
            raise SettingsError(
                f"recipe {recipe.name!r}: {name} {value!r} is not one of "
                f"{', '.join(map(str, allowed))}"
            )


def _check_finite(recipe: "TrainRecipe") -> None:
    for part, prefix in ((recipe, ""), (recipe.augment, "augment.")):
        for f in dataclasses.fields(part):
            value = getattr(part, f.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise SettingsError(
                    f"recipe {recipe.name!r}: {prefix}{f.name} {value} is not a finite number"
                )


def _broken(rules: dict[str, bool]) -> list[str]:
    return [rule for rule, is_broken in rules.items() if is_broken]


def _broken_rules(r: "TrainRecipe") -> list[str]:
    return _broken(
        {
            "momentum must be in [0, 1)": not 0 <= r.momentum < 1,
            "weight_decay must not be negative": r.weight_decay < 0,
            "warmup_epochs must not be negative": r.warmup_epochs < 0,
            "name must not be empty or hold a path": not r.name or Path(r.name).name != r.name,
            "width must be above 0 and at most 4": not 0 < r.width <= 4,
            "batch_size must be at least 2": r.batch_size < 2,
            "epochs must be above 0": not r.epochs > 0,
            "learning_rate must be above 0": not r.learning_rate > 0,
            "batch_size must be a multiple of normalization_groups, with two images in each "
            "group": (
                r.normalization_groups < 1
                or r.batch_size % r.normalization_groups != 0
                or r.batch_size // r.normalization_groups < 2
            ),
            "galaxies must not be negative": r.galaxies < 0,
            f"uniform_in {r.uniform_in!r} needs galaxies, the number of images to take evenly over "
            "that column (--galaxies N)": bool(r.uniform_in) and r.galaxies == 0,
            "seed must be in 0..2^31": not 0 <= r.seed < 2**31,
        }
    )


def _broken_objective_rules(r: "TrainRecipe") -> list[str]:
    return _broken(
        {
            "projection_hidden and projection_dimension must be above 0": (
                r.projection_hidden < 1 or r.projection_dimension < 1
            ),
            "readout must be 0 or in 2..4000": r.readout != 0 and not 2 <= r.readout <= 4000,
            "readout_pooled must not be negative": r.readout_pooled < 0,
            "readout_shrinkage must be above 0": not r.readout_shrinkage > 0,
            "projection_layers must be in 1..8": not 1 <= r.projection_layers <= 8,
            "temperature must be above 0": not r.temperature > 0,
            "teacher_temperature must be above 0": not r.teacher_temperature > 0,
            "encoder_momentum must be in [0, 1)": not 0 <= r.encoder_momentum < 1,
            "encoder_momentum_final must be 0, or in encoder_momentum..1": (
                r.encoder_momentum_final != 0
                and not r.encoder_momentum <= r.encoder_momentum_final <= 1
            ),
            "center_momentum must be in [0, 1)": not 0 <= r.center_momentum < 1,
            "prototypes must be at least 2": r.prototypes < 2,
            "queue must be a positive multiple of batch_size": (
                r.queue < 1 or (r.objective == "moco" and r.queue % r.batch_size != 0)
            ),
        }
    )


def _broken_view_rules(r: "TrainRecipe") -> list[str]:
    return _broken(
        {
            "crop_pix must be in 32..152 and a multiple of 2 * bin_pix": (
                not 32 <= r.crop_pix <= 152 or r.crop_pix % (2 * r.bin_pix) != 0
            ),
            "augment.aperture_min_pix must be at most aperture_max_pix, and both 0 or above 0": (
                not 0 <= r.augment.aperture_min_pix <= r.augment.aperture_max_pix
                or (r.augment.aperture_min_pix == 0) != (r.augment.aperture_max_pix == 0)
            ),
            "augment.scale_min must be above 0 and at most scale_max": (
                not 0 < r.augment.scale_min <= r.augment.scale_max
            ),
            "augment.jitter_pix must be in 0..76": not 0 <= r.augment.jitter_pix <= 76,
            "augment.integer_jitter needs a whole jitter_pix": (
                r.augment.integer_jitter and not r.augment.jitter_pix.is_integer()
            ),
            "augment.blur_max_pix must be in 0..10": not 0 <= r.augment.blur_max_pix <= 10,
            "augment.color and augment.brightness must be in 0..5": (
                not 0 <= r.augment.color <= 5 or not 0 <= r.augment.brightness <= 5
            ),
            "augment.color_drop must be in 0..1": not 0 <= r.augment.color_drop <= 1,
        }
    )


def _broken_foreground_rules(augment: "AugmentRecipe") -> list[str]:
    return _broken(
        {
            "augment.foreground must be in 0..1": not 0 <= augment.foreground <= 1,
            "augment.foreground_min_pix must be above 0 and at most foreground_max_pix": (
                not 0 < augment.foreground_min_pix <= augment.foreground_max_pix
            ),
            "augment.foreground_mag_min must be in 5..30 and at most foreground_mag_max": (
                not 5 <= augment.foreground_mag_min <= augment.foreground_mag_max <= 30
            ),
        }
    )
