"""What every command needs: settings, the database, progress on the terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from typing_extensions import override

from skylike.progress import Progress, Task

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from skylike.settings import Settings

verbose = False
"""Was ``--verbose`` given? Set by the main callback."""

_engines: "list[Engine]" = []
"""Made for the command that runs; closed with it."""

LOG_INTERVAL_S = 10.0
"""Time between two progress lines where there is no terminal."""


@cache
def settings() -> "Settings":
    """Return the settings of this process, read once."""
    from skylike.settings import load_settings

    return load_settings()


def engine() -> "Engine":
    """Return an engine on the database in use, starting nothing, with the schema checked.

    Raises
    ------
    DatabaseUnavailableError
        The embedded server is not running, or the given one does not answer.
    SchemaOutOfDateError
        ``skylike db upgrade`` is needed.
    """
    from skylike.database.engine import connect
    from skylike.database.migrate import check_schema

    made = unchecked_engine()
    with connect(made) as connection:
        check_schema(connection)
    return made


def unchecked_engine() -> "Engine":
    """Return an engine on the database in use, whatever state its tables are in.

    Raises
    ------
    DatabaseUnavailableError
        The embedded server is not running.
    """
    from skylike.database.engine import make_engine
    from skylike.database.server import owner_url

    made = make_engine(owner_url(settings().home, given=given_url()))
    _engines.append(made)
    return made


def close() -> None:
    """Close the connections that this process keeps open."""
    while _engines:
        _engines.pop().dispose()


def given_url() -> str | None:
    """Return the URL of the server that the user has given, or None for the embedded one."""
    url = settings().database_url
    return url.get_secret_value() if url is not None else None


class _LogTask(Task):
    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done = self._skipped = 0
        self._note = ""
        self._start = self._told = time.monotonic()

    @override
    def advance(self, n: int = 1, /) -> None:
        self._done += n
        if time.monotonic() - self._told >= LOG_INTERVAL_S:
            self.tell()

    @override
    def skip(self, n: int = 1, /) -> None:
        self._skipped += n
        self.advance(n)

    @override
    def note(self, text: str, /) -> None:
        self._note = f", {text}"

    def tell(self) -> None:
        from rich.console import Console

        self._told = time.monotonic()
        rate = (self._done - self._skipped) / max(self._told - self._start, 1e-9)
        of = f" of {self._total:,}" if self._total is not None else ""
        Console(stderr=True, soft_wrap=True, highlight=False).print(
            f"{self._description}: {self._done:,}{of} {self._unit}, {rate:,.0f}/s{self._note}"
        )


class _LogProgress:
    @contextmanager
    def task(
        self, description: str, *, total: int | None = None, unit: str = "galaxies"
    ) -> Iterator[Task]:
        task = _LogTask(description, total, unit)
        yield task
        task.tell()


class _BarProgress:
    @contextmanager
    def task(
        self, description: str, *, total: int | None = None, unit: str = "galaxies"
    ) -> Iterator[Task]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Bars(*columns, console=Console(stderr=True)) as bars:
            identifier = bars.add_task(description, total=total, note="")
            (shown,) = (task for task in bars.tasks if task.id == identifier)

            class _BarTask(Task):
                @override
                def advance(self, n: int = 1, /) -> None:
                    bars.advance(identifier, n)

                @override
                def skip(self, n: int = 1, /) -> None:
                    # Without a sample, of which the time that remains would be reckoned.
                    shown.completed += n

                @override
                def note(self, text: str, /) -> None:
                    bars.update(identifier, note=text)

            yield _BarTask()


def progress() -> Progress:
    """Return bars on a terminal, and a log line now and then elsewhere."""
    import sys

    return _BarProgress() if sys.stderr.isatty() else _LogProgress()
