"""From weights by name to a network of ours: the architecture is told by names and shapes.

Two families are known: momentum contrast's query encoder (``encoder_q.*``, as PyTorch Lightning
keeps the released model of Stein et al. 2021 and He et al.'s public code keeps theirs), and
torchvision's residual networks, whose parameter names ours have.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import Preprocessing, preprocessing_of
from skylike.embeddings.recipe import TrainRecipe, replace_fields
from skylike.embeddings.recipes import load_recipe
from skylike.embeddings.resnet import ARCHITECTURES, ResNet
from skylike.errors import CheckpointError

Family = Literal["moco", "torchvision"]

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_SCALE: Final = (0.229, 0.224, 0.225)
"""What torchvision's networks subtract from R, G, B in [0, 1] and divide by (its documentation,
``ResNet18_Weights.transforms``)."""

_QUERY: Final = "encoder_q."
_WRAPPER: Final = "module."
"""What DistributedDataParallel puts before each name."""

_COUNTER: Final = ".num_batches_tracked"
"""Steps that batch normalization has seen: not in files before 2018, and of no use here."""

_SHOWN: Final = 4


@dataclass(frozen=True)
class ForeignNetwork:
    """A network from elsewhere, with how it is fed."""

    network: ResNet
    """On the CPU."""

    recipe: TrainRecipe
    """What is known of it; the rest has the values of the recipe that it refers to."""

    preprocessing: Preprocessing

    family: Family

    ignored: int
    """Tensors beside it that are of no use here: key encoder, queue, classes of ImageNet."""


def network_from(
    contents: Mapping[str, Any], path: Path, *, family: Family | None = None, recipe: str | None
) -> ForeignNetwork:
    """Make a network of what a file holds.

    Parameters
    ----------
    contents
        A state dictionary, or a checkpoint that has one as ``state_dict``.
    family
        None tells by the names: ``encoder_q.*`` or torchvision's.
    recipe
        Named recipe or TOML file that tells how pixels become the input; None is ``released`` for
        the query encoder of a momentum contrast, and the viewer's colors, normalized as for
        ImageNet, for torchvision's.

    Raises
    ------
    CheckpointError
        The weights are not of this family, of no architecture that is known, or do not fit it.
    SettingsError
        There is no such recipe.
    """
    weights = _state(contents, path)
    n = len(weights)
    found: Family = "moco" if any(name.startswith(_QUERY) for name in weights) else "torchvision"
    if found == "moco":
        if family == "torchvision":
            raise CheckpointError(
                f"{path}: has weights of a momentum contrast ({_QUERY}*), not torchvision's; "
                "leave out --format"
            )
        weights = {
            name.removeprefix(_QUERY): tensor
            for name, tensor in weights.items()
            if name.startswith(_QUERY)
        }
    chosen = family or found
    if chosen == "torchvision":
        weights = {name: t for name, t in weights.items() if not name.startswith("fc.")}
    _check_values(weights, path)
    described = _described(weights, path, _base_recipe(chosen, recipe))
    network = _filled(weights, path, described)
    preprocessing = preprocessing_of(described)
    if chosen == "torchvision":
        preprocessing = replace(preprocessing, mean=IMAGENET_MEAN, scale=IMAGENET_SCALE)
    return ForeignNetwork(network, described, preprocessing, chosen, n - len(weights))


def _base_recipe(family: Family, recipe: str | None) -> TrainRecipe:
    if recipe is not None:
        return load_recipe(recipe)
    if family == "moco":
        return load_recipe("released")
    return load_recipe("paper", name="imagenet", input="rgb")


def _state(contents: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Find the named tensors, without the prefixes of wrappers."""
    state = contents.get("state_dict", contents)
    if not isinstance(state, Mapping) or not any(torch.is_tensor(v) for v in state.values()):
        keys = _some([str(key) for key in contents])
        raise CheckpointError(
            f"{path}: holds no weights by name, but {keys}; save `model.state_dict()`"
        )
    strange = [str(name) for name, value in state.items() if not torch.is_tensor(value)]
    if strange:
        raise CheckpointError(
            f"{path}: {_some(strange)} among the weights is no tensor; save `model.state_dict()`"
        )
    return {str(name).removeprefix(_WRAPPER): tensor for name, tensor in state.items()}


def _check_values(weights: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{path}: {name} holds NaN or infinity, the training of this network failed; "
                "take an earlier checkpoint"
            )


