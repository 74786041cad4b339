import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from skylike.database.engine import make_engine


@pytest.fixture
def empty_engine(server_url: URL) -> Iterator[Engine]:
    """An engine on a database without anything of ours."""
    name = f"skylike_empty_{uuid.uuid4().hex[:12]}"
    administrator = sa.create_engine(
        server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with administrator.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE template0"))
    engine = make_engine(server_url.set(database=name))
    yield engine
    engine.dispose()
    with administrator.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
