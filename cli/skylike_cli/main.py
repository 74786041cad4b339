"""The ``skylike`` command: groups of commands, one line for each error."""

import logging
import os
import sys
from types import TracebackType
from typing import Annotated, Final

import typer

from skylike.errors import SkylikeError
from skylike_cli import (
    catalog,
    db,
    demo,
    embed,
    encoder,
    evaluate,
    images,
    label,
    neighbors,
    search,
    session,
    simulate,
)

INTERRUPTED: Final = 130
"""Exit status that Typer makes of Ctrl-C."""

app = typer.Typer(
    name="skylike",
    help="Find galaxies that look alike: similarity search combined with SQL cuts and sky regions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


for group in (db, catalog, images, encoder, neighbors, label, evaluate):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2])
app.command()(demo.demo)
app.command()(embed.embed)
app.command()(search.search)
app.command()(simulate.simulate)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"skylike {version('skylike')}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log what is done, and show a traceback on errors.")
    ] = False,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find galaxies that look alike: similarity search combined with SQL cuts and sky regions."""
    session.verbose = verbose
    # OpenMP's threads wait by spinning, which where cores are shared makes training 4 times slower
    # (measured); spinning a thirtieth as long costs nothing where they are not.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )


def _last_words(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Tell what nobody foresaw (a server that goes away, a full disk, a defect) in one line."""
    if session.verbose:
        sys.__excepthook__(kind, error, trace)
        return
    # SQLAlchemy puts its statement around what the driver says.
    reason = getattr(error, "orig", None) or error
    said = str(reason).strip().splitlines() or ["no reason given"]
    _tell(
        f"{type(reason).__name__}: {said[0]}; run it again when that is put right, "
        "or as `skylike --verbose ...` to see where it happened"
    )


def _tell(message: str) -> None:
    typer.secho("Error: ", fg="red", err=True, nl=False)
    typer.echo(" ".join(message.split()), err=True)


def run() -> None:
    """Run a command; an error becomes one line on stderr and exit status 1."""
    try:
        app()
    except SkylikeError as error:
        if session.verbose:
            raise
        _tell(str(error))
        sys.exit(1)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has enough.
        sys.stderr.close()
        sys.exit(0)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            typer.echo("Interrupted; run the same command again to go on.", err=True)
        raise
    finally:
        session.close()
        # Typer sets a hook of its own when it is called.
        sys.excepthook = _last_words
