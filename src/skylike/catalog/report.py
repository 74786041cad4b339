"""What a load tells: per file what was read, stored and left out, and what could not be loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skylike.catalog.store import UpsertCounts
from skylike.errors import SkylikeError, SurveyFileError

DUPLICATE_REASON = "same key as an earlier row"
"""Reason of rows that repeat a galaxy of their file; the first of them is stored."""


@dataclass(frozen=True)
class LoadReport:
    """What one file brought."""

    path: Path
    survey: str
    format: str
    columns: Mapping[str, str]
    """Ours: the file's."""
    magnitudes: str
    """What the stored magnitudes are: dereddened, observed or none."""
    rows_read: int
    counts: UpsertCounts
    rejected: Mapping[str, int]
    """Rows left out, by reason."""
    not_selected: int
    """Rows that the cut did not take."""
    notes: tuple[str, ...]
    """Decisions and doubts that the user should know."""


@dataclass(frozen=True)
class FailedFile:
    """A file of which nothing was loaded."""

    path: Path
    error: SkylikeError


@dataclass(frozen=True)
class LoadSummary:
    """What several files brought."""

    reports: tuple[LoadReport, ...]
    failures: tuple[FailedFile, ...]

    def check(self) -> None:
        """Raise what kept files from being loaded; with one file its own error.

        Raises
        ------
        SkylikeError
            A file was not loaded; those before and after it were.
        """
        if not self.failures:
            return
        total = len(self.failures) + len(self.reports)
        if total == 1:
            raise self.failures[0].error
        raise SurveyFileError(
            f"{len(self.failures)} of {total} files were not loaded, the others were: "
            + "; ".join(_named(failure) for failure in self.failures)
        )


def _named(failure: FailedFile) -> str:
    text = str(failure.error)
    return text if str(failure.path) in text else f"{failure.path}: {text}"


def report_lines(report: LoadReport) -> Sequence[str]:
    """Say in lines for people what one file brought."""
    counts = report.counts
    guessed = ", ".join(f"{ours}={theirs}" for ours, theirs in report.columns.items())
    lines = [
        f"{report.path.name} ({report.format}): {report.rows_read:,} rows, survey {report.survey}",
        f"  columns: {guessed}",
        f"  magnitudes: {report.magnitudes}",
        f"  galaxies: {counts.inserted:,} new, {counts.updated:,} changed, "
        f"{counts.unchanged:,} unchanged",
    ]
    if report.not_selected:
        lines.append(f"  not selected: {report.not_selected:,}")
    lines += [f"  left out, {reason}: {n:,}" for reason, n in sorted(report.rejected.items())]
    return [*lines, *(f"  note: {note}" for note in report.notes)]


def counted(count: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun: ``1 galaxy``, ``2,000 galaxies``; else with an s behind it."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"
