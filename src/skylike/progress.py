"""How long work tells how far it is, without knowing who listens."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One piece of work under way."""

    def advance(self, n: int = 1, /) -> None:
        """Say that ``n`` more units are done."""

    def skip(self, n: int = 1, /) -> None:
        """Say that ``n`` more units need no work: an earlier run, or another process, did them.

        They count as done, and not for the rate.
        """

    def note(self, text: str, /) -> None:
        """Show a short text beside the progress, such as the current loss."""


class Progress(Protocol):
    """Where tasks are announced; the command line draws bars or writes log lines."""

    def task(
        self, description: str, *, total: int | None = None, unit: str = "galaxies"
    ) -> AbstractContextManager[Task]:
        """Begin a task; it ends with the ``with`` block.

        Parameters
        ----------
        description
            What is done, in a few words.
        total
            Units in all, or None when unknown.
        unit
            What is counted, as a plural.
        """


class _SilentTask:
    def advance(self, n: int = 1, /) -> None:
        pass

    def skip(self, n: int = 1, /) -> None:
        pass

    def note(self, text: str, /) -> None:
        pass


class _SilentProgress:
    @contextmanager
    def task(
        self,
        description: str,  # noqa: ARG002
        *,
        total: int | None = None,  # noqa: ARG002
        unit: str = "galaxies",  # noqa: ARG002
    ) -> Iterator[Task]:
        yield _SilentTask()


SILENT: Progress = _SilentProgress()
"""Tells nobody; the default of every long function."""
