import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_server import FAST, make_reachable_folder
from skylike.database import migrate, server
from skylike.database.engine import make_engine


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder that the server's user can enter; what runs in it is stopped in the end."""
    folder = make_reachable_folder("skylike-test-home-")
    yield folder
    server.stop(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="package")
def own_home() -> Iterator[Path]:
    """A data folder with a running server of this package's own, migrated by the owner."""
    folder = make_reachable_folder("skylike-test-home-")
    server.start(folder, overrides=FAST)
    engine = make_engine(server.owner_url(folder, given=None))
    migrate.upgrade(engine)
    engine.dispose()
    yield folder
    server.stop(folder)
    shutil.rmtree(folder)
