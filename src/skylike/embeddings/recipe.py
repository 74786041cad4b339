"""How an encoder is trained, as data: every choice is a field, checked when it is made."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from skylike.bands import CROP_SIZE_PIX
from skylike.embeddings.augmentation.recipe import AugmentRecipe
from skylike.embeddings.recipe_checks import check_recipe
from skylike.embeddings.resnet import Stem
from skylike.errors import SettingsError

Precision = Literal["float32", "bf16"]
"""What the networks of a training run compute in."""

InputKind = Literal["flux", "rgb"]
"""What a network sees: nanomaggies in g, r, z, or the colors of the Legacy viewer."""

RenderingName = Literal["legacy_asinh", "released_asinh"]
"""Keys of :data:`skylike.images.render.RENDERINGS`."""


ObjectiveName = Literal["moco", "in_batch", "dino"]
"""Keys of :data:`skylike.embeddings.training.objectives.OBJECTIVES`."""


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

    rendering: RenderingName = "legacy_asinh"
    """How flux becomes color where ``input`` is ``rgb``: the formula of the Legacy viewer, or that
    of the released code, which differs from it by mistake."""

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

    decay_only_weights: bool = False
    """Spare biases and batch normalization the weight decay, as Chen et al. 2020 (SimCLR) and Caron
    et al. 2021 do (inferred: no)."""

    learning_rate: float = 0.03
    """Before the schedule (inferred: the default of the released code)."""

    momentum: float = 0.9
    """Of SGD (inferred)."""

    weight_decay: float = 1e-4
    """Of SGD or AdamW (inferred)."""

    warmup_epochs: float = 0.0
    """Linear rise of the learning rate, before its half cosine down to zero (inferred: none). The
    cosine is stepped with every batch; the released code steps it once an epoch."""

    objective: ObjectiveName = "moco"
    """What the network is trained to do with the views of a galaxy: momentum contrast with a queue
    (paper), ``in_batch`` contrast, or ``dino``, self-distillation without negatives."""

    queue: int = 262_144
    """K, the number of negative keys of ``moco`` (paper); a multiple of the batch."""

    encoder_momentum: float = 0.996
    """Of the moving average that is the key encoder of ``moco`` or the teacher of ``dino``
    (inferred)."""

    encoder_momentum_final: float = 0.0
    """What that momentum rises to by half a cosine over the run; 0 keeps it constant (inferred).
    Caron et al. 2021 end at 1."""

    temperature: float = 0.2
    """tau of the contrastive loss (inferred; also MoCo v2's own, Chen et al. 2020), or of the
    student of ``dino`` (there 0.1)."""

    decoupled: bool = False
    """Leave the positive pair out of the denominator of ``in_batch`` (Yeh et al. 2022): small
    batches learn faster (paper: it has no such loss)."""

    prototypes: int = 4096
    """Outputs that student and teacher of ``dino`` agree on. Ours; Caron et al. 2021 use 65,536 for
    the million images of ImageNet."""

    teacher_temperature: float = 0.04
    """Of the teacher of ``dino``: lower than the student's, which sharpens (Caron et al. 2021)."""

    center_momentum: float = 0.9
    """Of the mean of the teacher's outputs that ``dino`` subtracts (Caron et al. 2021)."""

    projection_layers: int = 2
    """Linear layers of the projection head (inferred; 3 in ``dino`` as published)."""

    projection_normalized: bool = False
    """Batch normalization after each hidden layer of the head (inferred: none)."""

    projection_hidden: int = 2048
    """Hidden units of the projection head (inferred)."""

    projection_dimension: int = 128
    """Length of the projected vectors (paper, section 3)."""

    readout: int = 0
    """Length of the features of a network with a polar branch, which a linear readout, fitted at
    the end of the training, makes of that branch and the pooled values; 0 is a plain network
    (paper). See :mod:`skylike.embeddings.polar`. Ours."""

    readout_pooled: float = 0.3
    """Weight of the standardized pooled values beside the standardized polar ones (ours)."""

    readout_shrinkage: float = 1.0
    """Added to the variance within a galaxy's views, by whose inverse the readout weighs: small
    values trust the augmentations to tell all that does not matter (ours)."""

    normalization_groups: int = 8
    """Groups of a batch that have batch statistics of their own: the paper's 8 GPUs, on any number
    of devices that divides it. 1 is statistics of the whole batch, of all devices together."""

    precision: Precision = "float32"
    """``bf16`` computes the networks in bfloat16 where torch holds that safe, and losses in float32
    (inferred: float32)."""

    channels_last: bool = False
    """Lay out images with the channels innermost, which tensor cores ask for; the values are the
    same (ours)."""

    compile: bool = False
    """Let torch.compile fuse the networks: a minute more at the start (ours)."""

    galaxies: int = 0
    """Use at most this many images, drawn by the seed; 0 uses all (paper: 3.5 million)."""

    uniform_in: str = ""
    """Column of the catalog over whose range images are taken evenly, such as ``mag_z`` (paper);
    needs ``galaxies``. Empty takes them as they come."""

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
        check_recipe(self)


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
