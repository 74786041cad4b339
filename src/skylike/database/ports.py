"""TCP ports of this machine: a free one, and who holds a taken one."""

import random
import socket
from typing import Final

import psutil

from skylike.errors import SettingsError

HOST: Final = "127.0.0.1"
"""Where the embedded server listens: nobody outside this machine reaches it."""

_RANGE: Final = range(15_432, 32_000)
"""Above the well-known ports, below those of outgoing connections (on Linux from 32768)."""


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As PostgreSQL does: connections of a server that has just stopped do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a random free port; servers of several users on one machine keep apart that way.

    Raises
    ------
    SettingsError
        None was found.
    """
    for port in random.SystemRandom().sample(_RANGE, 100):
        if is_free(port):
            return port
    raise SettingsError(
        f"no free port found between {_RANGE.start} and {_RANGE.stop}; name one with --port"
    )


def holder(port: int) -> str:
    """Name the program that listens on a port, as far as we may know."""
    try:
        listeners = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        ]
        names = [f"{psutil.Process(pid).name()}, process {pid}" for pid in listeners if pid]
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        names = []
    return f"another program ({names[0]})" if names else "another program"
