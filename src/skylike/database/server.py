"""The PostgreSQL server in use: an embedded one below the data folder, or a given one.

The embedded server is a daemon: it outlives the command that starts it. It listens on 127.0.0.1
only and wants a password of everybody. Its data folder is ``<home>/postgres``, its passwords are in
``<home>/credentials.json``, and its port, chosen once, in ``<home>/port``.
"""

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from skylike.database import ports, roles
from skylike.database.account import check_reachable, server_account
from skylike.database.binaries import programs_for
from skylike.database.cluster import (
    Cluster,
    PortTakenError,
    RunningServer,
    clear_leftovers,
    ensure_initialized,
    running_server,
    set_superuser_password,
    start_server,
    stop_server,
    write_settings,
)
from skylike.database.copy import driver_connection
from skylike.database.credentials import (
    Credentials,
    credentials_path,
    make_credentials,
    read_credentials,
)
from skylike.database.engine import connect, make_engine, parse_url
from skylike.database.tuning import measure_machine, server_settings
from skylike.errors import ConflictError, DatabaseUnavailableError, SettingsError

logger = logging.getLogger(__name__)

DATABASE: Final = "skylike"
"""Name of the database on the embedded server, and of the role that owns it."""

_LOCK_SECONDS: Final = 120.0
"""How long one `db start` waits for another; the first makes the data folder in a few seconds."""

_BIND_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class Started:
    """What `start` found and did.

    Attributes
    ----------
    port
        Where the server listens on 127.0.0.1.
    was_running
        Nothing had to be done.
    is_new
        The data folder was made now.
    abandoned_port
        The port kept from the last time, where another program holds it now, else None.
    """

    port: int
    was_running: bool
    is_new: bool = False
    abandoned_port: int | None = None


def data_folder(home: Path) -> Path:
    """Return the data folder of the embedded server."""
    return home / "postgres"


def log_file(home: Path) -> Path:
    """Return the log of the embedded server."""
    return data_folder(home) / "server.log"


def running(home: Path) -> RunningServer | None:
    """Return the embedded server if it runs.

    Raises
    ------
    SettingsError
        The data folder is another user's.
    """
    try:
        return running_server(data_folder(home))
    except PermissionError:
        raise SettingsError(
            f"{data_folder(home)} belongs to another user; run skylike as that user (or as root, "
            "who started it), or set SKYLIKE_HOME or SKYLIKE_DATABASE_URL to a database of your own"
        ) from None


def owner_url(home: Path, *, given: str | None) -> str:
    """Return the URL that commands connect with, as the owner of the tables.

    Parameters
    ----------
    home
        Data folder of skylike, with the embedded server in it.
    given
        URL of a server to use instead, None for the embedded one.

    Raises
    ------
    SettingsError
        The given URL is wrong, or the embedded server is another user's.
    DatabaseUnavailableError
        The embedded server does not run.
    """
    return role_url(home, DATABASE, given=given).render_as_string(hide_password=False)


def role_url(home: Path, role: str, *, given: str | None) -> URL:
    """Return the URL of one role, as :func:`owner_url` does for the owner.

    On a given server the owner is the user in the URL, and other roles' passwords are not ours to
    know: their URLs carry none.
    """
    if given is not None:
        url = parse_url(given)
        if role == DATABASE:
            return url
        # Made anew: URL.set cannot take the owner's password out.
        return URL.create(url.drivername, role, None, url.host, url.port, url.database, url.query)
    server = running(home)
    if server is None:
        raise DatabaseUnavailableError(
            f"the database in {data_folder(home)} is not running; run `skylike db start`"
        )
    return _url(server.port, role, read_credentials(home), DATABASE)


def superuser_url(home: Path) -> URL:
    """Return the URL of the embedded server's superuser in the database ``postgres``."""
    server = running(home)
    if server is None:
        raise DatabaseUnavailableError(
            f"the database in {data_folder(home)} is not running; run `skylike db start`"
        )
    return _url(server.port, "postgres", read_credentials(home), "postgres")


def _url(port: int, role: str, credentials: Credentials, database: str) -> URL:
    return URL.create(
        "postgresql+psycopg", role, asdict(credentials)[role], ports.HOST, port, database
    )


def start(
    home: Path, *, port: int | None = None, overrides: Mapping[str, str] | None = None
) -> Started:
    """Start the embedded server, making its data folder the first time; idempotent.

    Afterwards the roles, the database ``skylike`` and the extension are there; the tables are not
    (:func:`skylike.database.migrate.upgrade`).

    Parameters
    ----------
    port
        Where to listen; None for the port of the last time, or a free one.
    overrides
        Settings of postgresql.conf that replace those made for this machine.

    Raises
    ------
    SettingsError
        The port is taken, the data folder cannot be used, or no user can be found to run the
        server.
    DatabaseUnavailableError
        The server does not start.
    ConflictError
        Another start or stop takes too long.
    """
    _make_home(home)
    with _locked(home):
        server = running(home)
        if server is not None:
            if port not in {None, server.port}:
                raise SettingsError(
                    f"the server runs already, on port {server.port}; run `skylike db stop` "
                    f"before it can move to port {port}"
                )
            _ensure_database(home)
            return Started(server.port, was_running=True)
        if port is not None and not ports.is_free(port):
            raise _port_taken(port)
        cluster = _cluster(home)
        is_new = _prepare(home, cluster)
        kept = _kept_port(home)
        settings = server_settings(measure_machine()) | dict(overrides or {})
        server = _start_on_some_port(cluster, port, kept, settings)
        _keep_port(home, server.port)
        _ensure_database(home)
        moved = port is None and kept is not None and kept != server.port
        return Started(
            server.port, was_running=False, is_new=is_new, abandoned_port=kept if moved else None
        )


