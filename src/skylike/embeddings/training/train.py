"""Training: cutouts and a recipe go in, an encoder file comes out; killed runs go on.

All randomness of a step is drawn from (seed, step), and the learning rate follows from the step, so
the position in the run is the whole state of the random generators and of the schedule.
"""

import logging
import math
import threading
import time
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from skylike.embeddings.polar import PolarResNet
from skylike.embeddings.preprocess import preprocessing_of
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training import distributed
from skylike.embeddings.training.batch_views import BatchViews, iter_views
from skylike.embeddings.training.compilation import compile_networks
from skylike.embeddings.training.input_scale import measure_input
from skylike.embeddings.training.metrics import CollapseWatch, Metrics, open_metrics
from skylike.embeddings.training.objectives import make_objective
from skylike.embeddings.training.optimizer import make_optimizer
from skylike.embeddings.training.outcome import TrainingOutcome, write_encoder
from skylike.embeddings.training.readout import fit_readout
from skylike.embeddings.training.run_state import (
    RunIdentity,
    RunState,
    TrainingFiles,
    load_state,
    save_state,
)
from skylike.embeddings.training.schedule import learning_rate_at, step_generator
from skylike.embeddings.training.selection import Selection, announce, choose_images
from skylike.embeddings.training.stopping import stop_requests
from skylike.embeddings.training.training_set import TrainingSet
from skylike.errors import CheckpointError, TrainingError
from skylike.images.index import CutoutIndex
from skylike.progress import SILENT, Progress, Task

logger = logging.getLogger(__name__)

CHECKPOINT_EVERY_S: Final = 60.0
"""Time between checkpoints within an epoch; a kill loses at most this much."""

_NAMED_CUTOUTS: Final = 8
"""Cutouts of a batch that an error message names; the log names all."""


def train_encoder(
    index: CutoutIndex,
    recipe: TrainRecipe,
    files: TrainingFiles,
    *,
    column: npt.NDArray[np.floating] | None = None,
    kind: str | None = None,
    device: str = "cpu",
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    progress: Progress = SILENT,
) -> TrainingOutcome:
    """Train an encoder, going on from a checkpoint where there is one.

    Processes that torchrun has started train together; the first one alone writes files and shows
    progress.

    Parameters
    ----------
    index
        Cutouts; :func:`choose_images` takes from them what the recipe can use.
    column
        For ``recipe.uniform_in``, see :func:`choose_images`.
    kind
        ``"flux"``, ``"rgb"`` or None, see :func:`choose_images`.
    device
        As torch names it.

    Raises
    ------
    SettingsError, EmptyStageError
        There are too few images, or none that the recipe can use; TensorBoard is not installed.
    CheckpointError
        The checkpoint belongs to another recipe or other images, or a file cannot be written.
    TrainingError
        The loss is no longer a number, or the metrics cannot be written.
    KeyboardInterrupt
        After Ctrl-C (or SIGTERM), once a checkpoint is written.
    """
    with distributed.processes(device) as own_device:
        shown = progress if distributed.is_first() else SILENT
        selection = choose_images(index, recipe, kind=kind, column=column)
        announce(selection, shown)
        run = _Run(selection, recipe, files, device=own_device, progress=shown)
        run.start()
        total = run.total_steps * recipe.batch_size
        with (
            stop_requests() as stop,
            shown.task("training", total=total, unit="images") as task,
            _metrics_of_first(run) as metrics,
        ):
            task.skip(run.step * recipe.batch_size)
            run.go(stop, task, metrics, checkpoint_every_s=checkpoint_every_s)
        return run.finish()


def _metrics_of_first(run: "_Run") -> AbstractContextManager[Metrics | None]:
    if not distributed.is_first():
        return nullcontext()
    return open_metrics(run.files, run.objective.figures, step=run.step)


