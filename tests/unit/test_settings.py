"""Settings come from the environment, then skylike.toml, then defaults; mistakes are named."""

from pathlib import Path

import pytest

from skylike.errors import SettingsError
from skylike.settings import load_settings


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_home_when_given_by_environment_then_is_absolute(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKYLIKE_HOME", "data")

    assert load_settings().home == Path.cwd() / "data"


def test_port_when_in_toml_and_environment_then_environment_wins(monkeypatch: pytest.MonkeyPatch):
    Path("skylike.toml").write_text("port = 5433\n")
    monkeypatch.setenv("SKYLIKE_PORT", "5434")

    assert load_settings().port == 5434


def test_toml_when_it_holds_an_unknown_key_then_refuses_it_by_name():
    Path("skylike.toml").write_text("prot = 5433\n")

    with pytest.raises(SettingsError, match="prot"):
        load_settings()


def test_toml_when_malformed_then_says_so():
    Path("skylike.toml").write_text("port = \n")

    with pytest.raises(SettingsError, match=r"skylike\.toml"):
        load_settings()


def test_port_when_privileged_then_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKYLIKE_PORT", "80")

    with pytest.raises(SettingsError, match="SKYLIKE_PORT"):
        load_settings()


def test_database_url_when_printed_then_hides_the_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKYLIKE_DATABASE_URL", "postgresql://me:secret@127.0.0.1/sky")

    assert "secret" not in repr(load_settings())