def _described(weights: Mapping[str, Tensor], path: Path, base: TrainRecipe) -> TrainRecipe:
    """Return the recipe with the architecture, width and head that the weights have."""
    values: dict[str, object] = {"architecture": _architecture(weights, path), "stem": "standard"}
    first = weights["conv1.weight"]
    if first.ndim != 4 or first.shape[0] % 8 or tuple(first.shape[1:]) != (3, 7, 7):
        raise CheckpointError(
            f"{path}: conv1.weight has shape {tuple(first.shape)}, expected (64, 3, 7, 7); this "
            "network has another first layer or sees other channels than three"
        )
    values["width"] = first.shape[0] / 64
    values |= _head(weights, path)
    return replace_fields(base, values)


def _head(weights: Mapping[str, Tensor], path: Path) -> dict[str, object]:
    """Describe what is behind the features: one linear layer, or several with ReLU between."""
    names = [name for name in weights if re.fullmatch(r"fc\.(\d+\.)?weight", name)]
    if not names:
        return {}
    linear = [weights[name] for name in names]
    wrong = [tuple(tensor.shape) for tensor in linear if tensor.ndim != 2]
    hidden = {tensor.shape[0] for tensor in linear[:-1]}
    if wrong or len(hidden) > 1:
        raise CheckpointError(
            f"{path}: fc is no projection head of linear layers of one width ({_some(names)}); "
            "leave fc out of the state dictionary to use the features alone"
        )
    values: dict[str, object] = {
        "projection_layers": len(linear),
        "projection_dimension": linear[-1].shape[0],
        "projection_normalized": False,
    }
    return values | ({"projection_hidden": hidden.pop()} if hidden else {})


def _architecture(weights: Mapping[str, Tensor], path: Path) -> str:
    """Tell the architecture by the names of the parameters."""
    have = {name for name in weights if not name.startswith("fc.")}
    differences = {}
    for architecture in ARCHITECTURES:
        with torch.device("meta"):
            wanted = {n for n in ResNet(architecture).state_dict() if not n.startswith("fc.")}
        missing = [n for n in sorted(wanted - have) if not n.endswith(_COUNTER)]
        differences[architecture] = (missing, sorted(have - wanted))
    nearest = min(differences, key=lambda name: sum(map(len, differences[name])))
    missing, unexpected = differences[nearest]
    if not missing and not unexpected:
        return nearest
    parts = [f"{_some(names)} {word}" for names, word in _told(missing, unexpected)]
    raise CheckpointError(
        f"{path}: the weights are of none of {', '.join(ARCHITECTURES)}; for {nearest} "
        f"{' and '.join(parts)}"
    )


def _told(missing: list[str], unexpected: list[str]) -> list[tuple[list[str], str]]:
    cases = [
        (missing, "is missing" if len(missing) == 1 else "are missing"),
        (unexpected, "is unexpected" if len(unexpected) == 1 else "are unexpected"),
    ]
    return [case for case in cases if case[0]]


def _filled(weights: Mapping[str, Tensor], path: Path, recipe: TrainRecipe) -> ResNet:
    """Put weights into a network; what is not named the same is refused."""
    renamed = {
        re.sub(r"^fc\.(weight|bias)$", r"fc.0.\1", name): tensor for name, tensor in weights.items()
    }
    network = build_network(recipe)
    if not any(name.startswith("fc.") for name in renamed):
        network.fc = nn.Identity()
    wanted = network.state_dict()
    wrong = [
        f"{name} has shape {tuple(tensor.shape)} and {recipe.architecture} {tuple(there.shape)}"
        for name, there in wanted.items()
        if (tensor := renamed.get(name)) is not None and tensor.shape != there.shape
    ]
    if wrong:
        raise CheckpointError(
            f"{path}: the weights do not fit a {recipe.architecture} of {64 * recipe.width:.0f} "
            f"first channels: {_some(wrong)}"
        )
    missing = [n for n in wanted if n not in renamed and not n.endswith(_COUNTER)]
    unexpected = [name for name in renamed if name not in wanted]
    if missing or unexpected:
        parts = [f"{_some(names)} {word}" for names, word in _told(missing, unexpected)]
        raise CheckpointError(f"{path}: the weights do not fit: {' and '.join(parts)}")
    network.load_state_dict(renamed, strict=False)
    return network.eval().requires_grad_(requires_grad=False)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
