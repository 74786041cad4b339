"""The data folder of skylike: made, locked, and what lies in it beside the database."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from skylike.errors import ConflictError, SettingsError
from skylike.files import replaced_file

_LOCK_SECONDS: Final = 120.0
"""How long one `db start` waits for another; the first makes the data folder in a few seconds."""

_FILE_FOLDERS: Final = ("cutouts", "encoders", "jobs")
"""Folders whose files the rows of the database speak of."""


def make_home(home: Path) -> None:
    """Make the data folder where it is missing; root's lets the server's user through.

    Raises
    ------
    SettingsError
        It cannot be made.
    """
    if home.is_dir():
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            # Whatever root's umask: the server's user must get through to its data folder.
            home.chmod(0o755)
    except OSError as error:
        raise SettingsError(
            f"{home} cannot be made ({error.strerror}); set SKYLIKE_HOME to a folder of yours"
        ) from error


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Let one process at a time start, stop or reset; a killed one frees the lock.

    Raises
    ------
    SettingsError
        The data folder is not ours to write.
    ConflictError
        Another process holds the lock for too long.
    """
    path = home / "server.lock"
    try:
        file = path.open("w", encoding="ascii")
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror}); set SKYLIKE_HOME to a folder of yours"
        ) from error
    with file:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConflictError(
                        f"another `skylike db` command has held {path} for two minutes; "
                        "wait or stop it"
                    ) from None
                time.sleep(0.1)
        yield


def kept_port(home: Path) -> int | None:
    """Return the port that the server had the last time, or None."""
    try:
        return int((home / "port").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


def keep_port(home: Path, port: int) -> None:
    """Write down the port for the next start."""
    with replaced_file(home / "port") as part:
        part.write_text(f"{port}\n", encoding="ascii")


def file_folders(home: Path) -> list[Path]:
    """Return the folders of cutouts, encoders and job files that are there."""
    return [home / name for name in _FILE_FOLDERS if (home / name).is_dir()]


def folder_bytes(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
