"""Encoder files and training checkpoints: plain tensors and JSON, written whole or not at all."""

import dataclasses
import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.devices import choose_device
from skylike.embeddings.preprocess import (
    BANDS,
    Preprocessing,
    preprocessing_from_dict,
    to_canvas,
    to_input,
)
from skylike.embeddings.recipe import InputKind, TrainRecipe, recipe_from_dict, recipe_to_dict
from skylike.embeddings.resnet import ResNet
from skylike.errors import CheckpointError, SettingsError
from skylike.files import replaced_file
from skylike.images.read import standardize

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
) -> None:
    """Write a finished encoder: weights with the projection head, and how to feed them.

    Parameters
    ----------
    training
        What it was trained on and with: plain values, for people to read.

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
    save_whole(
        {
            "format": ENCODER_FORMAT,
            "config": json.dumps(config, sort_keys=True),
            "weights": weights,
        },
        path,
    )


def load_encoder(path: Path, *, device: str = "cpu", sha256: str | None = None) -> "TrainedEncoder":
    """Read a finished encoder.

    Parameters
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    sha256
        What the file must have, hexadecimal; None takes any encoder.

    Raises
    ------
    CheckpointError
        The file is missing, truncated, no encoder or not this one, or its weights do not fit its
        own recipe.
    SettingsError
        The device is not there.
    """
    from skylike.embeddings.training.moco import build_network  # noqa: PLC0415 - moco trains; only its network is used

    device = choose_device(device)
    if sha256 is not None and file_sha256(path) != sha256:
        raise CheckpointError(
            f"{path}: is not the file that the encoder was entered with (its SHA-256 differs); "
            "restore it, or train again under another name"
        )
    contents = load_whole(path, format=ENCODER_FORMAT)
    try:
        config = json.loads(contents["config"])
        recipe = recipe_from_dict(config["recipe"])
        preprocessing = preprocessing_from_dict(config["preprocessing"])
        network = build_network(recipe)
        network.load_state_dict(contents["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError, SettingsError) as error:
        raise CheckpointError(
            f"{path}: the weights do not fit their own description ({str(error).splitlines()[0]}); "
            "the file was made by another version of skylike, or is damaged"
        ) from error
    network.to(device).eval().requires_grad_(requires_grad=False)
    return TrainedEncoder(network, recipe, preprocessing, device)


@dataclass(frozen=True)
class TrainedEncoder:
    """An encoder ready for use."""

    network: ResNet
    """In evaluation mode, on ``device``."""

    recipe: TrainRecipe
    """How it was trained."""

    preprocessing: Preprocessing
    """How pixels become its input."""

    device: str
    """Where it computes: cpu, cuda or cuda:N."""

    @property
    def dimension(self) -> int:
        """Length d of an embedding."""
        return self.network.dimension

    @property
    def input(self) -> InputKind:
        """What the network sees: ``flux`` or ``rgb``."""
        return self.preprocessing.input

    def embed(
        self, pixels: npt.NDArray[np.generic], kind: str, *, invert_pictures: bool = False
    ) -> npt.NDArray[np.float32]:
        """Turn cutouts into embeddings.

        Parameters
        ----------
        pixels
            (n, 3, h, w) or one (3, h, w): for kind ``flux`` nanomaggies in g, r, z at 0.262 arcsec
            per pixel, NaN where not observed; for ``rgb`` uint8 R, G, B. Other sizes than 152 are
            cropped or padded around the center.
        kind
            ``"flux"`` or ``"rgb"``.
        invert_pictures
            Let an encoder of flux take pictures, by the approximate inverse of the rendering.

        Returns
        -------
        ndarray
            (n, d) float32, rows of unit length; a row of zeros where an image shows nothing or the
            network gives nothing that has a direction.

        Raises
        ------
        SettingsError
            A picture for an encoder of flux without ``invert_pictures``, or images of a wrong
            shape.
        """
        if kind == "rgb" and self.input == "flux" and not invert_pictures:
            raise SettingsError(
                "this encoder sees fluxes and the image is a picture; give a FITS or HDF5 cutout, "
                "use an encoder with rgb input, or add --invert-pictures for an approximate answer"
            )
        batch = pixels if pixels.ndim == 4 else pixels[None]
        if batch.shape[-2:] != (CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX):
            batch = standardize(batch, kind=kind, bands=BANDS)
        canvas = to_canvas(torch.from_numpy(batch).to(self.device), kind, self.preprocessing)
        shows_something = torch.isfinite(canvas).flatten(1).any(dim=1)  # (n,)
        with torch.inference_mode():
            features = self.network.features(to_input(canvas, kind, self.preprocessing))  # (n, d)
            return _unit_rows(features, shows_something).cpu().numpy()


def _unit_rows(features: torch.Tensor, is_valid: torch.Tensor) -> torch.Tensor:
    length = torch.linalg.vector_norm(features, dim=1)  # (n,)
    is_valid = is_valid & torch.isfinite(length) & (length > 0)
    rows = features / torch.where(is_valid, length, torch.ones_like(length))[:, None]
    return torch.where(is_valid[:, None], rows, torch.zeros_like(rows))
