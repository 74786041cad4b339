"""Encoder files and training checkpoints: plain tensors and JSON, written whole or not at all."""

import dataclasses
import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from skylike.devices import choose_device
from skylike.embeddings.encoder import PRECISIONS, Precision, TrainedEncoder
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import Preprocessing, preprocessing_from_dict
from skylike.embeddings.recipe import TrainRecipe, recipe_from_dict, recipe_to_dict
from skylike.embeddings.resnet import ResNet
from skylike.errors import CheckpointError, SettingsError
from skylike.files import replaced_file

ENCODER_FORMAT: Final = "skylike-encoder-1"
"""Marks a finished encoder: weights for use, and how to feed them."""

TRAINING_FORMAT: Final = "skylike-training-1"
"""Marks the state of a training run."""

_HASH_BLOCK = 1 << 20

_DAMAGED: Final = (
    *(OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    pickle.UnpicklingError,
)
"""What torch raises for files with wrong bytes in them (tried with hundreds)."""


def save_whole(contents: Mapping[str, object], path: Path) -> None:
    """Write a dictionary of tensors and plain values; a reader sees the old file or the new one.

    Raises
    ------
    CheckpointError
        It cannot be written (disk full, no such folder, no right to); the old file is left as it
        was.
    """
    try:
        with replaced_file(path) as part, part.open("wb") as file:
            torch.save(dict(contents), file)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: cannot be written ({reason}); free some space and run the command again"
        ) from error


def load_whole(path: Path, *, format: str, device: str = "cpu") -> dict[str, Any]:  # noqa: A002 - the key's name
    """Read what :func:`save_whole` wrote, executing nothing of it.

    Raises
    ------
    CheckpointError
        The file is missing, truncated, not ours, or of another kind.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: the checkpoint is missing; train the encoder again")
    try:
        if not zipfile.is_zipfile(path):  # torch would go on and try it as a bare pickle
            raise ValueError("not a zip archive")
        contents = torch.load(path, map_location=device, weights_only=True)
    except _DAMAGED as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint (truncated, or not made by skylike); "
            "restore the file, or train again under another name"
        ) from error
    found = contents.get("format") if isinstance(contents, dict) else None
    if found != format:
        raise CheckpointError(f"{path}: holds {found!r} where {format!r} is expected")
    return dict(contents)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises
    ------
    CheckpointError
        It cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_HASH_BLOCK):
                digest.update(block)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); restore the file, or train again under "
            "another name"
        ) from error
    return digest.hexdigest()


def save_encoder(
    path: Path,
    network: ResNet,
    recipe: TrainRecipe,
    preprocessing: Preprocessing,
    training: Mapping[str, object],
    *,
    half: bool = False,
) -> None:
    """Write a finished encoder: weights with the projection head, and how to feed them.

    Parameters
    ----------
    training
        What it was trained on and with: plain values, for people to read.
    half
        Store matrices and filters as float16, in half the space: 11 bits of each weight, at an
        angle of about 0.02 degrees between the embeddings. They are used as float32. Biases and
        batch normalization, of which there is little, stay as they are.

    Raises
    ------
    CheckpointError
        The file cannot be written.
    """
    config = {
        "recipe": recipe_to_dict(recipe),
        "preprocessing": dataclasses.asdict(preprocessing),
        "training": dict(training),
    }
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    if half:
        weights = {
            name: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
            for name, tensor in weights.items()
        }
    save_whole(
        {
            "format": ENCODER_FORMAT,
            "config": json.dumps(config, sort_keys=True),
            "weights": weights,
        },
        path,
    )


def load_encoder(
    path: Path, *, device: str = "cpu", sha256: str | None = None, precision: Precision = "float32"
) -> TrainedEncoder:
    """Read a finished encoder.

    Parameters
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    sha256
        What the file must have, hexadecimal; None takes any encoder.
    precision
        What it computes in: ``float32`` or ``bf16``.

    Raises
    ------
    CheckpointError
        The file is missing, truncated, no encoder or not this one, or its weights do not fit its
        own recipe.
    SettingsError
        The device is not there, or the precision is unknown.
    """
    device = choose_device(device)
    if precision not in PRECISIONS:
        raise SettingsError(f"precision {precision!r} is unknown; use {' or '.join(PRECISIONS)}")
    if sha256 is not None and file_sha256(path) != sha256:
        raise CheckpointError(
            f"{path}: is not the file that the encoder was entered with (its SHA-256 differs); "
            "restore it, or train again under another name"
        )
    contents = load_whole(path, format=ENCODER_FORMAT)
    return assemble_encoder(contents, path, device=device, precision=precision)


def assemble_encoder(
    contents: Mapping[str, Any],
    path: Path,
    *,
    device: str = "cpu",
    precision: Precision = "float32",
) -> TrainedEncoder:
    """Make an encoder of its weights and their description.

    Parameters
    ----------
    contents
        ``config``, JSON as :func:`save_encoder` writes it, and ``weights`` by name. Without any of
        ``fc`` the network has no projection.
    path
        File that they were read from.
    device
        ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    CheckpointError
        The weights do not fit their description.
    """
    try:
        config = json.loads(contents["config"])
        recipe = recipe_from_dict(config["recipe"])
        preprocessing = preprocessing_from_dict(config["preprocessing"])
        network = build_network(recipe)
        if not any(name.startswith("fc.") for name in contents["weights"]):
            network.fc = nn.Identity()
        network.load_state_dict(contents["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError, SettingsError) as error:
        raise CheckpointError(
            f"{path}: the weights do not fit their own description ({str(error).splitlines()[0]}); "
            "the file was made by another version of skylike, or is damaged"
        ) from error
    # In the order of the inputs: a GPU would turn the filters round at every call.
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # not in its stubs
    network.eval().requires_grad_(requires_grad=False)
    training = config.get("training", {})
    return TrainedEncoder(network, recipe, preprocessing, device, training, precision)
