"""Wrong settings, URLs and servers, and wrong use of ``skylike db``."""

from collections.abc import Callable
from pathlib import Path

from bad_input.case import BadInput

NOBODY = "postgresql://user:secret@127.0.0.1:1/skylike"
"""Port 1 belongs to a service that no machine runs: nobody listens."""


def toml(text: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        (folder / "skylike.toml").write_text(text)

    return prepare


CASES = [
    BadInput(
        "database URL of another kind of database",
        ("db", "upgrade"),
        r"names mysql; skylike needs postgresql://",
        environment={"SKYLIKE_DATABASE_URL": "mysql://user@host/skylike"},
    ),
    BadInput(
        "database URL without a database",
        ("db", "status"),
        r"postgresql://user:\*\*\*@host:5432 names no database; write postgresql://",
        environment={"SKYLIKE_DATABASE_URL": "postgresql://user:secret@host:5432"},
    ),
    BadInput(
        "database URL that is none",
        ("db", "url"),
        r"the database URL is not understood; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
        environment={"SKYLIKE_DATABASE_URL": "my database"},
    ),
    BadInput(
        "database URL with a word for a port",
        ("db", "url", "--format", "jdbc"),
        r"the database URL is not understood",
        environment={"SKYLIKE_DATABASE_URL": "postgresql://user@host:port/skylike"},
    ),
    BadInput(
        "database URL that is empty",
        ("db", "upgrade"),
        r"the database URL is not understood",
        environment={"SKYLIKE_DATABASE_URL": ""},
    ),
    BadInput(
        "database server that nobody runs",
        ("db", "upgrade"),
        r"no connection to postgresql\+psycopg://user:\*\*\*@127\.0\.0\.1:1/skylike: "
        r"Connection refused",
        environment={"SKYLIKE_DATABASE_URL": NOBODY},
    ),
    BadInput(
        "database status of a server that nobody runs",
        ("db", "status"),
        r"Connection refused; start the server .* or correct SKYLIKE_DATABASE_URL",
        environment={"SKYLIKE_DATABASE_URL": NOBODY},
    ),
    BadInput(
        "database reset of a server that is not ours, without --yes",
        ("db", "reset"),
        r"this removes everything of skylike in postgresql.*; add --yes if that is meant",
    ),
    BadInput(
        "database reset with files, without --yes",
        ("db", "reset", "--files"),
        r"removes everything of skylike in .* and the files in .*home; add --yes",
    ),
    BadInput(
        "database URL for an unknown program",
        ("db", "url", "--format", "odbc"),
        r"Invalid value for '--format'",
        exit_status=2,
    ),
    BadInput(
        "database port that only root may use",
        ("db", "start", "--port", "80"),
        r"Invalid value for '--port'",
        exit_status=2,
    ),
    BadInput(
        "database port that is a word",
        ("db", "start", "--port", "high"),
        r"Invalid value for '--port'",
        exit_status=2,
    ),
    BadInput(
        "database command that is unknown", ("db", "fly"), r"No such command 'fly'", exit_status=2
    ),
    BadInput(
        "data folder in the home of nobody",
        ("db", "status"),
        r"setting home \(SKYLIKE_HOME or .*\): .*~no_such_user/sky names the home of a user who",
        environment={"SKYLIKE_HOME": "~no_such_user/sky"},
    ),
    BadInput(
        "data folder without a name",
        ("db", "start"),
        r"setting home \(SKYLIKE_HOME or skylike\.toml\): .*the name of the data folder is empty",
        environment={"SKYLIKE_HOME": ""},
    ),
    BadInput(
        "setting of a port that is a word",
        ("db", "status"),
        r"setting port \(SKYLIKE_PORT or skylike\.toml\): .*valid integer",
        environment={"SKYLIKE_PORT": "eighty"},
    ),
    BadInput(
        "setting of a port that is too high",
        ("db", "start"),
        r"setting port \(SKYLIKE_PORT or skylike\.toml\): .*less than or equal to 65535",
        environment={"SKYLIKE_PORT": "70000"},
    ),
    BadInput(
        "settings file with an unknown key",
        ("db", "status"),
        r"setting colour .*skylike\.toml\): Extra inputs are not permitted",
        toml('colour = "blue"\n'),
    ),
    BadInput(
        "settings file that is not TOML",
        ("db", "status"),
        r"skylike\.toml: Invalid value",
        toml("home = \n"),
    ),
    BadInput(
        "settings file with a word for the port",
        ("db", "status"),
        r"setting port .*skylike\.toml\): .*valid integer",
        toml('port = "five"\n'),
    ),
]
