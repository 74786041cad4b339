"""The figures of a run, step by step: a CSV, TensorBoard if wanted, and a watch for collapse."""

import csv
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from skylike.embeddings.training.run_state import TrainingFiles
from skylike.errors import SettingsError, TrainingError
from skylike.files import replaced_file

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

LEADING: Final = ("step", "epoch", "loss", "learning_rate")
"""First columns of the metrics file; the figures of the objective follow."""

COLLAPSE_SPREAD: Final = 0.1
"""Mean ``spread`` of an epoch below which a run is said to collapse. For vectors of unit length the
spread is the square root of 1 less the squared length of their mean: below 0.1 the mean cosine of
two different galaxies is above 0.99."""


class Metrics:
    """Writes the figures of each step; made by :func:`open_metrics`.

    Parameters
    ----------
    files
        Of the run.
    file
        The CSV, open at its end.
    events
        TensorBoard's writer, or None.
    """

    def __init__(self, files: TrainingFiles, file: TextIO, events: "SummaryWriter | None") -> None:
        self._files, self._file, self._events = files, file, events
        self._rows = csv.writer(file)

    def write(self, step: int, epoch: float, figures: Mapping[str, float]) -> None:
        """Write the figures of a step (from 1): loss, learning rate, those of the objective.

        Raises
        ------
        TrainingError
            The disk is full.
        """
        with _told_when_full(self._files.metrics, self._files):
            self._rows.writerow((step, f"{epoch:.4f}", *(f"{v:.6g}" for v in figures.values())))
        if self._events is not None:
            for name, value in figures.items():
                self._events.add_scalar(name, value, step)

    def flush(self) -> None:
        """Bring all rows to the disk: a checkpoint relies on those before it.

        Raises
        ------
        TrainingError
            The disk is full.
        """
        with _told_when_full(self._files.metrics, self._files):
            self._file.flush()
            os.fsync(self._file.fileno())
        if self._events is not None:
            with _told_when_full(self._files.events, self._files):
                self._events.flush()


@contextmanager
def open_metrics(files: TrainingFiles, figures: Sequence[str], *, step: int) -> Iterator[Metrics]:
    """Open the metrics of a run that has taken some steps.

    Parameters
    ----------
    figures
        Names of what the objective gives, in their order.
    step
        Rows of later steps were never part of a checkpoint and are dropped: they come again.

    Raises
    ------
    TrainingError
        The disk is full.
    SettingsError
        TensorBoard is wanted and not installed.
    """
    events = _open_events(files, step)
    with _told_when_full(files.metrics, files):
        begin_metrics(files.metrics, (*LEADING, *figures), step)
        file = files.metrics.open("a", newline="", encoding="utf-8")
    try:
        yield Metrics(files, file, events)
    except BaseException:
        _close_anyhow(file)
        raise
    else:
        with _told_when_full(files.metrics, files):
            file.close()
    finally:
        if events is not None:
            events.close()


def _open_events(files: TrainingFiles, step: int) -> "SummaryWriter | None":
    if not files.tensorboard:
        return None
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional

    with _told_when_full(files.events, files):
        return SummaryWriter(str(files.events), purge_step=step + 1 if step else None)


def check_tensorboard() -> None:
    """Find out whether TensorBoard is installed.

    Raises
    ------
    SettingsError
        It is not.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401, PLC0415 - optional
    except ImportError as error:
        raise SettingsError(
            "--tensorboard needs the package tensorboard, which is not installed; run "
            "`pip install tensorboard`, or leave it out: all figures are in the CSV as well"
        ) from error


@contextmanager
def _told_when_full(path: Path, files: TrainingFiles) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be written ({error.strerror}); free some space and run the command "
            f"again; {files.last_checkpoint()}"
        ) from error


def _close_anyhow(file: TextIO) -> None:
    """Close a file whose last rows may find no room; an error is under way already."""
    try:
        file.close()
    except OSError as error:
        logger.warning("%s: its last rows are lost (%s)", file.name, error.strerror)


def begin_metrics(path: Path, columns: Sequence[str], step: int) -> None:
    """Write the header of the metrics, and keep the rows up to a step."""
    rows: list[list[str]] = []
    if step and path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if _is_row(row, len(columns), up_to=step)]
    with replaced_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _is_row(row: Sequence[str], n_columns: int, *, up_to: int) -> bool:
    """Tell a row of these steps from the header and from half a row that a kill left."""
    return len(row) == n_columns and row[0].isdecimal() and int(row[0]) <= up_to


class CollapseWatch:
    """Sums up the spread over an epoch and warns when the vectors have become one.

    Parameters
    ----------
    steps_per_epoch
        After so many steps the mean is looked at.
    state
        What :attr:`state` was at the checkpoint.
    """

    def __init__(self, steps_per_epoch: int, state: Mapping[str, float] | None = None) -> None:
        self._steps_per_epoch = steps_per_epoch
        self._sum = (state or {}).get("spread_sum", 0.0)
        self._count = int((state or {}).get("spread_count", 0))

    @property
    def state(self) -> dict[str, float]:
        """What a checkpoint must hold of it."""
        return {"spread_sum": self._sum, "spread_count": self._count}

    def see(self, step: int, spread: float, *, is_last: bool = False) -> None:
        """Take up the spread of a step (from 1), and judge it at the end of an epoch or run."""
        self._sum, self._count = self._sum + spread, self._count + 1
        if step % self._steps_per_epoch and not is_last:
            return
        mean = self._sum / self._count
        if mean < COLLAPSE_SPREAD:
            logger.warning(
                "epoch %d: the embeddings collapse: their mean spread is %.3g, below %g; "
                "lower the learning rate, or change the recipe",
                (step - 1) // self._steps_per_epoch + 1,
                mean,
                COLLAPSE_SPREAD,
            )
        self._sum, self._count = 0.0, 0
