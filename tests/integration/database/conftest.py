import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_server import FAST, make_reachable_folder
from skylike.database import migrate, server
from skylike.database.engine import make_engine


@pytest.fixture(scope="package")
def made_home() -> Iterator[Path]:
    """A data folder as `db start` and `db stop` leave it, for copies: making one takes seconds."""
    folder = make_reachable_folder("skylike-test-home-")
    server.start(folder, overrides=FAST)
    server.stop(folder)
    yield folder
    shutil.rmtree(folder)


def copy_home(made: Path) -> Path:
    folder = make_reachable_folder("skylike-test-home-")
    # Not shutil.copytree: that would make root the owner of everything.
    subprocess.run(["cp", "--archive", f"{made}/.", str(folder)], check=True)
    # Otherwise servers that run at once would contend for one port.
    (folder / "port").unlink()
    return folder


@pytest.fixture
def empty_home() -> Iterator[Path]:
    """A data folder to be, which the server's user can enter; what runs in it is stopped."""
    folder = make_reachable_folder("skylike-test-home-")
    yield folder
    server.stop(folder)
    shutil.rmtree(folder)


@pytest.fixture
def home(made_home: Path) -> Iterator[Path]:
    """A data folder of this test's own, its server not running; what runs in it is stopped."""
    folder = copy_home(made_home)
    yield folder
    server.stop(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="package")
def own_home(made_home: Path) -> Iterator[Path]:
    """A data folder with a running server of this package's own, migrated by the owner."""
    folder = copy_home(made_home)
    server.start(folder, overrides=FAST)
    engine = make_engine(server.owner_url(folder, given=None))
    migrate.upgrade(engine)
    engine.dispose()
    yield folder
    server.stop(folder)
    shutil.rmtree(folder)