def stop(home: Path) -> bool:
    """Stop the embedded server; return whether one was running.

    Raises
    ------
    DatabaseUnavailableError
        It does not stop.
    """
    if running(home) is None:
        return False
    with _locked(home):
        if running(home) is None:
            return False
        stop_server(_cluster(home))
    return True


def recreate_database(home: Path) -> None:
    """Drop the embedded database ``skylike``, whoever is connected, and make it anew."""
    with _locked(home), _administer(superuser_url(home)) as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))
        _ensure_database(home)


def _make_home(home: Path) -> None:
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
def _locked(home: Path) -> Iterator[None]:
    """Let one process at a time start, stop or reset; a killed one frees the lock."""
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


def _cluster(home: Path) -> Cluster:
    data = data_folder(home)
    account = server_account(data)
    if account is not None:
        check_reachable(account, home)
    return Cluster(data, programs_for(account, home), account)


def _prepare(home: Path, cluster: Cluster) -> bool:
    """Make passwords and data folder where they are missing; return whether the folder is new."""
    if credentials_path(home).exists():
        credentials, is_old = read_credentials(home), True
    else:
        credentials, is_old = make_credentials(home), False
    is_new = ensure_initialized(cluster, password=credentials.postgres)
    clear_leftovers(cluster.data)
    if not is_new and not is_old:
        logger.warning("%s was missing: all passwords are new", credentials_path(home))
        set_superuser_password(cluster, credentials.postgres)
    return is_new


def _start_on_some_port(
    cluster: Cluster, wanted: int | None, kept: int | None, settings: Mapping[str, str]
) -> RunningServer:
    for _ in range(_BIND_ATTEMPTS):
        port = wanted or (kept if kept is not None and ports.is_free(kept) else ports.free_port())
        write_settings(cluster, {**_place_settings(port), **settings})
        try:
            return start_server(cluster)
        except PortTakenError:
            # Somebody was faster; a port that was asked for stays taken.
            if wanted is not None:
                raise _port_taken(wanted) from None
    raise DatabaseUnavailableError("no port could be bound; name a free one with --port")


def _port_taken(port: int) -> SettingsError:
    return SettingsError(
        f"port {port} is taken by {ports.holder(port)}; choose another with --port or "
        "SKYLIKE_PORT, or give none and a free one is found"
    )


def _place_settings(port: int) -> dict[str, str]:
    return {
        "listen_addresses": f"'{ports.HOST}'",
        "port": str(port),
        # No socket: its path would have to be short, and open to the server's user and to us.
        "unix_socket_directories": "''",
        "password_encryption": "'scram-sha-256'",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_line_prefix": "'%m [%p] %u@%d %a '",
    }


def _kept_port(home: Path) -> int | None:
    try:
        return int((home / "port").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


def _keep_port(home: Path, port: int) -> None:
    part = home / "port.part"
    part.write_text(f"{port}\n", encoding="ascii")
    part.replace(home / "port")


@contextmanager
def _administer(url: URL) -> Iterator[Connection]:
    engine: Engine = make_engine(url, application="skylike db")
    try:
        with connect(engine.execution_options(isolation_level="AUTOCOMMIT")) as connection:
            yield connection
    finally:
        engine.dispose()


def _ensure_database(home: Path) -> None:
    """Make roles, database and extension where they are missing, as the superuser."""
    superuser = superuser_url(home)
    credentials = read_credentials(home)
    with _administer(superuser) as connection:
        roles.ensure_owner(connection, DATABASE)
        roles.ensure_roles(connection)
        for role in (DATABASE, roles.SERVICE, roles.READER):
            _set_password(connection, role, asdict(credentials)[role])
        # Nobody but the superuser has business in the server's own databases.
        for name in ("postgres", "template1"):
            connection.execute(sa.text(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC"))
        found = connection.scalar(
            sa.text("SELECT count(*) FROM pg_database WHERE datname = :name"), {"name": DATABASE}
        )
        if not found:
            connection.execute(sa.text(f"CREATE DATABASE {DATABASE} OWNER {DATABASE}"))
    with _administer(superuser.set(database=DATABASE)) as connection:
        roles.ensure_extension(connection)
        # A newer wheel brings a newer pgvector.
        connection.execute(sa.text("ALTER EXTENSION vector UPDATE"))
        roles.restrict_public(connection)


def _set_password(connection: Connection, role: str, password: str) -> None:
    # Encrypted here: the password itself never gets into the server's log.
    hashed = driver_connection(connection).pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    )
    connection.execute(
        sa.text(f"ALTER ROLE {role} PASSWORD '{hashed.decode()}'".replace(":", r"\:"))
    )


def folder_bytes(folder: Path) -> int:
    """Return the bytes of the files below a folder; 0 where there is none."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def remove_files(home: Path) -> list[Path]:
    """Remove cutouts, encoders and job files; return the folders removed."""
    folders = [home / name for name in ("cutouts", "encoders", "jobs") if (home / name).is_dir()]
    for folder in folders:
        shutil.rmtree(folder)
    return folders
