"""A searchable database, asked in ADQL by the role that may only read."""

import uuid
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from adql_factory import UPLOADS, reader_engine
from search_factory import Sky as Truth
from search_factory import fill, random_units, scattered_sky
from skylike.database.engine import make_engine
from skylike.interfaces.vo.adql import AdqlSchema, execute, read_schema, translate

N, D = 3_000, 24


@pytest.fixture(scope="module")
def truth() -> Truth:
    """What is in the database: galaxies with embeddings of 24 dimensions."""
    return scattered_sky(random_units(N, D, seed=7), seed=7)


@pytest.fixture(scope="module")
def filled_url(server_url: URL, template_url: URL, truth: Truth) -> Iterator[URL]:
    """A filled database; who writes into it spoils it for the other tests of the module."""
    name = f"skylike_test_{uuid.uuid4().hex[:12]}"
    administrator = sa.create_engine(
        server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with administrator.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template_url.database}"))
    url = server_url.set(database=name)
    engine = make_engine(url)
    fill(engine, truth)
    with engine.begin() as connection:
        for statement in (
            "UPDATE skylike.galaxy SET type = CASE galaxy_id % 2 WHEN 0 THEN 'PSF' END",
            'CREATE TABLE skylike.upload_1 AS SELECT galaxy_id AS number, ra, "dec" + 0.0001 AS de'
            " FROM skylike.galaxy WHERE galaxy_id <= 50",
            "ANALYZE skylike.galaxy",
            "ANALYZE skylike.upload_1",
        ):
            connection.execute(sa.text(statement))
    engine.dispose()
    yield url
    with administrator.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    administrator.dispose()


@pytest.fixture
def reader(filled_url: URL) -> Iterator[Engine]:
    """An engine of the role that may only read."""
    engine = reader_engine(filled_url)
    yield engine
    engine.dispose()


@pytest.fixture
def schema(reader: Engine) -> AdqlSchema:
    """The tables as the database describes them."""
    with reader.connect() as connection:
        return read_schema(connection)


Ask = Callable[..., pa.Table]


@pytest.fixture
def ask(reader: Engine, schema: AdqlSchema) -> Ask:
    """Translate a query, run it as the reader, and return all rows."""

    def asked(adql: str, *, max_rows: int = 100_000, timeout_s: float = 30) -> pa.Table:
        translated = translate(adql, schema=schema, max_rows=max_rows, uploads=UPLOADS)
        return pa.concat_tables(execute(reader, translated, timeout_s=timeout_s))

    return asked


@pytest.fixture
def explain(reader: Engine, schema: AdqlSchema) -> Callable[[str], str]:
    """Translate a query and return the server's plan, with scans of whole tables made dear."""

    def explained(adql: str) -> str:
        translated = translate(adql, schema=schema, max_rows=1000, uploads=UPLOADS)
        with reader.connect() as connection:
            raw = connection.connection.driver_connection
            raw.execute("SET LOCAL enable_seqscan = off")
            rows = raw.execute("EXPLAIN " + translated.sql, translated.parameters).fetchall()
            raw.rollback()
        return "\n".join(row[0] for row in rows)

    return explained
