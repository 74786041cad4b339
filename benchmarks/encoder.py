"""Images per second of each part of training and embedding, measured in one run.

    python benchmarks/encoder.py [--recipe small] [--device cpu] [--batches 20] [--threads 2]

Synthetic cutouts; prints JSON. What matters are the ratios: the whole training loop against the
bare step (it adds augmentation), and embedding from disk against the bare forward pass.
"""

import argparse
import itertools
import json
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
from skylike.embeddings.augmentation import views as augment
from skylike.embeddings.checkpoint import TrainedEncoder
from skylike.embeddings.prefetch import prefetch
from skylike.embeddings.preprocess import Preprocessing, normalize, preprocessing_of, to_colors
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.recipes import load_recipe
from skylike.embeddings.training.moco import MomentumContrast
from skylike.embeddings.training.train import TrainingFiles, train_encoder
from skylike.images.index import CutoutFile, CutoutIndex
from skylike.images.read import iter_pixels

WARM_UP = 2
"""Calls before the clock starts: kernels are chosen and memory is taken in the first."""


def rate(call: Callable[[], object], images: int, *, device: str, batches: int) -> float:
    """Return images per second of a call that handles ``images`` of them: the median call."""
    seconds = []
    for number in range(WARM_UP + batches):
        start = time.perf_counter()
        call()
        if device != "cpu":
            torch.cuda.synchronize(device)
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    return images / float(np.median(seconds))


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


def measure_parts(recipe: TrainRecipe, device: str, batches: int) -> dict[str, float]:
    """Measure augmentation, the bare training step and the bare forward pass on random canvases."""
    b, preprocessing = recipe.batch_size, preprocessing_of(recipe)
    generator = torch.Generator(device).manual_seed(0)
    size = preprocessing.canvas_size
    canvas = torch.rand(b, 3, size, size, device=device).half()
    unknown = torch.full((b, 3), float("nan"), device=device)
    torch.manual_seed(0)
    model = MomentumContrast(recipe, torch.Generator().manual_seed(0)).to(device)
    optimizer = torch.optim.SGD(model.query_encoder.parameters(), lr=1e-3, momentum=0.9)

    def view() -> torch.Tensor:
        draws = augment.draw(unknown[:, 0], unknown, recipe.augment, generator=generator)
        pixels = augment.apply(canvas, draws, preprocessing, kind="flux", generator=generator)
        return normalize(to_colors(pixels, "flux", preprocessing), preprocessing)

    views = view(), view()

    def step() -> None:
        model.update_key_encoder()
        outcome = model(*views, generator)
        optimizer.zero_grad(set_to_none=True)
        outcome.loss.backward()
        optimizer.step()
        model.enqueue(outcome.keys)

    network = model.query_encoder.eval()

    @torch.inference_mode()
    def forward() -> None:
        network.features(views[0])

    found = {
        "augmentation, views": rate(view, b, device=device, batches=batches),
        "forward": rate(forward, b, device=device, batches=batches),
    }
    model.train()
    return found | {"training step": rate(step, b, device=device, batches=batches)}


def measure_loop(index: CutoutIndex, recipe: TrainRecipe, device: str, folder: Path) -> float:
    """Measure a whole epoch of training after the images are in memory, files and all."""
    files = TrainingFiles(folder, "benchmark")
    train_encoder(index, recipe, files, device=device)
    stamps = _StepClock()
    files.state.unlink()
    train_encoder(index, recipe, files, device=device, progress=stamps)
    return float(recipe.batch_size / np.median(np.diff(stamps.times)))


class _StepClock:
    """Progress that notes when each training step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def task(self, _description: str, **_options: object) -> "_StepClock":
        return self

    def __enter__(self) -> Self:
        self.times = []
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, _text: str) -> None:
        return None

    def skip(self, _n: int = 1) -> None:
        return None

    def advance(self, _n: int = 1) -> None:
        self.times.append(time.perf_counter())


def measure_embedding(index: CutoutIndex, recipe: TrainRecipe, device: str) -> float:
    """Measure cutouts from the disk to unit rows."""
    torch.manual_seed(0)
    network = MomentumContrast(recipe, torch.Generator().manual_seed(0)).query_encoder
    preprocessing: Preprocessing = preprocessing_of(recipe)
    encoder = TrainedEncoder(network.to(device).eval(), recipe, preprocessing, device)
    batches = prefetch(iter_pixels(index, batch_size=recipe.batch_size, kind="flux"))
    for _, pixels in itertools.islice(batches, WARM_UP):
        encoder.embed(pixels, "flux")
    start, done = time.perf_counter(), 0
    for positions, pixels in batches:
        encoder.embed(pixels, "flux")
        done += len(positions)
    return done / (time.perf_counter() - start)


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    recipe = load_recipe(options.recipe, epochs=1.0)
    with tempfile.TemporaryDirectory() as folder:
        n = recipe.batch_size * options.batches
        index = write_cutouts(Path(folder) / "cutouts.h5", n)
        found = measure_parts(recipe, device, options.batches)
        found["training loop"] = measure_loop(index, recipe, device, Path(folder))
        found["embedding from disk"] = measure_embedding(index, recipe, device)
    ratios = {
        "training loop / training step": found["training loop"] / found["training step"],
        "embedding / forward": found["embedding from disk"] / found["forward"],
    }
    report = {
        "recipe": recipe.name,
        "device": device,
        "threads": options.threads,
        "batch": recipe.batch_size,
        "images_per_second": {name: round(value, 1) for name, value in found.items()},
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
