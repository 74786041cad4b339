"""Training: cutouts and a recipe go in, an encoder file comes out; killed runs go on.

All randomness of a step is drawn from (seed, step), and the learning rate follows from the step, so
the position in the run is the whole state of the random generators and of the schedule.
"""

import csv
import dataclasses
import json
import logging
import math
import platform
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from skylike.embeddings.augmentation import views as augment
from skylike.embeddings.checkpoint import (
    TRAINING_FORMAT,
    file_sha256,
    load_whole,
    save_encoder,
    save_whole,
)
from skylike.embeddings.preprocess import (
    Preprocessing,
    center_crop,
    measure_normalization,
    normalize,
    preprocessing_from_dict,
    preprocessing_of,
    to_colors,
)
from skylike.embeddings.recipe import TrainRecipe, recipe_from_dict, recipe_to_dict
from skylike.embeddings.training.moco import MomentumContrast
from skylike.embeddings.training.training_set import Positions, TrainingSet, choose_images
from skylike.errors import CheckpointError, TrainingError
from skylike.files import replaced_file
from skylike.images.index import CutoutIndex
from skylike.progress import SILENT, Progress, Task

logger = logging.getLogger(__name__)

CHECKPOINT_EVERY_S: Final = 60.0
"""Time between checkpoints within an epoch; a kill loses at most this much."""

_NORMALIZATION_SAMPLE: Final = 1024
"""Images whose crops give mean and scale of the input: 9 million pixels of a channel are plenty."""

METRICS: Final = ("step", "epoch", "loss", "learning_rate", "top1", "spread")
"""Columns of the metrics file."""


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


@dataclass(frozen=True)
class TrainingFiles:
    """Where a run writes: three files beside each other."""

    folder: Path
    name: str

    @property
    def state(self) -> Path:
        """The checkpoint of the unfinished run."""
        return self.folder / f"{self.name}.training.pt"

    @property
    def metrics(self) -> Path:
        """One row for each step."""
        return self.folder / f"{self.name}.metrics.csv"

    def encoder(self, sha256: str) -> Path:
        """Return the path of the finished encoder: NAME.pt, unless another encoder lies there."""
        plain = self.folder / f"{self.name}.pt"
        if not plain.exists() or file_sha256(plain) == sha256:
            return plain
        return self.folder / f"{self.name}-{sha256[:8]}.pt"


