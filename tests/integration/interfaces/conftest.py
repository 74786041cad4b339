"""A searchable database that the tests of a module share: they only read."""

import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

import skylike
from search_factory import Sky as Truth
from search_factory import fill, random_units, scattered_sky
from skylike.database.engine import make_engine

N, D = 60, 24


@pytest.fixture(scope="module")
def shared_truth() -> Truth:
    """What is in the database: 60 galaxies with embeddings of 24 dimensions."""
    return scattered_sky(random_units(N, D, seed=3), seed=3)


@pytest.fixture(scope="module")
def shared_url(server_url: URL, template_url: URL, shared_truth: Truth) -> Iterator[URL]:
    """A filled database; who writes into it spoils it for the other tests of the module."""
    name = f"skylike_test_{uuid.uuid4().hex[:12]}"
    administrator = sa.create_engine(
        server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with administrator.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template_url.database}"))
    url = server_url.set(database=name)
    engine = make_engine(url)
    fill(engine, shared_truth)
    engine.dispose()
    yield url
    with administrator.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def sky(shared_url: URL) -> Iterator[skylike.Sky]:
    """Connected to the shared database."""
    with skylike.connect(shared_url.render_as_string(hide_password=False)) as made:
        yield made
