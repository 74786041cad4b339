"""Train an encoder on image files and write it to a file; no database takes part."""

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from skylike.embeddings.checkpoint import file_sha256, load_encoder, save_encoder
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training import distributed
from skylike.embeddings.training.image_files import ImageFiles, read_image_files
from skylike.embeddings.training.metrics import check_tensorboard
from skylike.embeddings.training.run_state import TrainingFiles, discard_state
from skylike.embeddings.training.train import train_encoder
from skylike.errors import CheckpointError, ConflictError, EmptyStageError, SettingsError
from skylike.images.inputs import ImageInput, find_inputs
from skylike.progress import SILENT, Progress

logger = logging.getLogger(__name__)

SUFFIX: Final = ".pt"
"""Ending of encoder files."""


@dataclass(frozen=True)
class FileRun:
    """How a run on image files goes about its work, apart from what the recipe decides."""

    kind: str | None = None
    """Train on ``"flux"`` or ``"rgb"`` cutouts only."""

    half: bool = False
    """Store the weights as float16, see :func:`skylike.embeddings.checkpoint.save_encoder`."""

    restart: bool = False
    """Begin anew where an unfinished run lies."""

    tensorboard: bool = False
    """Write the figures as events of TensorBoard too."""


@dataclass(frozen=True)
class StandaloneOutcome:
    """An encoder trained on files."""

    path: Path
    """The encoder file."""

    sha256: str
    """Of that file."""

    recipe: TrainRecipe
    """As it was run."""

    dimension: int
    """Length of an embedding."""

    training: dict[str, object]
    """What is recorded in the file of images, steps, final loss, software."""

    metrics: Path
    """CSV with a row for each step."""

    refused: tuple[str, ...]
    """Image files left out, a sentence each."""

    notes: tuple[str, ...]
    """What else should be known of the images, a sentence each."""


def train_on_files(
    paths: Sequence[Path],
    recipe: TrainRecipe,
    output: Path,
    *,
    folder: Path,
    options: FileRun | None = None,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> StandaloneOutcome:
    """Train on the images of files and folders, and write the encoder file.

    A run that was killed goes on where the same images, output and recipe are given again.
    Processes that torchrun has started train together; the first one alone writes.

    Parameters
    ----------
    paths
        HDF5 of fluxes or pictures, FITS cutouts, folders or tars of JPEG/PNG, with or without a
        CSV; folders give all that they hold.
    output
        The encoder file, ``NAME.pt``; one that is there is replaced when training has ended.
    folder
        For the work: pictures brought to size, the checkpoint, and the metrics, which stay.
    options
        None takes all images and goes on where an unfinished run lies.
    device
        As torch names it.

    Raises
    ------
    ImageFileError
        A path does not exist, holds no images, or cannot be read.
    SettingsError, CheckpointError
        The output cannot be written there; or see
        :func:`skylike.embeddings.training.train.train_encoder`.
    EmptyStageError, TrainingError
        No image can be used; or see there.
    ConflictError
        Another process works on this output with these images.
    """
    options = options or FileRun()
    output = output.expanduser().absolute()
    _check_output(output)
    if recipe.uniform_in:
        raise SettingsError(
            f"--uniform-in {recipe.uniform_in}: image files have no columns of the catalog; "
            "leave it out, or train on the images of the database"
        )
    if options.tensorboard:
        check_tensorboard()
    inputs = _unique(find_inputs(paths))
    work = folder.expanduser().absolute() / _run_name(output, inputs, options.kind)
    files = TrainingFiles(work, output.stem, tensorboard=options.tensorboard)
    with distributed.processes(device) as own_device, _claimed(files, restart=options.restart):
        images = _read_images(inputs, files, progress)
        trained = train_encoder(
            images.index, recipe, files, kind=options.kind, device=own_device, progress=progress
        )
        used = [s for s in images.sources if s.images and options.kind in {None, s.kind}]
        training = {**trained.training, "sources": [asdict(source) for source in used]}
        if distributed.is_first():
            network = load_encoder(trained.path).network
            save_encoder(
                output, network, recipe, trained.preprocessing, training, half=options.half
            )
            trained.path.unlink()
            discard_state(files)
            shutil.rmtree(_cutouts(files), ignore_errors=True)
        distributed.said_by_first(None)
    return StandaloneOutcome(
        path=output,
        sha256=file_sha256(output),
        recipe=recipe,
        dimension=trained.dimension,
        training=training,
        metrics=files.metrics,
        refused=images.refused,
        notes=images.notes,
    )


def _read_images(
    inputs: Sequence[ImageInput], files: TrainingFiles, progress: Progress
) -> ImageFiles:
    """Read the images: the first process brings them to size, and then all use what it wrote."""
    if not distributed.is_first():
        distributed.said_by_first(None)
        return read_image_files(inputs, _cutouts(files))
    images = read_image_files(inputs, _cutouts(files), progress=progress)
    for sentence in (*images.refused, *images.notes):
        logger.info("%s", sentence)
    if not len(images.index):
        why = images.refused[0] if images.refused else "they show nothing"
        raise EmptyStageError(f"none of the images can be used: {why}")
    distributed.said_by_first(None)
    return images


def _cutouts(files: TrainingFiles) -> Path:
    return files.folder / "cutouts"


def _check_output(output: Path) -> None:
    """Find out before hours of training whether the encoder can be written."""
    if output.suffix != SUFFIX:
        raise SettingsError(f"--output {output.name}: an encoder file ends in {SUFFIX}")
    if output.is_dir():
        raise SettingsError(f"--output {output}: is a folder; name a file in it")
    if not output.parent.is_dir():
        raise SettingsError(f"--output {output}: there is no folder {output.parent}; make it first")
    if not os.access(output.parent, os.W_OK):
        raise CheckpointError(f"{output}: its folder cannot be written to; choose another --output")


def _unique(inputs: Sequence[ImageInput]) -> list[ImageInput]:
    """Leave out what is named twice, as a folder and again as a file in it."""
    return list({source.origin: source for source in inputs}.values())


def _run_name(output: Path, inputs: Sequence[ImageInput], kind: str | None) -> str:
    """Return a folder name for a run: other images or another output are another run."""
    parts = (str(output), kind or "", *(source.fingerprint() for source in inputs))
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{output.stem}-{digest[:12]}"


@contextmanager
def _claimed(files: TrainingFiles, *, restart: bool) -> Iterator[None]:
    """Let the first process make the folder of a run, and keep other runs out of it."""
    if not distributed.is_first():
        yield
        return
    try:
        _cutouts(files).mkdir(parents=True, exist_ok=True)
        lock = (files.folder / ".lock").open("w")
    except OSError as error:
        raise SettingsError(
            f"{files.folder}: cannot be written ({error.strerror}); "
            "give another data folder with SKYLIKE_HOME"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError(
                f"another process is training in {files.folder}; wait for its end"
            ) from error
        if restart:
            discard_state(files)
        yield