def train_encoder(
    index: CutoutIndex,
    recipe: TrainRecipe,
    files: TrainingFiles,
    *,
    kind: str | None = None,
    device: str = "cpu",
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    progress: Progress = SILENT,
) -> TrainingOutcome:
    """Train an encoder, going on from a checkpoint where there is one.

    Parameters
    ----------
    index
        Cutouts; :func:`choose_images` takes from them what the recipe can use.
    kind
        ``"flux"``, ``"rgb"`` or None, see :func:`choose_images`.
    device
        As torch names it.

    Raises
    ------
    SettingsError, EmptyStageError
        There are too few images, or none that the recipe can use.
    CheckpointError
        The checkpoint belongs to another recipe or other images, or a file cannot be written.
    TrainingError
        The loss is no longer a number.
    KeyboardInterrupt
        After Ctrl-C (or SIGTERM), once a checkpoint is written.
    """
    chosen = choose_images(index, recipe, kind=kind)
    run = _Run(
        TrainingSet(chosen, preprocessing_of(recipe), progress=progress), recipe, files, device
    )
    run.start()
    with (
        _stop_requests() as stop,
        progress.task("training", total=run.total_steps * recipe.batch_size, unit="images") as task,
    ):
        task.skip(run.step * recipe.batch_size)
        run.go(stop, task, checkpoint_every_s)
    return run.finish()


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """Note Ctrl-C and SIGTERM instead of dying in the middle of a step."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Run:
    """One training run: networks, optimizer, position."""

    def __init__(
        self, images: TrainingSet, recipe: TrainRecipe, files: TrainingFiles, device: str
    ) -> None:
        self.images, self.recipe, self.files, self.device = images, recipe, files, device
        self.steps_per_epoch = images.steps_per_epoch(recipe.batch_size)
        self.total_steps = max(1, round(recipe.epochs * self.steps_per_epoch))
        self.step = 0
        self.loss = math.nan
        torch.manual_seed(recipe.seed)
        self.model = MomentumContrast(recipe, _generator("cpu", recipe.seed, 0)).to(device)
        self.optimizer = _make_optimizer(self.model.query_encoder, recipe)
        self.ebv = torch.from_numpy(images.index.ebv)
        self.psf_size = torch.from_numpy(images.index.psf_size)

    def start(self) -> None:
        """Go on from the checkpoint, or begin a new run."""
        self.files.folder.mkdir(parents=True, exist_ok=True)
        if self.files.state.exists():
            self._resume()
        else:
            self._measure_normalization()
        _begin_metrics(self.files.metrics, self.step)

    def _resume(self) -> None:
        path = self.files.state
        state = load_whole(path, format=TRAINING_FORMAT, device=self.device)
        differing = _differences(recipe_from_dict(json.loads(state["recipe"])), self.recipe)
        if differing:
            raise CheckpointError(
                f"{path}: an unfinished run with another recipe ({differing}); go on with the same "
                "options, train under another --name, or give --restart to begin anew"
            )
        if state["images"] != self.images.fingerprint:
            raise CheckpointError(
                f"{path}: an unfinished run on other images; train under another --name, "
                "or give --restart to begin anew"
            )
        self.images.preprocessing = preprocessing_from_dict(json.loads(state["preprocessing"]))
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.loss = state["step"], state["loss"]
        logger.info("going on from step %d of %s", self.step, path)

    def _measure_normalization(self) -> None:
        generator = np.random.default_rng(self.recipe.seed)
        n = len(self.images)
        sample = np.sort(generator.permutation(n)[: min(n, _NORMALIZATION_SAMPLE)])
        if self.images.window(self.recipe.batch_size) == n:
            canvases = self.images.canvases(
                sample, self.recipe.batch_size, seed=self.recipe.seed, step=0
            )
        else:
            canvases = self.images.read(sample)
        preprocessing = self.images.preprocessing
        colors = [
            to_colors(center_crop(canvases[here].float(), preprocessing), kind, preprocessing)
            for kind, here in _split_kinds(self.images.is_picture[sample])
        ]
        self.images.preprocessing = measure_normalization(torch.cat(colors), preprocessing)

    def go(self, stop: threading.Event, task: Task, checkpoint_every_s: float) -> None:
        """Take all steps that are left."""
        saved_at = time.monotonic()
        batches = self.images.batches(
            self.recipe.batch_size, seed=self.recipe.seed, first_step=self.step
        )
        with self.files.metrics.open("a", newline="", encoding="utf-8") as file:
            metrics = csv.writer(file)
            for positions in batches:
                if self.step >= self.total_steps:
                    break
                metrics.writerow(self._take_step(positions))
                task.advance(self.recipe.batch_size)
                task.note(f"loss {self.loss:.3f}")
                if stop.is_set() or self._is_due(time.monotonic() - saved_at, checkpoint_every_s):
                    file.flush()
                    self._save()
                    saved_at = time.monotonic()
                if stop.is_set():
                    raise KeyboardInterrupt

    def _is_due(self, elapsed_s: float, every_s: float) -> bool:
        """Is a checkpoint due? At the end of an epoch after a quarter of the time already."""
        if self.step % self.steps_per_epoch == 0:
            every_s /= 4
        return elapsed_s > every_s or self.step == self.total_steps

    def _take_step(self, positions: Positions) -> tuple[object, ...]:
        recipe, step = self.recipe, self.step
        rate = learning_rate_at(step, self.total_steps, self.steps_per_epoch, recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        canvases = self.images.canvases(positions, recipe.batch_size, seed=recipe.seed, step=step)
        canvases = canvases.to(self.device)
        generator = _generator(self.device, recipe.seed, step + 1)
        self.model.train()
        self.model.update_key_encoder()
        outcome = self.model(
            self._view(canvases, positions, generator),
            self._view(canvases, positions, generator),
            generator,
        )
        self.loss = float(outcome.loss.detach())
        if not math.isfinite(self.loss):
            self._fail(positions)
        self.optimizer.zero_grad(set_to_none=True)
        outcome.loss.backward()
        self.optimizer.step()
        self.model.enqueue(outcome.keys)
        self.step += 1
        epoch = self.step / self.steps_per_epoch
        figures = (self.loss, rate, float(outcome.top1), float(outcome.spread))
        return (self.step, f"{epoch:.4f}", *(f"{figure:.6g}" for figure in figures))

    def _view(
        self, canvases: torch.Tensor, positions: Positions, generator: torch.Generator
    ) -> torch.Tensor:
        """Return one augmented view of each canvas, as input of the network (b, 3, h, w)."""
        preprocessing = self.images.preprocessing
        size = preprocessing.input_size
        view = torch.empty(len(canvases), 3, size, size, device=canvases.device)
        for kind, here in _split_kinds(self.images.is_picture[positions]):
            rows = torch.from_numpy(positions[here])
            draws = augment.draw(
                self.ebv[rows].to(self.device),
                self.psf_size[rows].to(self.device),
                self.recipe.augment,
                generator=generator,
            )
            place = torch.from_numpy(here).to(self.device)
            augmented = augment.apply(
                canvases[place], draws, preprocessing, kind=kind, generator=generator
            )
            view[place] = to_colors(augmented, kind, preprocessing)
        return normalize(view, preprocessing)

    def _fail(self, positions: Positions) -> None:
        cutouts = self.images.index.cutout_id[positions]
        saved = self.files.state
        last = (
            f"the last checkpoint is {saved}" if saved.exists() else "no checkpoint was written yet"
        )
        raise TrainingError(
            f"the loss of step {self.step + 1} is {self.loss} (cutouts {cutouts[0]}, {cutouts[1]}, "
            f"... of batch {self.step % self.steps_per_epoch + 1} in epoch "
            f"{self.step // self.steps_per_epoch + 1}); lower --learning-rate "
            f"and give --restart; {last}"
        )

    def _save(self) -> None:
        save_whole(
            {
                "format": TRAINING_FORMAT,
                "recipe": json.dumps(recipe_to_dict(self.recipe)),
                "preprocessing": json.dumps(dataclasses.asdict(self.images.preprocessing)),
                "images": self.images.fingerprint,
                "step": self.step,
                "loss": self.loss,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            self.files.state,
        )

    def finish(self) -> TrainingOutcome:
        """Write the encoder file; the checkpoint stays until :func:`discard_state`."""
        training: dict[str, object] = {
            "images": len(self.images),
            "pictures": int(self.images.is_picture.sum()),
            "images_fingerprint": self.images.fingerprint,
            "steps": self.step,
            "final_loss": self.loss,
            "seed": self.recipe.seed,
            "device": self.device,
            "skylike": version("skylike"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        fresh = self.files.folder / f"{self.files.name}.new.pt"
        encoder, preprocessing = self.model.query_encoder, self.images.preprocessing
        save_encoder(fresh, encoder, self.recipe, preprocessing, training)
        sha256 = file_sha256(fresh)
        path = self.files.encoder(sha256)
        fresh.replace(path)
        return TrainingOutcome(
            path, sha256, self.recipe, preprocessing, encoder.dimension, training
        )


def discard_state(files: TrainingFiles) -> None:
    """Remove the checkpoint of a run: it is finished and registered, or shall begin anew."""
    files.state.unlink(missing_ok=True)


def learning_rate_at(
    step: int, total_steps: int, steps_per_epoch: int, recipe: TrainRecipe
) -> float:
    """Return the learning rate of a step (from 0): a linear rise, then half a cosine down to 0."""
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), total_steps - 1)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    done = (step - warmup) / (total_steps - warmup)
    return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))


def _make_optimizer(network: torch.nn.Module, recipe: TrainRecipe) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
    return torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )


def _generator(device: str, seed: int, step: int) -> torch.Generator:
    """Return the generator of one step: neighboring steps must not have neighboring seeds."""
    word = int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(word >> 1)  # torch takes a signed 64-bit seed


def _split_kinds(
    is_picture: npt.NDArray[np.bool_],
) -> list[tuple[str, npt.NDArray[np.int64]]]:
    parts = [("flux", np.flatnonzero(~is_picture)), ("rgb", np.flatnonzero(is_picture))]
    return [(kind, here) for kind, here in parts if len(here)]


def _differences(old: TrainRecipe, new: TrainRecipe) -> str:
    names = [f.name for f in dataclasses.fields(TrainRecipe)]
    return ", ".join(
        f"{name} {getattr(old, name)!r}, not {getattr(new, name)!r}"
        for name in names
        if getattr(old, name) != getattr(new, name)
    )


def _begin_metrics(path: Path, step: int) -> None:
    """Keep the rows up to a step: later ones were never part of a checkpoint and come again."""
    rows: list[list[str]] = []
    if step and path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if _is_metrics_row(row, up_to=step)]
    with replaced_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(METRICS)
        writer.writerows(rows)


def _is_metrics_row(row: list[str], *, up_to: int) -> bool:
    """Tell a row of these steps from the header and from half a row that a kill left."""
    return len(row) == len(METRICS) and row[0].isdecimal() and int(row[0]) <= up_to
