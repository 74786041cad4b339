"""Training: the same run whatever interrupts it, and what stops it."""

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from cutout_factory import index_of
from skylike.embeddings.checkpoint import ENCODER_FORMAT, load_whole
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training import train
from skylike.embeddings.training.train import (
    TrainingFiles,
    discard_state,
    learning_rate_at,
    train_encoder,
)
from skylike.errors import CheckpointError, TrainingError
from skylike.images.index import CutoutIndex
from skylike.progress import SILENT

TRAIN = """
import sys, pickle, torch
from pathlib import Path
from skylike.embeddings.training.train import TrainingFiles, train_encoder
torch.set_num_threads(1)
index, recipe = pickle.load(open(sys.argv[1], "rb"))
train_encoder(index, recipe, TrainingFiles(Path(sys.argv[2]), "tiny"), checkpoint_every_s=0.0)
"""


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_whole(path, format=ENCODER_FORMAT)["weights"]


def metrics_of(files: TrainingFiles) -> list[list[str]]:
    with files.metrics.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def unbroken(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainingFiles, Path]:
    """An uninterrupted run: its files and its encoder."""
    torch.set_num_threads(1)
    files = TrainingFiles(tmp_path_factory.mktemp("unbroken"), "tiny")
    return files, train_encoder(cutout_index, tiny_recipe, files).path


class StopAfter:
    """Progress that calls a function once some images are done."""

    def __init__(self, images: int, action):
        self.left, self.action = images, action

    def task(self, description, *, total=None, unit=""):
        outer = self if description == "training" else None
        if outer is None:
            return SILENT.task(description, total=total, unit=unit)

        class Counting:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                return None

            def note(self, _text):
                pass

            def advance(self, n=1):
                outer.left -= n
                if outer.left == 0:
                    outer.action()

            skip = advance

        return Counting()


def check_same(files: TrainingFiles, encoder: Path, unbroken: tuple[TrainingFiles, Path]):
    expected_files, expected = unbroken
    expected_weights, weights = weights_of(expected), weights_of(encoder)
    assert metrics_of(files) == metrics_of(expected_files)
    assert all(torch.equal(weights[name], expected_weights[name]) for name in expected_weights)


def test_a_run_writes_a_row_for_each_step_and_learns(unbroken: tuple[TrainingFiles, Path]):
    header, *rows = metrics_of(unbroken[0])

    assert header == ["step", "epoch", "loss", "learning_rate", "top1", "spread"]
    assert [int(row[0]) for row in rows] == list(range(1, 13))
    assert all(np.isfinite([float(value) for value in row]).all() for row in rows)


def test_the_same_seed_gives_the_same_encoder(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path, unbroken
):
    files = TrainingFiles(tmp_path, "tiny")

    check_same(files, train_encoder(cutout_index, tiny_recipe, files).path, unbroken)


def test_ctrl_c_writes_a_checkpoint_and_the_run_goes_on_as_if_unbroken(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path, unbroken
):
    files = TrainingFiles(tmp_path, "tiny")
    interrupt = StopAfter(5 * 8, lambda: signal.raise_signal(signal.SIGINT))

    with pytest.raises(KeyboardInterrupt):
        train_encoder(cutout_index, tiny_recipe, files, progress=interrupt)

    assert len(metrics_of(files)) == 1 + 5
    check_same(files, train_encoder(cutout_index, tiny_recipe, files).path, unbroken)


def test_a_killed_run_goes_on_as_if_unbroken(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path, unbroken
):
    import pickle

    (tmp_path / "job.pickle").write_bytes(pickle.dumps((cutout_index, tiny_recipe)))
    files = TrainingFiles(tmp_path, "tiny")
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(tmp_path / "job.pickle"), str(tmp_path)]
    )
    deadline = time.monotonic() + 60
    while not files.state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)

    assert process.wait() == -signal.SIGKILL
    check_same(files, train_encoder(cutout_index, tiny_recipe, files).path, unbroken)


