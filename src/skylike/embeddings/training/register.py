"""Train an encoder on the cutouts of the catalog and enter it in the database."""

import dataclasses
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from skylike.database.engine import connect
from skylike.embeddings import store
from skylike.embeddings.preprocess import BANDS
from skylike.embeddings.recipe import TrainRecipe, recipe_to_dict
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.training.train import (
    TrainingFiles,
    TrainingOutcome,
    discard_state,
    train_encoder,
)
from skylike.errors import SettingsError
from skylike.images.store import fetch_cutout_index
from skylike.progress import SILENT, Progress

MAX_NAME_BYTES: Final = 200
"""File systems take 255 bytes; ours add endings."""


def train_on_catalog(
    engine: Engine,
    recipe: TrainRecipe,
    *,
    folder: Path,
    name: str | None = None,
    kind: str | None = None,
    device: str = "cpu",
    restart: bool = False,
    progress: Progress = SILENT,
) -> EncoderRecord:
    """Train on all cutouts, with or without a galaxy, and enter the encoder.

    Parameters
    ----------
    folder
        Where encoders, checkpoints and metrics lie.
    name
        Of the encoder; None takes the recipe's.
    kind
        Train on ``"flux"`` or ``"rgb"`` cutouts only.
    restart
        Begin anew where an unfinished run of this name lies.

    Raises
    ------
    SettingsError
        An encoder of this name is finished, or the name is no file name.
    ConflictError
        Another process trains an encoder of this name.
    EmptyStageError, CheckpointError, TrainingError
        See :func:`skylike.embeddings.training.train.train_encoder`.
    """
    name = recipe.name if name is None else name
    is_file_name = bool(name) and Path(name).name == name and not name.startswith(".")
    if not is_file_name or len(name.encode()) > MAX_NAME_BYTES:
        raise SettingsError(
            f"encoder name {name!r}: it becomes a file name; use letters and digits, "
            f"at most {MAX_NAME_BYTES}"
        )
    files = TrainingFiles(folder.absolute(), name)
    with store.hold_lock(engine, "encoder train", name):
        with connect(engine) as connection:
            store.check_name_is_free(connection, name)
            index = fetch_cutout_index(connection)
        if restart:
            discard_state(files)
        outcome = train_encoder(index, recipe, files, kind=kind, device=device, progress=progress)
        with engine.begin() as connection:
            store.insert_encoder(connection, _columns(name, outcome))
            record = store.fetch_encoder(connection, name)
        discard_state(files)
    return record


def _columns(name: str, outcome: TrainingOutcome) -> dict[str, object]:
    recipe, preprocessing = outcome.recipe, outcome.preprocessing
    return {
        "name": name,
        "architecture": recipe.architecture,
        "width": recipe.width,
        "dimension": outcome.dimension,
        "input": recipe.input,
        "bands": list(BANDS),
        "pixel_scale": preprocessing.pixel_scale,
        "crop_pix": preprocessing.crop_pix,
        "preprocessing": dataclasses.asdict(preprocessing),
        "training": {"recipe": recipe_to_dict(recipe), **outcome.training},
        "checkpoint": str(outcome.path),
        "checkpoint_sha256": outcome.sha256,
        "is_active": False,
    }