class _Run:
    """One training run: networks, optimizer, position."""

    def __init__(
        self,
        selection: Selection,
        recipe: TrainRecipe,
        files: TrainingFiles,
        *,
        device: str,
        progress: Progress,
    ) -> None:
        self.recipe, self.files, self.device = recipe, files, device
        self.progress = progress
        self.selection = selection
        self.preprocessing = preprocessing_of(recipe)
        self.images = TrainingSet(selection.index, self.preprocessing, progress=progress)
        self.steps_per_epoch = self.images.steps_per_epoch(recipe.batch_size)
        self.total_steps = max(1, round(recipe.epochs * self.steps_per_epoch))
        self.step = 0
        self.loss = math.nan
        self.collapse = CollapseWatch(self.steps_per_epoch)
        uniform = selection.uniform
        self.identity = RunIdentity(
            recipe, self.images.fingerprint, uniform.to_dict() if uniform else None
        )
        torch.manual_seed(recipe.seed)
        self.objective = make_objective(recipe, step_generator("cpu", recipe.seed, 0)).to(device)
        self.optimizer = make_optimizer(self.objective.trained_parameters(), recipe)

    def start(self) -> None:
        """Go on from the checkpoint, or begin a new run."""
        self.files.folder.mkdir(parents=True, exist_ok=True)
        if self.files.state.exists():
            self._resume()
        else:
            self.preprocessing = measure_input(self.images, seed=self.recipe.seed)
        if self.recipe.compile:
            compile_networks(self.objective, self.device)
        self.shared = distributed.share_gradients(self.objective, self.device)

    def _resume(self) -> None:
        state = load_state(self.files, self.identity, device=self.device)
        try:
            self.objective.load_state_dict(state.objective)
            self.optimizer.load_state_dict(dict(state.optimizer))
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{self.files.state}: does not fit the networks of this version of skylike "
                f"({str(error).splitlines()[0]}); give --restart to begin anew"
            ) from error
        self.preprocessing = state.preprocessing
        self.step, self.loss = state.step, state.loss
        self.collapse = CollapseWatch(self.steps_per_epoch, state.figures)
        logger.info("going on from step %d of %s", self.step, self.files.state)

    def go(
        self,
        stop: threading.Event,
        task: Task,
        metrics: Metrics | None,
        *,
        checkpoint_every_s: float,
    ) -> None:
        """Take all steps that are left; only the first process has metrics, and writes."""
        saved_at = time.monotonic()
        inputs = iter_views(
            self.images,
            self.recipe,
            self.preprocessing,
            count=self.objective.views,
            steps=range(self.step, self.total_steps),
            device=self.device,
        )
        self.objective.train()
        with closing(inputs):
            for views in inputs:
                figures = self._take_step(views)
                is_last = self.step == self.total_steps
                if metrics is not None:
                    metrics.write(self.step, self.step / self.steps_per_epoch, figures)
                    self.collapse.see(self.step, figures["spread"], is_last=is_last)
                task.advance(self.recipe.batch_size)
                task.note(_note(figures))
                is_due = self._is_due(time.monotonic() - saved_at, checkpoint_every_s)
                is_stopped, is_due = distributed.any_process((stop.is_set(), is_due), self.device)
                if is_stopped or is_due:
                    self._save(metrics)
                    saved_at = time.monotonic()
                if is_stopped and not is_last:
                    raise KeyboardInterrupt

    def _is_due(self, elapsed_s: float, every_s: float) -> bool:
        """Is a checkpoint due? At the end of an epoch after a quarter of the time already."""
        if self.step % self.steps_per_epoch == 0:
            every_s /= 4
        return elapsed_s > every_s or self.step == self.total_steps

    def _take_step(self, inputs: BatchViews) -> dict[str, float]:
        rate = learning_rate_at(self.step, self.total_steps, self.steps_per_epoch, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.objective.before_step(self.step / self.total_steps)
        step = self.shared(inputs.views, inputs.generator)
        names = self.objective.figures
        watched = torch.stack([step.loss.detach(), *(step.figures[name] for name in names)])
        # The only time in a step that the processor waits for the device.
        loss, *figures = distributed.mean_over_processes(watched).tolist()
        if not math.isfinite(loss):
            self._fail(loss)
        self.optimizer.zero_grad(set_to_none=True)
        step.loss.backward()
        self.optimizer.step()
        self.objective.after_step(step)
        self.step += 1
        self.loss = loss
        return {"loss": loss, "learning_rate": rate, **dict(zip(names, figures, strict=True))}

    def _fail(self, loss: float) -> None:
        positions = self.images.positions_at(
            self.step, self.recipe.batch_size, seed=self.recipe.seed
        )
        cutouts = self.images.index.cutout_id[positions].tolist()
        epoch, within = divmod(self.step, self.steps_per_epoch)
        logger.error("the batch whose loss is %s: cutouts %s", loss, cutouts)
        named = ", ".join(str(cutout) for cutout in cutouts[:_NAMED_CUTOUTS])
        raise TrainingError(
            f"the loss of step {self.step + 1} is {loss} (batch {within + 1} of "
            f"{self.steps_per_epoch} in epoch {epoch + 1}: cutouts {named}"
            f"{', ...' if len(cutouts) > _NAMED_CUTOUTS else ''}); lower --learning-rate "
            f"and give --restart; {self.files.last_checkpoint()}"
        )

    def _save(self, metrics: Metrics | None) -> None:
        distributed.join_running_statistics(self.objective)
        if metrics is None:
            return
        metrics.flush()
        state = RunState(
            step=self.step,
            loss=self.loss,
            preprocessing=self.preprocessing,
            objective=self.objective.state_dict(),
            optimizer=self.optimizer.state_dict(),
            figures=self.collapse.state,
        )
        save_state(self.files, self.identity, state)

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
            "processes": distributed.size(),
        }
        if self.identity.selection is not None:
            training["selection"] = dict(self.identity.selection)
        encoder = self.objective.query_encoder
        if isinstance(encoder, PolarResNet):
            fit_readout(
                encoder,
                self.images,
                self.recipe,
                self.preprocessing,
                device=self.device,
                progress=self.progress,
            )
        return write_encoder(self.files, encoder, self.recipe, self.preprocessing, training)


def _note(figures: dict[str, float]) -> str:
    shown = {"loss": "loss", "learning_rate": "lr", "top1": "top-1", "spread": "spread"}
    return ", ".join(f"{word} {figures[name]:.3g}" for name, word in shown.items())