def test_training_outside_the_main_thread_works(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    recipe = dataclasses.replace(tiny_recipe, epochs=0.2)
    outcomes = []
    thread = threading.Thread(
        target=lambda: outcomes.append(
            train_encoder(cutout_index, recipe, TrainingFiles(tmp_path, "tiny"))
        )
    )
    thread.start()
    thread.join()

    assert outcomes[0].training["steps"] == 1


def test_a_checkpoint_of_another_recipe_is_refused_by_field(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    files = TrainingFiles(tmp_path, "tiny")
    train_encoder(cutout_index, dataclasses.replace(tiny_recipe, epochs=0.2), files)

    with pytest.raises(CheckpointError, match=r"epochs 0\.2, not 2\.0.*--restart"):
        train_encoder(cutout_index, tiny_recipe, files)


def test_a_checkpoint_of_other_images_is_refused(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    files = TrainingFiles(tmp_path, "tiny")
    recipe = dataclasses.replace(tiny_recipe, epochs=0.2)
    train_encoder(cutout_index, recipe, files)

    with pytest.raises(CheckpointError, match="other images"):
        train_encoder(cutout_index.take(np.arange(40)), recipe, files)


def test_a_truncated_checkpoint_is_refused_by_name(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    files = TrainingFiles(tmp_path, "tiny")
    train_encoder(cutout_index, dataclasses.replace(tiny_recipe, epochs=0.2), files)
    files.state.write_bytes(files.state.read_bytes()[:1000])

    with pytest.raises(CheckpointError, match=r"tiny\.training\.pt: not a readable checkpoint"):
        train_encoder(cutout_index, tiny_recipe, files)


def test_a_loss_that_is_no_number_names_the_batch_and_the_checkpoint(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    files = TrainingFiles(tmp_path, "tiny")
    recipe = dataclasses.replace(tiny_recipe, learning_rate=1e30)

    with pytest.raises(TrainingError, match=r"loss of step \d+ is nan .*batch \d+ in epoch 1"):
        train_encoder(cutout_index, recipe, files)


def test_a_full_disk_leaves_the_last_checkpoint(
    cutout_index: CutoutIndex,
    tiny_recipe: TrainRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    files = TrainingFiles(tmp_path, "tiny")
    with pytest.raises(KeyboardInterrupt):
        train_encoder(
            cutout_index,
            tiny_recipe,
            files,
            progress=StopAfter(16, lambda: signal.raise_signal(signal.SIGTERM)),
        )
    saved = files.state.read_bytes()

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match="No space left"):
        train_encoder(cutout_index, tiny_recipe, files)

    assert files.state.read_bytes() == saved
    assert not list(tmp_path.glob("*.part"))


def test_no_other_encoder_is_overwritten(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    files = TrainingFiles(tmp_path, "tiny")
    recipe = dataclasses.replace(tiny_recipe, epochs=0.2)
    first = train_encoder(cutout_index, recipe, files)
    discard_state(files)

    other = train_encoder(cutout_index, dataclasses.replace(recipe, seed=1), files)

    assert first.path.name == "tiny.pt"
    assert other.path.name == f"tiny-{other.sha256[:8]}.pt"
    assert first.path.exists()


def test_pictures_and_fluxes_train_together(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    pictures = tmp_path / "pictures.h5"
    with h5py.File(pictures, "w") as file:
        file["images"] = np.random.default_rng(0).integers(
            0, 255, (48, 3, 152, 152), dtype=np.uint8
        )
    rgb = index_of(pictures, 48, kind="rgb")
    file_id = np.where(np.arange(48) % 2 == 0, 1, 2).astype(np.int32)
    files = {1: cutout_index.files[1], 2: dataclasses.replace(rgb.files[1], file_id=2)}
    index = dataclasses.replace(cutout_index, file_id=file_id, files=files)

    outcome = train_encoder(
        index, dataclasses.replace(tiny_recipe, epochs=0.5), TrainingFiles(tmp_path, "tiny")
    )

    assert outcome.training["pictures"] == 24


def test_learning_rate_rises_then_falls_by_half_a_cosine(tiny_recipe: TrainRecipe):
    recipe = dataclasses.replace(tiny_recipe, learning_rate=0.4, warmup_epochs=1.0)

    rates = [learning_rate_at(step, 30, 10, recipe) for step in range(30)]

    assert max(rates) == rates[10] == 0.4
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[20] == pytest.approx(0.2)


def test_metrics_after_the_checkpoint_and_half_a_row_are_dropped_on_resuming(tmp_path: Path):
    path = tmp_path / "m.csv"
    rows = [",".join(train.METRICS), *(f"{step},0.1,2.5,0.01,0.5,0.9" for step in range(1, 13))]
    path.write_text("\n".join([*rows, "1"]))  # a kill cut the row of step 13

    train._begin_metrics(path, 2)

    assert path.read_text().split() == rows[:3]
