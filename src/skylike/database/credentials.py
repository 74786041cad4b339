"""Passwords of the embedded server: generated once, kept in a file that only its owner can read."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from skylike.errors import SettingsError
from skylike.files import replaced_file


@dataclass(frozen=True)
class Credentials:
    """The passwords of the embedded server's roles.

    Attributes
    ----------
    postgres
        Superuser; used only to create roles, the database and its extension.
    skylike
        Owner of the database; every command connects as it.
    skylike_service
        Reads, and writes what visitors leave.
    skylike_reader
        Only reads; for psql, TOPCAT and pandas.
    """

    postgres: str
    skylike: str
    skylike_service: str
    skylike_reader: str


def credentials_path(home: Path) -> Path:
    """Return the file of the passwords."""
    return home / "credentials.json"


def read_credentials(home: Path) -> Credentials:
    """Read the passwords.

    Raises
    ------
    SettingsError
        The file is missing, damaged, or not ours to read.
    """
    path = credentials_path(home)
    again = "run `skylike db stop`, delete it, and `skylike db start` makes new passwords"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Credentials(**{field.name: str(values[field.name]) for field in fields(Credentials)})
    except FileNotFoundError:
        raise SettingsError(f"{path}: the passwords are missing; {again}") from None
    except PermissionError:
        raise SettingsError(
            f"{path}: only its owner may read the passwords; run skylike as that user, or set "
            "SKYLIKE_HOME or SKYLIKE_DATABASE_URL to a database of your own"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: the file of the passwords is damaged; {again}") from error


def make_credentials(home: Path) -> Credentials:
    """Generate passwords and write their file, readable by its owner only."""
    # URL-safe characters: a password pasted into any connection string needs no escaping.
    made = Credentials(*(secrets.token_urlsafe(24) for _ in fields(Credentials)))
    with replaced_file(credentials_path(home)) as part:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(made), file, indent=1)
            file.write("\n")
    return made
