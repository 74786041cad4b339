"""``skylike db`` as a user types it, on an embedded server and on a given one."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.engine import URL, make_url
from typer.testing import CliRunner, Result

from skylike.errors import DatabaseUnavailableError, SchemaOutOfDateError, SettingsError
from skylike_cli import session
from skylike_cli.main import app


@pytest.fixture
def embedded(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SKYLIKE_HOME", str(empty_home))
    session.settings.cache_clear()
    yield empty_home
    session.settings.cache_clear()


@pytest.fixture
def given(database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    monkeypatch.setenv("SKYLIKE_HOME", str(tmp_path))
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", database_url.render_as_string(hide_password=False))
    session.settings.cache_clear()
    yield database_url
    session.settings.cache_clear()


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["db", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_commands_when_used_one_after_another_then_take_a_database_through_its_life(embedded: Path):
    assert "Not running" in run("status").stdout
    with pytest.raises(DatabaseUnavailableError, match="is not running; run `skylike db start`"):
        run("upgrade")

    started = run("start").stdout
    assert re.search(r"The database runs on 127\.0\.0\.1:\d+", started)
    assert "Its tables are made." in started
    assert "db url --format jdbc --reader" in started
    again = run("start").stdout
    assert "was running already" in again
    assert "Its tables are made." not in again

    reader = run("url", "--format", "psql", "--reader").stdout.strip()
    with psycopg.connect(reader) as connection:
        assert connection.execute("SELECT count(*) FROM galaxy").fetchone() == (0,)
        assert connection.info.user == "skylike_reader"
    jdbc = run("url", "--format", "jdbc", "--reader").stdout.strip()
    assert parse_qs(urlsplit(jdbc.removeprefix("jdbc:")).query)["user"] == ["skylike_reader"]
    assert make_url(run("url", "--format", "sqlalchemy").stdout.strip()).username == "skylike"

    status = run("status").stdout
    assert make_url(reader).password not in status
    assert "PostgreSQL 18" in status
    assert re.search(r"galaxy +0 rows", status)
    assert "Active encoder: none" in status

    engine = session.engine()
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO survey (name) VALUES ('kept?')"))
    engine.dispose()
    (embedded / "cutouts").mkdir()
    (embedded / "cutouts" / "a.h5").write_bytes(b"x" * 2000)
    with pytest.raises(SettingsError, match=r"this removes everything of skylike .* add --yes"):
        run("reset")
    reset = run("reset", "--yes").stdout
    assert f"Kept {embedded / 'cutouts'} (2.0 kB)" in reset
    with psycopg.connect(reader) as connection:
        assert connection.execute("SELECT count(*) FROM survey").fetchone() == (0,)
    assert f"Removed {embedded / 'cutouts'} (2.0 kB)." in run("reset", "--yes", "--files").stdout
    assert not (embedded / "cutouts").exists()

    assert "is stopped" in run("stop").stdout
    assert "was not running" in run("stop").stdout


@pytest.mark.usefixtures("given")
def test_start_and_stop_when_a_server_is_given_then_leave_it_alone():
    assert "Nothing to start" in run("start").stdout
    assert "Nothing to stop" in run("stop").stdout
    assert "Running at" in run("status").stdout


def test_url_when_a_server_is_given_then_the_readers_has_no_password(
    given: URL, monkeypatch: pytest.MonkeyPatch
):
    text = given.set(password="owners-secret").render_as_string(hide_password=False)
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", text)
    session.settings.cache_clear()

    owner = run("url")
    reader = run("url", "--reader")

    assert "owners-secret" in owner.stdout
    assert "owners-secret" not in reader.output
    assert make_url(reader.stdout.strip()).username == "skylike_reader"
    assert "ALTER ROLE skylike_reader PASSWORD" in reader.stderr


@pytest.mark.usefixtures("given")
def test_reset_when_a_server_is_given_then_only_our_schema_goes(engine: Engine):
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE public.somebody_elses (i integer)"))
        connection.execute(sa.text("INSERT INTO survey (name) VALUES ('gone')"))
    with pytest.raises(SettingsError, match="add --yes"):
        run("reset")

    run("reset", "--yes")

    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM skylike.survey")) == 0
        assert connection.scalar(sa.text("SELECT count(*) FROM public.somebody_elses")) == 0


@pytest.mark.usefixtures("given")
def test_engine_when_the_tables_are_missing_then_upgrade_makes_them(engine: Engine):
    from skylike.database.migrate import drop_tables

    drop_tables(engine)
    with pytest.raises(
        SchemaOutOfDateError, match="no skylike tables yet; run `skylike db upgrade`"
    ):
        session.engine()
    assert "Tables missing" in run("status").stdout

    assert "at revision" in run("upgrade").stdout

    session.engine().dispose()
