"""Images per second of each part of training, measured in one run.

    python benchmarks/encoder.py [--recipe small] [--device cpu] [--batch-size 64] [--threads 2]
    python benchmarks/encoder.py --recipe paper --device cuda --batch-size 256 --precision bf16 \
        --channels-last --batches 40

Synthetic cutouts; prints JSON. What matters are the ratios: the whole training loop (reading,
augmenting, stepping, writing metrics) against the bare step on views that are there already. The
bare step is measured before and after the loop, so that a machine whose speed drifts is seen.
Embedding has a benchmark of its own, ``embed.py``.
"""

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import h5py
import numpy as np
import torch

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.devices import choose_device
from skylike.embeddings.preprocess import preprocessing_of
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.recipes import load_recipe
from skylike.embeddings.training import training_set
from skylike.embeddings.training.batch_views import BatchViews, make_views
from skylike.embeddings.training.compilation import compile_networks
from skylike.embeddings.training.objectives import make_objective
from skylike.embeddings.training.optimizer import make_optimizer
from skylike.embeddings.training.run_state import TrainingFiles, discard_state
from skylike.embeddings.training.train import train_encoder
from skylike.embeddings.training.training_set import TrainingSet
from skylike.images.index import CutoutFile, CutoutIndex

WARM_UP = 3
"""Calls before the clock starts: kernels are chosen and memory is taken in the first."""

IN_MEMORY = 1 << 50
"""Bytes that all images fit in."""


def rate(call: Callable[[], object], images: int, *, device: str, batches: int) -> float:
    """Return images per second of a call that handles ``images`` of them."""
    start = 0.0
    for number in range(WARM_UP + batches):
        if number == WARM_UP:
            start = time.perf_counter()
        call()
        if device != "cpu":
            torch.cuda.synchronize(device)
    return batches * images / (time.perf_counter() - start)


def write_cutouts(path: Path, n: int) -> CutoutIndex:
    """Write n cutouts of a blurred disk in noise, and return their index."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:CUTOUT_SIZE_PIX, :CUTOUT_SIZE_PIX] - (CUTOUT_SIZE_PIX - 1) / 2
    disk = np.exp(-np.hypot(x, y) / 6).astype(np.float32)
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", (n, 3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX), np.float32)
        for start in range(0, n, 256):
            count = min(256, n - start)
            noise = rng.normal(0, 0.005, (count, *images.shape[1:]))
            images[start : start + count] = disk + noise.astype(np.float32)
    ids = np.arange(n, dtype=np.int32)
    unknown = np.full((n, 3), np.nan, dtype=np.float32)
    file_one = CutoutFile(1, path, "flux", ("g", "r", "z"), CUTOUT_SIZE_PIX, 0.262)
    return CutoutIndex(ids, ids, np.ones_like(ids), ids, unknown[:, 0], unknown, {1: file_one})


def forget(path: Path) -> None:
    """Ask the system to drop what it holds of a file in memory, where it knows how."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_reading(index: CutoutIndex, recipe: TrainRecipe) -> dict[str, float]:
    """Measure cutouts from the disk to shuffled batches of float16 in memory."""
    images = TrainingSet(
        index, preprocessing_of(recipe), memory_bytes=streaming_bytes(index, recipe)
    )
    steps = range(images.steps_per_epoch(recipe.batch_size))
    found = {}
    forget(index.files[1].path)
    for state in ("cold", "warm"):
        start = time.perf_counter()
        for _ in images.batches(recipe.batch_size, seed=0, steps=steps):
            pass
        found[f"reading, {state}"] = len(steps) * recipe.batch_size / (time.perf_counter() - start)
    return found


def streaming_bytes(index: CutoutIndex, recipe: TrainRecipe) -> int:
    """Return room for two windows of a quarter of the images, so that they do not all fit."""
    return len(index) // 4 * 2 * 2 * 3 * preprocessing_of(recipe).canvas_size ** 2


