"""Where the SQL and migration files are, in a checkout and in an installed wheel."""

from functools import cache
from pathlib import Path

from skylike.errors import SettingsError


@cache
def schema_root() -> Path:
    """Return the folder that holds ``sql/`` and ``migrations/``.

    Raises
    ------
    SettingsError
        Neither the wheel's copy nor a checkout is there: the installation is broken.
    """
    package = Path(__file__).resolve().parent
    for root in (package / "_schema", package.parents[1]):
        if (root / "sql" / "migrations").is_dir() and (root / "migrations").is_dir():
            return root
    raise SettingsError(
        f"{package}: the sql and migrations folders are missing; install skylike again with pip"
    )
