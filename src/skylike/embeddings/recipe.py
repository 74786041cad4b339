"""How an encoder is trained, as data: every choice is a field, checked when it is made."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from skylike.bands import CROP_SIZE_PIX
from skylike.embeddings.resnet import ARCHITECTURES, Stem
from skylike.errors import SettingsError

InputKind = Literal["flux", "rgb"]
"""What a network sees: nanomaggies in g, r, z, or the colors of the Legacy viewer."""


@dataclass(frozen=True)
class AugmentRecipe:
    """What two views of a galaxy may differ in (paper order; gains go with the extinction).

    The constants of the distributions are in :mod:`skylike.embeddings.augmentation`. A picture
    (rgb cutout) has no flux: its reddening becomes a change of color at equal brightness, and its
    noise is scaled by the slope that the asinh rendering has at each pixel.
    """

    extinction: bool = True
    """Remove the object's own Galactic extinction and add that of a drawn E(B-V) (paper)."""

    rotation: bool = True
    """Flip each axis with probability 1/2, rotate by U(0, 360) degrees (paper)."""

    scale_min: float = 0.9
    """Smallest factor of the size (paper)."""

    scale_max: float = 1.1
    """Largest factor of the size (paper)."""

    psf_blur: bool = True
    """Blur each band to a drawn PSF, where that is wider than the object's own (paper)."""

    jitter_pix: float = 7.0
    """Shift of the center, uniform in +-this on each axis, in pixels of 0.262 arcsec (paper)."""

    aperture_min_pix: float = 0.0
    """Smallest radius of a circle around the center outside of which a view fades into the sky, in
    pixels of 0.262 arcsec, drawn evenly in the logarithm for each view; 0 is none (paper: none).
    Section 3 of the paper names foreground and background objects that draw similarity away: what
    lies far out differs between two views, so that the network cannot tell galaxies by their
    surroundings."""

    aperture_max_pix: float = 0.0
    """Largest radius of that circle."""

    noise: bool = True
    """Add Gaussian noise to each band up to a drawn level, where that is above the object's own
    (paper)."""

    color: float = 0.0
    """Natural log of the largest gain on each band, drawn uniformly; 0 is none (paper: none).
    Section 3 of the paper suggests stronger augmentations to steer what similarity means: this one
    takes weight off color."""

    brightness: float = 0.0
    """Natural log of the largest gain on all bands together, drawn uniformly; 0 is none (paper:
    none)."""


@dataclass(frozen=True)
class TrainRecipe:
    """All that decides a training run, apart from the images.

    Defaults are those of the recipe ``paper``. "paper" is Stein et al. 2021, section 2; "inferred"
    is what the paper leaves to Hayat et al. 2021 and is taken from the arguments of the released
    ``train_ssl.py``; "ours" is chosen here.
    """

    name: str = "paper"
    """Name of the recipe, and of the encoder unless another is given."""

    architecture: str = "resnet50"
    """Network (paper)."""

    width: float = 1.0
    """Factor on its channels (paper: the published network)."""

    stem: Stem = "standard"
    """First layers of the network; ``standard`` is the published one (inferred)."""

    input: InputKind = "flux"
    """What the network sees (paper: its list of steps has no RGB rendering)."""

    crop_pix: int = CROP_SIZE_PIX
    """Side of the crop that the network sees, in pixels of 0.262 arcsec (paper)."""

    bin_pix: int = 1
    """Pixels are averaged in squares of this side first (paper: none); 2 is four times faster."""

    batch_size: int = 256
    """Galaxies in a step (inferred)."""

    epochs: float = 20.0
    """Passes over the images. 8 hours on 8 V100 (paper) is the only figure given; 20 is ours."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD (inferred)."""

    learning_rate: float = 0.03
    """Before the schedule (inferred: the default of the released code)."""

    momentum: float = 0.9
    """Of SGD (inferred)."""

    weight_decay: float = 1e-4
    """Of SGD or AdamW (inferred)."""

    warmup_epochs: float = 0.0
    """Linear rise of the learning rate, before its half cosine down to zero (inferred: none). The
    cosine is stepped with every batch; the released code steps it once an epoch."""

    queue: int = 262_144
    """K, the number of negative keys (paper); a multiple of the batch."""

    encoder_momentum: float = 0.996
    """Of the key encoder's moving average (inferred)."""

    temperature: float = 0.2
    """tau of the contrastive loss (inferred; also MoCo v2's own, Chen et al. 2020)."""

    projection_hidden: int = 2048
    """Hidden units of the projection head (inferred)."""

    projection_dimension: int = 128
    """Length of the projected vectors (paper, section 3)."""

    normalization_groups: int = 8
    """Groups of a batch that have batch statistics of their own: the paper's 8 GPUs, on one
    device."""

    galaxies: int = 0
    """Use at most this many images, drawn by the seed; 0 uses all (paper: 3.5 million)."""

    seed: int = 13_579
    """Of weights, order, augmentations, queue (inferred)."""

    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    """The augmentations (paper: the six, at full strength)."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises
        ------
        SettingsError
            A value is out of range, with the name of its field.
        """
        _check_choices(self)
        _check_ranges(self)