@dataclasses.dataclass
class Parts:
    """What a step is made of, to be called by itself."""

    index: CutoutIndex
    recipe: TrainRecipe
    device: str
    batches: int

    def __post_init__(self) -> None:
        """Read one batch and make the objective."""
        torch.manual_seed(0)
        self.objective = make_objective(self.recipe, torch.Generator().manual_seed(0))
        self.objective.to(self.device)
        self.optimizer = make_optimizer(self.objective.trained_parameters(), self.recipe)
        if self.recipe.compile:
            compile_networks(self.objective, self.device)
        self.images = TrainingSet(self.index, preprocessing_of(self.recipe), memory_bytes=IN_MEMORY)
        (self.batch,) = self.images.batches(self.recipe.batch_size, seed=0, steps=range(1))
        self.inputs = self.augment()

    def augment(self) -> BatchViews:
        """Make the views of the batch."""
        return make_views(
            self.batch,
            self.images,
            self.recipe,
            self.images.preprocessing,
            count=self.objective.views,
            device=self.device,
        )

    def step(self) -> float:
        """Take one step on views that are there."""
        self.objective.before_step(0.0)
        step = self.objective(self.inputs.views, self.inputs.generator)
        loss = float(step.loss.detach())
        self.optimizer.zero_grad(set_to_none=True)
        step.loss.backward()
        self.optimizer.step()
        self.objective.after_step(step)
        return loss

    def rate_of(self, call: Callable[[], object]) -> float:
        """Return the images per second of one of these."""
        self.objective.train()
        return rate(call, self.recipe.batch_size, device=self.device, batches=self.batches)


def measure_loop(parts: Parts, folder: Path, *, memory_bytes: int) -> float:
    """Measure the training of one epoch, files and all, from the end of its first steps on."""
    training_set.MEMORY_BYTES = memory_bytes
    files, clock = TrainingFiles(folder, "benchmark"), _StepClock()
    train_encoder(parts.index, parts.recipe, files, device=parts.device, progress=clock)
    discard_state(files)
    elapsed = clock.times[-1] - clock.times[WARM_UP - 1]
    return parts.recipe.batch_size * (len(clock.times) - WARM_UP) / elapsed


class _StepClock:
    """Progress that notes when each training step ended; what follows the training is not noted."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._trains = False

    def task(self, description: str, **_options: object) -> "_StepClock":
        self._trains = description.startswith("training")
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, _text: str) -> None:
        return None

    def skip(self, _n: int = 1) -> None:
        return None

    def advance(self, _n: int = 1) -> None:
        if self._trains:
            self.times.append(time.perf_counter())


def measure(parts: Parts, folder: Path) -> dict[str, float]:
    """Run all measurements: images per second."""
    found = measure_reading(parts.index, parts.recipe)
    found["augmenting, all views of an image"] = parts.rate_of(parts.augment)
    found["bare step, before"] = parts.rate_of(parts.step)
    found["loop, images in memory"] = measure_loop(parts, folder, memory_bytes=IN_MEMORY)
    found["loop, images from disk"] = measure_loop(
        parts, folder, memory_bytes=streaming_bytes(parts.index, parts.recipe)
    )
    found["bare step, after"] = parts.rate_of(parts.step)
    return found


def ratios(found: dict[str, float]) -> dict[str, float]:
    """Return what the issue asks of the numbers."""
    step = 2 / (1 / found["bare step, before"] + 1 / found["bare step, after"])
    return {
        "loop in memory / bare step": found["loop, images in memory"] / step,
        "loop from disk / bare step": found["loop, images from disk"] / step,
        "reading, warm / bare step": found["reading, warm"] / step,
        "augmenting / bare step": found["augmenting, all views of an image"] / step,
    }


def choose_recipe(options: argparse.Namespace) -> TrainRecipe:
    """Return the recipe with what the options say; the queue takes whole batches."""
    recipe = load_recipe(options.recipe)
    b = options.batch_size or recipe.batch_size
    return load_recipe(
        options.recipe,
        epochs=1.0,
        batch_size=b,
        queue=max(recipe.queue // b, 1) * b,
        precision=options.precision,
        compile=options.compile or None,
        channels_last=options.channels_last or None,
    )


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=None)
    parser.add_argument("--precision", choices=["float32", "bf16"], default=None)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    recipe = choose_recipe(options)
    with tempfile.TemporaryDirectory() as folder:
        n = recipe.batch_size * max(options.batches, 4 * WARM_UP)
        index = write_cutouts(Path(folder) / "cutouts.h5", n)
        found = measure(Parts(index, recipe, device, options.batches), Path(folder))
    report = {
        "recipe": recipe.name,
        "network": f"{recipe.architecture}, width {recipe.width:g}",
        "objective": recipe.objective,
        "device": torch.cuda.get_device_name(device) if device != "cpu" else device,
        "threads": options.threads,
        "batch": recipe.batch_size,
        "precision": recipe.precision,
        "compile": recipe.compile,
        "channels_last": recipe.channels_last,
        "images_per_second": {name: round(value, 1) for name, value in found.items()},
        "ratios": {name: round(value, 3) for name, value in ratios(found).items()},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
