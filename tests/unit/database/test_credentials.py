import json
from dataclasses import asdict
from pathlib import Path

import pytest

from skylike.database.credentials import credentials_path, make_credentials, read_credentials
from skylike.errors import SettingsError


def test_credentials_when_made_then_are_readable_by_the_owner_only(tmp_path: Path):
    made = make_credentials(tmp_path)

    assert credentials_path(tmp_path).stat().st_mode & 0o777 == 0o600
    assert read_credentials(tmp_path) == made


def test_passwords_when_made_then_are_long_different_and_need_no_escaping(tmp_path: Path):
    passwords = list(asdict(make_credentials(tmp_path)).values())
    again = list(asdict(make_credentials(tmp_path)).values())

    assert len({*passwords, *again}) == 8
    assert all(len(password) >= 32 for password in passwords)
    assert all(password.replace("-", "").replace("_", "").isalnum() for password in passwords)


def test_passwords_when_printed_then_are_the_four_roles(tmp_path: Path):
    make_credentials(tmp_path)

    assert set(json.loads(credentials_path(tmp_path).read_text())) == {
        "postgres",
        "skylike",
        "skylike_service",
        "skylike_reader",
    }


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"postgres": "x"}'])
def test_credentials_when_the_file_is_damaged_then_name_it(tmp_path: Path, text: str):
    credentials_path(tmp_path).write_text(text)

    with pytest.raises(
        SettingsError, match=r"credentials\.json: the file of the passwords is damaged"
    ):
        read_credentials(tmp_path)


def test_credentials_when_missing_then_say_how_to_make_new_ones(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"passwords are missing; run `skylike db stop`"):
        read_credentials(tmp_path)
