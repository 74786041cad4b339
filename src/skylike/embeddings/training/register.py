"""Train an encoder on the cutouts of the catalog and enter it in the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.embeddings import store
from skylike.embeddings.encoder_columns import encoder_columns
from skylike.embeddings.names import check_name
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_selection import check_numeric_column, fetch_galaxy_column
from skylike.embeddings.training import distributed
from skylike.embeddings.training.metrics import check_tensorboard
from skylike.embeddings.training.outcome import TrainingOutcome
from skylike.embeddings.training.run_state import TrainingFiles, discard_state
from skylike.embeddings.training.selection import column_of
from skylike.embeddings.training.train import train_encoder
from skylike.images.index import CutoutIndex
from skylike.images.store import fetch_cutout_index
from skylike.progress import SILENT, Progress


@dataclass(frozen=True)
class CatalogRun:
    """How a run on the catalog goes about its work, apart from what the recipe decides."""

    kind: str | None = None
    """Train on ``"flux"`` or ``"rgb"`` cutouts only."""

    restart: bool = False
    """Begin anew where an unfinished run of this name lies."""

    tensorboard: bool = False
    """Write the figures as events of TensorBoard too."""


def train_on_catalog(
    engine: Engine,
    recipe: TrainRecipe,
    *,
    folder: Path,
    name: str | None = None,
    options: CatalogRun | None = None,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> EncoderRecord:
    """Train on all cutouts, with or without a galaxy, and enter the encoder.

    Processes that torchrun has started train together; the first one alone writes.

    Parameters
    ----------
    folder
        Where encoders, checkpoints and metrics lie.
    name
        Of the encoder; None takes the recipe's.
    options
        None takes all images and goes on where an unfinished run lies.
    device
        As torch names it.

    Raises
    ------
    SettingsError
        An encoder of this name is finished, or the name is no file name; the catalog has no column
        ``recipe.uniform_in``; TensorBoard is not installed.
    ConflictError
        Another process trains an encoder of this name.
    EmptyStageError, CheckpointError, TrainingError
        See :func:`skylike.embeddings.training.train.train_encoder`.
    """
    options = options or CatalogRun()
    name = recipe.name if name is None else name
    check_name(name)
    if recipe.uniform_in:
        check_numeric_column(recipe.uniform_in)
    if options.tensorboard:
        check_tensorboard()
    files = TrainingFiles(folder.absolute(), name, tensorboard=options.tensorboard)
    with (
        distributed.processes(device) as own_device,
        _claimed(engine, files, restart=options.restart),
    ):
        with connect(engine) as connection:
            index = fetch_cutout_index(connection)
            column = _fetch_column(connection, index, recipe)
        outcome = train_encoder(
            index,
            recipe,
            files,
            column=column,
            kind=options.kind,
            device=own_device,
            progress=progress,
        )
        if distributed.is_first():
            with engine.begin() as connection:
                store.insert_encoder(connection, _columns(name, outcome))
            discard_state(files)
        distributed.said_by_first(None)
        with connect(engine) as connection:
            return store.fetch_encoder(connection, name)


@contextmanager
def _claimed(engine: Engine, files: TrainingFiles, *, restart: bool) -> Iterator[None]:
    """Let the first process claim the name for all."""
    if not distributed.is_first():
        distributed.said_by_first(None)
        yield
        return
    with store.hold_lock(engine, "encoder train", files.name):
        with connect(engine) as connection:
            store.check_name_is_free(connection, files.name)
        if restart:
            discard_state(files)
        distributed.said_by_first(None)
        yield


def _fetch_column(
    connection: Connection, index: CutoutIndex, recipe: TrainRecipe
) -> npt.NDArray[np.float64] | None:
    if not recipe.uniform_in:
        return None
    galaxy_id, values = fetch_galaxy_column(connection, recipe.uniform_in)
    return column_of(index, galaxy_id, values)


def _columns(name: str, outcome: TrainingOutcome) -> dict[str, object]:
    return {
        **encoder_columns(
            outcome.recipe,
            outcome.preprocessing,
            outcome.training,
            dimension=outcome.dimension,
        ),
        "name": name,
        "checkpoint": str(outcome.path),
        "checkpoint_sha256": outcome.sha256,
    }
