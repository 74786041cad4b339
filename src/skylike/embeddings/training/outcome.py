"""What a training run ends with: the encoder file, and what is recorded of it."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from skylike.embeddings.checkpoint import file_sha256, save_encoder
from skylike.embeddings.preprocess import Preprocessing
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.resnet import ResNet
from skylike.embeddings.training import distributed
from skylike.embeddings.training.run_state import TrainingFiles


@dataclass(frozen=True)
class TrainingOutcome:
    """A finished training run."""

    path: Path
    """The encoder file."""

    sha256: str
    """Of that file."""

    recipe: TrainRecipe
    """As it was run."""

    preprocessing: Preprocessing
    """With mean and scale as measured."""

    dimension: int
    """Length of an embedding."""

    training: dict[str, object]
    """Images, steps, final loss, software: what is worth recording."""


def write_encoder(
    files: TrainingFiles,
    encoder: ResNet,
    recipe: TrainRecipe,
    preprocessing: Preprocessing,
    training: Mapping[str, object],
) -> TrainingOutcome:
    """Write the encoder file of a run, in the first of its processes.

    Parameters
    ----------
    training
        What is worth recording of the run; the software is added.

    Raises
    ------
    CheckpointError
        The file cannot be written.
    """
    training = dict(training) | {
        "skylike": version("skylike"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    path, sha256 = "", ""
    if distributed.is_first():
        fresh = files.folder / f"{files.name}.new.pt"
        save_encoder(fresh, encoder, recipe, preprocessing, training)
        sha256 = file_sha256(fresh)
        path = str(fresh.replace(files.encoder(sha256)))
    path, sha256 = distributed.said_by_first((path, sha256))
    return TrainingOutcome(Path(path), sha256, recipe, preprocessing, encoder.dimension, training)
