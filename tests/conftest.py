"""Fixtures: a real PostgreSQL, a migrated template database, a copy of it for each test."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> None:
    """No setting of the person who runs the tests reaches them."""
    for name in [name for name in os.environ if name.startswith("SKYLIKE_") and "TEST" not in name]:
        del os.environ[name]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real survey data beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real survey data are not there: {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A superuser's URL: of the server in SKYLIKE_TEST_DATABASE_URL, else of an embedded one."""
    from skylike.database.engine import parse_url

    given = os.environ.get("SKYLIKE_TEST_DATABASE_URL")
    if given:
        yield parse_url(given)
        return
    from embedded_server import embedded_test_server

    with embedded_test_server(tmp_path_factory) as url:
        yield url


def _administer(url: URL, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def template_url(server_url: URL) -> Iterator[URL]:
    """A migrated, empty database that each test copies."""
    from skylike.database.engine import make_engine
    from skylike.database.migrate import upgrade

    name = f"skylike_template_{uuid.uuid4().hex[:12]}"
    _administer(server_url, f"CREATE DATABASE {name}")
    engine = make_engine(server_url.set(database=name))
    upgrade(engine)
    engine.dispose()
    yield server_url.set(database=name)
    _administer(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(server_url: URL, template_url: URL) -> Iterator[URL]:
    """A migrated, empty database of this test's own."""
    name = f"skylike_test_{uuid.uuid4().hex[:12]}"
    _administer(server_url, f"CREATE DATABASE {name} TEMPLATE {template_url.database}")
    yield server_url.set(database=name)
    _administer(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(database_url: URL) -> Iterator[Engine]:
    """An engine on this test's own database."""
    from skylike.database.engine import make_engine

    made = make_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """An open connection to this test's own database; nothing is committed unless the test does."""
    with engine.connect() as opened:
        yield opened
