"""safetensors: weights by name with our description of them, readable without pickle."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from skylike.embeddings.checkpoint import ENCODER_FORMAT
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.recipe import recipe_to_dict
from skylike.embeddings.store import Layer
from skylike.errors import CheckpointError
from skylike.files import replaced_file

KEY: Final = "skylike"
"""Entry of the header that marks our files; its value is the format of an encoder."""

DESCRIPTION: Final = ("recipe", "preprocessing", "training")
"""Entries of the header that hold JSON."""


@dataclass(frozen=True)
class TensorFile:
    """What a safetensors file holds."""

    weights: dict[str, Tensor]

    header: Mapping[str, str]
    """Whatever is written beside the tensors; ours if :data:`KEY` is in it."""

    @property
    def is_ours(self) -> bool:
        """Tell whether :func:`write_tensors` made it."""
        return KEY in self.header


def describe(
    encoder: TrainedEncoder, *, name: str, layer: Layer, checkpoint_sha256: str | None
) -> dict[str, str]:
    """Return what is told of an encoder beside its weights, for any format.

    Parameters
    ----------
    name, layer, checkpoint_sha256
        As in the table ``encoder``.
    """
    return {
        KEY: ENCODER_FORMAT,
        "name": name,
        "layer": layer,
        "checkpoint_sha256": checkpoint_sha256 or "",
        "recipe": json.dumps(recipe_to_dict(encoder.recipe), sort_keys=True),
        "preprocessing": json.dumps(asdict(encoder.preprocessing), sort_keys=True),
        "training": json.dumps(dict(encoder.training), sort_keys=True),
    }


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values, whatever the order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_tensors(path: Path, encoder: TrainedEncoder, description: Mapping[str, str]) -> None:
    """Write the weights of an encoder, head included; a reader sees the old file or the new one.

    Parameters
    ----------
    description
        From :func:`describe`; the SHA-256 of the weights is added.

    Raises
    ------
    CheckpointError
        It cannot be written.
    """
    weights = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in encoder.network.state_dict().items()
    }
    # "format" is what other readers of safetensors look for.
    header = {"format": "pt", **description, "weights_sha256": weights_sha256(weights)}
    try:
        with replaced_file(path) as part:
            # Its own way to write files makes them readable by their owner alone.
            part.write_bytes(save(weights, metadata=header))
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: cannot be written ({reason}); name a file in a folder with room"
        ) from error


def read_tensors(path: Path) -> TensorFile:
    """Read a safetensors file, of ours or of others.

    Raises
    ------
    CheckpointError
        It is damaged, or of ours and its weights are not those it was written with.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as safetensors, it may be cut short "
            f"({str(error).splitlines()[0]}); fetch it again"
        ) from error
    found = TensorFile(weights, header)
    if found.is_ours and header.get("weights_sha256") != weights_sha256(weights):
        raise CheckpointError(
            f"{path}: the weights are not those it was written with (their SHA-256 differs); "
            "fetch it again"
        )
    return found


def description_of(file: TensorFile, path: Path) -> dict[str, Any]:
    """Return what one of our files tells of its encoder.

    Raises
    ------
    CheckpointError
        An entry is missing or no JSON, or the format is of another version.
    """
    if file.header.get(KEY) != ENCODER_FORMAT:
        raise CheckpointError(
            f"{path}: holds {file.header.get(KEY)!r} where {ENCODER_FORMAT!r} is expected; it was "
            "made by another version of skylike"
        )
    try:
        found = {name: json.loads(file.header[name]) for name in DESCRIPTION}
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: its header does not tell how to feed the network ({error}); export it again"
        ) from error
    return found
