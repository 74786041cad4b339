"""Files of a training run, and the checkpoint that an unfinished run goes on from."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skylike.embeddings.checkpoint import TRAINING_FORMAT, file_sha256, load_whole, save_whole
from skylike.embeddings.preprocess import Preprocessing, preprocessing_from_dict
from skylike.embeddings.recipe import TrainRecipe, recipe_from_dict, recipe_to_dict
from skylike.errors import CheckpointError, SettingsError


@dataclass(frozen=True)
class TrainingFiles:
    """Where a run writes: files beside each other."""

    folder: Path
    name: str

    tensorboard: bool = False
    """Write the figures as events of TensorBoard too."""

    @property
    def state(self) -> Path:
        """The checkpoint of the unfinished run."""
        return self.folder / f"{self.name}.training.pt"

    @property
    def metrics(self) -> Path:
        """One row for each step."""
        return self.folder / f"{self.name}.metrics.csv"

    @property
    def events(self) -> Path:
        """Folder of the events of TensorBoard."""
        return self.folder / f"{self.name}.tensorboard"

    def encoder(self, sha256: str) -> Path:
        """Return the path of the finished encoder: NAME.pt, unless another encoder lies there."""
        plain = self.folder / f"{self.name}.pt"
        if not plain.exists() or file_sha256(plain) == sha256:
            return plain
        return self.folder / f"{self.name}-{sha256[:8]}.pt"

    def last_checkpoint(self) -> str:
        """Return where the last checkpoint is, as a clause."""
        if self.state.exists():
            return f"the last checkpoint is {self.state}"
        return "no checkpoint was written yet"


@dataclass(frozen=True)
class RunState:
    """All that an unfinished run needs to go on."""

    step: int
    """Steps taken."""

    loss: float
    """Of the last one."""

    preprocessing: Preprocessing
    """With mean and scale as measured at the start."""

    objective: Mapping[str, Any]
    optimizer: Mapping[str, Any]

    figures: Mapping[str, float]
    """What is summed up over the epoch, see
    :class:`skylike.embeddings.training.metrics.CollapseWatch`."""


@dataclass(frozen=True)
class RunIdentity:
    """What must be the same when a run goes on."""

    recipe: TrainRecipe
    images: str
    """Fingerprint of the images."""

    selection: Mapping[str, object] | None = None
    """How they were taken evenly over a column; recorded, not compared: the images are."""


def save_state(files: TrainingFiles, identity: RunIdentity, state: RunState) -> None:
    """Write the checkpoint of a run.

    Raises
    ------
    CheckpointError
        It cannot be written; the one before is left as it was.
    """
    save_whole(
        {
            "format": TRAINING_FORMAT,
            "recipe": json.dumps(recipe_to_dict(identity.recipe)),
            "images": identity.images,
            "selection": json.dumps(identity.selection),
            "preprocessing": json.dumps(dataclasses.asdict(state.preprocessing)),
            "step": state.step,
            "loss": state.loss,
            "figures": dict(state.figures),
            "objective": state.objective,
            "optimizer": state.optimizer,
        },
        files.state,
    )


def load_state(files: TrainingFiles, identity: RunIdentity, *, device: str) -> RunState:
    """Read the checkpoint of this very run.

    Raises
    ------
    CheckpointError
        It cannot be read, was written by another version, or belongs to another recipe or to other
        images.
    """
    path = files.state
    stored = load_whole(path, format=TRAINING_FORMAT, device=device)
    try:
        recipe = recipe_from_dict(json.loads(stored["recipe"]))
        state = RunState(
            step=stored["step"],
            loss=stored["loss"],
            preprocessing=preprocessing_from_dict(json.loads(stored["preprocessing"])),
            objective=stored["objective"],
            optimizer=stored["optimizer"],
            figures=stored["figures"],
        )
    except (KeyError, SettingsError) as error:
        raise CheckpointError(
            f"{path}: an unfinished run of another version of skylike ({error}); "
            "give --restart to begin anew, or train under another --name"
        ) from error
    differing = _differences(recipe, identity.recipe)
    if differing:
        raise CheckpointError(
            f"{path}: an unfinished run with another recipe ({differing}); go on with the same "
            "options, train under another --name, or give --restart to begin anew"
        )
    if stored["images"] != identity.images:
        raise CheckpointError(
            f"{path}: an unfinished run on other images; train under another --name, "
            "or give --restart to begin anew"
        )
    return state


def discard_state(files: TrainingFiles) -> None:
    """Remove the checkpoint of a run: it is finished and registered, or shall begin anew."""
    files.state.unlink(missing_ok=True)


def _differences(old: TrainRecipe, new: TrainRecipe) -> str:
    names = [f.name for f in dataclasses.fields(TrainRecipe)]
    return ", ".join(
        f"{name} {getattr(old, name)!r}, not {getattr(new, name)!r}"
        for name in names
        if getattr(old, name) != getattr(new, name)
    )
