"""The files of figures, and the watch for collapse."""

import csv
import logging
from importlib.util import find_spec
from pathlib import Path

import pytest

from skylike.embeddings.training.metrics import (
    COLLAPSE_SPREAD,
    CollapseWatch,
    begin_metrics,
    check_tensorboard,
    open_metrics,
)
from skylike.embeddings.training.run_state import TrainingFiles
from skylike.errors import SettingsError, TrainingError

COLUMNS = ("step", "epoch", "loss", "learning_rate", "top1")
FIGURES = {"loss": 2.5, "learning_rate": 0.01, "top1": 1 / 3}


def test_rows_after_the_checkpoint_and_half_a_row_are_dropped_on_resuming(tmp_path: Path):
    path = tmp_path / "m.csv"
    rows = [",".join(COLUMNS), *(f"{step},0.1,2.5,0.01,0.5" for step in range(1, 13))]
    path.write_text("\n".join([*rows, "1"]))  # a kill cut the row of step 13

    begin_metrics(path, COLUMNS, 2)

    assert path.read_text().split() == rows[:3]


def test_a_new_run_does_not_keep_the_rows_of_an_older_one(tmp_path: Path):
    path = tmp_path / "m.csv"
    path.write_text("step,epoch\n1,0.5\n")

    begin_metrics(path, COLUMNS, 0)

    assert path.read_text().split() == [",".join(COLUMNS)]


def test_a_flushed_row_is_in_the_file_before_it_is_closed(tmp_path: Path):
    files = TrainingFiles(tmp_path, "a")

    with open_metrics(files, ("top1",), step=0) as metrics:
        metrics.write(1, 0.25, FIGURES)
        metrics.flush()
        rows = list(csv.reader(files.metrics.read_text().splitlines()))

    assert rows == [list(COLUMNS), ["1", "0.2500", "2.5", "0.01", "0.333333"]]


def test_a_folder_that_cannot_be_written_is_told_with_the_last_checkpoint(tmp_path: Path):
    files = TrainingFiles(tmp_path / "missing", "a")

    with (
        pytest.raises(TrainingError, match=r"a\.metrics\.csv: cannot be written .*no checkpoint"),
        open_metrics(files, (), step=0),
    ):
        pass


@pytest.mark.skipif(find_spec("tensorboard") is not None, reason="TensorBoard is installed")
def test_tensorboard_that_is_not_installed_is_told_with_the_way_out():
    with pytest.raises(SettingsError, match="pip install tensorboard"):
        check_tensorboard()


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_tensorboard_gets_each_figure_once_though_a_run_was_broken(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = TrainingFiles(tmp_path, "a", tensorboard=True)
    for first, last in ((1, 6), (4, 8)):
        with open_metrics(files, ("top1",), step=first - 1) as metrics:
            for step in range(first, last + 1):
                metrics.write(step, step / 4, FIGURES | {"loss": float(step)})

    events = EventAccumulator(str(files.events)).Reload()

    assert sorted(events.Tags()["scalars"]) == ["learning_rate", "loss", "top1"]
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(n, n) for n in range(1, 9)]


def watched(spreads: list[float], *, steps_per_epoch: int, is_last: bool = False) -> CollapseWatch:
    watch = CollapseWatch(steps_per_epoch)
    for step, spread in enumerate(spreads, start=1):
        watch.see(step, spread, is_last=is_last and step == len(spreads))
    return watch


def test_an_epoch_without_spread_is_warned_of(caplog: pytest.LogCaptureFixture):
    low, high = 0.5 * COLLAPSE_SPREAD, 5 * COLLAPSE_SPREAD

    watched([high, high, low, low, high, low], steps_per_epoch=2)

    assert [(r.levelno, r.args[0]) for r in caplog.records] == [(logging.WARNING, 2)]


def test_a_run_shorter_than_an_epoch_is_judged_at_its_end(caplog: pytest.LogCaptureFixture):
    watched([0.0, 0.0], steps_per_epoch=10, is_last=True)

    assert len(caplog.records) == 1


def test_a_broken_epoch_is_judged_as_a_whole(caplog: pytest.LogCaptureFixture):
    before = watched([1.0, 1.0, 0.0], steps_per_epoch=4)

    CollapseWatch(4, before.state).see(4, 0.0)

    assert not caplog.records
