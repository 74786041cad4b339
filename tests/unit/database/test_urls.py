from urllib.parse import parse_qs, urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import URL, make_url

from skylike.database.urls import UrlFormat, write_url

AWKWARD = URL.create(
    "postgresql+psycopg",
    "o'brien@home",
    "p@ss/w:rd &+%é",
    "db.example",
    5433,
    "my db",
    query={"sslmode": "require"},
)


def test_psql_url_when_read_by_libpq_then_gives_every_part_back():
    parts = conninfo_to_dict(write_url(AWKWARD, format=UrlFormat.PSQL))

    assert parts["user"] == AWKWARD.username
    assert parts["password"] == AWKWARD.password
    assert parts["host"] == "db.example"
    assert int(parts["port"]) == 5433
    assert parts["dbname"] == "my db"
    assert parts["sslmode"] == "require"


def test_jdbc_url_when_parsed_then_has_the_login_in_its_query():
    text = write_url(AWKWARD, format=UrlFormat.JDBC)

    assert text.startswith("jdbc:postgresql://db.example:5433/my%20db?")
    assert "+" not in text
    assert parse_qs(urlsplit(text.removeprefix("jdbc:")).query) == {
        "user": [AWKWARD.username],
        "password": [AWKWARD.password],
        "sslmode": ["require"],
    }


def test_sqlalchemy_url_when_read_by_sqlalchemy_then_is_the_same():
    assert make_url(write_url(AWKWARD, format=UrlFormat.SQLALCHEMY)) == AWKWARD


@pytest.mark.parametrize("kind", [UrlFormat.PSQL, UrlFormat.JDBC])
def test_url_when_port_and_login_are_missing_then_names_the_usual_port(kind):
    text = write_url(make_url("postgresql://[::1]/galaxies"), format=kind)

    assert text.removeprefix("jdbc:") == "postgresql://[::1]:5432/galaxies"
