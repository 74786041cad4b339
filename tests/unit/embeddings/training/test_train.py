"""Training: the same run whatever interrupts it, and what stops it."""

import csv
import dataclasses
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from cutout_factory import index_of
from skylike.embeddings.checkpoint import ENCODER_FORMAT, TRAINING_FORMAT, load_whole
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training import metrics, training_set
from skylike.embeddings.training.run_state import TrainingFiles, discard_state
from skylike.embeddings.training.train import train_encoder
from skylike.embeddings.training.training_set import epoch_order
from skylike.errors import CheckpointError, TrainingError
from skylike.images.index import CutoutIndex
from skylike.progress import SILENT

WINDOWS = 4 * 8 * 2 * 3 * 38 * 38
"""Bytes of two windows of 16 images, of 48."""

TRAIN = """
import pickle, resource, signal, sys, torch
from pathlib import Path
from skylike.embeddings.training import training_set
from skylike.embeddings.training.run_state import TrainingFiles
from skylike.embeddings.training.train import train_encoder
from skylike.errors import SkylikeError
torch.set_num_threads(1)
index, recipe, memory, largest_file = pickle.load(open(sys.argv[1], "rb"))
training_set.MEMORY_BYTES = memory
if largest_file:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
try:
    train_encoder(index, recipe, TrainingFiles(Path(sys.argv[2]), "tiny"), checkpoint_every_s=0.0)
except SkylikeError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def start_training(
    folder: Path,
    index: CutoutIndex,
    recipe: TrainRecipe,
    *,
    memory: int = 1 << 30,
    largest_file: int = 0,
) -> subprocess.Popen:
    """Train in a process of its own, with a checkpoint after each step."""
    job = folder / "job.pickle"
    job.write_bytes(pickle.dumps((index, recipe, memory, largest_file)))
    command = [sys.executable, "-c", TRAIN, str(job), str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def kill_after_steps(process: subprocess.Popen, files: TrainingFiles, steps: int) -> None:
    """Wait for some rows of metrics after a checkpoint, then kill -9."""
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if files.state.exists() and len(metrics_of(files)) > steps:
            break
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()


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


class Counted:
    """Progress that counts."""

    def __init__(self):
        self.skipped = self.advanced = 0
        self.notes = []

    @contextmanager
    def task(self, description, **_):
        yield self if description == "training" else SILENT_TASK

    def advance(self, n=1):
        self.advanced += n

    def skip(self, n=1):
        self.skipped += n

    def note(self, text):
        self.notes.append(text)


with SILENT.task("") as SILENT_TASK:
    pass


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


def interrupt_after(images: int, number: signal.Signals = signal.SIGINT) -> StopAfter:
    return StopAfter(images, lambda: signal.raise_signal(number))


def check_same(files: TrainingFiles, encoder: Path, unbroken: tuple[TrainingFiles, Path]):
    expected_files, expected = unbroken
    expected_weights, weights = weights_of(expected), weights_of(encoder)
    assert metrics_of(files) == metrics_of(expected_files)
    assert all(torch.equal(weights[name], expected_weights[name]) for name in expected_weights)


def test_a_run_writes_a_row_for_each_step_and_learns(unbroken: tuple[TrainingFiles, Path]):
    header, *rows = metrics_of(unbroken[0])

    assert header == ["step", "epoch", "loss", "learning_rate", "top1", "spread", "agreement"]
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
    with pytest.raises(KeyboardInterrupt):
        train_encoder(cutout_index, tiny_recipe, files, progress=interrupt_after(5 * 8))

    assert len(metrics_of(files)) == 1 + 5
    check_same(files, train_encoder(cutout_index, tiny_recipe, files).path, unbroken)


@pytest.mark.parametrize("objective", ["moco", "dino"])
def test_a_killed_run_goes_on_as_if_unbroken(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path, unbroken, objective: str
):
    recipe = dataclasses.replace(tiny_recipe, objective=objective, prototypes=32)
    if objective != tiny_recipe.objective:
        whole = TrainingFiles(tmp_path / "unbroken", "tiny")
        unbroken = whole, train_encoder(cutout_index, recipe, whole).path
    files = TrainingFiles(tmp_path, "tiny")
    kill_after_steps(start_training(tmp_path, cutout_index, recipe), files, 3)

    check_same(files, train_encoder(cutout_index, recipe, files).path, unbroken)


def test_a_run_that_reads_window_by_window_goes_on_after_a_kill_as_if_unbroken(
    cutout_index: CutoutIndex,
    tiny_recipe: TrainRecipe,
    tmp_path: Path,
    unbroken,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(training_set, "MEMORY_BYTES", WINDOWS)
    whole = TrainingFiles(tmp_path / "unbroken", "tiny")
    expected = whole, train_encoder(cutout_index, tiny_recipe, whole).path
    files = TrainingFiles(tmp_path, "tiny")
    process = start_training(tmp_path, cutout_index, tiny_recipe, memory=WINDOWS)
    kill_after_steps(process, files, 3)

    check_same(files, train_encoder(cutout_index, tiny_recipe, files).path, expected)
    assert metrics_of(whole) != metrics_of(unbroken[0]), "windows must have changed the order"


def test_a_file_system_without_room_stops_with_the_last_checkpoint_intact(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path, unbroken
):
    files = TrainingFiles(tmp_path, "tiny")
    with pytest.raises(KeyboardInterrupt):
        train_encoder(cutout_index, tiny_recipe, files, progress=interrupt_after(16))
    saved = files.state.read_bytes()
    # Half of the next checkpoint, which is as large, finds no room.
    process = start_training(tmp_path, cutout_index, tiny_recipe, largest_file=len(saved) // 2)
    _, said = process.communicate(timeout=300)

    assert process.returncode == 1
    assert re.fullmatch(
        r"CheckpointError: .*tiny\.training\.pt: cannot be written \(.*\); free some space.*\n",
        said,
    )
    assert files.state.read_bytes() == saved
    assert not list(tmp_path.glob("*.part"))
    check_same(files, train_encoder(cutout_index, tiny_recipe, files).path, unbroken)


def test_metrics_without_room_stop_the_run_by_name(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    process = start_training(tmp_path, cutout_index, tiny_recipe, largest_file=40)
    _, said = process.communicate(timeout=300)

    assert process.returncode == 1
    assert re.fullmatch(
        r"TrainingError: .*tiny\.metrics\.csv: cannot be written \(File too large\); free some "
        r"space and run the command again; no checkpoint was written yet\n",
        said,
    )


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
    cutout_index: CutoutIndex,
    tiny_recipe: TrainRecipe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    files = TrainingFiles(tmp_path, "tiny")
    recipe = dataclasses.replace(tiny_recipe, learning_rate=1e30)

    with pytest.raises(TrainingError) as failure:
        train_encoder(cutout_index, recipe, files)

    found = re.fullmatch(
        r"the loss of step (\d+) is nan \(batch (\d+) of 6 in epoch 1: cutouts ([\d, ]+)\); lower "
        r"--learning-rate and give --restart; no checkpoint was written yet",
        str(failure.value),
    )
    assert found
    assert found[1] == found[2]
    cutouts = [int(number) for number in found[3].split(", ")]
    order = epoch_order(48, 48, seed=recipe.seed, epoch=0) + 1
    assert cutouts == order[8 * int(found[1]) - 8 : 8 * int(found[1])].tolist()
    assert str(cutouts) in caplog.text
    assert len(metrics_of(files)) == int(found[1]), "a row for each step before it"


def test_sigterm_writes_a_checkpoint_too(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    files = TrainingFiles(tmp_path, "tiny")

    with pytest.raises(KeyboardInterrupt):
        train_encoder(
            cutout_index, tiny_recipe, files, progress=interrupt_after(16, signal.SIGTERM)
        )

    assert load_whole(files.state, format=TRAINING_FORMAT)["step"] == 2


def test_a_resumed_run_counts_what_was_done_before_as_skipped(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    files = TrainingFiles(tmp_path, "tiny")
    with pytest.raises(KeyboardInterrupt):
        train_encoder(cutout_index, tiny_recipe, files, progress=interrupt_after(5 * 8))
    counted = Counted()

    train_encoder(cutout_index, tiny_recipe, files, progress=counted)

    assert (counted.skipped, counted.advanced) == (5 * 8, 7 * 8)
    assert re.fullmatch(
        r"loss [\d.e-]+, lr [\d.e-]+, top-1 [\d.e-]+, spread [\d.e-]+", counted.notes[-1]
    )


def test_a_collapsed_run_is_warned_of(
    cutout_index: CutoutIndex,
    tiny_recipe: TrainRecipe,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(metrics, "COLLAPSE_SPREAD", 2.0)

    train_encoder(cutout_index, tiny_recipe, TrainingFiles(tmp_path, "tiny"))

    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert [w.partition(":")[0] for w in warnings] == ["epoch 1", "epoch 2"]


def test_a_uniform_selection_is_recorded_with_the_encoder(
    cutout_index: CutoutIndex, tiny_recipe: TrainRecipe, tmp_path: Path
):
    recipe = dataclasses.replace(tiny_recipe, uniform_in="mag_z", galaxies=16, epochs=0.5)
    column = np.where(np.arange(48) < 40, 17.0 + 0.01 * np.arange(48), np.nan)
    index = dataclasses.replace(cutout_index, galaxy_id=np.arange(48, dtype=np.int32))

    outcome = train_encoder(index, recipe, TrainingFiles(tmp_path, "tiny"), column=column)

    selection = outcome.training["selection"]
    assert (outcome.training["images"], sum(selection["taken"])) == (16, 16)
    assert (selection["column"], selection["without_value"]) == ("mag_z", 8)


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
