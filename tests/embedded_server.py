"""A PostgreSQL server of the tests' own, shared by the workers of one run and gone after it."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy.engine import URL

PREFIX = "skylike-test-server-"

FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "256MB",
    "max_wal_size": "1GB",
}
"""Nobody needs these data after a crash."""


def make_reachable_folder(prefix: str) -> Path:
    """Make a temporary folder that the server's user can enter: pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    return folder


@contextmanager
def embedded_test_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """Yield a superuser's URL of a server; the first worker starts it, the last one stops it."""
    run_folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run_folder = run_folder.parent
    home = _enter(run_folder)
    try:
        from skylike.database.server import superuser_url

        yield superuser_url(home)
    finally:
        _leave(run_folder)


@contextmanager
def _shared_state(run_folder: Path) -> Iterator[dict[str, str | int]]:
    """Give what the workers know of the server, while no other worker changes it."""
    path = run_folder / "server.json"
    with (run_folder / "server.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = json.loads(path.read_text()) if path.exists() else {}
        yield state
        path.write_text(json.dumps(state))


def _enter(run_folder: Path) -> Path:
    from skylike.database import server

    with _shared_state(run_folder) as state:
        if not state.get("users"):
            _remove_abandoned()
            home = make_reachable_folder(PREFIX)
            (home / "pytest.pid").write_text(str(_run_process()))
            server.start(home, overrides=FAST)
            state.update(home=str(home), users=0)
        state["users"] = int(state["users"]) + 1
        return Path(str(state["home"]))


def _leave(run_folder: Path) -> None:
    with _shared_state(run_folder) as state:
        state["users"] = int(state["users"]) - 1
        if state["users"] == 0:
            remove_server(Path(str(state["home"])))


def remove_server(home: Path) -> None:
    """Stop a test server and remove its folder."""
    from skylike.database import server

    server.stop(home)
    shutil.rmtree(home)


def _run_process() -> int:
    """The process of the whole run: a worker's parent."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


def _remove_abandoned() -> None:
    """Remove servers of runs that were killed."""
    for home in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            is_abandoned = not psutil.pid_exists(int((home / "pytest.pid").read_text()))
        except (OSError, ValueError):
            continue
        if is_abandoned and home.stat().st_uid == os.geteuid():
            remove_server(home)
