"""``skylike db``: Start, stop and look after the database."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skylike.database.urls import UrlFormat
from skylike.errors import DatabaseUnavailableError, SettingsError
from skylike_cli import session

if TYPE_CHECKING:
    from skylike.database.summary import Summary

app = typer.Typer(help="Start, stop and look after the database.", no_args_is_help=True)


@app.command()
def start(
    port: Annotated[
        int | None,
        typer.Option(min=1024, max=65535, help="Port on 127.0.0.1; a free one is found and kept."),
    ] = None,
) -> None:
    """Start the embedded PostgreSQL server, making it the first time."""
    if session.given_url() is not None:
        typer.echo("Nothing to start: SKYLIKE_DATABASE_URL names a server that is not ours.")
        return
    from skylike.database import migrate, server

    settings = session.settings()
    started = server.start(settings.home, port=port or settings.port)
    if started.abandoned_port is not None:
        typer.echo(
            f"Port {started.abandoned_port}, used until now, is taken by another program: "
            "connection strings made before are out of date.",
            err=True,
        )
    state = "was running already" if started.was_running else "runs"
    typer.echo(f"The database {state} on 127.0.0.1:{started.port}, data in {settings.home}.")
    if migrate.upgrade_if_empty(session.unchecked_engine()):
        typer.echo("Its tables are made.")
    for hint in reach_hints():
        typer.echo(hint)


@app.command()
def stop() -> None:
    """Stop the embedded PostgreSQL server."""
    if session.given_url() is not None:
        typer.echo("Nothing to stop: SKYLIKE_DATABASE_URL names a server that is not ours.")
        return
    from skylike.database import server

    stopped = server.stop(session.settings().home)
    typer.echo("The database is stopped." if stopped else "The database was not running.")


@app.command()
def status() -> None:
    """Show whether the server runs, and what is in the database."""
    from skylike.database.engine import connect
    from skylike.database.summary import fetch_summary

    try:
        made = session.unchecked_engine()
    except DatabaseUnavailableError:
        typer.echo(f"Not running. Data folder: {session.settings().home}")
        return
    with connect(made) as connection:
        summary = fetch_summary(connection)
    typer.echo(f"Running at {made.url.render_as_string(hide_password=True)}")
    _print_summary(summary)


@app.command()
def upgrade() -> None:
    """Bring the tables to the revision that this program needs."""
    from skylike.database import migrate

    migrate.upgrade(session.unchecked_engine())
    typer.echo(f"The tables are at revision {migrate.head_revision()}.")


@app.command()
def url(
    format: Annotated[  # noqa: A002 - the option's name
        UrlFormat, typer.Option(help="psql: libpq programs; jdbc: TOPCAT; sqlalchemy: pandas.")
    ] = UrlFormat.PSQL,
    reader: Annotated[
        bool, typer.Option("--reader", help="For the role that can only read.")
    ] = False,
) -> None:
    """Print a URL, with its password, for another program."""
    from skylike.database import roles, server
    from skylike.database.urls import write_url

    given = session.given_url()
    role = roles.READER if reader else server.DATABASE
    found = server.role_url(session.settings().home, role, given=given)
    typer.echo(write_url(found, format=format))
    if reader and given is not None:
        typer.echo(
            f"The password of {role} is not known here: set one on your server (ALTER ROLE {role} "
            "PASSWORD '...') and put it into ~/.pgpass or the URL.",
            err=True,
        )


@app.command()
def calibrate(
    encoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="Search this encoder's, not the active one.")
    ] = None,
    fast_index: Annotated[
        bool,
        typer.Option(
            "--fast-index", help="First build the approximate index that `search --fast` uses."
        ),
    ] = False,
) -> None:
    """Measure what searches cost on this server; they choose their route by it."""
    from skylike.search.calibrate import calibrate as measure
    from skylike.search.costs_in_words import costs_in_words

    measured = measure(
        session.engine(), encoder=encoder, fast_index=fast_index, progress=session.progress()
    )
    for line in costs_in_words(measured):
        typer.echo(line)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    files: Annotated[
        bool, typer.Option("--files", help="Remove cutouts, encoders and job files too.")
    ] = False,
) -> None:
    """Drop everything in the database and make empty tables."""
    from skylike.database import migrate, server

    home, made = session.settings().home, session.unchecked_engine()
    _confirm_reset(made.url.render_as_string(hide_password=True), home, yes=yes, files=files)
    if session.given_url() is not None:
        migrate.drop_tables(made)
    else:
        server.recreate_database(home)
    migrate.upgrade(made)
    typer.echo("The tables are empty.")
    _clear_files(home, remove=files)


def reach_hints() -> list[str]:
    """Return lines that say how to reach the database from other programs, and how to stop it."""
    from skylike.database.binaries import program

    # Words to paste: full paths where the shell would not find the program.
    skylike = "skylike" if shutil.which("skylike") else shlex.quote(sys.argv[0])
    psql = "psql" if shutil.which("psql") else shlex.quote(str(program("psql")))
    return [
        f'  psql     {psql} "$({skylike} db url --reader)"',
        f"  TOPCAT   SQL Query, with the URL of: {skylike} db url --format jdbc --reader",
        f"  pandas   read_sql, with the URL of: {skylike} db url --format sqlalchemy --reader",
        f"  stop     {skylike} db stop",
    ]


def _print_summary(summary: "Summary") -> None:
    typer.echo(f"{summary.versions}; database {_size(summary.size_bytes)}")
    if summary.revision != summary.needed_revision:
        found = f"at revision {summary.revision}" if summary.revision else "missing"
        typer.echo(
            f"Tables {found}; this program needs {summary.needed_revision}: "
            "run `skylike db upgrade`"
        )
        return
    typer.echo(f"Tables at revision {summary.revision}")
    for table in summary.tables:
        about = "about " if table.is_estimate else ""
        typer.echo(f"  {table.name:<14}{about}{table.rows:>12,} rows {_size(table.size_bytes):>10}")
    typer.echo(f"Encoders: {', '.join(summary.encoders) or 'none'}")
    typer.echo(f"Active encoder: {summary.active_encoder or 'none'}")
    typer.echo(f"Published neighbors: {summary.published_run or 'none'}")


def _confirm_reset(place: str, home: Path, *, yes: bool, files: bool) -> None:
    if yes:
        return
    what = f"everything of skylike in {place}" + (f" and the files in {home}" if files else "")
    if session.given_url() is not None or not sys.stdin.isatty():
        raise SettingsError(f"this removes {what}; add --yes if that is meant")
    typer.confirm(f"Remove {what}?", abort=True)


def _clear_files(home: Path, *, remove: bool) -> None:
    from skylike.database.home import file_folders, folder_bytes

    for folder in file_folders(home):
        size = _size(folder_bytes(folder))
        if remove:
            shutil.rmtree(folder)
            typer.echo(f"Removed {folder} ({size}).")
        else:
            typer.echo(f"Kept {folder} ({size}); `skylike db reset --files` removes it.")


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
