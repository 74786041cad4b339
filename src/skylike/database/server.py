"""The PostgreSQL server in use: an embedded one below the data folder, or a given one.

The embedded server is a daemon: it outlives the command that starts it. It listens on 127.0.0.1
only and wants a password of everybody. Its data folder is ``<home>/postgres``, its passwords are in
``<home>/credentials.json``, and its port, chosen once, in ``<home>/port``.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from skylike.database import ports
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
from skylike.database.credentials import (
    Credentials,
    credentials_path,
    make_credentials,
    read_credentials,
)
from skylike.database.engine import parse_url
from skylike.database.home import keep_port, kept_port, locked, make_home
from skylike.database.provision import drop_database, ensure_database
from skylike.database.tuning import measure_machine, server_settings
from skylike.errors import DatabaseUnavailableError, SettingsError

logger = logging.getLogger(__name__)

DATABASE: Final = "skylike"
"""Name of the database on the embedded server, and of the role that owns it."""

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
    make_home(home)
    with locked(home):
        server = running(home)
        if server is not None:
            if port not in {None, server.port}:
                raise SettingsError(
                    f"the server runs already, on port {server.port}; run `skylike db stop` "
                    f"before it can move to port {port}"
                )
            _provide(home)
            return Started(server.port, was_running=True)
        if port is not None and not ports.is_free(port):
            raise _port_taken(port)
        cluster = _cluster(home)
        is_new = _prepare(home, cluster)
        kept = kept_port(home)
        settings = server_settings(measure_machine()) | dict(overrides or {})
        server = _start_on_some_port(cluster, port, kept, settings)
        keep_port(home, server.port)
        _provide(home)
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
    with locked(home):
        if running(home) is None:
            return False
        stop_server(_cluster(home))
    return True


def recreate_database(home: Path) -> None:
    """Drop the embedded database ``skylike``, whoever is connected, and make it anew."""
    with locked(home):
        drop_database(superuser_url(home), DATABASE)
        _provide(home)


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


def _provide(home: Path) -> None:
    ensure_database(superuser_url(home), DATABASE, credentials=read_credentials(home))