def _check_choices(recipe: TrainRecipe) -> None:
    choices: dict[str, tuple[str | int, ...]] = {
        "architecture": ARCHITECTURES,
        "stem": get_args(Stem),
        "input": ("flux", "rgb"),
        "optimizer": ("sgd", "adamw"),
        "bin_pix": (1, 2, 4),
    }
    for name, allowed in choices.items():
        value = getattr(recipe, name)
        if value not in allowed:
            raise SettingsError(
                f"recipe {recipe.name!r}: {name} {value!r} is not one of "
                f"{', '.join(map(str, allowed))}"
            )


def _check_ranges(recipe: TrainRecipe) -> None:
    r = recipe
    _check_finite(recipe)
    wrong = {
        "momentum must be in [0, 1)": not 0 <= r.momentum < 1,
        "weight_decay must not be negative": r.weight_decay < 0,
        "warmup_epochs must not be negative": r.warmup_epochs < 0,
        "projection_hidden and projection_dimension must be above 0": (
            r.projection_hidden < 1 or r.projection_dimension < 1
        ),
        "name must not be empty or hold a path": not r.name or Path(r.name).name != r.name,
        "width must be above 0 and at most 4": not 0 < r.width <= 4,
        "batch_size must be at least 2": r.batch_size < 2,
        "epochs must be above 0": not r.epochs > 0,
        "learning_rate must be above 0": not r.learning_rate > 0,
        "temperature must be above 0": not r.temperature > 0,
        "encoder_momentum must be in [0, 1)": not 0 <= r.encoder_momentum < 1,
        "queue must be a positive multiple of batch_size": r.queue < 1
        or r.queue % r.batch_size != 0,
        "batch_size must be a multiple of normalization_groups, with two images in each group": (
            r.normalization_groups < 1
            or r.batch_size % r.normalization_groups != 0
            or r.batch_size // r.normalization_groups < 2
        ),
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
        "galaxies must not be negative": r.galaxies < 0,
        "seed must be in 0..2^31": not 0 <= r.seed < 2**31,
    }
    for rule, is_broken in wrong.items():
        if is_broken:
            raise SettingsError(f"recipe {r.name!r}: {rule}; run `skylike encoder train --help`")


def _check_finite(recipe: TrainRecipe) -> None:
    for part, prefix in ((recipe, ""), (recipe.augment, "augment.")):
        for f in dataclasses.fields(part):
            value = getattr(part, f.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise SettingsError(
                    f"recipe {recipe.name!r}: {prefix}{f.name} {value} is not a finite number"
                )


def recipe_to_dict(recipe: TrainRecipe) -> dict[str, object]:
    """Return a recipe as plain values, for JSON; :func:`recipe_from_dict` reads it back."""
    return dataclasses.asdict(recipe)


def recipe_from_dict(values: Mapping[str, object]) -> TrainRecipe:
    """Make a recipe of plain values; what is missing has the value of ``paper``.

    Raises
    ------
    SettingsError
        An unknown key, or a value of the wrong type or range.
    """
    return replace_fields(TrainRecipe(), values)


def replace_fields(recipe: TrainRecipe, values: Mapping[str, object]) -> TrainRecipe:
    """Return a recipe with some fields replaced and all checked.

    Raises
    ------
    SettingsError
        An unknown key, or a value of the wrong type or range.
    """
    checked = dict(values)
    if isinstance(augment := checked.get("augment"), Mapping):
        changes = _typed(AugmentRecipe, "augment.", augment)
        checked["augment"] = dataclasses.replace(recipe.augment, **changes)
    return dataclasses.replace(recipe, **_typed(TrainRecipe, "", checked))


def _typed(kind: type, prefix: str, values: Mapping[str, object]) -> dict[str, Any]:
    fields = {f.name: f.default for f in dataclasses.fields(kind)}
    result: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise SettingsError(
                f"recipe key {prefix}{key} is unknown; use one of {', '.join(fields)}"
            )
        # Every field has a default, whose type is its own (a nested recipe's is a factory).
        wanted: type[Any] = AugmentRecipe if key == "augment" else type(fields[key])
        is_integer_for_float = wanted is float and type(value) is int
        if type(value) is not wanted and not is_integer_for_float:
            raise SettingsError(
                f"recipe key {prefix}{key}: {value!r} is not of type {wanted.__name__}"
            )
        result[key] = wanted(value) if is_integer_for_float else value
    return result
