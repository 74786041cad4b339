"""The folder of staged embeddings: one process writes it, others wait, the last one removes it.

Beside a folder lies a lock file. Who writes or removes the folder holds its lock alone, who reads
it shares the lock. The kernel frees the lock of a process that is killed.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from skylike.errors import SettingsError
from skylike.jobs.waiting import wait_until

logger = logging.getLogger(__name__)

_GONE = ".removed"
"""Ending of a folder that is being removed: nobody opens half of one."""


class HeldFolder:
    """A folder, and this process's hold on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._lock: FileIO | None = None

    def share(self) -> None:
        """Hold it with others who read; wait for one who writes or removes it."""
        wait_until(lambda: self._try(fcntl.LOCK_SH), f"another process that writes {self.path}")

    def take(self) -> None:
        """Hold it alone; wait for the others."""
        self.release()  # two who share it and both wait to hold it alone would wait for ever
        wait_until(lambda: self._try(fcntl.LOCK_EX), f"other processes that use {self.path}")

    def release(self) -> None:
        """Hold it no longer."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove_unless_used(self) -> bool:
        """Remove the folder, unless other processes hold it; the hold ends either way."""
        self.release()
        if not self._try(fcntl.LOCK_EX):
            return False
        gone = self.path.with_name(f"{self.path.name}{_GONE}")
        shutil.rmtree(gone, ignore_errors=True)
        if self.path.exists():
            self.path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        self._lock_path.unlink(missing_ok=True)
        self.release()
        return True

    def _try(self, kind: int) -> bool:
        """Get the lock, unless others hold it."""
        while True:
            if self._lock is None:
                self._lock = self._open()
            try:
                fcntl.flock(self._lock, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                self.release()
                return False
            except OSError as error:
                raise SettingsError(
                    f"{self.path.parent} has no file locks ({error.strerror}); "
                    "use --work-folder with a folder on a local disk"
                ) from error
            if self._is_in_place(self._lock):
                return True
            # Who removed the folder removed this lock file too, after we had opened it.
            self.release()

    def _open(self) -> FileIO:
        try:
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            return FileIO(self._lock_path, "a")
        except OSError as error:
            raise SettingsError(
                f"work folder {self._lock_path.parent} cannot be used ({error.strerror}); "
                "use --work-folder with a folder of yours"
            ) from error

    def _is_in_place(self, lock: FileIO) -> bool:
        try:
            return os.path.samestat(os.fstat(lock.fileno()), self._lock_path.stat())
        except FileNotFoundError:
            return False


@contextmanager
def hold_folder(path: Path) -> Iterator[HeldFolder]:
    """Hold a folder, which need not be there yet, with others until the block ends.

    Raises
    ------
    SettingsError
        The folder above it cannot be made or written to, or has no file locks.
    """
    held = HeldFolder(path)
    held.share()
    try:
        yield held
    finally:
        held.release()


def remove_unused(parent: Path, pattern: str) -> None:
    """Remove the folders with names of a pattern that no process holds, and halves of such."""
    for folder in parent.glob(pattern):
        if folder.name.endswith(_GONE):
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.is_dir() and HeldFolder(folder).remove_unless_used():
            logger.info("removed %s, which no job uses", folder)


def check_space(parent: Path, needed: int) -> None:
    """Refuse to begin what would not fit.

    A memory map on a full disk kills its process, without a word.

    Raises
    ------
    SettingsError
        The disk has less free space.
    """
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise SettingsError(
            f"{parent} has {free / 1e9:.1f} GB free, and the embeddings take {needed / 1e9:.1f} GB;"
            " use --work-folder with a folder on another disk"
        )
