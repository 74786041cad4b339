import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL

from skylike.database import engine as engine_module
from skylike.database.engine import check_versions, connect, make_engine
from skylike.errors import DatabaseUnavailableError, DatabaseVersionError


def test_versions_when_new_enough_then_pass(connection: Connection):
    check_versions(connection)


def test_versions_when_postgresql_is_too_old_then_says_so(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine_module, "MINIMUM_POSTGRESQL", 99)

    with pytest.raises(DatabaseVersionError, match=r"is PostgreSQL \d+; skylike needs 99 or newer"):
        check_versions(connection)


def test_versions_when_pgvector_is_too_old_then_says_so(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(engine_module, "MINIMUM_PGVECTOR", (99, 0, 1))

    with pytest.raises(
        DatabaseVersionError, match=r"pgvector \d.*; skylike needs 99\.0\.1 or newer"
    ):
        check_versions(connection)


def test_connection_when_opened_then_finds_our_schema_and_knows_vectors(connection: Connection):
    path = connection.scalar(sa.text("SHOW search_path"))
    vector = connection.scalar(sa.text("SELECT '[1,2]'::halfvec(2)"))

    assert path == "skylike,public"
    assert vector.to_list() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"database": "no_such_database"}, 'database "no_such_database" does not exist'),
        ({"host": "127.0.0.1", "port": 1, "password": "secret-word"}, "Connection refused"),
    ],
)
def test_connection_when_refused_then_the_reason_is_told_without_the_password(
    database_url: URL, change: dict[str, str | int], reason: str
):
    made = make_engine(database_url.set(**change))

    with pytest.raises(DatabaseUnavailableError) as error_info:
        connect(made)

    assert reason in str(error_info.value)
    assert (made.url.password or "secret-word") not in str(error_info.value)
    made.dispose()


def test_engine_when_the_extension_is_missing_then_connects(engine: Engine):
    with engine.begin() as connection:
        connection.execute(sa.text("DROP EXTENSION vector CASCADE"))

    fresh = make_engine(engine.url)
    with connect(fresh) as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    fresh.dispose()
